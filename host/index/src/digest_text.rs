//! The digest of an object as it is stored: with the object's name, so that it is never taken for that of
//! another object.

use larder_storage::{Digest, ObjectName};

/// Returns the text of a column.
pub(crate) fn column(object: &ObjectName, digest: &Digest) -> String {
    format!("{object} {digest}")
}

/// Reads the text of a column. `None` if it is of another object, or of a kind that this release does not
/// know.
pub(crate) fn parse(object: &str, text: &str) -> Option<Digest> {
    let digest = text.strip_prefix(object)?.strip_prefix(' ')?;
    Digest::parse(digest).ok()
}
