//! `POST caches`: reserve a slot.

use serde::Deserialize;

use crate::ports::{Host, Response};
use crate::service::{self, Caller, Code, Error, FULL, HandOut, Message};

/// The message; members that are not here are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    key: String,
    /// Sent by all that came after actions/cache 1.2.
    version: Option<String>,
    /// Sent by `@actions/cache`, and by nobody else.
    cache_size: Option<u64>,
}

/// Reserves the slot; answers with a number of the upload, which is not 0 and fits in a double. Each time that the upload is
/// handed out it has another one.
pub(super) async fn reserve<H: Host>(caller: &Caller<'_, H>) -> Result<Response<H>, Error> {
    let scope = service::writable_scope(caller)?;
    let Reservation { key, version, cache_size } = super::message(caller).await?;
    if let Some(limit) = caller.host.settings().max_entry_bytes
        && cache_size.is_some_and(|size| size > limit)
    {
        let text = format!("the cache is larger than this server allows, which is {limit} bytes");
        return Err(Error::new(Code::InvalidArgument, text));
    }
    let message = Message { key, version: version.unwrap_or_default(), ..Message::default() };
    let message = message.checked_of_version_1()?;
    caller.request.note(|outcome| outcome.ask(&message.key, &message.version));
    let slot = message.slot(caller.claims, scope);
    let taken = format!("Cache already exists. Scope: {scope}, Key: {}, Version: {}", slot.key, slot.version);
    let HandOut { upload, writer } =
        service::reserve(caller, slot).await.map_err(|error| match error.code() {
            Code::AlreadyExists => error.reworded(taken),
            // It warns of a 400 only, and takes everything else for another job that saves.
            Code::NoSpace if is_actions_cache(caller) => {
                error.log(caller.host, caller.request);
                Error::new(Code::InvalidArgument, FULL)
            }
            _ => error,
        })?;
    let number = writer.number(upload.id).ok_or_else(|| {
        Error::new(Code::Internal, "internal error").caused_by("no more numbers for uploads of version 1")
    })?;
    let body = format!(r#"{{"cacheId":{number}}}"#);
    Ok(Response::bytes(201, "application/json", body.into_bytes()))
}

/// In this version it calls itself by another name.
fn is_actions_cache<H: Host>(caller: &Caller<'_, H>) -> bool {
    let agent = caller.request.header("user-agent").unwrap_or_default();
    agent.starts_with("actions/cache") || caller.is_actions_cache()
}
