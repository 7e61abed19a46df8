//! Bodies of requests into files.

use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use super::{BodyFile, Outcome, Storage, invalid};
use crate::{
    bindings::{
        exports::larder::cache::storage::{Error, Stored},
        wasi::{
            filesystem::types::{Descriptor, ErrorCode as FileErrorCode},
            http::types::{ErrorCode, Trailers},
        },
        wit_stream,
    },
    directory::{
        ATTEMPTS, Directory, FileError, parent,
        wasi::{WasiDirectory, failed},
    },
};

/// A body without a length is counted in steps of this many bytes.
const STEP_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes that a body without a length is copied by.
const COPY_BYTES: usize = 64 * 1024;
/// How much of a refused body is read: as much as clients send at once.
const REFUSED_BYTES: u64 = 64 * 1024 * 1024;

/// The unread body of a request.
pub(crate) struct Body {
    pub(crate) data: StreamReader<u8>,
    /// Ends after `data`; with an error if the body was cut short.
    pub(crate) end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// The announced length in bytes.
    pub(crate) length: Option<u64>,
}

impl Body {
    /// Reads a body that is refused with this error to its end, if it may be as long as that.
    ///
    /// The host closes a connection whose request was not read, and cannot say so in the response. So a
    /// client that is still sending would see the end of the connection, and not why it was refused.
    async fn refuse(mut self, error: Error) -> Error {
        if self.length.is_some_and(|length| length > REFUSED_BYTES) {
            return error;
        }
        let (mut read, mut buffer) = (0, Vec::with_capacity(COPY_BYTES));
        while read < REFUSED_BYTES {
            let (status, mut bytes) = self.data.read(buffer).await;
            read += bytes.len() as u64;
            if status == StreamResult::Dropped {
                break;
            }
            bytes.clear();
            buffer = bytes;
        }
        error
    }
}

impl Storage<WasiDirectory> {
    /// Stores a body as a new object.
    pub(crate) async fn put(&self, upload: &str, body: Body) -> Outcome<Stored> {
        let mut file = match self.begin_body(upload, body.length.unwrap_or(0)).await {
            Ok(file) => file,
            Err(error) => return Err(body.refuse(error).await),
        };
        let kept = match self.fill(&mut file, body).await {
            Ok(size_bytes) => self.keep_whole(&file, size_bytes).await,
            Err(error) => Err(error),
        };
        self.settle(file, kept).await
    }

    /// Stages a body as a block.
    pub(crate) async fn put_block(&self, upload: &str, id: &str, body: Body) -> Outcome<u64> {
        let mut file = match self.begin_body(upload, body.length.unwrap_or(0)).await {
            Ok(file) => file,
            Err(error) => return Err(body.refuse(error).await),
        };
        let kept = match self.fill(&mut file, body).await {
            Ok(size_bytes) => self.keep_block(&file, id, size_bytes).await,
            Err(error) => Err(error),
        };
        self.settle(file, kept).await
    }

    async fn settle<T>(&self, file: BodyFile, kept: Outcome<T>) -> Outcome<T> {
        if kept.is_err() {
            self.drop_body(&file).await;
        }
        kept
    }

    /// Writes a body to its file, durably. Returns its length.
    async fn fill(&self, file: &mut BodyFile, body: Body) -> Outcome<u64> {
        let Body { data, end, length } = body;
        let descriptor = self.create(&file.path).await?;
        let written = match length {
            // The host's stream goes to the host's file: no byte comes through here.
            Some(_) => descriptor.write_via_stream(data, 0).await,
            None => self.copy(file, data, &descriptor).await?,
        };
        written.map_err(|error| failed("write", &file.path, error))?;
        let cut_short = || invalid("the body ended early");
        end.await.map_err(|_| cut_short())?;
        let stat = descriptor.stat().await.map_err(|error| failed("stat", &file.path, error))?;
        if length.is_some_and(|length| length != stat.size) {
            return Err(cut_short());
        }
        descriptor.sync_data().await.map_err(|error| failed("sync", &file.path, error))?;
        Ok(stat.size)
    }

    /// Creates the file of a body. Its folder may be removed by a discard at any time.
    async fn create(&self, path: &str) -> Outcome<Descriptor> {
        for _ in 0..ATTEMPTS {
            if let Some(file) = self.directory.create_new(path).await? {
                return Ok(file);
            }
            self.directory.make_folder(parent(path)).await?;
        }
        Err(FileError::Failed(format!("{path} cannot be made")).into())
    }

    /// Copies a body of unknown length, and counts it as it comes.
    async fn copy(
        &self,
        file: &mut BodyFile,
        mut data: StreamReader<u8>,
        to: &Descriptor,
    ) -> Outcome<Result<(), FileErrorCode>> {
        let (mut writer, reader) = wit_stream::new::<u8>();
        let done = to.write_via_stream(reader, 0);
        let (mut copied, mut buffer) = (0, Vec::with_capacity(COPY_BYTES));
        loop {
            let (status, mut bytes) = data.read(buffer).await;
            copied += bytes.len() as u64;
            if copied > file.counted_bytes {
                self.capacity().take(STEP_BYTES).await?;
                file.counted_bytes += STEP_BYTES;
            }
            bytes = writer.write_all(bytes).await;
            if !bytes.is_empty() || status == StreamResult::Dropped {
                break;
            }
            buffer = bytes;
        }
        drop(writer);
        Ok(done.await)
    }
}
