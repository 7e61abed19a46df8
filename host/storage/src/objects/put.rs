//! Stores an object that comes in one piece: from memory where it is small, while it comes where its length is known, else in
//! parts, several at once.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Shared,
    hosted::Task,
    intake::{Cutter, Intake, Piece},
    keys::{Base, Named},
};
use crate::{
    Source, StorageError, Stored, UploadName,
    bucket::{Bucket, Part},
};

/// Parts that are sent at once, while the next is received.
const SENDS: usize = 3;

/// Stores the source as a new object.
pub(super) async fn put(
    shared: &Arc<Shared>,
    upload: &UploadName,
    source: Source,
) -> Result<Stored, StorageError> {
    let base = Base::random(upload)?;
    let object = Named::Plain(base.clone()).name()?;
    if let Some(length) = source.length.filter(|length| shared.is_sent_on(*length)) {
        shared.bucket.send(&base.data(), source.into_content(length)).await?;
        return Ok(Stored { object, size_bytes: length });
    }
    let mut intake = Intake::new(source);
    let sizes = shared.sizes;
    let most = sizes.read_ahead();
    let size_bytes = match intake.length() {
        Some(length) if length > most => {
            let planned = sizes.cut_whole(length);
            in_parts(shared, &base, Cutter::new(&shared.room, sizes, intake, planned)).await?
        }
        length => {
            let held = shared.room.take(length.unwrap_or(most)).await?;
            let content = intake.take(length.unwrap_or(most)).await?;
            if length.is_none() && content.length == most {
                let ahead = Piece { content, held };
                in_parts(shared, &base, Cutter::resume(&shared.room, sizes, intake, ahead)).await?
            } else {
                intake.finish().await?;
                let length = content.length;
                shared.bucket.put(&base.data(), content.into_pieces()).await?;
                drop(held);
                length
            }
        }
    };
    Ok(Stored { object, size_bytes })
}

async fn in_parts(shared: &Arc<Shared>, base: &Base, mut cutter: Cutter<'_>) -> Result<u64, StorageError> {
    let key = base.data();
    let id = shared.bucket.begin(&key).await?;
    let mut multipart =
        Multipart { shared, key, id, tasks: VecDeque::new(), parts: Vec::new(), is_settled: false };
    let length = multipart.send_all(&mut cutter).await?;
    match shared.bucket.complete(&multipart.key, &multipart.id, &multipart.parts).await {
        // A client that lost the answer asks again, and the multipart is no more: the key is nobody else's.
        Err(StorageError::NotFound) if shared.bucket.head(&multipart.key).await? == length => {}
        completed => completed?,
    }
    multipart.is_settled = true;
    Ok(length)
}

/// An object in the making; given up when it is dropped before it is complete.
struct Multipart<'a> {
    shared: &'a Arc<Shared>,
    key: String,
    id: String,
    tasks: VecDeque<Task<Part>>,
    parts: Vec<Part>,
    is_settled: bool,
}

impl Multipart<'_> {
    async fn send_all(&mut self, cutter: &mut Cutter<'_>) -> Result<u64, StorageError> {
        let sizes = self.shared.sizes;
        let mut length = 0;
        for number in 1_u32.. {
            let Some(piece) = cutter.next(sizes.next_of_whole(number as usize - 1)).await? else { break };
            if number > sizes.max_number {
                return Err(StorageError::Invalid("the object is too large".to_owned()));
            }
            length += piece.content.length;
            if self.tasks.len() >= SENDS {
                self.join_first().await?;
            }
            self.start(number, piece);
        }
        while !self.tasks.is_empty() {
            self.join_first().await?;
        }
        Ok(length)
    }

    fn start(&mut self, number: u32, piece: Piece) {
        let (shared, key, id) = (Arc::clone(self.shared), self.key.clone(), self.id.clone());
        self.tasks.push_back(self.shared.bucket.start(async move {
            let Piece { content, held } = piece;
            let part = shared.bucket.put_part(&key, &id, number, content.into_pieces()).await;
            drop(held);
            part
        }));
    }

    async fn join_first(&mut self) -> Result<(), StorageError> {
        let Some(task) = self.tasks.pop_front() else { return Ok(()) };
        self.parts.push(task.join().await?);
        Ok(())
    }
}

impl Drop for Multipart<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let (shared, key, id) = (Arc::clone(self.shared), self.key.clone(), self.id.clone());
            self.shared.bucket.detach(async move {
                // What fails here is listed with the upload, and the sweep's.
                let _ = shared.bucket.abort(&key, &id).await;
            });
        }
    }
}
