//! The end of a request: what it was for, and what is counted of it.

use std::time::Duration;

use crate::{
    Metrics,
    labels::{
        AuthFailure, ByAuthFailure, ByDenied, ByLookup, ByMiss, ByReservation, ByRoute, ByUpload,
        BytesLabels, DeniedCause, Dialect, DurationLabels, LookupLabels, LookupResult, MatchedBy, Path,
        RequestLabels, ReservationResult, Route, UploadResult,
    },
    tools::OTHER,
};

/// The status of a request whose client left before there was one, as nginx has it.
const CLIENT_GONE: u16 = 499;
/// Its token is not accepted.
const UNAUTHENTICATED: u16 = 401;
/// There is no room.
const INSUFFICIENT_STORAGE: u16 = 507;

/// A request that is over: the last byte of its response is gone, or its client.
#[derive(Clone, Copy, Debug, Default)]
pub struct FinishedRequest<'a> {
    /// Whose it is; `None` for the tenant `default`.
    pub tenant: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// The status of the response; `None` if the client left before.
    pub status: Option<u16>,
    /// What became of it, in the word of the request log.
    pub outcome: &'a str,
    /// The repository: `owner/name`, or its id where the name is not known.
    pub repository: Option<&'a str>,
    /// The key that was looked up or saved.
    pub key: Option<&'a str>,
    /// The key of the entry that was found, if it is another one.
    pub matched_key: Option<&'a str>,
    /// Why nothing was found, in the word of the request log.
    pub miss: Option<&'static str>,
    /// Why it was denied, refused, or failed.
    pub reason: Option<&'a str>,
    /// Bytes of the request's body that arrived.
    pub bytes_in: u64,
    /// Bytes of the response's body that were sent.
    pub bytes_out: u64,
    /// Bytes of the entry for which a URL of the storage itself was handed out.
    pub bytes_direct: u64,
    /// From its head to its end.
    pub duration: Duration,
    /// From its head to the first byte of the response's body; `None` if it had none.
    pub first_byte: Option<Duration>,
    /// The longest pause between two pieces of the response's body.
    pub longest_stall: Duration,
}

impl Metrics {
    /// Counts a request that is over. In the usual case without an allocation.
    pub fn count(&self, request: &FinishedRequest<'_>) {
        if !self.enabled {
            return;
        }
        let families = &self.families;
        let (dialect, mut route) = classify(request.method, request.path);
        if request.outcome == "forwarded" {
            route = Route::Forward;
        }
        let code = request.status.unwrap_or(CLIENT_GONE);
        families.requests.get_or_create(&RequestLabels { dialect, route, code }).inc();
        let seconds = request.duration.as_secs_f64();
        families.request_duration.get_or_create(&DurationLabels { dialect, route }).observe(seconds);
        let counted = [
            (&families.received_bytes, Path::Proxied, request.bytes_in),
            (&families.sent_bytes, Path::Proxied, request.bytes_out),
            (&families.sent_bytes, Path::Direct, request.bytes_direct),
        ];
        for (family, path, bytes) in counted {
            if bytes > 0 {
                family.get_or_create(&BytesLabels { dialect, path }).inc_by(bytes);
            }
        }
        match route {
            Route::Lookup => self.count_lookup(request),
            Route::Reserve => self.count_reservation(request, code),
            Route::Finalize => self.count_finalize(request),
            Route::Download => self.count_download(request),
            _ => {}
        }
        if request.outcome == "denied" {
            self.count_denied(request, route, code);
        }
    }

    fn count_lookup(&self, request: &FinishedRequest<'_>) {
        let result = match request.outcome {
            "hit" => LookupResult::Hit,
            "miss" => LookupResult::Miss,
            "stale" => LookupResult::Stale,
            _ => return,
        };
        let key = request.key.unwrap_or_default();
        let matched_by = match (result, request.matched_key) {
            (LookupResult::Hit, None) => MatchedBy::Exact,
            (LookupResult::Hit, Some(matched)) if starts_with(matched, key) => MatchedBy::Prefix,
            (LookupResult::Hit, Some(_)) => MatchedBy::Restore,
            (LookupResult::Miss | LookupResult::Stale, _) => MatchedBy::None,
        };
        let repository = self.repositories.of(request.tenant, request.repository.unwrap_or(OTHER));
        let tool = repository.tool(key);
        let labels = LookupLabels { result, matched_by, repository: repository.label.clone(), tool };
        self.families.lookups.get_or_create(&labels).inc();
        if let Some(falcon) = &self.families.falcon {
            // It knows two results.
            let result = if result == LookupResult::Hit { result } else { LookupResult::Miss };
            falcon.requests.get_or_create(&ByLookup { result }).inc();
        }
        if result != LookupResult::Hit {
            let cause = request.miss.unwrap_or("unknown");
            self.families.misses.get_or_create(&ByMiss { cause }).inc();
        }
    }

    fn count_reservation(&self, request: &FinishedRequest<'_>, code: u16) {
        let is_no_room = code == INSUFFICIENT_STORAGE
            || request.reason.is_some_and(|reason| reason.starts_with("no room"));
        let result = match request.outcome {
            "reserved" => ReservationResult::Granted,
            _ if is_no_room => ReservationResult::Full,
            "exists" => ReservationResult::Exists,
            "denied" => ReservationResult::Denied,
            "refused" => ReservationResult::Refused,
            _ => ReservationResult::Failed,
        };
        self.families.reservations.get_or_create(&ByReservation { result }).inc();
    }

    fn count_finalize(&self, request: &FinishedRequest<'_>) {
        let is_mismatch = request.reason.is_some_and(|reason| reason.starts_with("the size should be"));
        let result = match request.outcome {
            "finalized" => UploadResult::Finalized,
            _ if is_mismatch => UploadResult::Mismatch,
            "denied" => UploadResult::Denied,
            "refused" | "exists" => UploadResult::Refused,
            _ => UploadResult::Failed,
        };
        self.families.uploads.get_or_create(&ByUpload { result }).inc();
        if let (UploadResult::Finalized, Some(falcon)) = (result, &self.families.falcon) {
            falcon.uploads.inc();
        }
    }

    fn count_download(&self, request: &FinishedRequest<'_>) {
        let Some(first_byte) = request.first_byte else { return };
        let by = ByRoute { route: Route::Download };
        self.families.first_byte.get_or_create(&by).observe(first_byte.as_secs_f64());
        self.families.longest_stall.get_or_create(&by).observe(request.longest_stall.as_secs_f64());
    }

    /// Tokens are counted where they are verified ([`Metrics::count_auth_failure`]); here what the
    /// policy denies: it checks URLs and scopes.
    fn count_denied(&self, request: &FinishedRequest<'_>, route: Route, code: u16) {
        let reason = request.reason.unwrap_or_default();
        let of_url = [
            ("The URL has expired", AuthFailure::UrlExpired),
            ("The URL's signature is wrong", AuthFailure::UrlSignature),
            ("The URL is not signed", AuthFailure::UrlUnsigned),
        ];
        if let Some((_, failure)) = of_url.into_iter().find(|(text, _)| reason.starts_with(text)) {
            self.count_auth_failure(failure);
        } else if code != UNAUTHENTICATED && matches!(route, Route::Reserve | Route::Upload | Route::Finalize)
        {
            let cause = if reason.starts_with("cache write denied: the entry of this key") {
                DeniedCause::Barred
            } else if reason.starts_with("cache write denied") {
                DeniedCause::ReadOnlyToken
            } else {
                DeniedCause::Policy
            };
            self.families.write_denied.get_or_create(&ByDenied { cause }).inc();
        }
    }

    /// Counts a token or URL that is not accepted.
    pub fn count_auth_failure(&self, reason: AuthFailure) {
        if self.enabled {
            self.families.auth_failures.get_or_create(&ByAuthFailure { reason }).inc();
        }
    }
}

/// Compares as keys are compared by default: without the case of ASCII letters.
fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Returns what a request is for, in one word: `lookup`, `reserve`, `upload`, `finalize`, `download`, ….
#[must_use]
pub fn route(method: &str, path: &str) -> &'static str {
    classify(method, path).1.word()
}

/// Returns what a request is for, as the built-in policy routes it. For labels alone: a policy of one's
/// own may have other routes, which are `other`.
pub(crate) fn classify(method: &str, path: &str) -> (Dialect, Route) {
    const V2: &str = "/twirp/github.actions.results.api.v1.CacheService/";
    const V1: &str = "/_apis/artifactcache/";
    let path = without_tenant(path);
    if let Some(call) = path.strip_prefix(V2) {
        let route = match call {
            "GetCacheEntryDownloadURL" => Route::Lookup,
            "CreateCacheEntry" => Route::Reserve,
            "FinalizeCacheEntryUpload" => Route::Finalize,
            _ => Route::Other,
        };
        return (Dialect::V2, route);
    }
    if path.starts_with("/devstoreaccount1/upload/") {
        return (Dialect::V2, Route::Upload);
    }
    if path.starts_with("/devstoreaccount1/download/") {
        return (Dialect::V2, Route::Download);
    }
    if let Some((_, call)) = path.split_once(V1) {
        let route = match (method, call) {
            ("GET", "cache" | "caches") => Route::Lookup,
            ("POST", "caches") => Route::Reserve,
            ("PATCH", _) => Route::Upload,
            ("POST", _) => Route::Finalize,
            _ => Route::Other,
        };
        return (Dialect::V1, route);
    }
    let route = match path {
        "/health" | "/livez" | "/readyz" => Route::Health,
        _ if path.starts_with("/_larder/webhooks/") => Route::Webhook,
        _ => Route::Other,
    };
    (Dialect::Other, route)
}

/// Returns a path without the name of a tenant (`/@name/…`).
fn without_tenant(path: &str) -> &str {
    let named = path.strip_prefix("/@").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    named.unwrap_or(path)
}
