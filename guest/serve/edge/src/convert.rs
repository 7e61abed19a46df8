//! Requests from `wasi:http` to the cache world.

use crate::bindings::{
    larder::{
        cache::types::{AskedRules, Request},
        serve::bridge::{self, EdgeSettings},
    },
    wasi::{
        clocks::system_clock,
        http::types::{Method, Request as HttpRequest},
        random::random,
    },
};
use crate::{
    checks::{BadHead, check_head},
    origin::origin,
    record::RequestRecord,
};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = system_clock::now();
    u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1000) + u64::from(now.nanoseconds / 1_000_000)
}

/// Begins the record of a request, and chooses its id: a random UUID.
pub(crate) fn record(request: &HttpRequest) -> RequestRecord {
    let (high, low) = (random::get_random_u64(), random::get_random_u64());
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        ((low >> 48) & 0x3fff) | 0x8000,
        low & 0xffff_ffff_ffff
    );
    let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let path = target.split('?').next().unwrap_or_default().to_owned();
    RequestRecord {
        id,
        method: method(request.get_method()),
        path,
        received_ms: now_ms(),
        ..RequestRecord::default()
    }
}

/// Converts a request for the policy, without its `authorization` field.
///
/// # Errors
/// When its head is not one that the policy can rely on.
pub(crate) fn request(
    request: HttpRequest,
    record: &RequestRecord,
    settings: &EdgeSettings,
) -> Result<Request, BadHead> {
    let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let fields = request.get_headers().copy_all();
    check_head(&record.method, &target, &fields)?;
    let hosts: Vec<Vec<u8>> =
        fields.iter().filter(|(name, _)| name == "host").map(|(_, value)| value.clone()).collect();
    let origin = origin(settings.base_url.as_deref(), &hosts, request.get_authority().as_deref())?;
    let headers = fields
        .into_iter()
        .filter(|(name, _)| name != "authorization")
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target, None),
    };
    Ok(Request {
        id: record.id.clone(),
        received_ms: record.received_ms,
        method: record.method.clone(),
        path,
        query,
        headers,
        origin,
        rules: AskedRules { restore: false, save: false },
        incoming: bridge::incoming(request, &record.id),
    })
}

fn method(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    };
    name.to_owned()
}
