//! Stores an object from one body: from memory if it is small, streamed in one request if its
//! length is known, else in several parts at once.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Shared,
    body::{BodyReader, PartBody, PartSplitter},
    keys::{Base, Named},
    runtime::Task,
};
use crate::{
    Digest, Source, StorageError, Stored, UploadName,
    bucket::{Bucket, Part},
    digest::recorded,
};

/// Parts sent at the same time, while the next is received.
const MAX_SENDS: usize = 3;

/// Stores the source as a new object.
pub(super) async fn put(
    shared: &Arc<Shared>,
    upload: &UploadName,
    source: Source,
) -> Result<Stored, StorageError> {
    let recorder = source.recorder();
    let stored = async |object, size_bytes| {
        let digest = recorded(recorder.as_ref(), size_bytes).await.map(Digest::Whole);
        Stored { object, size_bytes, digest }
    };
    let base = Base::random(upload)?;
    let object = Named::Plain(base.clone()).name()?;
    if let Some(length) = source.length.filter(|length| shared.is_streamed_through(*length)) {
        shared.bucket.send(&base.data(), source.into_content(length)).await?;
        return Ok(stored(object, length).await);
    }
    let mut reader = BodyReader::new(source);
    let sizes = shared.sizes;
    let most = sizes.read_ahead();
    let size_bytes = match reader.length() {
        Some(length) if length > most => {
            let planned = sizes.split_whole(length);
            in_parts(shared, &base, PartSplitter::new(&shared.memory, sizes, reader, planned)).await?
        }
        length => {
            let permit = shared.memory.acquire(length.unwrap_or(most)).await?;
            let content = reader.take(length.unwrap_or(most)).await?;
            if length.is_none() && content.length() == most {
                let ahead = PartBody { content, permit };
                in_parts(shared, &base, PartSplitter::resume(&shared.memory, sizes, reader, ahead)).await?
            } else {
                reader.finish().await?;
                let length = content.length();
                shared.bucket.put(&base.data(), content.into_pieces()).await?;
                drop(permit);
                length
            }
        }
    };
    Ok(stored(object, size_bytes).await)
}

async fn in_parts(
    shared: &Arc<Shared>,
    base: &Base,
    mut splitter: PartSplitter<'_>,
) -> Result<u64, StorageError> {
    let key = base.data();
    let id = shared.bucket.begin(&key).await?;
    let mut multipart =
        MultipartPut { shared, key, id, tasks: VecDeque::new(), parts: Vec::new(), is_complete: false };
    let length = multipart.send_all(&mut splitter).await?;
    match shared.bucket.complete(&multipart.key, &multipart.id, &multipart.parts).await {
        // The SDK retried after a lost response, and the multipart upload is gone. No one else uses
        // this key.
        Err(StorageError::NotFound) if shared.bucket.head(&multipart.key).await? == length => {}
        completed => completed?,
    }
    multipart.is_complete = true;
    Ok(length)
}

/// The multipart upload of one object; aborted if it is dropped before it is complete.
struct MultipartPut<'a> {
    shared: &'a Arc<Shared>,
    key: String,
    id: String,
    tasks: VecDeque<Task<Part>>,
    parts: Vec<Part>,
    is_complete: bool,
}

impl MultipartPut<'_> {
    async fn send_all(&mut self, splitter: &mut PartSplitter<'_>) -> Result<u64, StorageError> {
        let sizes = self.shared.sizes;
        let mut length = 0;
        for number in 1_u32.. {
            let Some(piece) = splitter.next(sizes.next_of_whole(number as usize - 1)).await? else { break };
            if number > sizes.max_number {
                return Err(StorageError::Invalid("the object is too large".to_owned()));
            }
            length += piece.content.length();
            if self.tasks.len() >= MAX_SENDS {
                self.join_first().await?;
            }
            self.start(number, piece);
        }
        while !self.tasks.is_empty() {
            self.join_first().await?;
        }
        Ok(length)
    }

    fn start(&mut self, number: u32, piece: PartBody) {
        let (shared, key, id) = (Arc::clone(self.shared), self.key.clone(), self.id.clone());
        self.tasks.push_back(self.shared.bucket.spawn(async move {
            let PartBody { content, permit } = piece;
            let part = shared.bucket.put_part(&key, &id, number, content.into_pieces()).await;
            drop(permit);
            part
        }));
    }

    async fn join_first(&mut self) -> Result<(), StorageError> {
        let Some(task) = self.tasks.pop_front() else { return Ok(()) };
        self.parts.push(task.join().await?);
        Ok(())
    }
}

impl Drop for MultipartPut<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            let (shared, key, id) = (Arc::clone(self.shared), self.key.clone(), self.id.clone());
            self.shared.bucket.detach(async move {
                // If this fails, the multipart upload is listed with the upload, and the sweep
                // aborts it.
                let _ = shared.bucket.abort(&key, &id).await;
            });
        }
    }
}
