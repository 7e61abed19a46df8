//! Objects as streams.

use std::{cell::RefCell, collections::VecDeque};

use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

use super::{Outcome, Segment, Storage};
use crate::{
    bindings::{exports::larder::cache::storage::Error, wasi::filesystem::types::Descriptor, wit_stream},
    directory::wasi::{WasiDirectory, failed, stat_of},
};

/// Files that are opened at once. The files of an object of more blocks are opened when their turn
/// comes, so a removal in the middle cuts the response.
const OPEN_FILES: usize = 32;
/// Bytes that a response is copied by: faster than to hand the host's stream through, which moves
/// 8 KiB at a time.
const COPY_BYTES: usize = 128 * 1024;

/// An opened object, or a range of one.
pub(crate) struct Opened {
    directory: WasiDirectory,
    segments: VecDeque<Segment>,
    open: VecDeque<Descriptor>,
    pub(crate) size_bytes: u64,
    /// Where the bytes go, once somebody reads them.
    writer: RefCell<Option<StreamWriter<u8>>>,
}

impl Storage<WasiDirectory> {
    /// Opens the bytes `start..end` of an object of this size.
    pub(crate) async fn open(&self, object: &str, size_bytes: u64, start: u64, end: u64) -> Outcome<Opened> {
        let segments: VecDeque<Segment> = self.locate(object, size_bytes, start, end).await?.into();
        let mut open = VecDeque::new();
        for segment in segments.iter().take(OPEN_FILES) {
            open.push_back(open_file(self.directory, segment).await?);
        }
        let writer = RefCell::new(None);
        Ok(Opened { directory: self.directory, segments, open, size_bytes: end - start, writer })
    }
}

/// Opens a file that has the expected length.
async fn open_file(directory: WasiDirectory, segment: &Segment) -> Outcome<Descriptor> {
    let file = directory.open(&segment.path).await?.ok_or(Error::NotFound)?;
    let stat = file.stat().await.map_err(|error| failed("stat", &segment.path, error))?;
    if stat_of(&stat).size_bytes == segment.file_bytes { Ok(file) } else { Err(Error::NotFound) }
}

impl Opened {
    /// Returns the stream of the bytes, which [`Self::send`] fills.
    pub(crate) fn start(&self) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new::<u8>();
        *self.writer.borrow_mut() = Some(writer);
        reader
    }

    /// Copies the bytes to the stream.
    ///
    /// # Errors
    /// When they are not all there, or the reader has gone.
    pub(crate) async fn send(mut self) -> Result<(), String> {
        let mut writer = self.writer.take().ok_or("the stream was not started")?;
        let mut buffer = Vec::with_capacity(COPY_BYTES);
        while let Some(segment) = self.segments.pop_front() {
            let file = match self.open.pop_front() {
                Some(file) => file,
                None => open_file(self.directory, &segment).await.map_err(|error| format!("{error:?}"))?,
            };
            buffer = copy(&file, &segment, &mut writer, buffer).await?;
        }
        Ok(())
    }
}

/// Copies a stretch of a file. Returns the buffer.
async fn copy(
    file: &Descriptor,
    segment: &Segment,
    writer: &mut StreamWriter<u8>,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, String> {
    let (mut stream, _end) = file.read_via_stream(segment.start);
    let mut left = segment.end - segment.start;
    while left > 0 {
        let (status, mut bytes) = stream.read(buffer).await;
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= bytes.len() as u64;
        bytes = writer.write_all(bytes).await;
        if !bytes.is_empty() {
            return Err("the reader has gone".to_owned());
        }
        buffer = bytes;
        if status == StreamResult::Dropped && left > 0 {
            return Err(format!("{} is shorter than it was", segment.path));
        }
    }
    Ok(buffer)
}
