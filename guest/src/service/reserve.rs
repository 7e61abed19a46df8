//! Reserving a slot for an upload.

use super::{Caller, Code, Error, barred, refusal, save_rules};
use crate::ports::{Cause, Entry, Facts, Host, OutcomeKind, Reservation, Slot, StorageError, Trust, Upload};
use crate::writer::Writer;
use crate::{cleanup, retention, stale};

/// GitHub's message.
const EXISTS: &str = "cache entry with the same key, version, and scope already exists";

/// Shortest back-off of a client that retries a reservation, in milliseconds. `@actions/cache`
/// waits 3 s (version 2) or 5 s (version 1), and no known client less than 1 s (protocol reference
/// 1.6 and 2). An earlier call comes from another saver with the same token.
const MIN_BACK_OFF_MS: u64 = 1000;

/// An upload that the caller may write, and the writer that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) upload: Upload,
    pub(crate) writer: Writer,
}

/// Reserves the slot. All processes of a job share a token, so the token does not identify the
/// saver: one caller gets the upload. It is renewed only for a call that must be a retry whose
/// first response was lost.
///
/// # Errors
/// `already_exists` if the slot holds an intact entry or an upload under way, or the operator's rules
/// refuse the save quietly; `no_space` if there is no room, `permission_denied` if the saver has low trust
/// and the slot is barred, or the rules refuse the save, but neither to BuildKit.
pub(crate) async fn reserve<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: Option<u64>,
) -> Result<Grant, Error> {
    if refusal::was_noted(caller).await? {
        return refusal::reserve(caller, slot).await;
    }
    match reserve_slot(caller, slot.clone(), size_bytes).await {
        Err(error)
            if matches!(error.code(), Code::NoSpace | Code::PermissionDenied) && caller.is_export() =>
        {
            error.log(caller.host, caller.request);
            let now_ms = caller.request.received_ms;
            if refusal::note(caller.host, &caller.claims.owner, None, now_ms).await {
                refusal::reserve(caller, slot).await
            } else {
                Err(error)
            }
        }
        reserved => reserved,
    }
}

async fn reserve_slot<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: Option<u64>,
) -> Result<Grant, Error> {
    let facts = caller.host.facts(&caller.request.incoming);
    let mut saver = Saver { trust: caller.policy.trust(caller.claims, &facts), facts };
    if saver.trust == Trust::Low {
        barred::check(caller, &slot).await?;
    }
    let terms = save_rules::ask(caller, &slot, size_bytes).map_err(|refusal| refusal.into_error(caller))?;
    saver.facts.extend(terms);
    let grant = match try_reserve(caller, slot.clone(), &saver).await? {
        Reservation::Entry(entry) => replace(caller, slot, &saver, entry).await?,
        reservation => grant_upload(caller, reservation).await?,
    };
    caller.request.record(|outcome| {
        outcome.set_kind(OutcomeKind::Reserved);
        outcome.set_upload(&grant.upload);
    });
    Ok(grant)
}

/// What is stored about who saves, and on what terms.
struct Saver {
    facts: Facts,
    trust: Trust,
}

/// Replaces the entry in the slot if it is stale, or too old to be served. An entry that cannot be
/// checked is kept.
async fn replace<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    saver: &Saver,
    entry: Entry,
) -> Result<Grant, Error> {
    let now_ms = caller.request.received_ms;
    let stale = if retention::is_replaceable(caller.policy, &caller.host.settings(), now_ms, &entry) {
        None
    } else if let Ok(Some(reason)) = stale::check(caller.host, &entry).await {
        Some(reason)
    } else {
        return Err(already_exists());
    };
    let cause = if stale.is_some() { Cause::Stale } else { Cause::MaxAge };
    if caller.host.delete_entry(entry.id, cause, now_ms).await? {
        if let Some(reason) = stale {
            stale::warn(caller.host, "stale entry replaced", &entry, reason);
        }
        cleanup::remove(caller.host, entry.object).await;
    }
    grant_upload(caller, try_reserve(caller, slot, saver).await?).await
}

async fn try_reserve<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    saver: &Saver,
) -> Result<Reservation, Error> {
    let now_ms = caller.request.received_ms;
    let idle_before_ms = now_ms.saturating_sub(caller.host.settings().idle_upload_ms);
    let (owner, facts) = (caller.claims.owner.clone(), saver.facts.clone());
    Ok(caller.host.reserve(slot, owner, facts, saver.trust, now_ms, idle_before_ms).await?)
}

async fn grant_upload<H: Host>(caller: &Caller<'_, H>, reservation: Reservation) -> Result<Grant, Error> {
    match reservation {
        Reservation::Reserved(upload) => Ok(Grant { writer: Writer::of_reservation(&upload), upload }),
        Reservation::Upload(upload) if is_retry(caller, &upload).await? => renew(caller, upload).await,
        Reservation::Upload(upload) => {
            refusal::note_reliance(caller, &upload).await;
            Err(already_exists())
        }
        Reservation::Entry(_) => Err(already_exists()),
    }
}

/// Returns whether this call must be a retry: it has the owner's token, it comes after at least
/// [`MIN_BACK_OFF_MS`], and nothing has arrived for the upload: neither bytes of an incomplete body
/// (`index.reserve`), nor blocks staged by another server.
async fn is_retry<H: Host>(caller: &Caller<'_, H>, upload: &Upload) -> Result<bool, Error> {
    let is_late = caller.request.received_ms >= upload.created_ms.saturating_add(MIN_BACK_OFF_MS);
    let is_untouched = upload.last_activity_ms == upload.created_ms && upload.attachment.is_none();
    if upload.owner != caller.claims.owner || !is_late || !is_untouched || caller.is_export() {
        return Ok(false);
    }
    match caller.host.blocks(upload.name.clone()).await {
        Ok(blocks) => Ok(blocks.is_empty()),
        Err(StorageError::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Renews the upload for this caller, and displaces its earlier writer. Of concurrent retries one
/// succeeds.
async fn renew<H: Host>(caller: &Caller<'_, H>, upload: Upload) -> Result<Grant, Error> {
    let now_ms = caller.request.received_ms;
    if !caller.host.renew(upload.id, upload.created_ms, now_ms).await? {
        return Err(already_exists());
    }
    let upload = Upload { created_ms: now_ms, last_activity_ms: now_ms, ..upload };
    Ok(Grant { writer: Writer::of_renewal(&upload), upload })
}

pub(super) fn already_exists() -> Error {
    Error::new(Code::AlreadyExists, EXISTS)
}

#[cfg(test)]
mod tests;
