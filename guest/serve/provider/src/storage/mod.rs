//! Objects and staged blocks in the directory. The promises are those of `wit/storage.wit`.
//!
//! A whole body is one file, `p-…`. The blocks of an upload are files in a folder of its own; a
//! list that is linked into it makes them an object, `m-…`, without copying a byte. Names of objects
//! have the name of their upload in them, so that a sweep finds who may need them. A file gets its
//! name when it is complete and durable; the last rename or link of a call is what counts.

#[cfg(target_arch = "wasm32")]
pub(crate) mod body;
mod commit;
mod manifest;
pub(crate) mod names;
mod orphans;
#[cfg(target_arch = "wasm32")]
pub(crate) mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

pub(crate) use manifest::{Manifest, Segment, segments};
use names::{
    BlockFile, DISCARDED, LIST, ObjectName, blocks_folder, body_name, counted_of_body, encode_id, id_file,
    is_upload, object_path,
};

use crate::{
    bindings::exports::larder::cache::storage::{Error, Stored},
    capacity::Capacity,
    directory::{self, ATTEMPTS, Directory, FileError, Renamed},
};

/// Most blocks of an object whose lengths are checked by a `stat`.
const MAX_BLOCK_STATS: usize = 16;

/// The outcome of a call.
pub(crate) type Outcome<T> = Result<T, Error>;

/// The storage.
pub(crate) struct Storage<D> {
    directory: D,
    capacity: Capacity<D>,
    /// Microseconds since 1970.
    now_us: fn() -> u64,
    random: fn() -> u64,
}

/// A body under way.
pub(crate) struct BodyFile {
    pub(crate) upload: String,
    /// Where it is written.
    pub(crate) path: String,
    /// For how many bytes it counts.
    pub(crate) counted_bytes: u64,
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NoSpace => Self::NoSpace,
            FileError::Failed(why) => Self::Unavailable(why),
        }
    }
}

/// When bytes last arrived for an upload, in milliseconds since 1970, also of bodies that are not
/// complete: the file system keeps these times. 0 if none are there.
pub(crate) async fn activity_ms<D: Directory>(directory: &D, upload: &str) -> directory::Result<u64> {
    if !is_upload(upload) {
        return Ok(0);
    }
    let folder = blocks_folder(upload);
    let Some(stat) = directory.stat(&folder).await? else { return Ok(0) };
    let mut latest_ms = stat.modified_ms;
    for name in directory.list(&folder).await?.iter().filter(|name| counted_of_body(name).is_some()) {
        let body = directory.stat(&format!("{folder}/{name}")).await?;
        latest_ms = latest_ms.max(body.map_or(0, |body| body.modified_ms));
    }
    Ok(latest_ms)
}

/// The folder in which an object's name has to be durable.
pub(crate) fn folder_of(object: &str) -> String {
    let path = ObjectName::parse(object).map(|parsed| object_path(object, &parsed));
    path.as_deref().map_or("", directory::parent).to_owned()
}

/// Returns whether an object is the blocks of its upload.
pub(crate) fn is_made_of_blocks(object: &str) -> bool {
    matches!(ObjectName::parse(object), Some(ObjectName::Blocks { .. }))
}

pub(crate) fn invalid(why: &str) -> Error {
    Error::Invalid(why.to_owned())
}

impl<D: Directory + Clone> Storage<D> {
    pub(crate) fn new(
        directory: D,
        max_bytes: Option<u64>,
        now_us: fn() -> u64,
        random: fn() -> u64,
    ) -> Self {
        let capacity = Capacity::new(directory.clone(), max_bytes, random);
        Self { directory, capacity, now_us, random }
    }

    /// How much may be stored.
    pub(crate) fn capacity(&self) -> &Capacity<D> {
        &self.capacity
    }

    /// Returns the size of an object in bytes. One whose blocks are not all there is not found.
    pub(crate) async fn stat(&self, object: &str) -> Outcome<u64> {
        let parsed = ObjectName::parse(object).ok_or(Error::NotFound)?;
        let path = object_path(object, &parsed);
        match &parsed {
            ObjectName::Whole { .. } => {
                Ok(self.directory.stat(&path).await?.ok_or(Error::NotFound)?.size_bytes)
            }
            ObjectName::Blocks { upload, size_bytes } => {
                let manifest = self.manifest(&path).await?.ok_or(Error::NotFound)?;
                let is_there = self.has_blocks(&blocks_folder(upload), &manifest).await?;
                if is_there { Ok(*size_bytes) } else { Err(Error::NotFound) }
            }
        }
    }

    /// Returns whether the blocks of an object are there. The lengths of a few are checked, too.
    async fn has_blocks(&self, folder: &str, manifest: &Manifest) -> Outcome<bool> {
        let needed: BTreeSet<&String> =
            manifest.order.iter().filter_map(|place| manifest.blocks.get(*place as usize)).collect();
        if needed.len() > MAX_BLOCK_STATS {
            let names: HashSet<String> = self.directory.list(folder).await?.into_iter().collect();
            return Ok(needed.iter().all(|name| names.contains(*name)));
        }
        for name in needed {
            let stat = self.directory.stat(&format!("{folder}/{name}")).await?;
            let expected = BlockFile::parse(name).map(|block| block.size_bytes);
            if stat.map(|stat| stat.size_bytes) != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the stretches of files that are the bytes `start..end` of an object of this size.
    pub(crate) async fn locate(
        &self,
        object: &str,
        size_bytes: u64,
        start: u64,
        end: u64,
    ) -> Outcome<Vec<Segment>> {
        let parsed = ObjectName::parse(object).ok_or(Error::NotFound)?;
        let path = object_path(object, &parsed);
        let (ObjectName::Whole { size_bytes: named, .. } | ObjectName::Blocks { size_bytes: named, .. }) =
            &parsed;
        if *named != size_bytes {
            return Err(Error::NotFound);
        }
        // The reader checks each file's length when it opens it.
        let ObjectName::Blocks { upload, .. } = &parsed else {
            return Ok(segments([(path, size_bytes)], start, end));
        };
        let manifest = self.manifest(&path).await?.ok_or(Error::NotFound)?;
        let folder = blocks_folder(upload);
        let files = manifest.order.iter().filter_map(|place| {
            let name = manifest.blocks.get(*place as usize)?;
            Some((format!("{folder}/{name}"), BlockFile::parse(name)?.size_bytes))
        });
        Ok(segments(files, start, end))
    }

    async fn manifest(&self, path: &str) -> Outcome<Option<Manifest>> {
        let Some(content) = self.directory.read(path).await? else { return Ok(None) };
        let damaged = |error| Error::Unavailable(format!("{path} is damaged: {error}"));
        serde_json::from_slice(&content.bytes).map(Some).map_err(damaged)
    }

    /// Begins a body of an upload, which counts for this many bytes: its file is to be created.
    pub(crate) async fn begin_body(&self, upload: &str, counted_bytes: u64) -> Outcome<BodyFile> {
        if !is_upload(upload) {
            return Err(invalid("no such upload"));
        }
        self.capacity.take(counted_bytes).await?;
        let folder = blocks_folder(upload);
        let path = format!("{folder}/{}", body_name(counted_bytes, (self.random)()));
        let made = self.directory.make_folder(&folder).await;
        if let Err(error) = made {
            self.capacity.give_back(counted_bytes).await;
            return Err(error.into());
        }
        Ok(BodyFile { upload: upload.to_owned(), path, counted_bytes })
    }

    /// Deletes a body that failed.
    pub(crate) async fn drop_body(&self, body: &BodyFile) {
        // Who has discarded the upload has deleted it and given back its bytes.
        if matches!(self.directory.unlink(&body.path).await, Ok(true)) {
            self.capacity.give_back(body.counted_bytes).await;
        }
        let _ = self.directory.remove_folder(&blocks_folder(&body.upload)).await;
    }

    /// Makes an object of a complete, durable body.
    pub(crate) async fn keep_whole(&self, body: &BodyFile, size_bytes: u64) -> Outcome<Stored> {
        let parsed = ObjectName::Whole { upload: body.upload.clone(), size_bytes };
        let object = parsed.make((self.random)() as u32);
        let path = object_path(&object, &parsed);
        for _ in 0..ATTEMPTS {
            match self.directory.rename(&body.path, &path).await? {
                Renamed::Done => {
                    self.directory.remove_folder(&blocks_folder(&body.upload)).await?;
                    self.capacity.correct(body.counted_bytes, size_bytes).await;
                    return Ok(Stored { object, size_bytes });
                }
                _ if self.directory.stat(&body.path).await?.is_none() => break,
                _ => self.directory.make_folder(directory::parent(&path)).await?,
            }
        }
        Err(invalid("the upload was discarded"))
    }

    /// Makes a block of a complete, durable body. Fails if the upload is committed.
    pub(crate) async fn keep_block(&self, body: &BodyFile, id: &str, size_bytes: u64) -> Outcome<u64> {
        let folder = blocks_folder(&body.upload);
        let encoded = encode_id(id).ok_or_else(|| invalid("a block id has 1 to 256 bytes"))?;
        if self.directory.stat(&format!("{folder}/{LIST}")).await?.is_some() {
            return Err(invalid("the upload is committed"));
        }
        if let Some(file) = id_file(&encoded) {
            self.keep_id(&format!("{folder}/{file}"), id).await?;
        }
        let (completed_us, random) = ((self.now_us)(), (self.random)() as u32);
        let block = BlockFile { completed_us, random, size_bytes, id: encoded };
        let path = format!("{folder}/{}", block.name());
        if self.directory.rename(&body.path, &path).await? != Renamed::Done {
            return Err(invalid("the upload was discarded"));
        }
        self.capacity.correct(body.counted_bytes, size_bytes).await;
        // A commit at the same time may have it or not.
        if let Some(list) = self.manifest(&format!("{folder}/{LIST}")).await?
            && !list.blocks.contains(&block.name())
        {
            if self.directory.unlink(&path).await? {
                self.capacity.give_back(size_bytes).await;
            }
            return Err(invalid("the upload is committed"));
        }
        Ok(size_bytes)
    }

    /// Writes an id that is too long for a name. Whole at once: a listing may come at any time.
    async fn keep_id(&self, path: &str, id: &str) -> Outcome<()> {
        if self.directory.stat(path).await?.is_some() {
            return Ok(());
        }
        let private = format!("{}/{}", directory::parent(path), body_name(0, (self.random)()));
        self.directory.create(&private, id.as_bytes()).await?;
        self.directory.sync(&private).await?;
        self.directory.rename(&private, path).await?;
        Ok(())
    }

    /// Marks the blocks of a committed upload as gone.
    async fn mark_discarded(&self, folder: &str) -> Outcome<()> {
        self.directory.create(&format!("{folder}/{DISCARDED}"), b"").await?;
        Ok(())
    }
}
