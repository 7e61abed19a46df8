//! What the filesystem driver promises beyond the trait.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use super::*;
use crate::conformance::{Fixture, storage_conformance};

mod budget;
mod chunks;
mod crash;
mod erase;
mod files;
mod full;
mod model;
mod parts;
mod tenants;

const BOOT: &str = "00000000-0000-0000-0000-000000000001";

/// A storage in a directory of its own.
pub(super) struct Temporary {
    pub(super) root: TempDir,
    pub(super) storage: Option<FsStorage>,
}

impl Temporary {
    pub(super) fn new() -> Self {
        Self::with_budget(Budget::new(4 << 20))
    }

    pub(super) fn with_budget(budget: Arc<Budget>) -> Self {
        Self::with_settings(budget, &FsSettings::default())
    }

    pub(super) fn with_shares(files: FileShares) -> Self {
        Self::with_settings(Budget::new(4 << 20), &FsSettings { files, ..FsSettings::default() })
    }

    fn with_settings(budget: Arc<Budget>, settings: &FsSettings) -> Self {
        let root = tempfile::tempdir().unwrap();
        let opened = FsStorage::open_in_boot(root.path().to_owned(), budget, BOOT.to_owned(), settings);
        Self { root, storage: Some(opened.unwrap()) }
    }

    pub(super) fn fs(&self) -> &FsStorage {
        self.storage.as_ref().unwrap()
    }

    pub(super) fn set_max_uploads(&mut self, most: usize) {
        Arc::get_mut(&mut self.storage.as_mut().unwrap().uploads).unwrap().set_max(most);
    }

    pub(super) fn restart_in(&mut self, boot: &str) {
        self.storage = None;
        let (root, budget) = (self.root.path().to_owned(), Budget::new(4 << 20));
        let settings = FsSettings::default();
        let open = || FsStorage::open_in_boot(root.clone(), budget.clone(), boot.to_owned(), &settings);
        let mut opened = open();
        // Space that is being given back keeps the directory for so long.
        for _ in 0..1000 {
            if opened.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            opened = open();
        }
        self.storage = Some(opened.unwrap());
    }

    pub(super) fn object_path(&self, object: &ObjectName) -> PathBuf {
        self.object_path_below("", object)
    }

    pub(super) fn object_path_below(&self, folder: &str, object: &ObjectName) -> PathBuf {
        let objects = self.root.path().join(folder).join("objects");
        objects.join(&object.as_str()[2..4]).join(object.as_str())
    }

    /// All files below a directory, with their paths from there.
    pub(super) fn files(&self, below: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![self.root.path().join(below)];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.push(path.strip_prefix(self.root.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

#[async_trait]
impl Fixture for Temporary {
    fn storage(&self) -> &dyn Storage {
        self.fs()
    }

    async fn restart(&mut self) {
        self.restart_in(BOOT);
    }

    async fn change_below(&self, folder: &str, object: &ObjectName, change: crate::conformance::Change) {
        let path = self.object_path_below(folder, object);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
}

storage_conformance!(Temporary::new());

mod of_a_tenant {
    use super::Temporary;

    crate::conformance::storage_conformance!(crate::conformance::OfATenant::new(Temporary::new()).await);
}

mod of_tenants {
    use super::Temporary;

    crate::conformance::tenants_conformance!(Temporary::new());
}
