//! `larder:cache/settings`.

use super::Provider;
use crate::{
    bindings::exports::larder::cache::settings::{Guest, Settings},
    instance::instance,
};

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

impl Guest for Provider {
    /// What has no variable has the native server's default.
    fn get() -> Settings {
        let settings = &instance().settings;
        Settings {
            upload_url_ms: 6 * HOUR_MS,
            download_url_ms: HOUR_MS,
            idle_upload_ms: settings.idle_upload_ms,
            unused_entry_ms: Some(settings.unused_days * DAY_MS).filter(|ms| *ms > 0),
            never_used_ms: None,
            max_age_ms: Some(settings.max_age_days * DAY_MS).filter(|ms| *ms > 0),
            keep_newest: Vec::new(),
            barred_ms: None,
            max_entry_bytes: None,
            parallel_download_origin: settings.parallel_download_url.clone(),
            direct_url_ms: None,
            has_retention_rules: false,
            debug: settings.debug,
        }
    }
}
