//! The index in a directory, for any number of instances at once, without locks.
//!
//! The promises are those of `wit/index.wit`. A slot's state is the name of one file (`state`), so
//! that each change is one atomic call; `layout` says where the files are. Generic over the
//! directory, so that tests run it natively, on threads, and with a crash at each call.

mod change;
mod find;
mod layout;
mod reserve;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use layout::KeyRule;
use layout::{entry_pointer, slot_folder, upload_id, upload_pointer};
use state::{DYING, Occupant, State};
pub(crate) use sweep::Page;

use crate::{
    bindings::exports::larder::cache::index::{Entry, Slot, Upload},
    directory::{Directory, FileError, Result},
    storage,
};

/// A time of an upload that is further ahead than this, in milliseconds, was written while a clock
/// was wrong.
const MAX_CLOCK_SKEW_MS: u64 = 10 * 60 * 1000;
/// A use within this time of the last one is not written, in milliseconds.
const USE_STEP_MS: u64 = 60 * 1000;

/// The index.
pub(crate) struct Index<D> {
    directory: D,
    rule: KeyRule,
    /// Microseconds since 1970.
    now_us: fn() -> u64,
    random: fn() -> u64,
}

impl<D: Directory> Index<D> {
    pub(crate) fn new(directory: D, rule: KeyRule, now_us: fn() -> u64, random: fn() -> u64) -> Self {
        Self { directory, rule, now_us, random }
    }

    /// Returns the entry with this number.
    pub(crate) async fn get_entry(&self, id: u64) -> Result<Option<Entry>> {
        let found = self.occupant_at(&entry_pointer(id)).await?;
        Ok(found.and_then(|found| found.entry()).filter(|entry| entry.id == id))
    }

    /// Returns the entry that was made of this upload.
    pub(crate) async fn get_entry_of_upload(&self, id: u64) -> Result<Option<Entry>> {
        let found = self.occupant_at(&upload_pointer(id)).await?;
        let is_of_it = |found: &Occupant| upload_id(&found.origin.upload) == Some(id);
        Ok(found.filter(is_of_it).and_then(|found| found.entry()))
    }

    /// Returns the upload with this name.
    pub(crate) async fn get_upload(&self, name: &str) -> Result<Option<Upload>> {
        let Some(id) = upload_id(name) else { return Ok(None) };
        Ok(self.get_upload_by_id(id).await?.filter(|upload| upload.name == name))
    }

    /// Returns the upload with this number.
    pub(crate) async fn get_upload_by_id(&self, id: u64) -> Result<Option<Upload>> {
        match self.upload_state(id).await? {
            Some(found) => self.upload(&found).await,
            None => Ok(None),
        }
    }

    /// Returns the upload in this slot.
    pub(crate) async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>> {
        match self.occupant(&self.rule.slot_name(slot)).await? {
            Some(found) => self.upload(&found).await,
            None => Ok(None),
        }
    }

    /// The state of the upload with this number.
    async fn upload_state(&self, wanted: u64) -> Result<Option<Occupant>> {
        let found = self.occupant_at(&upload_pointer(wanted)).await?;
        let is_it = |found: &Occupant| matches!(found.state, State::Upload { id, .. } if id == wanted);
        Ok(found.filter(is_it))
    }

    /// The upload, with the activity of bodies under way.
    async fn upload(&self, found: &Occupant) -> Result<Option<Upload>> {
        if matches!(found.state, State::Entry { .. }) {
            return Ok(None);
        }
        let activity_ms = storage::activity_ms(&self.directory, &found.origin.upload).await?;
        Ok(found.upload(activity_ms))
    }

    /// What is in the slot that a pointer names.
    async fn occupant_at(&self, pointer: &str) -> Result<Option<Occupant>> {
        let Some(content) = self.directory.read(pointer).await? else { return Ok(None) };
        let Some(slot) = slot_of_pointer(content.bytes) else { return Ok(None) };
        self.occupant(&slot).await
    }

    /// What is in the slot with this name.
    async fn occupant(&self, slot: &str) -> Result<Option<Occupant>> {
        let folder = slot_folder(slot);
        let mut was_empty = false;
        for _ in 0..crate::directory::ATTEMPTS {
            let names = self.directory.list(&folder).await?;
            let Some((name, state)) = names.iter().find_map(|n| Some((n, State::parse(n)?))) else {
                // A listing beside a rename may have neither name.
                if was_empty {
                    return Ok(None);
                }
                was_empty = true;
                continue;
            };
            // It may have been renamed since it was listed.
            if let Some(content) = self.directory.read(&format!("{folder}/{name}")).await? {
                let origin = serde_json::from_slice(&content.bytes)
                    .map_err(|error| FileError::Failed(format!("{folder}/{name} is damaged: {error}")))?;
                let modified_ms = content.modified_ms;
                return Ok(Some(Occupant { folder, state, origin, modified_ms }));
            }
        }
        Err(FileError::Failed("a slot changes all the time".to_owned()))
    }

    /// Deletes what only leads to a slot's file, which is gone.
    async fn forget(&self, was: &Occupant) -> Result<()> {
        if let Some(id) = upload_id(&was.origin.upload) {
            self.directory.unlink(&upload_pointer(id)).await?;
        }
        if let State::Entry { id, .. } = was.state {
            self.forget_entry(id, was).await?;
        }
        // Only if it is empty: somebody may have reserved it again.
        self.directory.remove_folder(&was.folder).await
    }

    async fn forget_entry(&self, id: u64, was: &Occupant) -> Result<()> {
        let origin = &was.origin;
        let place = layout::place_folder(&origin.repository, &origin.scope, &origin.version);
        let name = layout::place_name(id, &self.rule.compared(&origin.key));
        self.directory.unlink(&format!("{place}/{name}")).await?;
        self.directory.remove_folder(&place).await?;
        self.directory.unlink(&entry_pointer(id)).await?;
        self.directory.remove_folder(&layout::entry_folder(id)).await
    }
}

/// The slot that a pointer names. `None` for one that is not written yet.
fn slot_of_pointer(bytes: Vec<u8>) -> Option<String> {
    let is_name = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    String::from_utf8(bytes).ok().filter(is_name)
}
