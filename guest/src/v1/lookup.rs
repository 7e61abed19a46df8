//! `GET cache`: looks up the best match. `GET caches?key=…`: lists entries.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::ports::{Entry, Host, Response};
use crate::query;
use crate::service::{self, Caller, Code, Error, Hit, Message};

/// The end of the year 9999, the last one with four digits, in milliseconds since 1970.
const MAX_DATE_MS: u64 = 253_402_300_799_000;

/// The message of a hit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HitMessage<'a> {
    cache_key: &'a str,
    scope: &'a str,
    cache_version: &'a str,
    creation_time: String,
    archive_location: &'a str,
}

/// Handles a lookup: `GET cache?keys=…`, or `GET caches?keys=…` of some clients. Returns 200 with
/// the entry, or 204 for a miss: `@actions/cache` treats a 404 as a failure.
pub(super) async fn lookup<H: Host>(caller: &Caller<'_, H>) -> Result<Response<H>, Error> {
    let keys = parameter(caller, "keys")?.ok_or_else(|| invalid("keys", "is missing"))?;
    let mut keys = keys.split(',').map(str::to_owned);
    let message = Message {
        key: keys.next().unwrap_or_default(),
        restore_keys: keys.collect(),
        version: parameter(caller, "version")?.unwrap_or_default(),
        size_bytes: 0,
    };
    let message = message.validate_v1()?;
    caller.request.record(|outcome| outcome.set_key(&message.key, &message.version));
    match service::lookup(caller, &message, &caller.request.origin).await? {
        Some(Hit { entry, download_url }) => hit(&entry, &download_url),
        None => Ok(super::no_content()),
    }
}

fn hit<H: Host>(entry: &Entry, archive_location: &str) -> Result<Response<H>, Error> {
    json(&HitMessage {
        cache_key: &entry.slot.key,
        scope: &entry.slot.scope,
        cache_version: &entry.slot.version,
        creation_time: timestamp(entry.created_ms),
        archive_location,
    })
}

/// Handles `GET caches?key=…`. `@actions/cache` sends it after a miss in debug mode, to show
/// entries with the same key and another version. The index is searched by version, so the list is
/// always empty.
pub(super) fn list<H: Host>() -> Result<Response<H>, Error> {
    Ok(Response::bytes(200, "application/json", br#"{"totalCount":0,"artifactCaches":[]}"#.to_vec()))
}

fn json<H: Host>(body: &impl Serialize) -> Result<Response<H>, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Response::bytes(200, "application/json", body))
}

fn parameter<H: Host>(caller: &Caller<'_, H>, name: &'static str) -> Result<Option<String>, Error> {
    let value = query::form_parameter(caller.request.query.as_deref(), name);
    value.transpose().map_err(|_| invalid(name, "is not UTF-8"))
}

fn invalid(name: &str, problem: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("the parameter {name} {problem}"))
}

fn timestamp(ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms.min(MAX_DATE_MS));
    humantime::format_rfc3339_millis(time).to_string()
}
