//! Errors of the cache service.
//!
//! An error has a code, a message for the client, and a cause for the log. `twirp` and `v1` write
//! it in their own forms. There is no code for status 429: BuildKit would stall on it for minutes.

use std::borrow::Cow;

use crate::ports::{
    AuthError, Host, HttpError, IndexError, Level, Outcome, OutcomeKind, Request, StorageError,
};

/// Longest quoted text of others, in characters: some clients read only 32 KiB of an error.
const MAX_QUOTED_CHARS: usize = 512;

/// The kind of an error; decides the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A value is outside of its limits.
    InvalidArgument,
    /// The message cannot be read.
    Malformed,
    /// The token is missing or rejected.
    Unauthenticated,
    /// The token does not permit it.
    PermissionDenied,
    /// What is named does not exist.
    NotFound,
    /// The path, or the method, does not exist.
    BadRoute,
    /// What is to be made exists.
    AlreadyExists,
    /// A bug of this server.
    Internal,
    /// The upstream is unavailable.
    BadGateway,
    /// A retry may succeed.
    Unavailable,
    /// The storage or the disk of the index is full. No client retries its status, 507.
    NoSpace,
}

/// Why a call failed: a code, a message for the client, a cause for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    /// For the client.
    message: Cow<'static, str>,
    /// For the log only.
    cause: Option<String>,
    /// For the request's log line, in place of the message.
    reason: Option<Cow<'static, str>>,
}

impl Code {
    /// Returns the HTTP status, the same in both protocol versions.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound | Self::BadRoute => 404,
            Self::AlreadyExists => 409,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::NoSpace => 507,
        }
    }
}

impl Error {
    /// Returns an error with a message for the client.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None, reason: None }
    }

    /// Returns a bug of this server: the client learns no details.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        Self::new(Code::Internal, "internal error").with_cause(cause)
    }

    /// Returns the error for a repository that may not use this server. `@actions/cache` shows a
    /// warning if the message begins this way (protocol reference 1.3 and 1.5).
    pub(crate) fn not_allowed(repository: &str, writes: bool) -> Self {
        let access = if writes { "write" } else { "read" };
        Self::new(Code::PermissionDenied, format!("cache {access} denied: {}", clip(repository)))
    }

    /// Returns the error for content larger than an entry may be.
    pub(crate) fn too_large() -> Self {
        Self::new(Code::InvalidArgument, "the cache is larger than this server allows")
    }

    /// Adds a cause, which is logged and not sent.
    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Replaces what is logged as the reason; the client's message stays.
    pub(crate) fn with_reason(self, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// Replaces the message.
    pub(crate) fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// Returns the message for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Records the reason in the request's log line, and logs the cause, if there is one.
    pub(crate) fn log<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) {
        request.record(|outcome| self.note(outcome));
        if let Some(cause) = &self.cause {
            host.log(Level::Error, &self.message, &[("request", &request.id), ("cause", cause)]);
        }
    }

    /// Records the reason in an outcome.
    pub(crate) fn note(&self, outcome: &mut Outcome) {
        outcome.reason = Some(match (&self.cause, &self.reason) {
            (_, Some(reason)) => reason.clone().into_owned(),
            (Some(cause), None) => format!("{}: {cause}", self.message),
            (None, None) => self.message.clone().into_owned(),
        });
        outcome.kind = match self.code {
            Code::AlreadyExists => Some(OutcomeKind::Exists),
            Code::PermissionDenied | Code::Unauthenticated => Some(OutcomeKind::Denied),
            _ => None,
        };
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        let unauthenticated = |message: Cow<'static, str>| Self::new(Code::Unauthenticated, message);
        match error {
            AuthError::Missing => {
                unauthenticated("no token: send ACTIONS_RUNTIME_TOKEN as `Authorization: Bearer`".into())
            }
            AuthError::Malformed(reason) => {
                unauthenticated(format!("the token is malformed: {}", clip(&reason)).into())
            }
            AuthError::Expired => unauthenticated("the token has expired".into()),
            AuthError::NotYetValid => {
                unauthenticated("the token is not valid yet: are the clocks right?".into())
            }
            AuthError::BadSignature => unauthenticated("the token's signature is not accepted here".into()),
            AuthError::UntrustedIssuer(issuer) => {
                unauthenticated(format!("the token's issuer is not trusted here: {}", clip(&issuer)).into())
            }
            AuthError::BadClaim(claim) => unauthenticated(
                format!("a claim of the token is missing or malformed: {}", clip(&claim)).into(),
            ),
            AuthError::NotAllowed(repository) => Self::not_allowed(&repository, false),
            AuthError::Unavailable(cause) => {
                Self::new(Code::Unavailable, "cannot verify the token right now").with_cause(cause)
            }
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::new(Code::InvalidArgument, "the message is too large"),
            HttpError::CutShort => Self::new(Code::Malformed, "the message ended early"),
            HttpError::BodyUsed => Self::internal("the body has been taken already"),
            HttpError::Busy => Self::new(Code::Unavailable, "the server is busy"),
            HttpError::NoUpstream => Self::internal("no upstream for a body"),
            HttpError::Unavailable(cause) => {
                Self::new(Code::Unavailable, "cannot read the message right now").with_cause(cause)
            }
        }
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable(cause) => {
                Self::new(Code::Unavailable, "the index is unavailable").with_cause(cause)
            }
            IndexError::NoSpace => Self::new(Code::NoSpace, "the disk is full").with_cause("no space left"),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::new(Code::NotFound, "the uploaded content is gone"),
            StorageError::NoSpace => {
                Self::new(Code::NoSpace, "the storage is full").with_cause("no space left")
            }
            StorageError::TooLarge => Self::too_large(),
            StorageError::Invalid(reason) => Self::new(
                Code::InvalidArgument,
                format!("the storage rejected the content: {}", clip(&reason)),
            ),
            StorageError::Unavailable(cause) => {
                Self::new(Code::Unavailable, "the storage is unavailable").with_cause(cause)
            }
        }
    }
}

/// Truncates quoted text of others to 512 characters.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}
