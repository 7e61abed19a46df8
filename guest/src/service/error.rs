//! Why there is no reply: a code, a text, and in one place how they become answers, in Twirp's form or in that of version 1.
//!
//! Used by `service`, `twirp`, `v1` and `forward`. The answer is JSON whatever the request was: a client that gets anything
//! else tries again for half a minute. There is no code for status 429: BuildKit would stall on it for minutes.

use std::borrow::Cow;

use serde::Serialize;

use crate::ports::{
    AuthError, Host, HttpError, IndexError, Level, Outcome, OutcomeKind, Request, Response, StorageError,
};

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
    /// The storage is full: 507, which nobody repeats.
    NoSpace,
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

/// Twirp's form.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    msg: &'a str,
}

/// The form of version 1, which is that of Azure DevOps.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyV1<'a> {
    message: &'a str,
    type_name: String,
    type_key: &'a str,
    error_code: u8,
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
            Self::NoSpace => ("resource_exhausted", 507),
        }
    }
}

impl Error {
    /// Returns an error that tells the client `message`.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None }
    }

    /// Returns the refusal of a repository that may not use this server. `@actions/cache` warns where the text begins so
    /// (protocol reference 1.3 and 1.5).
    pub(crate) fn not_allowed(who: &str, writes: bool) -> Self {
        let access = if writes { "write" } else { "read" };
        Self::new(Code::PermissionDenied, format!("cache {access} denied: {}", clip(who)))
    }

    /// Returns what the client is told.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds what the operator should know.
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What is saved is larger than an entry may be.
    pub(crate) fn too_large() -> Self {
        Self::new(Code::InvalidArgument, "the cache is larger than this server allows")
    }

    /// Returns what kind of error it is.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Says the same in other words.
    pub(crate) fn reworded(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// Returns the answer, notes the reason, and logs the cause if there is one.
    pub(crate) fn into_response<H: Host>(
        self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> Response<H> {
        self.log(host, request);
        self.into_silent_response()
    }

    /// Returns the answer in the form of version 1, notes the reason, and logs the cause if there is one.
    pub(crate) fn into_response_v1<H: Host>(
        self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> Response<H> {
        self.log(host, request);
        let type_key = match self.code {
            // BuildKit's client looks for `AlreadyExists` in it.
            Code::AlreadyExists => "ArtifactCacheItemAlreadyExistsException",
            _ => "ArtifactCacheException",
        };
        let type_name = format!(
            "Microsoft.Azure.DevOps.ArtifactCache.WebApi.{type_key}, Microsoft.Azure.DevOps.ArtifactCache.WebApi"
        );
        let body = serde_json::to_vec(&BodyV1 { message: &self.message, type_name, type_key, error_code: 0 });
        let body = body.unwrap_or_else(|_| br#"{"message":"internal error"}"#.to_vec());
        Response::bytes(self.code.on_the_wire().1, "application/json", body)
    }

    /// Notes the reason for the request's line of the log, and logs the cause, if there is one.
    pub(crate) fn log<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) {
        request.note(|outcome| self.note(outcome));
        if let Some(cause) = &self.cause {
            host.log(Level::Error, &self.message, &[("request", &request.id), ("cause", cause)]);
        }
    }

    /// Notes why the request comes to nothing.
    pub(crate) fn note(&self, outcome: &mut Outcome) {
        outcome.reason = Some(match &self.cause {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone().into_owned(),
        });
        outcome.kind = match self.code {
            Code::AlreadyExists => Some(OutcomeKind::Exists),
            Code::PermissionDenied | Code::Unauthenticated => Some(OutcomeKind::Denied),
            _ => None,
        };
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
            AuthError::NotAllowed(who) => Self::not_allowed(&who, false),
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
            HttpError::Busy => Self::new(Code::Unavailable, "the server is busy"),
            HttpError::NoUpstream => {
                Self::new(Code::Internal, "internal error").caused_by("no upstream for a body")
            }
            HttpError::Unavailable(how) => {
                Self::new(Code::Unavailable, "the message cannot be read just now").caused_by(how)
            }
        }
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable(how) => {
                Self::new(Code::Unavailable, "the index does not answer").caused_by(how)
            }
            IndexError::NoSpace => Self::new(Code::NoSpace, "the disk is full").caused_by("no space left"),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::new(Code::NotFound, "what was uploaded is gone"),
            StorageError::NoSpace => {
                Self::new(Code::NoSpace, "the storage is full").caused_by("no space left")
            }
            StorageError::TooLarge => Self::too_large(),
            StorageError::Invalid(why) => {
                Self::new(Code::InvalidArgument, format!("the storage does not take it: {}", clip(&why)))
            }
            StorageError::Unavailable(how) => {
                Self::new(Code::Unavailable, "the storage does not answer").caused_by(how)
            }
        }
    }
}

/// Cuts text of others: some client reads no more than 32 KiB of an answer.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(512).collect()
}
