//! Lists for sweeps, deletions that spare what was used since, and the removal of what leads
//! nowhere.

use super::{
    DYING, Index, layout,
    layout::{upload_id, upload_pointer},
    slot_of_pointer,
    state::State,
};
use crate::{
    bindings::exports::larder::cache::index::{Entry, Upload},
    directory::{Directory, Renamed, Result},
    storage,
};

/// Most rows of a page.
const PAGE: usize = 500;

/// A page of a list.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; `None` on the last one.
    pub(crate) next: Option<String>,
}

impl<D: Directory> Index<D> {
    /// Lists entries in the order of their numbers.
    pub(crate) async fn list_entries(&self, cursor: &str) -> Result<Page<Entry>> {
        let Page { items: pointers, next } = self.list_names("entries", cursor).await?;
        let mut items = Vec::with_capacity(pointers.len());
        for pointer in pointers {
            let Some(id) = number_of(&pointer) else { continue };
            items.extend(self.get_entry(id).await?);
        }
        Ok(Page { items, next })
    }

    /// Lists uploads under way, in no order. A page may be empty although more follow.
    pub(crate) async fn list_uploads(&self, cursor: &str) -> Result<Page<Upload>> {
        let Page { items: pointers, next } = self.list_names("uploads", cursor).await?;
        let mut items = Vec::new();
        for pointer in pointers {
            let Some(id) = number_of(&pointer) else { continue };
            items.extend(self.get_upload_by_id(id).await?);
        }
        Ok(Page { items, next })
    }

    /// Lists the paths in the folders of a folder, sorted. The cursor is the last path of the page
    /// before.
    pub(crate) async fn list_names(&self, root: &str, cursor: &str) -> Result<Page<String>> {
        let mut folders = self.directory.list(root).await?;
        folders.sort_unstable();
        let mut items = Vec::new();
        for folder in folders {
            let folder = format!("{root}/{folder}");
            if cursor.rsplit_once('/').is_some_and(|(last, _)| folder.as_str() < last) {
                continue;
            }
            let mut names = self.directory.list(&folder).await?;
            names.sort_unstable();
            for name in names {
                let path = format!("{folder}/{name}");
                if path.as_str() <= cursor {
                    continue;
                }
                if items.len() == PAGE {
                    let next = items.last().cloned();
                    return Ok(Page { items, next });
                }
                items.push(path);
            }
        }
        Ok(Page { items, next: None })
    }

    /// Deletes an entry unless it was used after `last_used_ms`. Returns whether it did.
    ///
    /// The file is renamed first, so that a use in between finds no entry, rather than being lost.
    pub(crate) async fn delete_entry_unused(&self, id: u64, last_used_ms: u64) -> Result<bool> {
        let Some(found) = self.entry_state(id).await? else { return Ok(false) };
        if found.modified_ms > last_used_ms {
            return Ok(false);
        }
        let (path, dying) = (found.path(), format!("{}/{DYING}{}", found.folder, found.state.name()));
        if self.directory.rename(&path, &dying).await? != Renamed::Done {
            return Ok(false);
        }
        let used_since = self.directory.stat(&dying).await?.is_some_and(|now| now.modified_ms > last_used_ms);
        if used_since && self.directory.rename(&dying, &path).await? == Renamed::Done {
            return Ok(false);
        }
        self.directory.unlink(&dying).await?;
        self.forget(&found).await?;
        Ok(true)
    }

    /// Deletes an upload unless bytes arrived after `last_activity_ms`. Returns whether it did.
    pub(crate) async fn abandon_idle(&self, id: u64, last_activity_ms: u64) -> Result<bool> {
        let Some(found) = self.upload_state(id).await? else { return Ok(false) };
        let is_idle =
            self.upload(&found).await?.is_some_and(|upload| upload.last_activity_ms <= last_activity_ms);
        Ok(is_idle && self.end_upload(&found).await?)
    }

    /// Sets times of use or activity that are in the future, written while a clock was ahead, to
    /// now, so that what has them expires some day.
    pub(crate) async fn correct_future(
        &self,
        upload: Option<u64>,
        entry: Option<u64>,
        now_ms: u64,
    ) -> Result<()> {
        let found = match (upload, entry) {
            (Some(id), _) => self.upload_state(id).await?,
            (_, Some(id)) => self.entry_state(id).await?,
            (None, None) => None,
        };
        if let Some(found) = found.filter(|found| found.modified_ms > now_ms + super::MAX_CLOCK_SKEW_MS) {
            self.directory.set_modified(&found.path(), now_ms).await?;
        }
        Ok(())
    }

    /// Returns whether an upload, or an entry that was made of it, may need what is stored for it:
    /// its blocks (`object` is `None`), or an object.
    pub(crate) async fn needs(&self, upload: &str, object: Option<&str>) -> Result<bool> {
        let Some(id) = upload_id(upload) else { return Ok(false) };
        let found = self.occupant_at(&upload_pointer(id)).await?;
        let Some(found) = found.filter(|found| found.origin.upload == upload) else { return Ok(false) };
        Ok(match (&found.state, object) {
            (State::Upload { .. }, None) => true,
            (State::Upload { attachment, .. }, Some(object)) => {
                attachment.as_ref().is_some_and(|attached| attached.object == object)
            }
            (State::Entry { attachment, .. }, None) => storage::is_made_of_blocks(&attachment.object),
            (State::Entry { attachment, .. }, Some(object)) => attachment.object == object,
        })
    }

    /// Removes a pointer (`uploads/`, `entries/`) or a link (`places/`) that leads to nothing and is
    /// older than `before_ms`. Returns whether it did.
    pub(crate) async fn remove_stray(&self, path: &str, before_ms: u64) -> Result<bool> {
        let Some(stat) = self.directory.stat(path).await? else { return Ok(false) };
        if stat.modified_ms >= before_ms {
            return Ok(false);
        }
        let leads_somewhere = match path.split_once('/') {
            Some(("entries", _)) => match number_of(path) {
                Some(id) => self.entry_state(id).await?.is_some(),
                None => true,
            },
            Some(("uploads", _)) => self.upload_pointer_counts(path).await?,
            Some(("places", _)) => match path.rsplit_once('/').and_then(|p| layout::parse_place_name(p.1)) {
                Some((id, _)) => self.directory.stat(&layout::entry_pointer(id)).await?.is_some(),
                None => true,
            },
            _ => true,
        };
        Ok(!leads_somewhere && self.directory.unlink(path).await?)
    }

    async fn upload_pointer_counts(&self, path: &str) -> Result<bool> {
        let Some(id) = number_of(path) else { return Ok(true) };
        let Some(content) = self.directory.read(path).await? else { return Ok(true) };
        let Some(slot) = slot_of_pointer(content.bytes) else { return Ok(false) };
        let found = self.occupant(&slot).await?;
        Ok(found.is_some_and(|found| upload_id(&found.origin.upload) == Some(id)))
    }
}

/// The number that a pointer's name is.
fn number_of(path: &str) -> Option<u64> {
    u64::from_str_radix(path.rsplit_once('/')?.1, 16).ok()
}
