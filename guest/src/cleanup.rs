//! Removal of objects and blocks that nothing refers to.
//!
//! Called by `service` and `blob` after the row that referred to them is gone: row first, object
//! second. A failure is logged, and does not fail the request: the sweep finds orphans.

use crate::ports::{Host, Level, StorageError};

/// Deletes the staged blocks of an upload.
pub(crate) async fn discard<H: Host>(host: &H, upload: String) {
    if let Err(error) = host.discard(upload.clone()).await {
        warn(host, "staged blocks not discarded", "upload", &upload, &error);
    }
}

/// Deletes an object.
pub(crate) async fn remove<H: Host>(host: &H, object: String) {
    if let Err(error) = host.remove(object.clone()).await {
        warn(host, "object not removed", "object", &object, &error);
    }
}

fn warn<H: Host>(host: &H, message: &str, kind: &str, name: &str, error: &StorageError) {
    host.log(Level::Warn, message, &[(kind, name), ("cause", &error.to_string())]);
}
