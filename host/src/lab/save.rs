//! Saves: a slot, room, an entry.

use larder_index::{
    Attachment, Bound, Caps, Cause, Departure, Durability, Entry, EntryId, Facts, Reservation, Room, Slot,
    Trust, Upload,
};
use larder_rules::{Interface, Save, SaveVerdict, number};
use larder_storage::ObjectName;

use super::{LabError, lookup::caller, replay::Replay, shelf::Item, trace::Job};
use crate::{
    auth::Scope,
    capacity::{Saver, abandon_upload, needed_by},
};

/// Most times that room is made for one save.
const MAX_TRIES: usize = 100;

impl Replay {
    /// Saves an entry as a job does. Returns whether it is there now.
    pub(super) async fn save(
        &mut self,
        job: &Job,
        scopes: &[Scope],
        slot: &Slot,
        size: u64,
        trust: Trust,
    ) -> Result<(), LabError> {
        if !scopes.iter().any(|scope| scope.write && scope.name == slot.scope)
            || self.refuses(job, scopes, slot, size)
        {
            self.outcome.refused += 1;
            return Ok(());
        }
        if self.store(slot, size, &job.facts, trust).await? {
            self.outcome.saves += 1;
            self.outcome.bytes_saved = self.outcome.bytes_saved.saturating_add(size);
            if let Some(capacity) = &self.stage.tenant.capacity {
                capacity.shared.requests.note_use(slot);
            }
            self.stage.look_ahead().await?;
        }
        self.count_deletions();
        Ok(())
    }

    /// Asks as the server does: when the slot is reserved, and when the length is known.
    fn refuses(&mut self, job: &Job, scopes: &[Scope], slot: &Slot, size: u64) -> bool {
        let rules = self.stage.tenant.rules.clone();
        if !rules.answers(Interface::Save) {
            return false;
        }
        let caller = caller(job, scopes);
        for size_kib in [None, Some(number(size.div_ceil(1024)))] {
            let save = Save { key: slot.key.clone(), version: slot.version.clone(), size_kib };
            match rules.judge_save(&caller, &save) {
                Ok(SaveVerdict::Default | SaveVerdict::Accept(_)) => {}
                Ok(SaveVerdict::Refuse(_) | SaveVerdict::RefuseQuietly(_)) => return true,
                Err(_) => return true,
            }
        }
        false
    }

    /// Makes an entry, if its slot is free and there is room. Returns whether it did.
    pub(super) async fn store(
        &mut self,
        slot: &Slot,
        size: u64,
        facts: &Facts,
        trust: Trust,
    ) -> Result<bool, LabError> {
        let (tenant, now_ms) = (self.stage.tenant.clone(), self.stage.now_ms());
        let reserved = tenant.index.reserve(slot, "replay", facts, trust, now_ms, now_ms).await?;
        let Reservation::Reserved(upload) = reserved else { return Ok(false) };
        if !self.make_room(&upload, size).await? {
            abandon_upload(&tenant, &upload.name).await;
            self.outcome.no_room += 1;
            return Ok(false);
        }
        let object = ObjectName::parse(format!("p-{}-0", upload.name));
        let object = object.map_err(|error| LabError::Policy(error.to_string()))?;
        self.stage.contents.insert(&object, size);
        let attachment = Attachment { object, size_bytes: size };
        tenant.index.attach(upload.id, &attachment, None, now_ms).await?;
        let made = tenant.index.finalize(upload.id, &attachment, &Durability::Durable, now_ms).await?;
        let Some(entry) = made else { return Ok(false) };
        self.shelve(&entry).await?;
        Ok(true)
    }

    async fn make_room(&mut self, upload: &Upload, size: u64) -> Result<bool, LabError> {
        if self.shelf.is_some() {
            return self.make_room_on_shelf(size).await;
        }
        let Some(in_force) = &self.stage.policy else { return Ok(true) };
        let tenant = &self.stage.tenant;
        let caps = Caps { tenant: Some(self.size_bytes), ..Caps::default() };
        for _ in 0..MAX_TRIES {
            match tenant.index.reserve_room(&upload.name, size, &caps).await? {
                Room::Reserved => return Ok(true),
                Room::Gone => return Ok(false),
                Room::Short { .. } if size > self.size_bytes => return Ok(false),
                Room::Short { bytes, .. } => {
                    let needed = needed_by(&Saver::from(upload), Bound::Tenant, bytes);
                    let made = in_force.evictor.make_room(&needed).await;
                    let freed = made.map_err(|error| LabError::Policy(error.to_string()))?;
                    if freed == 0 {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    async fn make_room_on_shelf(&mut self, size: u64) -> Result<bool, LabError> {
        if size > self.size_bytes {
            return Ok(false);
        }
        while self.used + size > self.size_bytes {
            let Some(id) = self.shelf.as_mut().and_then(|shelf| shelf.evict()) else { return Ok(false) };
            self.delete(id, Cause::Size).await?;
        }
        Ok(true)
    }

    /// Puts an entry on the shelf of a preset.
    async fn shelve(&mut self, entry: &Entry) -> Result<(), LabError> {
        let Some(shelf) = &mut self.shelf else { return Ok(()) };
        let gone = shelf.insert(Item { id: entry.id.0, slot: &entry.slot, bytes: entry.size_bytes });
        self.sizes.insert(entry.id.0, entry.size_bytes);
        self.used += entry.size_bytes;
        for id in gone {
            self.delete(id, Cause::Superseded).await?;
        }
        Ok(())
    }

    /// Deletes what a preset lets go.
    async fn delete(&mut self, id: u64, cause: Cause) -> Result<(), LabError> {
        let is_for_room = cause == Cause::Size;
        let departure = Departure { cause, at_ms: self.stage.now_ms() };
        self.stage.tenant.index.delete_entry(EntryId(id), &departure).await?;
        let bytes = self.sizes.remove(&id).unwrap_or_default();
        self.used = self.used.saturating_sub(bytes);
        self.outcome.count_deletion(bytes, is_for_room);
        Ok(())
    }
}
