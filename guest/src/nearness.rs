//! What comes near a key that a lookup does not find, and why it is no match.
//!
//! Called by `service` for the log line of a miss, and by `explain`, so that both name the same
//! cause. Pure functions of their arguments.

use crate::ports::{Departed, Departure, MissCause, NearEntry, Nearby, Neighbour, Scope, Slot, Upload};

/// Texts of a departed slot that are longer than this, in bytes, are a beginning and a digest.
const MAX_KEPT_BYTES: usize = 255;
/// The length of that beginning.
const KEPT_BEGINNING_BYTES: usize = 200;

/// How near something is: the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// It is in the very place.
    Quarantined,
    Uploading,
    Departed,
    OtherVersion,
    Unreadable,
    OtherScope,
    /// It has the key, and nothing else in common: no reason for the miss.
    Far,
}

/// Where a lookup looks.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) scopes: &'a [Scope],
    pub(crate) version: &'a str,
}

/// What a lookup may do in a scope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    /// The token has the scope, and may not read it.
    Denied,
    /// The token does not have the scope.
    None,
}

/// The neighbours of a key, the nearest first.
#[derive(Default)]
pub(crate) struct Neighbours(Vec<(Distance, Neighbour)>);

impl Neighbours {
    /// Adds what is there. What a lookup finds is no neighbour.
    pub(crate) fn add_nearby(&mut self, wanted: &Wanted<'_>, Nearby { entries, uploads }: Nearby) {
        self.0.extend(entries.into_iter().filter_map(|near| wanted.judge_entry(near)));
        self.0.extend(uploads.into_iter().map(|upload| wanted.judge_upload(upload)));
        self.sort();
    }

    /// Adds what was deleted.
    pub(crate) fn add_departed(&mut self, wanted: &Wanted<'_>, departed: Vec<Departed>) {
        self.0.extend(departed.into_iter().map(|departed| wanted.judge_departed(departed)));
        self.sort();
    }

    /// Adds those that are not there yet, after these.
    pub(crate) fn append(&mut self, further: Self) {
        for (_, neighbour) in further.0 {
            if !self.0.iter().any(|(_, known)| *known == neighbour) {
                self.0.push((Distance::Far, neighbour));
            }
        }
    }

    /// Returns whether nothing that was deleted can be nearer.
    pub(crate) fn is_decided(&self) -> bool {
        self.0.first().is_some_and(|(distance, _)| *distance < Distance::Departed)
    }

    /// Returns why the lookup found nothing.
    pub(crate) fn cause(&self) -> MissCause {
        let nearest = self.0.first().filter(|(distance, _)| *distance < Distance::Far);
        nearest.map_or(MissCause::NeverSaved, |(_, neighbour)| neighbour.cause)
    }

    /// Returns up to `most` of them.
    pub(crate) fn into_list(self, most: usize) -> Vec<Neighbour> {
        self.0.into_iter().take(most).map(|(_, neighbour)| neighbour).collect()
    }

    /// The later one first among equals.
    fn sort(&mut self) {
        let time_ms = |neighbour: &Neighbour| {
            neighbour.departed.as_ref().map_or(neighbour.created_ms, |departure| departure.at_ms)
        };
        self.0.sort_by_key(|(distance, neighbour)| (*distance, std::cmp::Reverse(time_ms(neighbour))));
    }
}

impl Wanted<'_> {
    fn access(&self, scope: &str) -> Access {
        let mut of_scope = self.scopes.iter().filter(|other| other.name == scope).peekable();
        match (of_scope.peek().is_some(), of_scope.any(|scope| scope.read)) {
            (false, _) => Access::None,
            (true, true) => Access::Read,
            (true, false) => Access::Denied,
        }
    }

    fn judge_entry(&self, NearEntry { entry, quarantined }: NearEntry) -> Option<(Distance, Neighbour)> {
        let same_version = entry.slot.version == self.version;
        let (distance, cause) = match (self.access(&entry.slot.scope), same_version) {
            (Access::Read, true) if quarantined => (Distance::Quarantined, MissCause::Quarantined),
            (Access::Read, true) => return None,
            (Access::Read, false) => (Distance::OtherVersion, MissCause::OtherVersion),
            (Access::Denied, true) => (Distance::Unreadable, MissCause::Denied),
            (Access::Denied | Access::None, _) => (Distance::OtherScope, MissCause::OtherScope),
        };
        let (id, size_bytes) = (Some(entry.id), Some(entry.size_bytes));
        let created_ms = entry.created_ms;
        let neighbour =
            Neighbour { cause, slot: entry.slot, entry: id, size_bytes, created_ms, departed: None };
        Some((distance, neighbour))
    }

    fn judge_upload(&self, upload: Upload) -> (Distance, Neighbour) {
        let same_version = upload.slot.version == self.version;
        let (distance, cause) = match (self.access(&upload.slot.scope), same_version) {
            (Access::Read, true) => (Distance::Uploading, MissCause::Uploading),
            (Access::Read, false) => (Distance::Far, MissCause::OtherVersion),
            (Access::Denied | Access::None, _) => (Distance::Far, MissCause::OtherScope),
        };
        let Upload { slot, created_ms, .. } = upload;
        (distance, Neighbour { cause, slot, entry: None, size_bytes: None, created_ms, departed: None })
    }

    fn judge_departed(&self, departed: Departed) -> (Distance, Neighbour) {
        let is_here = self.access(&departed.slot.scope) == Access::Read
            && is_same_text(&departed.slot.version, self.version);
        let distance = if is_here { Distance::Departed } else { Distance::Far };
        let Departed { slot, size_bytes, created_ms, cause, departed_ms, .. } = departed;
        let neighbour = Neighbour {
            cause: (&cause).into(),
            slot,
            entry: None,
            size_bytes: Some(size_bytes),
            created_ms,
            departed: Some(Departure { at_ms: departed_ms, cause }),
        };
        (distance, neighbour)
    }
}

/// Returns whether a departed entry was in this slot, as far as its texts tell.
pub(crate) fn was_in(departed: &Slot, slot: &Slot) -> bool {
    departed.repository == slot.repository
        && departed.scope == slot.scope
        && is_same_text(&departed.version, &slot.version)
}

/// Compares a text with one that may have been shortened: of a long one only the beginning.
fn is_same_text(kept: &str, text: &str) -> bool {
    if text.len() <= MAX_KEPT_BYTES {
        return kept == text;
    }
    let end = text.floor_char_boundary(KEPT_BEGINNING_BYTES);
    kept.starts_with(&text[..end])
}

#[cfg(test)]
mod tests;
