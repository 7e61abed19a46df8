//! `POST caches`: reserves a slot.

use serde::Deserialize;

use crate::ports::{Host, Response};
use crate::service::{self, Caller, Code, Error, FULL, Grant, Message};

/// The message. Other members are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveMessage {
    key: String,
    /// Sent by all clients after actions/cache 1.2.
    version: Option<String>,
    /// Sent by `@actions/cache` only.
    cache_size: Option<u64>,
}

/// Reserves the slot, and returns a number for this grant of the upload: not 0, exact as a double,
/// different for each grant.
pub(super) async fn reserve<H: Host>(caller: &Caller<'_, H>) -> Result<Response<H>, Error> {
    let scope = service::writable_scope(caller)?;
    let ReserveMessage { key, version, cache_size } = super::message(caller).await?;
    if let Some(limit) = caller.host.settings().max_entry_bytes
        && cache_size.is_some_and(|size| size > limit)
    {
        let text = format!("the cache is larger than this server allows, which is {limit} bytes");
        return Err(Error::new(Code::InvalidArgument, text));
    }
    let message = Message { key, version: version.unwrap_or_default(), ..Message::default() };
    let message = message.validate_v1()?;
    caller.request.record(|outcome| outcome.set_key(&message.key, &message.version));
    let slot = message.slot(caller.claims, scope);
    let taken = format!("Cache already exists. Scope: {scope}, Key: {}, Version: {}", slot.key, slot.version);
    let reserved = match service::reserve(caller, slot, cache_size).await {
        Ok(grant) => with_room(caller, grant, cache_size).await,
        refused => refused,
    };
    let Grant { upload, writer } = reserved.map_err(|error| match error.code() {
        Code::AlreadyExists => error.with_message(taken),
        // It warns of a 400 only: with any other status it assumes that another job saves the entry.
        Code::NoSpace if is_actions_cache(caller) => {
            error.log(caller.host, caller.request);
            Error::new(Code::InvalidArgument, FULL)
        }
        _ => error,
    })?;
    let number = writer
        .number(upload.id)
        .ok_or_else(|| Error::internal("no more numbers for uploads of version 1"))?;
    let body = format!(r#"{{"cacheId":{number}}}"#);
    Ok(Response::bytes(201, "application/json", body.into_bytes()))
}

/// Reserves room for all chunks, if the client has said how many bytes there will be: so a save that
/// does not fit is refused before it sends anything, with one warning.
async fn with_room<H: Host>(
    caller: &Caller<'_, H>,
    grant: Grant,
    cache_size: Option<u64>,
) -> Result<Grant, Error> {
    if let Some(size) = cache_size.filter(|_| !caller.is_export()) {
        caller.host.reserve_room(grant.upload.name.clone(), size).await?;
    }
    Ok(grant)
}

/// In this protocol version its user agent is different.
fn is_actions_cache<H: Host>(caller: &Caller<'_, H>) -> bool {
    let agent = caller.request.header("user-agent").unwrap_or_default();
    agent.starts_with("actions/cache") || caller.is_actions_cache()
}
