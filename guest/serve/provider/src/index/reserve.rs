//! Reservation of slots.
//!
//! A slot is taken by renaming a folder that was filled in private to the slot's name, which the
//! file system allows where no folder is or an empty one: so exactly one of many succeeds, and the
//! slot is never seen half made.

use super::{
    DYING, Index, MAX_CLOCK_SKEW_MS,
    layout::{slot_folder, upload_id, upload_pointer},
    state::{Occupant, Origin, State},
};
use crate::{
    bindings::exports::larder::cache::index::{Reservation, Slot, Upload},
    directory::{self, ATTEMPTS, Directory, FileError, Renamed, Result},
    facts::Facts,
    storage,
};

impl<D: Directory> Index<D> {
    /// Reserves a slot, unless it is taken. See `wit/index.wit`.
    pub(crate) async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        facts: &Facts,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation> {
        let name = self.rule.slot_name(slot);
        for _ in 0..ATTEMPTS {
            match self.occupant(&name).await? {
                Some(found) => {
                    if let Some(entry) = found.entry() {
                        return Ok(Reservation::Entry(entry));
                    }
                    let Some(upload) = self.upload(&found).await? else { continue };
                    let is_live =
                        (idle_before_ms..=now_ms + MAX_CLOCK_SKEW_MS).contains(&upload.last_activity_ms);
                    if is_live {
                        return Ok(Reservation::Upload(upload));
                    }
                    // If somebody else has changed it since, the next attempt sees how.
                    self.end_upload(&found).await?;
                }
                None => {
                    self.finish_deletion(&name).await?;
                    if let Some(upload) = self.take(&name, slot, owner, facts, now_ms).await? {
                        return Ok(Reservation::Reserved(upload));
                    }
                }
            }
        }
        Err(FileError::Failed("a slot changes all the time".to_owned()))
    }

    /// Takes a free slot. Returns `None` if somebody else has.
    async fn take(
        &self,
        name: &str,
        slot: &Slot,
        owner: &str,
        facts: &Facts,
        now_ms: u64,
    ) -> Result<Option<Upload>> {
        let (id, upload) = self.new_upload(name).await?;
        let origin = Origin {
            repository: slot.repository.clone(),
            scope: slot.scope.clone(),
            version: slot.version.clone(),
            key: slot.key.clone(),
            owner: owner.to_owned(),
            upload,
            facts: Some(facts.clone()),
        };
        let state = State::Upload { id, created_ms: now_ms, revision: (self.random)(), attachment: None };
        let private = format!("tmp/{}", origin.upload);
        let file = format!("{private}/{}", state.name());
        let taken = self.place(&private, &file, &origin, now_ms, name).await;
        if !matches!(taken, Ok(true)) {
            let _ = self.directory.unlink(&file).await;
            let _ = self.directory.remove_folder(&private).await;
            let _ = self.directory.unlink(&upload_pointer(id)).await;
        }
        let made = Occupant { folder: slot_folder(name), state, origin, modified_ms: now_ms };
        Ok(if taken? { made.upload(0) } else { None })
    }

    /// Fills a folder in private, and renames it to the slot's.
    async fn place(
        &self,
        private: &str,
        file: &str,
        origin: &Origin,
        now_ms: u64,
        name: &str,
    ) -> Result<bool> {
        let json = serde_json::to_vec(origin).map_err(|error| FileError::Failed(error.to_string()))?;
        self.directory.make_folder(private).await?;
        if self.directory.create(file, &json).await? != Some(true) {
            return Err(FileError::Failed(format!("{file} cannot be made")));
        }
        self.directory.set_modified(file, now_ms).await?;
        let folder = slot_folder(name);
        for _ in 0..ATTEMPTS {
            match self.directory.rename(private, &folder).await? {
                Renamed::Done => return Ok(true),
                Renamed::Taken => return Ok(false),
                Renamed::Missing => self.directory.make_folder(directory::parent(&folder)).await?,
            }
        }
        Err(FileError::Failed(format!("{folder} cannot be made")))
    }

    /// Chooses the name and number of an upload, and writes the pointer from them to the slot.
    async fn new_upload(&self, slot: &str) -> Result<(u64, String)> {
        for _ in 0..ATTEMPTS {
            let name = format!("{:016x}{:016x}", (self.random)(), (self.random)());
            let Some(id) = upload_id(&name) else { continue };
            if directory::create(&self.directory, &upload_pointer(id), slot.as_bytes()).await? {
                return Ok((id, name));
            }
        }
        Err(FileError::Failed("no free number for an upload".to_owned()))
    }

    /// Ends an upload in this very state: frees its slot, and deletes what leads to it. Returns
    /// whether this call did.
    pub(super) async fn end_upload(&self, found: &Occupant) -> Result<bool> {
        if !self.directory.unlink(&found.path()).await? {
            return Ok(false);
        }
        self.forget(found).await?;
        Ok(true)
    }

    /// Deletes what a sweep, which was killed, has left of an entry in a slot.
    async fn finish_deletion(&self, name: &str) -> Result<()> {
        let folder = slot_folder(name);
        for dying in self.directory.list(&folder).await?.iter().filter(|name| name.starts_with(DYING)) {
            self.directory.unlink(&format!("{folder}/{dying}")).await?;
        }
        Ok(())
    }

    /// Renews an upload that nothing was sent to. See `wit/index.wit`.
    pub(crate) async fn renew(&self, id: u64, created_ms: u64, now_ms: u64) -> Result<bool> {
        let Some(mut found) = self.upload_state(id).await? else { return Ok(false) };
        let activity_ms = storage::activity_ms(&self.directory, &found.origin.upload).await?;
        let is_untouched = found.upload(activity_ms).is_some_and(|upload| {
            upload.attachment.is_none()
                && (upload.created_ms, upload.last_activity_ms) == (created_ms, created_ms)
        });
        if !is_untouched {
            return Ok(false);
        }
        let before = found.path();
        found.state = State::Upload { id, created_ms: now_ms, revision: (self.random)(), attachment: None };
        Ok(self.directory.rename(&before, &found.path()).await? == Renamed::Done)
    }
}
