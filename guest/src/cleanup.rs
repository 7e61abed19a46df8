//! Throwing away what nothing refers to any more.
//!
//! Called by `twirp` and `blob` after the row that referred to it is gone: row first, object second. A failure is logged and
//! not an error of the request: the sweep finds orphans.

use crate::ports::{Host, Level, StorageError};

/// Frees what is staged in an upload.
pub(crate) async fn discard<H: Host>(host: &H, upload: String) {
    if let Err(error) = host.discard(upload.clone()).await {
        report(host, "staged blocks not discarded", "upload", &upload, &error);
    }
}

/// Deletes an object.
pub(crate) async fn remove<H: Host>(host: &H, object: String) {
    if let Err(error) = host.remove(object.clone()).await {
        report(host, "object not removed", "object", &object, &error);
    }
}

fn report<H: Host>(host: &H, message: &str, what: &str, name: &str, error: &StorageError) {
    host.log(Level::Warn, message, &[(what, name), ("cause", &error.to_string())]);
}
