//! What the policy needs to know of the configuration.

/// What the operator chose (`settings.settings`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an upload URL is good for.
    pub upload_url_ms: u64,
    /// How long a download URL is good for.
    pub download_url_ms: u64,
    /// After how long without a byte a reservation may go to somebody else.
    pub idle_upload_ms: u64,
    /// After how long without use an entry is deleted.
    pub unused_entry_ms: Option<u64>,
    /// The largest entry.
    pub max_entry_bytes: Option<u64>,
    /// Where `@actions/cache` downloads in protocol version 2.
    pub parallel_download_origin: Option<String>,
    /// How long URLs of the storage itself are good; without, clients are given none.
    pub direct_url_ms: Option<u64>,
    /// Whether anybody reads lines of level debug.
    pub debug: bool,
}
