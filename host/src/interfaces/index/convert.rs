//! Conversions between the types of the world and those of the index, field by field.

use larder_index::{
    AttachOutcome, Attachment, Departed, Entry, MatchKind, Near, Probe, Reservation, Slot, Trust, Upload,
};

use crate::interfaces::bindings::larder::cache::index as wit;

impl From<wit::Probe> for Probe {
    fn from(probe: wit::Probe) -> Self {
        Self { scope: probe.scope, key: probe.key, kind: probe.kind.into() }
    }
}

impl From<wit::MatchKind> for MatchKind {
    fn from(kind: wit::MatchKind) -> Self {
        match kind {
            wit::MatchKind::Exact => Self::Exact,
            wit::MatchKind::Prefix => Self::Prefix,
        }
    }
}

impl From<&Near> for wit::NearEntry {
    fn from(near: &Near) -> Self {
        Self { entry: (&near.entry).into(), quarantined: near.quarantined }
    }
}

impl From<Departed> for wit::Departed {
    fn from(departed: Departed) -> Self {
        let trust = Trust::of(departed.trust, &departed.slot.scope).into();
        Self {
            slot: (&departed.slot).into(),
            size_bytes: departed.size_bytes,
            created_ms: departed.created_ms,
            last_used_ms: departed.last_used_ms,
            uses: departed.uses,
            trust,
            cause: departed.departure.cause.into(),
            departed_ms: departed.departure.at_ms,
        }
    }
}

impl From<&Slot> for wit::Slot {
    fn from(slot: &Slot) -> Self {
        let Slot { repository, scope, version, key } = slot.clone();
        Self { repository, scope, version, key }
    }
}

impl From<&Entry> for wit::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id.0,
            slot: (&entry.slot).into(),
            object: entry.object.to_string(),
            size_bytes: entry.size_bytes,
            created_ms: entry.created_ms,
            last_used_ms: entry.last_used_ms,
            owner: entry.owner.clone(),
        }
    }
}

impl From<&Upload> for wit::Upload {
    fn from(upload: &Upload) -> Self {
        let attachment =
            |a: &Attachment| wit::Attachment { object: a.object.to_string(), size_bytes: a.size_bytes };
        Self {
            id: upload.id.0,
            name: upload.name.to_string(),
            slot: (&upload.slot).into(),
            owner: upload.owner.clone(),
            created_ms: upload.created_ms,
            last_activity_ms: upload.last_activity_ms,
            attachment: upload.attachment.as_ref().map(attachment),
        }
    }
}

impl From<Reservation> for wit::Reservation {
    fn from(reservation: Reservation) -> Self {
        match reservation {
            Reservation::Reserved(upload) => Self::Reserved((&upload).into()),
            Reservation::Entry(entry) => Self::Entry((&entry).into()),
            Reservation::Upload(upload) => Self::Upload((&upload).into()),
        }
    }
}

impl From<AttachOutcome> for wit::AttachOutcome {
    fn from(outcome: AttachOutcome) -> Self {
        match outcome {
            AttachOutcome::Attached(replaced) => Self::Attached(replaced.map(|object| object.to_string())),
            AttachOutcome::Gone => Self::Gone,
        }
    }
}
