//! CreateCacheEntry: reserve a slot, and say where its content goes.

use super::message::Checked;
use super::{Caller, Code, Encoding, Error, Reply, WRITE_DENIED};
use crate::ports::{Entry, Host, Reservation, Slot, Upload};
use crate::url::{self, Purpose};
use crate::{cleanup, matching, stale};

/// GitHub's words.
const EXISTS: &str = "cache entry with the same key, version, and scope already exists";

/// Reserves the slot, or tells its holder once more where to upload: a client that lost the first answer asks again.
///
/// # Errors
/// `already_exists` where the slot holds a whole entry or somebody else's upload; `permission_denied` without a scope to
/// write to.
pub(super) async fn create<H: Host>(caller: &Caller<'_, H>, message: Checked) -> Result<Reply, Error> {
    let Some(scope) = matching::writable_scope(caller.claims) else {
        return denied(caller);
    };
    let slot = message.slot(caller.claims, scope);
    match reserve(caller, slot.clone()).await? {
        Reservation::Reserved(upload) => Ok(reserved(caller, &upload)),
        Reservation::Upload(upload) if upload.owner == caller.claims.owner => Ok(reserved(caller, &upload)),
        Reservation::Upload(_) => Err(exists()),
        Reservation::Entry(entry) => replace_stale(caller, slot, entry).await,
    }
}

/// Reserves the slot of an entry that is stale: a save that follows a miss must succeed. Where the storage cannot say
/// whether it is, it counts as whole: nothing is deleted on a doubt.
async fn replace_stale<H: Host>(caller: &Caller<'_, H>, slot: Slot, entry: Entry) -> Result<Reply, Error> {
    let Ok(Some(reason)) = stale::inspect(caller.host, &entry).await else {
        return Err(exists());
    };
    if caller.host.delete_entry(entry.id).await? {
        stale::warn(caller.host, "stale entry replaced", &entry, reason);
        cleanup::remove(caller.host, entry.object).await;
    }
    match reserve(caller, slot).await? {
        Reservation::Reserved(upload) => Ok(reserved(caller, &upload)),
        Reservation::Upload(upload) if upload.owner == caller.claims.owner => Ok(reserved(caller, &upload)),
        Reservation::Upload(_) | Reservation::Entry(_) => Err(exists()),
    }
}

async fn reserve<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<Reservation, Error> {
    let now_ms = caller.request.received_ms;
    let idle_before_ms = now_ms.saturating_sub(caller.host.settings().idle_upload_ms);
    Ok(caller.host.reserve(slot, caller.claims.owner.clone(), now_ms, idle_before_ms).await?)
}

fn reserved<H: Host>(caller: &Caller<'_, H>, upload: &Upload) -> Reply {
    let expires_ms = caller.request.received_ms.saturating_add(caller.host.settings().upload_url_ms);
    let upload_url =
        url::make(caller.host, &caller.request.origin, Purpose::Upload, &upload.name, expires_ms);
    Reply::Reserved { upload_url }
}

/// `@actions/cache` sees the reason only in a reply with status 200; all others take a 403 better.
fn denied<H: Host>(caller: &Caller<'_, H>) -> Result<Reply, Error> {
    let agent = caller.request.header("user-agent").unwrap_or_default();
    if caller.encoding == Encoding::Json && agent.starts_with("@actions/cache") {
        Ok(Reply::Denied { message: WRITE_DENIED })
    } else {
        Err(Error::new(Code::PermissionDenied, WRITE_DENIED))
    }
}

fn exists() -> Error {
    Error::new(Code::AlreadyExists, EXISTS)
}

#[cfg(test)]
mod tests;
