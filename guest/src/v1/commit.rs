//! `POST caches/{id}`: finalizes an upload.

use serde::Deserialize;

use crate::buildkit;
use crate::ports::{Host, OutcomeKind, Response};
use crate::service::{self, Caller, Code, Error};
use crate::writer::Writer;

/// The message. Other members are ignored.
#[derive(Deserialize)]
struct CommitMessage {
    size: u64,
}

/// Turns the chunks into an entry of `size` bytes. A repeated call succeeds, too.
///
/// # Errors
/// Those of [`service::finalize_chunks`] and [`service::finalized_entry`]; `not_found` if the
/// caller may not write the upload.
pub(super) async fn commit<H: Host>(caller: &Caller<'_, H>, id: &str) -> Result<Response<H>, Error> {
    let (id, writer) = super::parse_number(id)?;
    let CommitMessage { size } = super::message(caller).await?;
    if service::refusal::was_noted(caller).await? || is_incomplete(caller, id).await? {
        return commit_in_words(caller, id, writer, size).await;
    }
    commit_upload(caller, id, writer, size).await
}

async fn is_incomplete<H: Host>(caller: &Caller<'_, H>, id: u64) -> Result<bool, Error> {
    if !caller.is_export() {
        return Ok(false);
    }
    match caller.host.get_upload_by_id(id).await? {
        Some(upload) => Ok(service::refusal::is_incomplete(caller, &upload.slot).await?),
        None => Ok(false),
    }
}

/// Commits an export of BuildKit of which something was refused: no index becomes an entry, and what
/// is gone succeeds in words.
async fn commit_in_words<H: Host>(
    caller: &Caller<'_, H>,
    id: u64,
    writer: Writer,
    size: u64,
) -> Result<Response<H>, Error> {
    if let Some(upload) = caller.host.get_upload_by_id(id).await?
        && super::may_write(caller, &upload)?
        && !buildkit::is_layer(&upload.slot)
    {
        service::drop_in_words(caller, upload).await?;
        return Ok(super::no_content());
    }
    match commit_upload(caller, id, writer, size).await {
        Err(error) if error.code() == Code::NotFound => {
            service::refusal::record(caller.request);
            Ok(super::no_content())
        }
        committed => committed,
    }
}

async fn commit_upload<H: Host>(
    caller: &Caller<'_, H>,
    id: u64,
    writer: Writer,
    size: u64,
) -> Result<Response<H>, Error> {
    match caller.host.get_upload_by_id(id).await? {
        Some(upload) if super::may_write(caller, &upload)? => {
            caller.request.record(|outcome| {
                outcome.set_upload(&upload);
                outcome.key = Some(upload.slot.key.clone());
            });
            super::check_writer(writer, &upload)?;
            let kept = match service::finalize_chunks(caller, upload, writer, size).await? {
                Some(entry) => service::refusal::keep(caller, entry).await?,
                None => None,
            };
            if kept.is_none() {
                return Ok(super::no_content());
            }
        }
        Some(_) => return Err(super::no_upload()),
        None => drop(service::finalized_entry(caller, id, size).await?),
    }
    caller.request.record(|outcome| outcome.set_kind(OutcomeKind::Finalized));
    Ok(super::no_content())
}
