//! The operator's settings.

/// Of which entries only the newest stay (`settings.keep-newest`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepNewest {
    /// The beginning of their keys.
    pub prefix: String,
    /// How many stay in each scope.
    pub keep: u32,
}

/// The settings that the policy needs (`settings.settings`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Lifetime of an upload URL, in milliseconds.
    pub upload_url_ms: u64,
    /// Lifetime of a download URL, in milliseconds.
    pub download_url_ms: u64,
    /// A reservation without activity for this long, in milliseconds, may be displaced.
    pub idle_upload_ms: u64,
    /// Entries unused for this long, in milliseconds, are deleted.
    pub unused_entry_ms: Option<u64>,
    /// Entries that were never used are deleted after this time, in milliseconds.
    pub never_used_ms: Option<u64>,
    /// Entries older than this, in milliseconds, are not served any more, and deleted.
    pub max_age_ms: Option<u64>,
    /// Of which entries only the newest stay. The first prefix that matches counts.
    pub keep_newest: Vec<KeepNewest>,
    /// For how long, in milliseconds, a saver of low trust may not save a key whose trusted entry was
    /// revoked or evicted.
    pub barred_ms: Option<u64>,
    /// The largest entry, in bytes.
    pub max_entry_bytes: Option<u64>,
    /// The origin in the download URLs of `@actions/cache`, protocol version 2.
    pub parallel_download_origin: Option<String>,
    /// Lifetime of direct URLs, in milliseconds; `None` disables them.
    pub direct_url_ms: Option<u64>,
    /// Whether candidates of any age may come with wishes of the operator's rules.
    pub has_retention_rules: bool,
    /// Whether `debug` lines are written.
    pub debug: bool,
}
