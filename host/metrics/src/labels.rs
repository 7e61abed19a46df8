//! The values of labels that are a fixed set of words, and the sets of labels.

use std::{fmt, sync::Arc};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};

/// Defines a set of words for a label.
macro_rules! words {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// The word in the label.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&self.word(), encoder)
            }
        }
    };
}

words! {
    /// The protocol of a request.
    pub(crate) enum Dialect {
        V1 = "v1",
        V2 = "v2",
        Other = "other",
    }
}

words! {
    /// Which way bytes go.
    pub(crate) enum Path {
        /// Through this server.
        Proxied = "proxied",
        /// From the storage itself: by a URL that was handed out, and counted then.
        Direct = "direct",
    }
}

words! {
    /// What a request is for: a fixed set, and not its path.
    pub(crate) enum Route {
        Lookup = "lookup",
        Reserve = "reserve",
        Upload = "upload",
        Finalize = "finalize",
        Download = "download",
        Health = "health",
        Webhook = "webhook",
        Forward = "forward",
        Other = "other",
    }
}

words! {
    pub(crate) enum LookupResult {
        Hit = "hit",
        Miss = "miss",
        Stale = "stale",
    }
}

words! {
    /// By which of its keys a look-up found its entry.
    pub(crate) enum MatchedBy {
        /// The key itself.
        Exact = "exact",
        /// The key, as the beginning of the entry's.
        Prefix = "prefix",
        /// A restore key.
        Restore = "restore",
        None = "none",
    }
}

words! {
    pub(crate) enum ReservationResult {
        Granted = "granted",
        Exists = "exists",
        Denied = "denied",
        Full = "full",
        Refused = "refused",
        Failed = "failed",
    }
}

words! {
    pub(crate) enum UploadResult {
        Finalized = "finalized",
        Mismatch = "mismatch",
        Denied = "denied",
        Refused = "refused",
        Failed = "failed",
        Abandoned = "abandoned",
    }
}

words! {
    /// Why somebody may not save.
    pub(crate) enum DeniedCause {
        /// The token has no scope that it may write.
        ReadOnlyToken = "read_only_token",
        /// The entry of the key was revoked or evicted, and the saver is of low trust.
        Barred = "barred",
        /// The policy, or a rule of it, for another reason.
        Policy = "policy",
    }
}

words! {
    /// Why a token, or a signed URL, is not accepted.
    pub enum AuthFailure {
        /// There is no token.
        Missing = "missing",
        /// It is no token.
        Malformed = "malformed",
        /// It is too old.
        Expired = "expired",
        /// It is not valid yet.
        NotYetValid = "not_yet_valid",
        /// Its signature is wrong, or by a key that is not accepted.
        Signature = "signature",
        /// Its issuer is not trusted.
        Issuer = "issuer",
        /// A claim is missing or malformed.
        Claim = "claim",
        /// Its audience is another one.
        Audience = "audience",
        /// Its repository may not use this server.
        NotAllowed = "not_allowed",
        /// The issuer's keys cannot be fetched.
        Unavailable = "unavailable",
        /// A URL without a signature.
        UrlUnsigned = "url_unsigned",
        /// A URL that has expired.
        UrlExpired = "url_expired",
        /// A URL whose signature is wrong.
        UrlSignature = "url_signature",
    }
}

words! {
    /// How a call of the policy ended.
    pub enum PolicyResult {
        /// With an answer.
        Ok = "ok",
        /// The instance trapped, ran too long or broke a rule of the world during the call.
        Failed = "failed",
    }
}

words! {
    /// How an instance of the policy failed.
    pub enum PolicyFault {
        /// It trapped: by itself, at its limit of memory, or for want of stack.
        Trap = "trap",
        /// It computed for too long without a pause.
        Timeout = "timeout",
        /// It broke a rule of the world.
        Other = "other",
    }
}

words! {
    /// What a sweep covered.
    pub enum SweepStage {
        /// Abandoned uploads alone.
        Uploads = "uploads",
        /// Uploads, entries and orphans.
        Full = "full",
    }
}

words! {
    pub(crate) enum Success {
        Ok = "ok",
        Error = "error",
    }
}

impl Success {
    pub(crate) fn of(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Error }
    }
}

/// A label whose values are bounded elsewhere. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text(pub(crate) Arc<str>);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) dialect: Dialect,
    pub(crate) route: Route,
    pub(crate) code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DurationLabels {
    pub(crate) dialect: Dialect,
    pub(crate) route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByFault {
    pub(crate) cause: PolicyFault,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByRoute {
    pub(crate) route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BytesLabels {
    pub(crate) dialect: Dialect,
    pub(crate) path: Path,
}

/// Its encoding is written out, because `match` is no name of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LookupLabels {
    pub(crate) result: LookupResult,
    pub(crate) matched_by: MatchedBy,
    pub(crate) repository: Text,
    pub(crate) tool: Text,
}

impl EncodeLabelSet for LookupLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = [
            ("result", self.result.word()),
            ("match", self.matched_by.word()),
            ("repository", self.repository.as_str()),
            ("tool", self.tool.as_str()),
        ];
        labels.encode(encoder)
    }
}

/// Defines a set of one label.
macro_rules! by {
    ($($name:ident { $label:ident: $type:ty })+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub(crate) struct $name {
                pub(crate) $label: $type,
            }
        )+
    };
}

by! {
    ByMiss { cause: &'static str }
    ByFit { would_fit: &'static str }
    ByReservation { result: ReservationResult }
    ByUpload { result: UploadResult }
    ByDenied { cause: DeniedCause }
    ByAuthFailure { reason: AuthFailure }
    ByReason { reason: &'static str }
    ByTool { tool: Text }
    ByCode { code: u16 }
    ByLookup { result: LookupResult }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SweepLabels {
    pub(crate) stage: SweepStage,
    pub(crate) result: Success,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByStage {
    pub(crate) stage: SweepStage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PolicyLabels {
    pub(crate) call: &'static str,
    pub(crate) result: PolicyResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByCall {
    pub(crate) call: &'static str,
}
