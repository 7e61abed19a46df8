//! What is stored and nobody may need: what crashes and broken bodies have left.

use super::{
    Outcome, Storage,
    names::{ObjectName, counted_of_body},
};
use crate::directory::Directory;

impl<D: Directory + Clone> Storage<D> {
    /// Returns the upload, and the object, whose being needed decides about a path in `objects/` or
    /// `blocks/`; `None` for a path of another form.
    pub(crate) fn owner_of(path: &str) -> Option<(String, Option<String>)> {
        let name = path.rsplit_once('/')?.1;
        if path.starts_with("objects/") {
            return Some((ObjectName::parse(name)?.upload().to_owned(), Some(name.to_owned())));
        }
        super::is_upload(name).then(|| (name.to_owned(), None))
    }

    /// When anything last changed at a path in `objects/` or `blocks/`, in milliseconds since 1970.
    pub(crate) async fn changed_ms(&self, path: &str) -> Outcome<Option<u64>> {
        let Some(stat) = self.directory.stat(path).await? else { return Ok(None) };
        let Some((upload, None)) = Self::owner_of(path) else { return Ok(Some(stat.modified_ms)) };
        Ok(Some(stat.modified_ms.max(super::activity_ms(&self.directory, &upload).await?)))
    }

    /// Removes an object, or all that is staged for an upload.
    pub(crate) async fn remove_path(&self, path: &str) -> Outcome<()> {
        match Self::owner_of(path) {
            Some((_, Some(object))) => self.remove(&object).await,
            Some((_, None)) => self.delete_folder(path).await,
            None => Ok(()),
        }
    }

    /// Removes the bodies in an upload's folder to which nothing was added since `before_ms`: of
    /// requests that were killed. Returns how many.
    pub(crate) async fn remove_dead_bodies(&self, folder: &str, before_ms: u64) -> Outcome<u32> {
        let mut removed = 0;
        for name in self.directory.list(folder).await? {
            let Some(counted) = counted_of_body(&name) else { continue };
            let path = format!("{folder}/{name}");
            let is_dead = self.directory.stat(&path).await?.is_some_and(|s| s.modified_ms < before_ms);
            if is_dead && self.directory.unlink(&path).await? {
                self.capacity().give_back(counted).await;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes what is left of reservations that were killed. Returns how many.
    pub(crate) async fn remove_private(&self, before_ms: u64) -> Outcome<u32> {
        let mut removed = 0;
        for name in self.directory.list("tmp").await? {
            let folder = format!("tmp/{name}");
            if self.directory.stat(&folder).await?.is_none_or(|stat| stat.modified_ms >= before_ms) {
                continue;
            }
            for file in self.directory.list(&folder).await? {
                self.directory.unlink(&format!("{folder}/{file}")).await?;
            }
            self.directory.remove_folder(&folder).await?;
            removed += 1;
        }
        Ok(removed)
    }
}
