//! `GET cache`: the best match; and `GET caches?key=…`, which shows what there is.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::ports::{Entry, Host, Response};
use crate::query;
use crate::service::{self, Caller, Code, Error, Hit, Message};

/// The last moment that a date with four digits of a year can name, in milliseconds since 1970.
const MAX_DATE_MS: u64 = 253_402_300_799_000;

/// A hit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    cache_key: &'a str,
    scope: &'a str,
    cache_version: &'a str,
    creation_time: String,
    archive_location: &'a str,
}

/// Answers a lookup, `GET cache?keys=…` or, as some clients ask, `GET caches?keys=…`: 200 with the entry, 204 for a miss. (A 404 is a failure to `@actions/cache`, and not a miss.)
pub(super) async fn lookup<H: Host>(caller: &Caller<'_, H>) -> Result<Response<H>, Error> {
    let keys = parameter(caller, "keys")?.ok_or_else(|| invalid("keys", "is missing"))?;
    let mut keys = keys.split(',').map(str::to_owned);
    let message = Message {
        key: keys.next().unwrap_or_default(),
        restore_keys: keys.collect(),
        version: parameter(caller, "version")?.unwrap_or_default(),
        size_bytes: 0,
    };
    let message = message.checked_of_version_1()?;
    caller.request.note(|outcome| outcome.ask(&message.key, &message.version));
    match service::lookup(caller, &message, &caller.request.origin).await? {
        Some(Hit { entry, download_url }) => found(&entry, &download_url),
        None => Ok(super::done()),
    }
}

fn found<H: Host>(entry: &Entry, archive_location: &str) -> Result<Response<H>, Error> {
    json(&Found {
        cache_key: &entry.slot.key,
        scope: &entry.slot.scope,
        cache_version: &entry.slot.version,
        creation_time: timestamp(entry.created_ms),
        archive_location,
    })
}

/// Answers `GET caches?key=…`, which `@actions/cache` asks for when a step is debugged and there was a miss, to show entries of the
/// same key with another version. The index is asked by version, so it is told that there are none.
pub(super) fn list<H: Host>() -> Result<Response<H>, Error> {
    Ok(Response::bytes(200, "application/json", br#"{"totalCount":0,"artifactCaches":[]}"#.to_vec()))
}

fn json<H: Host>(body: &impl Serialize) -> Result<Response<H>, Error> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Error::new(Code::Internal, "internal error").caused_by(error.to_string()))?;
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
