//! Which of the server's routes a request is for.
//!
//! Called by `handler`. Looks at method, path and the query parameters that tell calls apart (`comp` of a blob operation, `keys` of
//! a lookup); must never look at anything else of a request. Allocates nothing.

use crate::query;

/// The path of the cache service, protocol version 2.
const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
/// The paths of the cache service, protocol version 1. Anything may stand before it: its clients add it to a base URL of any
/// path, which act puts a secret into. That part is not looked at; the bearer token is what counts.
const SERVICE_V1: &str = "/_apis/artifactcache/";
/// The paths of signed URLs: three segments, so that Azure's SDKs find an account, a container and a blob on every kind of
/// host name (protocol reference 3.4).
pub(crate) const UPLOADS: &str = "/devstoreaccount1/upload/";
pub(crate) const DOWNLOADS: &str = "/devstoreaccount1/download/";

/// What a request is for. Borrows from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A call of the cache service.
    Call(Call),
    /// Something else under the cache service: another method of it, or another HTTP method.
    UnknownCall,
    /// A call of the cache service, version 1.
    CallV1(CallV1<'a>),
    /// A step of the upload with this name.
    Upload { name: &'a str, step: Step },
    /// A download of the entry with this id (not checked to be one).
    Download { entry: &'a str, verb: Verb },
    /// Is the server alive?
    Health,
    /// What is this server?
    Root,
    /// Nothing that is here, and nothing that the upstream has either.
    Nowhere(Stray),
    /// Not ours: the upstream's.
    Elsewhere,
}

/// What is asked here by mistake, and must not go to the upstream: with it would go the caller's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// A call of the cache service, version 2, or a signed URL, with something before its path.
    Prefixed,
    /// What browsers, robots and monitors ask of every server, and the results service does not have.
    Common,
}

/// The calls of the cache service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Finalize,
    Lookup,
}

/// The calls of the cache service, version 1. Ids are not checked to be numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallV1<'a> {
    Lookup,
    List,
    Reserve,
    Chunk {
        id: &'a str,
    },
    Commit {
        id: &'a str,
    },
    /// Another path or method.
    Unknown,
}

/// The steps of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    PutBlob,
    PutBlock,
    PutBlockList,
    AppendBlock,
    Seal,
    /// A `PUT` with a `comp` that is not served.
    UnknownComp,
    /// Not a `PUT`.
    WrongMethod,
}

/// The ways of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    /// Neither.
    WrongMethod,
}

impl<'a> Route<'a> {
    /// Returns the route of a request; every request has one.
    pub(crate) fn of(method: &str, path: &'a str, query: Option<&str>) -> Self {
        if let Some(call) = under(path, SERVICE) {
            return match (method, call) {
                ("POST", "CreateCacheEntry") => Self::Call(Call::Create),
                ("POST", "FinalizeCacheEntryUpload") => Self::Call(Call::Finalize),
                ("POST", "GetCacheEntryDownloadURL") => Self::Call(Call::Lookup),
                (_, _) => Self::UnknownCall,
            };
        }
        if let Some(name) = path.strip_prefix(UPLOADS) {
            return Self::Upload { name, step: Step::of(method, query) };
        }
        if let Some(entry) = path.strip_prefix(DOWNLOADS) {
            return Self::Download { entry, verb: Verb::of(method) };
        }
        if let Some((_, call)) = path.split_once(SERVICE_V1) {
            return Self::CallV1(CallV1::of(method, call, query));
        }
        match (method, path) {
            ("GET" | "HEAD", "/health") => Self::Health,
            ("GET" | "HEAD", "/") => Self::Root,
            (_, _) => Stray::of(path).map_or(Self::Elsewhere, Self::Nowhere),
        }
    }

    /// Returns whether a second handling changes nothing that the first did not.
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::CallV1(CallV1::Lookup | CallV1::List | CallV1::Unknown) => true,
            Self::CallV1(CallV1::Reserve | CallV1::Chunk { .. } | CallV1::Commit { .. }) => false,
            Self::Call(Call::Lookup) | Self::Health | Self::Root | Self::UnknownCall | Self::Nowhere(_) => {
                true
            }
            Self::Download { verb, .. } => matches!(verb, Verb::Get | Verb::Head),
            Self::Call(Call::Create | Call::Finalize) | Self::Upload { .. } | Self::Elsewhere => false,
        }
    }
}

/// Returns what follows a path of ours and a slash; nothing where neither follows. `None` where the path is another one.
fn under<'a>(path: &'a str, ours: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(ours)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl Stray {
    /// Returns why a path that is none of ours is nobody else's either, or `None` where it may be the upstream's.
    fn of(path: &str) -> Option<Self> {
        let is_call = path.find(SERVICE).is_some_and(|at| under(&path[at..], SERVICE).is_some());
        if is_call || path.contains(UPLOADS) || path.contains(DOWNLOADS) {
            return Some(Self::Prefixed);
        }
        let is_common = matches!(
            path,
            "/metrics" | "/favicon.ico" | "/robots.txt" | "/healthz" | "/livez" | "/readyz" | "/health/"
        ) || path.starts_with("/.well-known/");
        is_common.then_some(Self::Common)
    }
}

impl<'a> CallV1<'a> {
    fn of(method: &str, call: &'a str, query: Option<&str>) -> Self {
        match (method, call.split_once('/')) {
            ("GET", None) if call == "cache" => Self::Lookup,
            // Released clients look up so, and GitHub's service takes it for one.
            ("GET", None) if call == "caches" && query::parameter(query, "keys").is_some() => Self::Lookup,
            ("GET", None) if call == "caches" => Self::List,
            ("POST", None) if call == "caches" => Self::Reserve,
            ("PATCH", Some(("caches", id))) => Self::Chunk { id },
            ("POST", Some(("caches", id))) => Self::Commit { id },
            (_, _) => Self::Unknown,
        }
    }
}

impl Step {
    fn of(method: &str, query: Option<&str>) -> Self {
        if method != "PUT" {
            return Self::WrongMethod;
        }
        match query::parameter(query, "comp") {
            None => Self::PutBlob,
            Some(Ok(comp)) if comp == "block" => Self::PutBlock,
            Some(Ok(comp)) if comp == "blocklist" => Self::PutBlockList,
            Some(Ok(comp)) if comp == "appendblock" => Self::AppendBlock,
            Some(Ok(comp)) if comp == "seal" => Self::Seal,
            Some(_) => Self::UnknownComp,
        }
    }
}

impl Verb {
    fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            _ => Self::WrongMethod,
        }
    }
}

#[cfg(test)]
mod tests;
