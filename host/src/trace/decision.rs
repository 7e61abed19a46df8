//! Decisions about entries.

use larder_common::event::{Event, EventKind};
use larder_index::{Departure, Entry};

/// An entry that was deleted to make room.
pub(crate) fn evicted(entry: &Entry, departure: &Departure) -> Event {
    about(EventKind::Evict, entry, departure)
}

/// An entry that a sweep deleted.
pub(crate) fn swept(entry: &Entry, departure: &Departure) -> Event {
    about(EventKind::Delete, entry, departure)
}

fn about(kind: EventKind, entry: &Entry, departure: &Departure) -> Event {
    let slot = &entry.slot;
    Event {
        repository: slot.repository.clone(),
        scope: Some(slot.scope.clone()),
        key: Some(slot.key.clone()),
        version: Some(slot.version.clone()),
        entry: Some(entry.id.0),
        size: Some(entry.size_bytes),
        cause: Some(departure.cause.to_string()),
        ..Event::new(kind, departure.at_ms)
    }
}
