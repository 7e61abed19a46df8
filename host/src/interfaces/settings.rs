//! `larder:cache/settings`: the operator's settings.

use super::{
    bindings::larder::cache::settings::{Host, KeepNewest, Settings},
    rules,
    state::State,
};

impl Host for State {
    fn get(&mut self) -> wasmtime::Result<Settings> {
        let settings = &self.tenant.settings;
        Ok(Settings {
            upload_url_ms: settings.upload_url_ms,
            download_url_ms: settings.download_url_ms,
            idle_upload_ms: settings.idle_upload_ms,
            unused_entry_ms: settings.unused_entry_ms,
            never_used_ms: settings.never_used_ms,
            max_age_ms: settings.max_age_ms,
            keep_newest: settings
                .keep_newest
                .iter()
                .map(|rule| KeepNewest { prefix: rule.prefix.clone(), keep: rule.keep })
                .collect(),
            barred_ms: settings.barred_ms,
            max_entry_bytes: settings.max_entry_bytes,
            parallel_download_origin: settings.parallel_download_origin.clone(),
            direct_url_ms: settings.direct_url_ms,
            has_retention_rules: rules::may_delete_early(&self.tenant),
            debug: tracing::enabled!(target: super::log::TARGET, tracing::Level::DEBUG),
        })
    }
}
