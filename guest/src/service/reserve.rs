//! Reserving a slot: who saves an entry holds its slot until the entry is there.

use super::{Caller, Code, Error};
use crate::ports::{Entry, Host, OutcomeKind, Reservation, Slot, StorageError, Upload};
use crate::writer::Writer;
use crate::{cleanup, stale};

/// GitHub's words.
const EXISTS: &str = "cache entry with the same key, version, and scope already exists";

/// The soonest after a reservation that a client asks again for what it got no answer to, in milliseconds: `@actions/cache`
/// waits 3 s (version 2) or 5 s (version 1) before its second attempt, and no client that is known waits less than one
/// (protocol reference 1.6 and 2). Whoever comes sooner is another saver with the same token.
const FIRST_BACK_OFF_MS: u64 = 1000;

/// An upload, and who of all that it was handed out to this caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandOut {
    pub(crate) upload: Upload,
    pub(crate) writer: Writer,
}

/// Reserves the slot. All processes of a job have one token, so that a token tells nothing: of all callers one gets the upload.
/// It is handed out again only to what can only be a retry of a call whose answer was lost.
///
/// # Errors
/// `already_exists` where the slot holds a whole entry or an upload under way.
pub(crate) async fn reserve<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<HandOut, Error> {
    let hand_out = match attempt(caller, slot.clone()).await? {
        Reservation::Entry(entry) => replace_stale(caller, slot, entry).await?,
        reservation => granted(caller, reservation).await?,
    };
    caller.request.note(|outcome| {
        outcome.is(OutcomeKind::Reserved);
        outcome.of_upload(&hand_out.upload);
    });
    Ok(hand_out)
}

/// Reserves the slot of an entry that is stale: a save that follows a miss must succeed. Where the storage cannot say
/// whether it is, it counts as whole: nothing is deleted on a doubt.
async fn replace_stale<H: Host>(caller: &Caller<'_, H>, slot: Slot, entry: Entry) -> Result<HandOut, Error> {
    let Ok(Some(reason)) = stale::inspect(caller.host, &entry).await else {
        return Err(exists());
    };
    if caller.host.delete_entry(entry.id).await? {
        stale::warn(caller.host, "stale entry replaced", &entry, reason);
        cleanup::remove(caller.host, entry.object).await;
    }
    granted(caller, attempt(caller, slot).await?).await
}

async fn attempt<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<Reservation, Error> {
    let now_ms = caller.request.received_ms;
    let idle_before_ms = now_ms.saturating_sub(caller.host.settings().idle_upload_ms);
    Ok(caller.host.reserve(slot, caller.claims.owner.clone(), now_ms, idle_before_ms).await?)
}

async fn granted<H: Host>(caller: &Caller<'_, H>, reservation: Reservation) -> Result<HandOut, Error> {
    match reservation {
        Reservation::Reserved(upload) => Ok(HandOut { writer: Writer::first(&upload), upload }),
        Reservation::Upload(upload) if is_retry(caller, &upload).await? => again(caller, upload).await,
        Reservation::Upload(_) | Reservation::Entry(_) => Err(exists()),
    }
}

/// Returns whether this call can only be a retry: it is the holder's, it comes no sooner than a client repeats a call, and
/// nothing has come for the upload. A byte of a body that is only half here counts (`index.reserve`), and what another server
/// has staged.
async fn is_retry<H: Host>(caller: &Caller<'_, H>, upload: &Upload) -> Result<bool, Error> {
    let is_late = caller.request.received_ms >= upload.created_ms.saturating_add(FIRST_BACK_OFF_MS);
    let is_untouched = upload.last_activity_ms == upload.created_ms && upload.attachment.is_none();
    if upload.owner != caller.claims.owner || !is_late || !is_untouched || caller.never_reserves_again() {
        return Ok(false);
    }
    match caller.host.blocks(upload.name.clone()).await {
        Ok(blocks) => Ok(blocks.is_empty()),
        Err(StorageError::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Hands the upload out once more. Of concurrent retries one gets it, and from then on who held it before is refused.
async fn again<H: Host>(caller: &Caller<'_, H>, upload: Upload) -> Result<HandOut, Error> {
    let now_ms = caller.request.received_ms;
    if !caller.host.renew(upload.id, upload.created_ms, now_ms).await? {
        return Err(exists());
    }
    let upload = Upload { created_ms: now_ms, last_activity_ms: now_ms, ..upload };
    Ok(HandOut { writer: Writer::again(&upload), upload })
}

fn exists() -> Error {
    Error::new(Code::AlreadyExists, EXISTS)
}

#[cfg(test)]
mod tests;
