//! Conversions between the generated types and those of `ports`, field by field.

use std::cell::RefCell;

use super::Imports;
use super::wit::larder::cache::{auth, http, index, log, rules, settings, storage, types};
use crate::ports;

impl From<types::Request> for ports::Request<types::IncomingRequest> {
    fn from(from: types::Request) -> Self {
        let types::Request { id, received_ms, method, path, query, headers, origin, rules, incoming } = from;
        let types::AskedRules { restore, save } = rules;
        let rules = ports::AskedRules { restore, save };
        let outcome = RefCell::default();
        Self { id, received_ms, method, path, query, headers, origin, rules, incoming, outcome }
    }
}

impl From<ports::Response<Imports>> for types::Response {
    fn from(from: ports::Response<Imports>) -> Self {
        let payload = match from.payload {
            ports::Payload::Empty => types::Payload::Empty,
            ports::Payload::Bytes(bytes) => types::Payload::Bytes(bytes),
            ports::Payload::Object(object) => types::Payload::Object(object),
            ports::Payload::Upstream(response) => types::Payload::Upstream(response),
        };
        let outcome = from.outcome.map(|outcome| convert_outcome(outcome, from.status));
        Self { status: from.status, headers: from.headers, payload, outcome }
    }
}

fn convert_outcome(from: ports::Outcome, status: u16) -> types::Outcome {
    let kind = match from.kind_or(status) {
        ports::OutcomeKind::Hit => types::OutcomeKind::Hit,
        ports::OutcomeKind::Miss => types::OutcomeKind::Miss,
        ports::OutcomeKind::Stale => types::OutcomeKind::Stale,
        ports::OutcomeKind::Reserved => types::OutcomeKind::Reserved,
        ports::OutcomeKind::Exists => types::OutcomeKind::Exists,
        ports::OutcomeKind::Stored => types::OutcomeKind::Stored,
        ports::OutcomeKind::Committed => types::OutcomeKind::Committed,
        ports::OutcomeKind::Finalized => types::OutcomeKind::Finalized,
        ports::OutcomeKind::Served => types::OutcomeKind::Served,
        ports::OutcomeKind::Forwarded => types::OutcomeKind::Forwarded,
        ports::OutcomeKind::Denied => types::OutcomeKind::Denied,
        ports::OutcomeKind::Refused => types::OutcomeKind::Refused,
        ports::OutcomeKind::Failed => types::OutcomeKind::Failed,
    };
    let ports::Outcome { kind: _, repository, scope, key, version, matched_key, upload, entry, reason, miss } =
        from;
    let miss = miss.map(Into::into);
    types::Outcome { kind, repository, scope, key, version, matched_key, upload, entry, reason, miss }
}

impl From<ports::ByteRange> for types::ByteRange {
    fn from(ports::ByteRange { start, end }: ports::ByteRange) -> Self {
        Self { start, end }
    }
}

impl From<ports::Level> for log::Level {
    fn from(from: ports::Level) -> Self {
        match from {
            ports::Level::Debug => Self::Debug,
            ports::Level::Info => Self::Info,
            ports::Level::Warn => Self::Warn,
            ports::Level::Error => Self::Error,
        }
    }
}

impl From<settings::Settings> for ports::Settings {
    fn from(from: settings::Settings) -> Self {
        let settings::Settings {
            upload_url_ms,
            download_url_ms,
            idle_upload_ms,
            unused_entry_ms,
            never_used_ms,
            max_age_ms,
            keep_newest,
            barred_ms,
            max_entry_bytes,
            parallel_download_origin,
            direct_url_ms,
            has_retention_rules,
            debug,
        } = from;
        let keep = |settings::KeepNewest { prefix, keep }| ports::KeepNewest { prefix, keep };
        Self {
            upload_url_ms,
            download_url_ms,
            idle_upload_ms,
            unused_entry_ms,
            never_used_ms,
            max_age_ms,
            keep_newest: keep_newest.into_iter().map(keep).collect(),
            barred_ms,
            max_entry_bytes,
            parallel_download_origin,
            direct_url_ms,
            has_retention_rules,
            debug,
        }
    }
}

impl From<auth::Error> for ports::AuthError {
    fn from(from: auth::Error) -> Self {
        match from {
            auth::Error::Missing => Self::Missing,
            auth::Error::Malformed(reason) => Self::Malformed(reason),
            auth::Error::Expired => Self::Expired,
            auth::Error::NotYetValid => Self::NotYetValid,
            auth::Error::BadSignature => Self::BadSignature,
            auth::Error::UntrustedIssuer(issuer) => Self::UntrustedIssuer(issuer),
            auth::Error::BadClaim(claim) => Self::BadClaim(claim),
            auth::Error::NotAllowed(repository) => Self::NotAllowed(repository),
            auth::Error::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<auth::Claims> for ports::Claims {
    fn from(from: auth::Claims) -> Self {
        let auth::Claims { repository, scopes, owner, expires_ms } = from;
        let scope = |auth::Scope { name, read, write }| ports::Scope { name, read, write };
        Self { repository, scopes: scopes.into_iter().map(scope).collect(), owner, expires_ms }
    }
}

impl From<http::Error> for ports::HttpError {
    fn from(from: http::Error) -> Self {
        match from {
            http::Error::TooLarge => Self::TooLarge,
            http::Error::CutShort => Self::CutShort,
            http::Error::BodyUsed => Self::BodyUsed,
            http::Error::Busy => Self::Busy,
            http::Error::NoUpstream => Self::NoUpstream,
            http::Error::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<storage::Error> for ports::StorageError {
    fn from(from: storage::Error) -> Self {
        match from {
            storage::Error::NotFound => Self::NotFound,
            storage::Error::NoSpace => Self::NoSpace,
            storage::Error::TooLarge => Self::TooLarge,
            storage::Error::Invalid(reason) => Self::Invalid(reason),
            storage::Error::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<storage::Stored> for ports::Stored {
    fn from(storage::Stored { object, size_bytes }: storage::Stored) -> Self {
        Self { object, size_bytes }
    }
}

impl From<storage::Block> for ports::Block {
    fn from(storage::Block { id, size_bytes }: storage::Block) -> Self {
        Self { id, size_bytes }
    }
}

impl From<index::Attachment> for ports::Stored {
    fn from(index::Attachment { object, size_bytes }: index::Attachment) -> Self {
        Self { object, size_bytes }
    }
}

impl From<ports::Stored> for index::Attachment {
    fn from(ports::Stored { object, size_bytes }: ports::Stored) -> Self {
        Self { object, size_bytes }
    }
}

impl From<index::Error> for ports::IndexError {
    fn from(from: index::Error) -> Self {
        match from {
            index::Error::Unavailable(cause) => Self::Unavailable(cause),
            index::Error::NoSpace => Self::NoSpace,
        }
    }
}

impl From<index::Slot> for ports::Slot {
    fn from(index::Slot { repository, scope, version, key }: index::Slot) -> Self {
        Self { repository, scope, version, key }
    }
}

impl From<ports::Slot> for index::Slot {
    fn from(ports::Slot { repository, scope, version, key }: ports::Slot) -> Self {
        Self { repository, scope, version, key }
    }
}

impl From<index::Entry> for ports::Entry {
    fn from(from: index::Entry) -> Self {
        let index::Entry { id, slot, object, size_bytes, created_ms, last_used_ms, owner } = from;
        Self { id, slot: slot.into(), object, size_bytes, created_ms, last_used_ms, owner }
    }
}

impl From<index::Upload> for ports::Upload {
    fn from(from: index::Upload) -> Self {
        let index::Upload { id, name, slot, owner, created_ms, last_activity_ms, attachment } = from;
        Self {
            id,
            name,
            slot: slot.into(),
            owner,
            created_ms,
            last_activity_ms,
            attachment: attachment.map(Into::into),
        }
    }
}

impl From<ports::Probe> for index::Probe {
    fn from(ports::Probe { scope, key, kind }: ports::Probe) -> Self {
        Self { scope, key, kind: kind.into() }
    }
}

impl From<ports::MatchKind> for index::MatchKind {
    fn from(kind: ports::MatchKind) -> Self {
        match kind {
            ports::MatchKind::Exact => Self::Exact,
            ports::MatchKind::Prefix => Self::Prefix,
        }
    }
}

impl From<types::Trust> for ports::Trust {
    fn from(from: types::Trust) -> Self {
        match from {
            types::Trust::Low => Self::Low,
            types::Trust::Full => Self::Full,
        }
    }
}

impl From<ports::Trust> for types::Trust {
    fn from(from: ports::Trust) -> Self {
        match from {
            ports::Trust::Low => Self::Low,
            ports::Trust::Full => Self::Full,
        }
    }
}

impl From<index::Nearby> for ports::Nearby {
    fn from(index::Nearby { entries, uploads }: index::Nearby) -> Self {
        let near =
            |index::NearEntry { entry, quarantined }| ports::NearEntry { entry: entry.into(), quarantined };
        Self {
            entries: entries.into_iter().map(near).collect(),
            uploads: uploads.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<index::Departed> for ports::Departed {
    fn from(from: index::Departed) -> Self {
        let index::Departed { slot, size_bytes, created_ms, last_used_ms, uses, trust, cause, departed_ms } =
            from;
        let (slot, trust, cause) = (slot.into(), trust.into(), cause.into());
        Self { slot, size_bytes, created_ms, last_used_ms, uses, trust, cause, departed_ms }
    }
}

impl From<index::Reservation> for ports::Reservation {
    fn from(from: index::Reservation) -> Self {
        match from {
            index::Reservation::Reserved(upload) => Self::Reserved(upload.into()),
            index::Reservation::Entry(entry) => Self::Entry(entry.into()),
            index::Reservation::Upload(upload) => Self::Upload(upload.into()),
        }
    }
}

impl From<index::AttachOutcome> for ports::AttachOutcome {
    fn from(from: index::AttachOutcome) -> Self {
        match from {
            index::AttachOutcome::Attached(replaced) => Self::Attached(replaced),
            index::AttachOutcome::Gone => Self::Gone,
        }
    }
}

impl From<types::DepartureCause> for ports::Cause {
    fn from(from: types::DepartureCause) -> Self {
        match from {
            types::DepartureCause::Age => Self::Age,
            types::DepartureCause::NeverUsed => Self::NeverUsed,
            types::DepartureCause::MaxAge => Self::MaxAge,
            types::DepartureCause::Superseded => Self::Superseded,
            types::DepartureCause::Size => Self::Size,
            types::DepartureCause::Quota => Self::Quota,
            types::DepartureCause::Stale => Self::Stale,
            types::DepartureCause::Manual => Self::Manual,
            types::DepartureCause::Revoked => Self::Revoked,
            types::DepartureCause::ClosedScope => Self::ClosedScope,
            types::DepartureCause::Rule(name) => Self::Rule(name),
        }
    }
}

impl From<ports::Cause> for types::DepartureCause {
    fn from(from: ports::Cause) -> Self {
        match from {
            ports::Cause::Age => Self::Age,
            ports::Cause::NeverUsed => Self::NeverUsed,
            ports::Cause::MaxAge => Self::MaxAge,
            ports::Cause::Superseded => Self::Superseded,
            ports::Cause::Size => Self::Size,
            ports::Cause::Quota => Self::Quota,
            ports::Cause::Stale => Self::Stale,
            ports::Cause::Manual => Self::Manual,
            ports::Cause::Revoked => Self::Revoked,
            ports::Cause::ClosedScope => Self::ClosedScope,
            ports::Cause::Rule(name) => Self::Rule(name),
        }
    }
}

impl From<ports::MissCause> for types::MissCause {
    fn from(from: ports::MissCause) -> Self {
        match from {
            ports::MissCause::NeverSaved => Self::NeverSaved,
            ports::MissCause::OtherScope => Self::OtherScope,
            ports::MissCause::OtherVersion => Self::OtherVersion,
            ports::MissCause::Uploading => Self::Uploading,
            ports::MissCause::Stale => Self::Stale,
            ports::MissCause::Quarantined => Self::Quarantined,
            ports::MissCause::Expired => Self::Expired,
            ports::MissCause::Evicted => Self::Evicted,
            ports::MissCause::Superseded => Self::Superseded,
            ports::MissCause::Revoked => Self::Revoked,
            ports::MissCause::ClosedScope => Self::ClosedScope,
            ports::MissCause::Deleted => Self::Deleted,
            ports::MissCause::Denied => Self::Denied,
            ports::MissCause::Rule => Self::Rule,
        }
    }
}

impl From<ports::IndexError> for index::Error {
    fn from(from: ports::IndexError) -> Self {
        match from {
            ports::IndexError::Unavailable(cause) => Self::Unavailable(cause),
            ports::IndexError::NoSpace => Self::NoSpace,
        }
    }
}

impl From<ports::Entry> for index::Entry {
    fn from(from: ports::Entry) -> Self {
        let ports::Entry { id, slot, object, size_bytes, created_ms, last_used_ms, owner } = from;
        Self { id, slot: slot.into(), object, size_bytes, created_ms, last_used_ms, owner }
    }
}

impl From<ports::Scope> for auth::Scope {
    fn from(ports::Scope { name, read, write }: ports::Scope) -> Self {
        Self { name, read, write }
    }
}

impl From<rules::Hit> for ports::HitVerdict {
    fn from(from: rules::Hit) -> Self {
        match from {
            rules::Hit::Accept => Self::Accept,
            rules::Hit::Skip(reason) => Self::Skip(reason),
            rules::Hit::Expired => Self::Expired,
        }
    }
}

impl From<rules::Verdict> for ports::SaveVerdict {
    fn from(from: rules::Verdict) -> Self {
        match from {
            rules::Verdict::Accept(facts) => Self::Accept(facts),
            rules::Verdict::Refuse(reason) => Self::Refuse(reason),
            rules::Verdict::RefuseQuietly(reason) => Self::RefuseQuietly(reason),
        }
    }
}
