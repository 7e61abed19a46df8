//! `commit`, `blocks`, `discard` and `remove`.
//!
//! The link of the list into the upload's folder is what counts: of a commit and a discard, and of
//! two commits, at the same time, one succeeds.

use std::collections::HashMap;

use super::{
    Manifest, Outcome, Storage, invalid,
    names::{
        BlockFile, DISCARDED, LIST, ObjectName, blocks_folder, body_name, counted_bytes, decode_id,
        encode_id, id_file, is_upload, object_path,
    },
};
use crate::{
    bindings::exports::larder::cache::storage::{Block, Error, Stored},
    directory::{self, Directory, FileError},
};

/// Most ids of a commit.
const MAX_BLOCKS: usize = 50_000;

/// The latest complete block of each id, as it is encoded.
type Staged = HashMap<String, BlockFile>;

impl<D: Directory + Clone> Storage<D> {
    /// Makes an object of staged blocks, in the order of the list. See `wit/storage.wit`.
    pub(crate) async fn commit(&self, upload: &str, ids: &[String]) -> Outcome<Stored> {
        if !is_upload(upload) {
            return Err(Error::NotFound);
        }
        if ids.len() > MAX_BLOCKS {
            return Err(invalid(&format!("more than {MAX_BLOCKS} blocks")));
        }
        let wanted: Option<Vec<String>> = ids.iter().map(|id| encode_id(id)).collect();
        let wanted = wanted.ok_or_else(|| invalid("a block id has 1 to 256 bytes"))?;
        let folder = blocks_folder(upload);
        let list = format!("{folder}/{LIST}");
        if self.directory.stat(&list).await?.is_none() {
            let manifest = self.plan(upload, &folder, &wanted).await?;
            self.publish(&folder, &manifest).await?;
        }
        // Whoever's it is.
        let manifest = self.manifest(&list).await?.ok_or(Error::NotFound)?;
        let Some(object) = &manifest.object else { return Err(invalid("the upload was discarded")) };
        if !is_list_of(&manifest, &wanted) {
            return Err(invalid("the upload is committed with another list"));
        }
        self.directory.link(&list, &format!("{folder}/{object}")).await?;
        directory::sync_up(&self.directory, &folder).await?;
        self.drop_unlisted(&folder, &manifest).await?;
        Ok(Stored { object: object.clone(), size_bytes: manifest.size_bytes })
    }

    /// Makes the list of what is staged.
    async fn plan(&self, upload: &str, folder: &str, wanted: &[String]) -> Outcome<Manifest> {
        let staged = self.staged(folder).await?;
        let mut blocks = Vec::with_capacity(staged.len());
        let mut places = HashMap::with_capacity(staged.len());
        for (id, block) in &staged {
            places.insert(id.as_str(), u32::try_from(blocks.len()).unwrap_or(u32::MAX));
            blocks.push(block.name());
        }
        let place = |id: &String| places.get(id.as_str()).copied();
        let order: Option<Vec<u32>> = wanted.iter().map(place).collect();
        let order = order.ok_or_else(|| invalid("a block of the list is not staged"))?;
        let size_bytes = wanted.iter().filter_map(|id| staged.get(id)).map(|block| block.size_bytes).sum();
        let parsed = ObjectName::Blocks { upload: upload.to_owned(), size_bytes };
        let object = parsed.make((self.random)() as u32);
        Ok(Manifest { object: Some(object), size_bytes, blocks, order })
    }

    /// Links a list into the folder, unless one is there.
    async fn publish(&self, folder: &str, manifest: &Manifest) -> Outcome<()> {
        let json = serde_json::to_vec(manifest).map_err(|error| FileError::Failed(error.to_string()))?;
        let private = format!("{folder}/{}", body_name(0, (self.random)()));
        directory::create(&self.directory, &private, &json).await?;
        self.directory.sync(&private).await?;
        let linked = self.directory.link(&private, &format!("{folder}/{LIST}")).await;
        self.directory.unlink(&private).await?;
        linked?;
        Ok(())
    }

    async fn staged(&self, folder: &str) -> Outcome<Staged> {
        let mut staged = Staged::new();
        for block in self.directory.list(folder).await?.iter().filter_map(|name| BlockFile::parse(name)) {
            let later =
                |known: &BlockFile| (known.completed_us, known.random) > (block.completed_us, block.random);
            if !staged.get(&block.id).is_some_and(later) {
                staged.insert(block.id.clone(), block);
            }
        }
        Ok(staged)
    }

    /// Deletes the staged files that a committed list does not need.
    async fn drop_unlisted(&self, folder: &str, manifest: &Manifest) -> Outcome<()> {
        let mut needed = vec![false; manifest.blocks.len()];
        for place in &manifest.order {
            if let Some(needed) = needed.get_mut(*place as usize) {
                *needed = true;
            }
        }
        let needed: std::collections::HashSet<&str> = manifest
            .blocks
            .iter()
            .zip(needed)
            .filter(|(_, needed)| *needed)
            .map(|(name, _)| &**name)
            .collect();
        for name in self.directory.list(folder).await? {
            if let Some(block) = BlockFile::parse(&name).filter(|_| !needed.contains(name.as_str()))
                && self.directory.unlink(&format!("{folder}/{name}")).await?
            {
                self.capacity().give_back(block.size_bytes).await;
            }
        }
        Ok(())
    }

    /// Returns the staged blocks of an upload; after a commit those that were staged then.
    pub(crate) async fn blocks(&self, upload: &str) -> Outcome<Vec<Block>> {
        if !is_upload(upload) {
            return Ok(Vec::new());
        }
        let folder = blocks_folder(upload);
        let staged: Vec<BlockFile> = match self.manifest(&format!("{folder}/{LIST}")).await? {
            Some(_) if self.directory.stat(&format!("{folder}/{DISCARDED}")).await?.is_some() => Vec::new(),
            Some(manifest) => manifest.blocks.iter().filter_map(|name| BlockFile::parse(name)).collect(),
            None => self.staged(&folder).await?.into_values().collect(),
        };
        let mut blocks = Vec::with_capacity(staged.len());
        for block in staged {
            let id = match id_file(&block.id) {
                Some(file) => {
                    let content = self.directory.read(&format!("{folder}/{file}")).await?;
                    content.and_then(|content| String::from_utf8(content.bytes).ok())
                }
                None => decode_id(&block.id),
            };
            blocks.extend(id.map(|id| Block { id, size_bytes: block.size_bytes }));
        }
        Ok(blocks)
    }

    /// Deletes the staged blocks of an upload. See `wit/storage.wit`.
    pub(crate) async fn discard(&self, upload: &str) -> Outcome<()> {
        if !is_upload(upload) {
            return Ok(());
        }
        let folder = blocks_folder(upload);
        if self.directory.stat(&folder).await?.is_none() {
            return Ok(());
        }
        let nothing = Manifest { object: None, size_bytes: 0, blocks: Vec::new(), order: Vec::new() };
        let list = format!("{folder}/{LIST}");
        if self.directory.stat(&list).await?.is_none() {
            self.publish(&folder, &nothing).await?;
        }
        match self.manifest(&list).await? {
            Some(Manifest { object: Some(_), .. }) => self.mark_discarded(&folder).await,
            Some(_) => self.delete_folder(&folder).await,
            None => Ok(()),
        }
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub(crate) async fn remove(&self, object: &str) -> Outcome<()> {
        let Some(parsed) = ObjectName::parse(object) else { return Ok(()) };
        let path = object_path(object, &parsed);
        if !self.directory.unlink(&path).await? {
            return Ok(());
        }
        match &parsed {
            ObjectName::Whole { size_bytes, .. } => self.capacity().give_back(*size_bytes).await,
            ObjectName::Blocks { upload, .. } => self.delete_folder(&blocks_folder(upload)).await?,
        }
        Ok(())
    }

    /// Deletes an upload's folder and all in it; the list last, so that nothing is staged again in
    /// between.
    pub(super) async fn delete_folder(&self, folder: &str) -> Outcome<()> {
        for name in self.directory.list(folder).await?.iter().filter(|name| *name != LIST) {
            if self.directory.unlink(&format!("{folder}/{name}")).await? {
                self.capacity().give_back(counted_bytes(name)).await;
            }
        }
        self.directory.unlink(&format!("{folder}/{LIST}")).await?;
        self.directory.remove_folder(folder).await?;
        Ok(())
    }
}

/// Returns whether a list is of these ids, in this order.
fn is_list_of(manifest: &Manifest, wanted: &[String]) -> bool {
    let ids: Vec<Option<String>> =
        manifest.blocks.iter().map(|name| BlockFile::parse(name).map(|block| block.id)).collect();
    let is_same =
        |(place, id): (&u32, &String)| ids.get(*place as usize).and_then(Option::as_ref) == Some(id);
    manifest.order.len() == wanted.len() && manifest.order.iter().zip(wanted).all(is_same)
}
