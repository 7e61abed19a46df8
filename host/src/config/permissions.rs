//! Files with secrets that others on this machine can read.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use toml::{Table, Value};

use super::{
    Provenance, Settings,
    effective::{Provenances, each_setting},
    file::RawSettings,
    secret::MASK,
};

/// Reading, for the group and for all others.
const READABLE: u32 = 0o044;

/// Returns a sentence for each file that holds a secret in force and that others can read.
pub(super) fn warnings(settings: &Settings, source: &RawSettings) -> Vec<String> {
    let configured = source.path().filter(|_| has_secrets(settings, &source.provenances));
    let key = settings.storage.gcs.service_account_key.as_ref().map(|key| Path::new(key.expose()));
    let tls = settings.server.tls.key.as_deref();
    [configured, key, tls].into_iter().flatten().filter_map(warning).collect()
}

fn warning(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.permissions().mode() & 0o777;
    (mode & READABLE != 0).then(|| {
        let path = path.display();
        format!("{path} holds a secret, and other users of this machine can read it (mode {mode:o}): chmod 600 {path}")
    })
}

/// Secrets are the settings that are shown masked.
fn has_secrets(settings: &Settings, provenances: &Provenances) -> bool {
    let table = Table::try_from(settings).unwrap_or_default();
    let mut found = false;
    each_setting(&table, &mut String::new(), &mut |name, value| {
        found |= is_masked(value) && provenances.get(name) == Provenance::File;
    });
    found
}

fn is_masked(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Array(values) => values.iter().any(is_masked),
        _ => false,
    }
}
