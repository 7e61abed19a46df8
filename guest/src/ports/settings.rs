//! The operator's settings.

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
    /// The largest entry, in bytes.
    pub max_entry_bytes: Option<u64>,
    /// The origin in the download URLs of `@actions/cache`, protocol version 2.
    pub parallel_download_origin: Option<String>,
    /// Lifetime of direct URLs, in milliseconds; `None` disables them.
    pub direct_url_ms: Option<u64>,
    /// Whether `debug` lines are written.
    pub debug: bool,
}
