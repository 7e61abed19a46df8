//! What the unit tests of several modules share.
#![allow(clippy::print_stderr, reason = "tests")]

use std::sync::Once;

/// Returns what the environment says of a real server that tests run against, or `None`, once told, where they are to be
/// skipped. `tests/scripts/with-services.sh` starts the servers and sets the variables; under `CI=true` none may be missing.
pub(crate) fn service(variable: &str) -> Option<String> {
    static TOLD: Once = Once::new();
    // The only place beside `config/` that reads the environment.
    if let Ok(value) = std::env::var(variable) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{variable} is not set: under CI every server must be there");
    TOLD.call_once(|| {
        eprintln!("{variable} is not set: tests against its server are skipped (see `make unit`)");
    });
    None
}
