//! Stores an object that comes in one piece.
//!
//! The file gets its final name at once: it counts only when the index refers to it, and what a crash leaves behind is
//! an orphan for the sweep.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    errors, intake,
    layout::{self, Dirs, Kind, ObjectPath},
};
use crate::storage::{Source, StorageError, Stored, budget::Budget};

const CONTEXT: &str = "create an object";

/// A file in the making: deleted when it is dropped before it is kept.
struct NewObject {
    dirs: Arc<Dirs>,
    path: ObjectPath,
    file: File,
    is_settled: AtomicBool,
}

impl NewObject {
    fn create(dirs: Arc<Dirs>) -> Result<Self, StorageError> {
        let path = ObjectPath::random(Kind::Plain).map_err(errors::failed(CONTEXT))?;
        let file = layout::create(&dirs.objects, path.as_str()).map_err(errors::failed(CONTEXT))?;
        Ok(Self { dirs, path, file, is_settled: AtomicBool::new(false) })
    }
}

impl AsRef<File> for NewObject {
    fn as_ref(&self) -> &File {
        &self.file
    }
}

impl Drop for NewObject {
    fn drop(&mut self) {
        if !self.is_settled.load(Relaxed) {
            let (dirs, path) = (Arc::clone(&self.dirs), self.path.clone());
            // What cannot be deleted is an orphan for the sweep.
            errors::in_background(move || drop(layout::delete(&dirs.objects, path.as_str())));
        }
    }
}

/// Writes the source to a new object.
pub(super) async fn put(
    dirs: &Arc<Dirs>,
    budget: &Arc<Budget>,
    source: Source,
) -> Result<Stored, StorageError> {
    let new = create(dirs, source.length).await?;
    let result = intake::write(&new, 0, source, &budget.transfer()).await;
    new.is_settled.store(true, Relaxed);
    match result {
        Ok(size_bytes) => Ok(Stored { object: new.path.name(), size_bytes }),
        Err(error) => {
            let remove = move || layout::delete(&new.dirs.objects, new.path.as_str());
            // The first error is the one to tell; what cannot be deleted is an orphan for the sweep.
            drop(errors::blocking(CONTEXT, move || remove().map_err(errors::failed(CONTEXT))).await);
            Err(error)
        }
    }
}

async fn create(dirs: &Arc<Dirs>, length: Option<u64>) -> Result<Arc<NewObject>, StorageError> {
    let dirs = Arc::clone(dirs);
    let new = match length {
        Some(0..=intake::SMALL_BYTES) => NewObject::create(dirs)?,
        _ => errors::blocking(CONTEXT, move || NewObject::create(dirs)).await?,
    };
    Ok(Arc::new(new))
}
