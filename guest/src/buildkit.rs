//! The entries of BuildKit: layers, and the indexes that name them.
//!
//! Called by `retention` and `room`. A build that finds its index and then misses a layer fails, so a
//! layer is kept as long as an index may name it. The policy cannot read an index, but the times bound
//! its layers: a layer that it names was created before it, and last used at most
//! [`LAYER_MARGIN_MS`] before it was created, by the export that created both.

use std::ops::RangeInclusive;

use crate::ports::{Entry, Slot};

/// How much longer than other entries a layer of BuildKit is kept, and the longest time between its
/// use and the creation of an index by the same export, in milliseconds: a day. An export looks up
/// or saves each layer before it saves the index that names it. An export takes minutes, a job at
/// most hours.
pub(crate) const LAYER_MARGIN_MS: u64 = 24 * 60 * 60 * 1000;

/// How far in the future a creation time may be, in milliseconds: a day, which extends the
/// retention of the entry as much. A later one was written while a clock was wrong, and is ignored.
/// The host corrects last-used times in the future.
pub(crate) const AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// The prefix of the keys of layers (protocol reference 5.2).
const LAYER: &str = "buildkit-blob-";
/// The prefix of the keys of indexes.
pub(crate) const INDEX: &str = "index-";

/// Returns whether the slot is a layer's.
pub(crate) fn is_layer(slot: &Slot) -> bool {
    starts_with(slot, LAYER)
}

/// Returns whether the slot is an index's.
pub(crate) fn is_index(slot: &Slot) -> bool {
    starts_with(slot, INDEX)
}

/// Returns whether the slot's key starts with the prefix. Ignores ASCII case, as the matching of
/// keys.
pub(crate) fn starts_with(slot: &Slot, prefix: &str) -> bool {
    slot.key.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Returns whether the index may name the layer. In any scope: the index of a pull request names
/// layers of the default branch. An unknown creation time may be any time.
pub(crate) fn may_name(now_ms: u64, index: &Entry, layer: &Entry) -> bool {
    index.slot.repository == layer.slot.repository
        && (is_ahead(now_ms, index.created_ms) || named_between(now_ms, layer).contains(&index.created_ms))
}

/// Returns when the indexes were created that may name the layer, where that is known.
pub(crate) fn named_between(now_ms: u64, layer: &Entry) -> RangeInclusive<u64> {
    let first_ms =
        if is_ahead(now_ms, layer.created_ms) { 0 } else { layer.created_ms.saturating_sub(LAYER_MARGIN_MS) };
    first_ms..=last_use_ms(now_ms, layer).saturating_add(LAYER_MARGIN_MS)
}

/// Returns when the entry was last used, or created.
pub(crate) fn last_use_ms(now_ms: u64, entry: &Entry) -> u64 {
    if is_ahead(now_ms, entry.created_ms) {
        entry.last_used_ms
    } else {
        entry.last_used_ms.max(entry.created_ms)
    }
}

/// Returns whether a time was written while a clock was wrong.
pub(crate) fn is_ahead(now_ms: u64, time_ms: u64) -> bool {
    time_ms > now_ms.saturating_add(AHEAD_MS)
}
