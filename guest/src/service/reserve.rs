//! Reserving a slot: who saves an entry holds its slot until the entry is there.

use super::{Caller, Code, Error};
use crate::ports::{Entry, Host, Reservation, Slot, Upload};
use crate::{cleanup, stale};

/// GitHub's words.
const EXISTS: &str = "cache entry with the same key, version, and scope already exists";

/// Reserves the slot, or returns the upload once more to its holder: a client that lost the first answer asks again.
///
/// # Errors
/// `already_exists` where the slot holds a whole entry or somebody else's upload.
pub(crate) async fn reserve<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<Upload, Error> {
    match attempt(caller, slot.clone()).await? {
        Reservation::Entry(entry) => replace_stale(caller, slot, entry).await,
        reservation => granted(caller, reservation),
    }
}

/// Reserves the slot of an entry that is stale: a save that follows a miss must succeed. Where the storage cannot say
/// whether it is, it counts as whole: nothing is deleted on a doubt.
async fn replace_stale<H: Host>(caller: &Caller<'_, H>, slot: Slot, entry: Entry) -> Result<Upload, Error> {
    let Ok(Some(reason)) = stale::inspect(caller.host, &entry).await else {
        return Err(exists());
    };
    if caller.host.delete_entry(entry.id).await? {
        stale::warn(caller.host, "stale entry replaced", &entry, reason);
        cleanup::remove(caller.host, entry.object).await;
    }
    granted(caller, attempt(caller, slot).await?)
}

async fn attempt<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<Reservation, Error> {
    let now_ms = caller.request.received_ms;
    let idle_before_ms = now_ms.saturating_sub(caller.host.settings().idle_upload_ms);
    Ok(caller.host.reserve(slot, caller.claims.owner.clone(), now_ms, idle_before_ms).await?)
}

fn granted<H: Host>(caller: &Caller<'_, H>, reservation: Reservation) -> Result<Upload, Error> {
    match reservation {
        Reservation::Reserved(upload) => Ok(upload),
        Reservation::Upload(upload) if upload.owner == caller.claims.owner => Ok(upload),
        Reservation::Upload(_) | Reservation::Entry(_) => Err(exists()),
    }
}

fn exists() -> Error {
    Error::new(Code::AlreadyExists, EXISTS)
}

#[cfg(test)]
mod tests;
