//! Twirp errors: a code, a text, and in one place how they become answers.
//!
//! Used by `twirp` and `forward`. The answer is JSON whatever the request was: a client that gets anything else tries again
//! for half a minute. There is no code for status 429: BuildKit would stall on it for minutes.

use std::borrow::Cow;

use serde::Serialize;

use crate::ports::{AuthError, DbError, Host, HttpError, Level, Response, StorageError};

/// What kind of error, and so which status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    Malformed,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    BadRoute,
    AlreadyExists,
    Internal,
    /// `unavailable`, for what is behind this server: 502.
    BadGateway,
    Unavailable,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    code: Code,
    /// For the client.
    message: Cow<'static, str>,
    /// For the operator's log; the client never sees it.
    cause: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    msg: &'a str,
}

impl Code {
    /// The code's name and HTTP status.
    fn on_the_wire(self) -> (&'static str, u16) {
        match self {
            Self::InvalidArgument => ("invalid_argument", 400),
            Self::Malformed => ("malformed", 400),
            Self::Unauthenticated => ("unauthenticated", 401),
            Self::PermissionDenied => ("permission_denied", 403),
            Self::NotFound => ("not_found", 404),
            Self::BadRoute => ("bad_route", 404),
            Self::AlreadyExists => ("already_exists", 409),
            Self::Internal => ("internal", 500),
            Self::BadGateway => ("unavailable", 502),
            Self::Unavailable => ("unavailable", 503),
        }
    }
}

impl Error {
    /// Returns an error that tells the client `message`.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None }
    }

    /// Adds what the operator should know.
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Returns the answer, and logs the cause if there is one.
    pub(crate) fn into_response<H: Host>(self, host: &H, request_id: &str) -> Response<H> {
        if let Some(cause) = &self.cause {
            host.log(Level::Error, &self.message, &[("request", request_id), ("cause", cause)]);
        }
        self.into_silent_response()
    }

    /// Returns the answer.
    pub(crate) fn into_silent_response<H: Host>(self) -> Response<H> {
        let (code, status) = self.code.on_the_wire();
        let body = serde_json::to_vec(&Body { code, msg: &self.message });
        let body = body.unwrap_or_else(|_| br#"{"code":"internal","msg":"internal error"}"#.to_vec());
        Response::bytes(status, "application/json", body)
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        let because = |why: Cow<'static, str>| Self::new(Code::Unauthenticated, why);
        match error {
            AuthError::Missing => {
                because("no token: send ACTIONS_RUNTIME_TOKEN as `Authorization: Bearer`".into())
            }
            AuthError::Malformed(why) => because(format!("the token is malformed: {}", clip(&why)).into()),
            AuthError::Expired => because("the token has expired".into()),
            AuthError::NotYetValid => because("the token is not valid yet: are the clocks right?".into()),
            AuthError::BadSignature => because("the token's signature is not accepted here".into()),
            AuthError::UntrustedIssuer(who) => {
                because(format!("the token's issuer is not trusted here: {}", clip(&who)).into())
            }
            AuthError::BadClaim(which) => {
                because(format!("the token lacks a claim, or it is malformed: {}", clip(&which)).into())
            }
            AuthError::Unavailable(how) => {
                Self::new(Code::Unavailable, "the token cannot be verified just now").caused_by(how)
            }
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::new(Code::InvalidArgument, "the message is too large"),
            HttpError::CutShort => Self::new(Code::Malformed, "the message ended early"),
            HttpError::BodyUsed => {
                Self::new(Code::Internal, "internal error").caused_by("the body was taken before")
            }
            HttpError::NoUpstream => {
                Self::new(Code::Internal, "internal error").caused_by("no upstream for a body")
            }
            HttpError::Unavailable(how) => {
                Self::new(Code::Unavailable, "the message cannot be read just now").caused_by(how)
            }
        }
    }
}

impl From<DbError> for Error {
    fn from(DbError(how): DbError) -> Self {
        Self::new(Code::Unavailable, "the index does not answer").caused_by(how)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::new(Code::Unavailable, "the storage does not answer").caused_by(error.to_string())
    }
}

/// Cuts text of others: some client reads no more than 32 KiB of an answer.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(512).collect()
}
