//! Routes.
//!
//! Called by `handler`. Depends only on method, path and the query parameters that distinguish
//! calls (`comp` of a blob operation, `keys` of a lookup). Allocates nothing.

use crate::query;

/// The path of the cache service, protocol version 2.
const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
/// The path of the cache service, protocol version 1. Clients append it to a base URL with any
/// path, and act puts a secret into that. The part before it is ignored; the bearer token decides.
const SERVICE_V1: &str = "/_apis/artifactcache/";
/// The paths of signed URLs. Three segments, so that Azure's SDKs find an account, a container and
/// a blob with every kind of host name (protocol reference 3.4).
pub(crate) const UPLOADS: &str = "/devstoreaccount1/upload/";
pub(crate) const DOWNLOADS: &str = "/devstoreaccount1/download/";

/// The route of a request. Borrows from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A call of the cache service, protocol version 2.
    V2(V2Call),
    /// Another method below the path of the cache service, or another HTTP method.
    UnknownV2,
    /// A call of the cache service, protocol version 1.
    V1(V1Call<'a>),
    /// An operation on the upload with this name (not validated).
    Upload { name: &'a str, operation: BlobOperation },
    /// A download of the entry with this id (not validated).
    Download { entry: &'a str, method: DownloadMethod },
    /// The health check.
    Health,
    /// The server's name and version.
    Root,
    /// A path that neither this server nor the upstream has.
    NotFound(NotFound),
    /// Any other path: forwarded to the upstream.
    Upstream,
}

/// Why a path is not forwarded. The upstream would reject the request, and see the client's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// A call of protocol version 2, or a signed URL, with a prefix before its path.
    Prefixed,
    /// A path that browsers, robots and monitors request from every server.
    WellKnown,
}

/// The calls of protocol version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum V2Call {
    Create,
    Finalize,
    Lookup,
}

/// The calls of protocol version 1. Ids are not validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum V1Call<'a> {
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

/// The operations on the blob of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobOperation {
    PutBlob,
    PutBlock,
    PutBlockList,
    AppendBlock,
    Seal,
    /// A `PUT` with a `comp` that is not supported.
    UnknownComp,
    /// Not a `PUT`.
    WrongMethod,
}

/// The methods of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownloadMethod {
    Get,
    Head,
    /// Neither.
    WrongMethod,
}

impl<'a> Route<'a> {
    /// Returns the route of a request. Every request has one.
    pub(crate) fn of(method: &str, path: &'a str, query: Option<&str>) -> Self {
        if let Some(call) = strip_service(path, SERVICE) {
            return match (method, call) {
                ("POST", "CreateCacheEntry") => Self::V2(V2Call::Create),
                ("POST", "FinalizeCacheEntryUpload") => Self::V2(V2Call::Finalize),
                ("POST", "GetCacheEntryDownloadURL") => Self::V2(V2Call::Lookup),
                (_, _) => Self::UnknownV2,
            };
        }
        if let Some(name) = path.strip_prefix(UPLOADS) {
            return Self::Upload { name, operation: BlobOperation::of(method, query) };
        }
        if let Some(entry) = path.strip_prefix(DOWNLOADS) {
            return Self::Download { entry, method: DownloadMethod::of(method) };
        }
        if let Some((_, call)) = path.split_once(SERVICE_V1) {
            return Self::V1(V1Call::of(method, call, query));
        }
        match (method, path) {
            ("GET" | "HEAD", "/health") => Self::Health,
            ("GET" | "HEAD", "/") => Self::Root,
            (_, _) => NotFound::of(path).map_or(Self::Upstream, Self::NotFound),
        }
    }

    /// Returns whether a request may be handled twice: it changes nothing.
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::V1(V1Call::Lookup | V1Call::List | V1Call::Unknown) => true,
            Self::V1(V1Call::Reserve | V1Call::Chunk { .. } | V1Call::Commit { .. }) => false,
            Self::V2(V2Call::Lookup) | Self::Health | Self::Root | Self::UnknownV2 | Self::NotFound(_) => {
                true
            }
            Self::Download { method, .. } => matches!(method, DownloadMethod::Get | DownloadMethod::Head),
            Self::V2(V2Call::Create | V2Call::Finalize) | Self::Upload { .. } | Self::Upstream => false,
        }
    }
}

/// Returns the part of a path after the service and a slash, or an empty string for the service
/// itself. Returns `None` for any other path.
fn strip_service<'a>(path: &'a str, service: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(service)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl NotFound {
    /// Returns why the path is not forwarded, or `None` if the upstream may have it.
    fn of(path: &str) -> Option<Self> {
        let is_call = path.find(SERVICE).is_some_and(|at| strip_service(&path[at..], SERVICE).is_some());
        if is_call || path.contains(UPLOADS) || path.contains(DOWNLOADS) {
            return Some(Self::Prefixed);
        }
        let is_well_known = matches!(
            path,
            "/metrics" | "/favicon.ico" | "/robots.txt" | "/healthz" | "/livez" | "/readyz" | "/health/"
        ) || path.starts_with("/.well-known/");
        is_well_known.then_some(Self::WellKnown)
    }
}

impl<'a> V1Call<'a> {
    fn of(method: &str, call: &'a str, query: Option<&str>) -> Self {
        match (method, call.split_once('/')) {
            ("GET", None) if call == "cache" => Self::Lookup,
            // Some released clients send lookups this way, and GitHub's service accepts them.
            ("GET", None) if call == "caches" && query::parameter(query, "keys").is_some() => Self::Lookup,
            ("GET", None) if call == "caches" => Self::List,
            ("POST", None) if call == "caches" => Self::Reserve,
            ("PATCH", Some(("caches", id))) => Self::Chunk { id },
            ("POST", Some(("caches", id))) => Self::Commit { id },
            (_, _) => Self::Unknown,
        }
    }
}

impl BlobOperation {
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

impl DownloadMethod {
    pub(crate) fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            _ => Self::WrongMethod,
        }
    }
}

#[cfg(test)]
mod tests;
