//! Changes of uploads and entries.

use super::{
    Index, MAX_CLOCK_SKEW_MS, USE_STEP_MS, layout,
    layout::{entry_folder, entry_pointer, upload_id, upload_pointer},
    state::{Occupant, State},
};
use crate::{
    bindings::exports::larder::cache::index::{AttachOutcome, Attachment, Entry},
    directory::{self, ATTEMPTS, Directory, FileError, Renamed, Result},
    register::Register,
    storage,
};

/// The folder of the largest number that an entry got.
const LAST_NUMBER: &str = "numbers";

impl<D: Directory> Index<D> {
    /// Attaches an object to an upload. See `wit/index.wit`.
    pub(crate) async fn attach(
        &self,
        upload_id: u64,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome> {
        for _ in 0..ATTEMPTS {
            let Some(mut found) = self.upload_state(upload_id).await? else { return Ok(AttachOutcome::Gone) };
            let (before, modified_ms) = (found.path(), found.modified_ms);
            let State::Upload { attachment: attached, revision, .. } = &mut found.state else {
                return Ok(AttachOutcome::Gone);
            };
            let replaced = attached.replace(attachment.clone());
            *revision = (self.random)();
            if self.directory.rename(&before, &found.path()).await? != Renamed::Done {
                continue;
            }
            if modified_ms < now_ms || modified_ms > now_ms + MAX_CLOCK_SKEW_MS {
                self.directory.set_modified(&found.path(), now_ms).await?;
            }
            let other = replaced.map(|replaced| replaced.object);
            return Ok(AttachOutcome::Attached(other.filter(|object| *object != attachment.object)));
        }
        Err(FileError::Failed("an upload changes all the time".to_owned()))
    }

    /// Records activity of an upload: bytes that arrived and are not in a file any more.
    pub(crate) async fn touch_upload(&self, name: &str, now_ms: u64) -> Result<()> {
        let Some(id) = upload_id(name) else { return Ok(()) };
        if let Some(found) = self.upload_state(id).await?
            && (found.modified_ms < now_ms || found.modified_ms > now_ms + MAX_CLOCK_SKEW_MS)
        {
            self.directory.set_modified(&found.path(), now_ms).await?;
        }
        Ok(())
    }

    /// Turns an upload into an entry. See `wit/index.wit`. Everything that leads to the entry, and
    /// its object, is durable before the entry is there, and the entry before this returns.
    pub(crate) async fn finalize(
        &self,
        upload_id: u64,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<Option<Entry>> {
        for _ in 0..ATTEMPTS {
            let Some(mut found) = self.upload_state(upload_id).await? else { return Ok(None) };
            let State::Upload { attachment: Some(attached), .. } = &found.state else { return Ok(None) };
            if (&attached.object, attached.size_bytes) != (&attachment.object, attachment.size_bytes) {
                return Ok(None);
            }
            let before = found.path();
            let id = self.announce(&found).await?;
            found.state = State::Entry { id, created_ms: now_ms, attachment: attachment.clone() };
            self.make_durable(&found, &before, id).await?;
            if self.directory.rename(&before, &found.path()).await? == Renamed::Done {
                directory::sync_up(&self.directory, &found.folder).await?;
                found.modified_ms = found.modified_ms.min(now_ms);
                return Ok(found.entry());
            }
            self.forget_entry(id, &found).await?;
        }
        Err(FileError::Failed("an upload changes all the time".to_owned()))
    }

    /// Chooses the number of a new entry and writes all that leads to it.
    async fn announce(&self, found: &Occupant) -> Result<u64> {
        let origin = &found.origin;
        let slot = self.rule.slot_name_of(&origin.repository, &origin.scope, &origin.version, &origin.key);
        let id = self.next_number(slot.as_bytes()).await?;
        let place = layout::place_folder(&origin.repository, &origin.scope, &origin.version);
        let name = format!("{place}/{}", layout::place_name(id, &self.rule.compared(&origin.key)));
        for _ in 0..ATTEMPTS {
            match self.directory.link(&entry_pointer(id), &name).await? {
                Some(true) => return Ok(id),
                Some(false) => return Err(FileError::Failed(format!("{name} exists"))),
                None => self.directory.make_folder(&place).await?,
            }
        }
        Err(FileError::Failed(format!("{place} is removed all the time")))
    }

    /// Takes a number above all that were taken before, also if the clock was set back, and writes
    /// its pointer.
    async fn next_number(&self, slot: &[u8]) -> Result<u64> {
        let register = Register::new(&self.directory, LAST_NUMBER, self.random);
        for _ in 0..ATTEMPTS {
            let now_us = (self.now_us)();
            let id = register.update(|last| now_us.max(last.map_or(0, |last| last + 1))).await?;
            // Taken only where a loss of power has set back the register.
            if directory::create(&self.directory, &entry_pointer(id), slot).await? {
                return Ok(id);
            }
        }
        Err(FileError::Failed("no free number for an entry".to_owned()))
    }

    async fn make_durable(&self, found: &Occupant, before: &str, id: u64) -> Result<()> {
        let origin = &found.origin;
        let directory = &self.directory;
        directory.sync(before).await?;
        directory.sync(&entry_pointer(id)).await?;
        if let Some(upload) = upload_id(&origin.upload) {
            directory.sync(&upload_pointer(upload)).await?;
            directory::sync_up(directory, directory::parent(&upload_pointer(upload))).await?;
        }
        directory::sync_up(directory, &entry_folder(id)).await?;
        let place = layout::place_folder(&origin.repository, &origin.scope, &origin.version);
        directory::sync_up(directory, &place).await?;
        if let State::Entry { attachment, .. } = &found.state {
            directory::sync_up(directory, &storage::folder_of(&attachment.object)).await?;
        }
        Ok(())
    }

    /// Deletes an upload. Returns whether it existed.
    pub(crate) async fn abandon(&self, upload_id: u64) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.upload_state(upload_id).await? else { return Ok(false) };
            if self.end_upload(&found).await? {
                return Ok(true);
            }
        }
        Err(FileError::Failed("an upload changes all the time".to_owned()))
    }

    /// Records a use of an entry. Returns whether it may be served. See `wit/index.wit`.
    pub(crate) async fn touch(&self, entry_id: u64, last_used_ms: u64, now_ms: u64) -> Result<bool> {
        if now_ms.saturating_sub(last_used_ms) < USE_STEP_MS {
            return Ok(true);
        }
        let Some(found) = self.entry_state(entry_id).await? else { return Ok(false) };
        if found.modified_ms >= now_ms {
            return Ok(true);
        }
        self.directory.set_modified(&found.path(), now_ms).await
    }

    /// Deletes an entry. Returns whether it existed.
    pub(crate) async fn delete_entry(&self, id: u64) -> Result<bool> {
        let Some(found) = self.entry_state(id).await? else { return Ok(false) };
        if !self.directory.unlink(&found.path()).await? {
            return Ok(false);
        }
        self.forget(&found).await?;
        Ok(true)
    }

    /// The state of the entry with this number.
    pub(super) async fn entry_state(&self, wanted: u64) -> Result<Option<Occupant>> {
        let found = self.occupant_at(&entry_pointer(wanted)).await?;
        Ok(found.filter(|found| matches!(found.state, State::Entry { id, .. } if id == wanted)))
    }
}
