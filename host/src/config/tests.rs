#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod database;
mod environment;
mod example;
mod exposure;
mod names;
mod settings;
mod storage;

use std::{ffi::OsString, io::Write};

use super::{Config, ConfigError};

/// Loads a file of this text, with these variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut file = tempfile::Builder::new().prefix("larder").suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(Some(file.path()), pairs(variables))
}

fn from_env(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, pairs(variables))
}

fn pairs(variables: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>().into_iter()
}

/// Checks that the configuration is refused in one line that has each of `parts`, and not `secret`.
#[track_caller]
fn refused(outcome: Result<Config, ConfigError>, parts: &[&str]) {
    let error = outcome.expect_err("must be refused").to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    assert!(!error.contains("hush"), "shows a secret: {error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
}
