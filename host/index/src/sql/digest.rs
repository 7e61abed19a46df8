//! What stands for the client's texts where they are too long for an index.
//!
//! Stored: never to be changed without a migration.

use aws_lc_rs::digest::{Context, SHA256};

use crate::{KeyRule, Slot};

/// How many bytes of a key are in an index. As in the migrations.
pub(super) const HEAD_BYTES: usize = 255;

/// Stands for repository, scope and version.
pub(super) fn place(repository: &str, scope: &str, version: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in [repository, scope, version] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

/// Stands for a key in a place: for what it is compared as.
pub(super) fn slot(place: &[u8], key: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(place);
    context.update(key.as_bytes());
    context.finish().as_ref().to_vec()
}

/// The place of a slot.
pub(super) fn place_of(slot: &Slot) -> Vec<u8> {
    place(&slot.repository, &slot.scope, &slot.version)
}

/// The digest of a slot.
pub(super) fn digest_of(of: &Slot, rule: KeyRule) -> Vec<u8> {
    slot(&place_of(of), &rule.compared(&of.key))
}

/// How a key begins, as an index has it.
fn head(key: &str) -> &[u8] {
    &key.as_bytes()[..key.len().min(HEAD_BYTES)]
}

/// The heads of keys with a prefix: from `low` to before `high`.
pub(super) struct Range {
    pub(super) low: Vec<u8>,
    pub(super) high: Vec<u8>,
}

/// Returns the heads of the keys that may have this prefix: exactly those where the prefix is not longer than a head.
pub(super) fn range(prefix: &str) -> Range {
    let low = head(prefix).to_vec();
    let mut high = low.clone();
    match high.last_mut() {
        // No byte of UTF-8 is the largest one.
        Some(last) => *last += 1,
        None => high.push(u8::MAX),
    }
    Range { low, high }
}
