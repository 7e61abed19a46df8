//! The fake's storage: objects and staged blocks in maps.

use std::collections::BTreeMap;

use crate::ports::{Block, StorageError, Stored};

#[derive(Default)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    pub(super) staged: BTreeMap<String, Staging>,
    made: u64,
}

#[derive(Default)]
pub(super) struct Staging {
    pub(super) blocks: BTreeMap<String, Vec<u8>>,
    committed: Option<(Vec<String>, Stored)>,
}

impl Store {
    pub(super) fn add(&mut self, content: Vec<u8>) -> Stored {
        self.made += 1;
        let object = format!("object-{}", self.made);
        let size_bytes = content.len() as u64;
        self.objects.insert(object.clone(), content);
        Stored { object, size_bytes }
    }

    pub(super) fn put_block(
        &mut self,
        upload: String,
        id: String,
        content: Vec<u8>,
    ) -> Result<u64, StorageError> {
        let staging = self.staged.entry(upload).or_default();
        if staging.committed.is_some() {
            return Err(StorageError::Invalid("committed already".to_owned()));
        }
        let length = content.len() as u64;
        staging.blocks.insert(id, content);
        Ok(length)
    }

    pub(super) fn blocks(&self, upload: &str) -> Vec<Block> {
        let blocks = self.staged.get(upload).into_iter().flat_map(|staging| &staging.blocks);
        blocks.map(|(id, content)| Block { id: id.clone(), size_bytes: content.len() as u64 }).collect()
    }

    pub(super) fn commit(&mut self, upload: String, ids: Vec<String>) -> Result<Stored, StorageError> {
        let staging = self.staged.entry(upload.clone()).or_default();
        if let Some((committed, stored)) = &staging.committed {
            return if *committed == ids {
                Ok(stored.clone())
            } else {
                Err(StorageError::Invalid("committed with another list".to_owned()))
            };
        }
        let mut content = Vec::new();
        for id in &ids {
            let block = staging.blocks.get(id);
            content.extend(block.ok_or_else(|| StorageError::Invalid(format!("no block {id}")))?);
        }
        let stored = self.add(content);
        self.staged.entry(upload).or_default().committed = Some((ids, stored.clone()));
        Ok(stored)
    }
}
