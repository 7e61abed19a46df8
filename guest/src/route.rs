//! Which of the server's routes a request is for.
//!
//! Called by `handler`. Looks at method, path and the one query parameter (`comp`) that names a blob operation; must never
//! look at anything else of a request. Allocates nothing.

use crate::query;

/// The path of the cache service, protocol version 2.
const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService/";
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
    /// A step of the upload with this name.
    Upload { name: &'a str, step: Step },
    /// A download of the entry with this id (not checked to be one).
    Download { entry: &'a str, verb: Verb },
    /// Is the server alive?
    Health,
    /// What is this server?
    Root,
    /// Not ours: the upstream's.
    Elsewhere,
}

/// The calls of the cache service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Finalize,
    Lookup,
}

/// The steps of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    PutBlob,
    PutBlock,
    PutBlockList,
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
        if let Some(call) = path.strip_prefix(SERVICE) {
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
        match (method, path) {
            ("GET" | "HEAD", "/health") => Self::Health,
            ("GET" | "HEAD", "/") => Self::Root,
            (_, _) => Self::Elsewhere,
        }
    }

    /// Returns whether a second handling changes nothing that the first did not.
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::Call(Call::Lookup) | Self::Health | Self::Root | Self::UnknownCall => true,
            Self::Download { verb, .. } => matches!(verb, Verb::Get | Verb::Head),
            Self::Call(Call::Create | Call::Finalize) | Self::Upload { .. } | Self::Elsewhere => false,
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
