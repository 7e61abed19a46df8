//! Why a lookup finds what it finds: the question, and the answer of the policy.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::auth::Scope;

/// A lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The id of the repository, as in tokens.
    pub repository: String,
    /// What a token would permit, in the order of matching.
    pub scopes: Vec<Scope>,
    /// What the client asks for; `None`: that of the newest entry with the first key, or of one that comes near.
    pub version: Option<String>,
    /// The key, then the restore keys.
    pub keys: Vec<String>,
}

/// What a lookup did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The version that was looked up; `None` if nothing is known of the keys.
    pub version: Option<String>,
    /// The attempts at a match, in order, up to the match.
    pub attempts: Vec<Attempt>,
    /// What came near, the nearest first.
    pub near: Vec<Neighbour>,
    /// Why there is no match, as one word; `None` if there is one.
    pub cause: Option<Cow<'static, str>>,
}

/// An attempt at a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where.
    pub scope: String,
    /// The key, or how it begins.
    pub key: String,
    /// Whether any key would do that begins with it.
    pub is_prefix: bool,
    /// The result.
    pub found: Found,
    /// The entry that was found.
    pub finding: Option<Finding>,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// There is none.
    Nothing,
    /// A client would get it.
    Match,
    /// Its content is gone.
    Stale,
    /// It is too old to be served.
    Expired,
    /// A rule of the operator does not let the lookup have it.
    Skipped,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its id.
    pub entry: u64,
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, in milliseconds since 1970.
    pub last_used_ms: u64,
}

/// Something near a key that is no match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Why it is no match, as one word.
    pub cause: Cow<'static, str>,
    /// Where it is, or was.
    pub scope: String,
    /// Its version. Of a long one that was deleted a beginning and a digest.
    pub version: String,
    /// Its key, likewise.
    pub key: String,
    /// Its id; `None` for an upload, and for an entry that was deleted.
    pub entry: Option<u64>,
    /// Its size; `None` for an upload.
    pub size_bytes: Option<u64>,
    /// When it was made, or reserved, in milliseconds since 1970.
    pub created_ms: u64,
    /// When and why it was deleted.
    pub deleted: Option<Deletion>,
}

/// A deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why: `age`, `size`, `revoked`, …
    pub cause: String,
}
