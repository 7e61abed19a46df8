//! `larder:cache/index`.

use super::{Provider, unavailable};
use crate::{
    bindings::exports::larder::cache::index::{
        AttachOutcome, Attachment, Departed, Entry, Error, Guest, MatchKind, Nearby, Probe, Reservation,
        Slot, Upload,
    },
    bindings::exports::larder::cache::types::{DepartureCause, Trust},
    directory::{self, FileError},
    facts::Facts,
    instance::instance,
    storage::names::ObjectName,
};

/// Most probes, and most skipped ids, of one `find`.
const MAX_PROBES: usize = 1000;
/// Longest owner, and longest part of a slot, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

type Outcome<T> = Result<T, Error>;

impl Guest for Provider {
    async fn find(
        repository: String,
        version: String,
        probes: Vec<Probe>,
        skip: Vec<u64>,
    ) -> Outcome<Option<Entry>> {
        assert!(probes.len() <= MAX_PROBES && skip.len() <= MAX_PROBES, "too many probes or skipped ids");
        logged("index.find", instance().index.find(&repository, &version, &probes, &skip).await)
    }

    async fn get_entry(id: u64) -> Outcome<Option<Entry>> {
        logged("index.get-entry", instance().index.get_entry(id).await)
    }

    async fn get_entry_of_upload(upload_id: u64) -> Outcome<Option<Entry>> {
        logged("index.get-entry-of-upload", instance().index.get_entry_of_upload(upload_id).await)
    }

    /// The directory has no order by key alone, so nothing is known: a miss has no cause.
    async fn list_near(_repository: String, _key: String, _kind: MatchKind, _limit: u32) -> Outcome<Nearby> {
        Err(Error::Unavailable("keys are found only in a scope and version here".to_owned()))
    }

    /// What was deleted is not kept.
    async fn list_departed(
        _repository: String,
        _key: String,
        _kind: MatchKind,
        _limit: u32,
    ) -> Outcome<Vec<Departed>> {
        Ok(Vec::new())
    }

    /// The trust is not stored: nothing is evicted here.
    async fn reserve(
        slot: Slot,
        owner: String,
        facts: Vec<(String, String)>,
        _trust: Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Outcome<Reservation> {
        check_slot(&slot);
        assert!(owner.len() <= MAX_TEXT_BYTES, "the owner is too long");
        let facts = Facts::try_from(&*facts);
        assert!(facts.is_ok(), "the policy reserves with facts that are none, or too many");
        let facts = facts.unwrap_or_default();
        let index = &instance().index;
        let reserved = index.reserve(&slot, &owner, &facts, now_ms, idle_before_ms).await;
        let reserved = logged("index.reserve", reserved)?;
        if let Reservation::Reserved(upload) = &reserved
            // One that cannot be asked counts as not full.
            && !instance().storage.capacity().has_room().await.unwrap_or(true)
        {
            logged("index.abandon", index.abandon(upload.id).await)?;
            return Err(Error::NoSpace);
        }
        Ok(reserved)
    }

    async fn renew(upload_id: u64, created_ms: u64, now_ms: u64) -> Outcome<bool> {
        logged("index.renew", instance().index.renew(upload_id, created_ms, now_ms).await)
    }

    async fn get_upload(name: String) -> Outcome<Option<Upload>> {
        logged("index.get-upload", instance().index.get_upload(&name).await)
    }

    async fn get_upload_by_id(id: u64) -> Outcome<Option<Upload>> {
        logged("index.get-upload-by-id", instance().index.get_upload_by_id(id).await)
    }

    async fn find_upload(slot: Slot) -> Outcome<Option<Upload>> {
        check_slot(&slot);
        logged("index.find-upload", instance().index.find_upload(&slot).await)
    }

    async fn attach(upload_id: u64, attachment: Attachment, now_ms: u64) -> Outcome<AttachOutcome> {
        check_attachment(&attachment);
        logged("index.attach", instance().index.attach(upload_id, &attachment, now_ms).await)
    }

    async fn finalize(upload_id: u64, attachment: Attachment, now_ms: u64) -> Outcome<Option<Entry>> {
        check_attachment(&attachment);
        logged("index.finalize", instance().index.finalize(upload_id, &attachment, now_ms).await)
    }

    async fn abandon(upload_id: u64) -> Outcome<bool> {
        logged("index.abandon", instance().index.abandon(upload_id).await)
    }

    async fn touch(entry_id: u64, last_used_ms: u64, now_ms: u64) -> bool {
        // If the time cannot be written, the entry is there all the same.
        let touched = instance().index.touch(entry_id, last_used_ms, now_ms).await;
        logged("index.touch", touched).unwrap_or(true)
    }

    async fn delete_entry(id: u64, _cause: DepartureCause, _now_ms: u64) -> Outcome<bool> {
        logged("index.delete-entry", instance().index.delete_entry(id).await)
    }

    /// Not kept, so that every client is told of a refusal.
    async fn note_refused(_marks: Vec<String>, _now_ms: u64) -> Outcome<()> {
        Err(Error::Unavailable("refusals are not kept here".to_owned()))
    }

    async fn was_refused(_marks: Vec<String>) -> Outcome<bool> {
        Ok(false)
    }
}

fn check_slot(slot: &Slot) {
    let parts = [&slot.repository, &slot.scope, &slot.version, &slot.key];
    assert!(parts.iter().all(|part| part.len() <= MAX_TEXT_BYTES), "a part of the slot is too long");
}

/// An object's name becomes part of a file's.
fn check_attachment(attachment: &Attachment) {
    assert!(ObjectName::parse(&attachment.object).is_some(), "not a name of an object");
}

/// Logs a failure, and hides its details from the policy.
fn logged<T>(call: &str, outcome: directory::Result<T>) -> Outcome<T> {
    outcome.map_err(|error| match error {
        FileError::NoSpace => {
            unavailable(call, "no space left");
            Error::NoSpace
        }
        FileError::Failed(why) => Error::Unavailable(unavailable(call, &why)),
    })
}
