//! Decisions about entries and saves.

use larder_common::{
    event::{Event, EventKind},
    facts::Facts,
};
use larder_index::{Departure, Entry};
use larder_rules::{Caller, Save};

/// An entry that the rules passed over in a look-up.
pub(crate) fn skipped(asked: &Asked<'_>, entry: &Entry, reason: &str) -> Event {
    Event {
        scope: Some(entry.slot.scope.clone()),
        key: Some(entry.slot.key.clone()),
        version: Some(entry.slot.version.clone()),
        entry: Some(entry.id.0),
        size: Some(entry.size_bytes),
        reason: Some(reason.to_owned()),
        ..asked.event(EventKind::Skip)
    }
}

/// A save that the rules refused.
pub(crate) fn refused(asked: &Asked<'_>, save: &Save, reason: &str) -> Event {
    Event {
        key: Some(save.key.clone()),
        version: Some(save.version.clone()),
        size: save.size_kib.map(|kib| u64::from(kib) * 1024),
        reason: Some(reason.to_owned()),
        ..asked.event(EventKind::Refuse)
    }
}

/// A request about which the rules were asked.
pub(crate) struct Asked<'a> {
    /// Its id.
    pub(crate) request: &'a str,
    /// When it was, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// Who made it.
    pub(crate) caller: &'a Caller,
}

impl Asked<'_> {
    /// A decision: who it was made about.
    fn event(&self, kind: EventKind) -> Event {
        let Caller { repository, scopes, claims, client } = self.caller;
        let pairs: Vec<(&str, &str)> = claims.iter().map(|(name, value)| (&**name, &**value)).collect();
        Event {
            request: Some(self.request.to_owned()),
            repository: repository.clone(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            client: client.clone(),
            // They were facts before, so they fit.
            facts: Facts::try_from(pairs.as_slice()).unwrap_or_default(),
            ..Event::new(kind, self.at_ms)
        }
    }
}

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
