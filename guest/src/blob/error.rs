//! Azure's errors: code, status, XML.
//!
//! What is permanent is a 4xx, for the SDKs repeat 5xx answers for up to a quarter of an hour (protocol reference 3.3). A
//! 503 says that a second is enough; a 5xx that will not go away says `Retry-After: 121`, with which Go gives up at once.

use crate::ports::{Host, IndexError, Level, OutcomeKind, Request, Response, StorageError};
use crate::url::Refused;

/// Why a transfer does not take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobError {
    /// The URL is not one of ours, or not any more.
    Refused(Refused),
    /// No such upload or entry.
    NotFound,
    /// The entry's object is gone, or is not the one that was saved.
    Stale,
    /// A query parameter is missing.
    MissingParameter(&'static str),
    /// A query parameter has a value that is not served.
    BadParameter(&'static str),
    /// A header field has a value that is not served.
    BadHeader(&'static str),
    /// The HTTP method is not served.
    WrongMethod,
    /// The block list is not one.
    BadXml,
    /// The block list names blocks that are not there, or the upload is committed already.
    BadBlockList(String),
    /// The block list names too many blocks.
    LongBlockList,
    /// The body ended early, or cannot be taken (any more).
    BadBody(String),
    /// The entry would be larger than allowed.
    TooLarge,
    /// The upload was finalized or given up while the bytes came.
    UploadGone,
    /// The upload was handed out once more, and this writer holds it no more.
    Displaced,
    /// A condition of the request does not hold.
    ConditionFailed,
    /// An append was meant for another place than the end.
    AppendPosition,
    /// The range starts after the end of the object; holds the object's size.
    RangeNotSatisfiable(u64),
    /// No space left.
    NoSpace,
    /// Storage or index do not answer; says how.
    Unavailable(String),
    /// The server has no room for the body just now. It says so itself in its log.
    Busy,
    /// Our own mistake; says which.
    Internal(String),
}

impl BlobError {
    /// The code, the status, and the text for the client: fixed ones, so that the XML is always well-formed.
    fn on_the_wire(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Refused(Refused::Unsigned) => ("AuthenticationFailed", 403, "The URL is not signed."),
            Self::Refused(Refused::Forged) => ("AuthenticationFailed", 403, "The URL's signature is wrong."),
            Self::Refused(Refused::Expired) => ("AuthenticationFailed", 403, "The URL has expired."),
            Self::NotFound | Self::Stale => ("BlobNotFound", 404, "There is no such blob, or it is gone."),
            Self::MissingParameter(_) => {
                ("MissingRequiredQueryParameter", 400, "A query parameter that is needed is missing.")
            }
            Self::BadParameter(_) => {
                ("InvalidQueryParameterValue", 400, "A query parameter has a value that is not served here.")
            }
            Self::BadHeader(_) => {
                ("InvalidHeaderValue", 400, "A header field has a value that is not served here.")
            }
            Self::WrongMethod => ("UnsupportedHttpVerb", 405, "The method is not served here."),
            Self::BadXml => ("InvalidXmlDocument", 400, "The body is not a block list."),
            Self::BadBlockList(_) => (
                "InvalidBlockList",
                400,
                "The block list names blocks that are not there, or is not the first one.",
            ),
            Self::LongBlockList => ("BlockListTooLong", 400, "The block list names more than 50,000 blocks."),
            Self::BadBody(_) => {
                ("InvalidInput", 400, "The body ended early, or the blob takes no more of it.")
            }
            Self::TooLarge => ("RequestBodyTooLarge", 413, "The blob is larger than this server allows."),
            Self::UploadGone => ("OperationNotAllowedInCurrentState", 409, "The upload has ended meanwhile."),
            Self::Displaced => (
                "OperationNotAllowedInCurrentState",
                409,
                "The upload was handed out once more, and somebody else writes it.",
            ),
            Self::ConditionFailed => ("ConditionNotMet", 412, "A condition of the request does not hold."),
            Self::AppendPosition => {
                ("AppendPositionConditionNotMet", 412, "The blob does not end where the client says.")
            }
            Self::RangeNotSatisfiable(_) => {
                ("InvalidRange", 416, "The range starts after the end of the blob.")
            }
            Self::NoSpace => ("InsufficientStorage", 507, "The storage is full."),
            Self::Unavailable(_) => ("ServerBusy", 503, "The storage does not answer just now."),
            Self::Busy => ("ServerBusy", 503, "The server is busy."),
            Self::Internal(_) => ("InternalError", 500, "Internal error."),
        }
    }

    /// Returns the answer, and logs what the operator should know.
    pub(super) fn into_response<H: Host>(
        self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> Response<H> {
        let (code, status, message) = self.on_the_wire();
        self.note(request, message);
        self.log(host, &request.id, code);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let response =
            Response::bytes(status, "application/xml", body.into_bytes()).with("x-ms-error-code", code);
        match self {
            Self::RangeNotSatisfiable(size_bytes) => {
                response.with("content-range", format!("bytes */{size_bytes}")).with("accept-ranges", "bytes")
            }
            Self::Unavailable(_) | Self::Busy => response.with("retry-after", "1"),
            Self::NoSpace | Self::Internal(_) => response.with("retry-after", "121"),
            Self::WrongMethod => response.with("allow", "GET, HEAD, PUT"),
            _ => response,
        }
    }

    fn log<H: Host>(&self, host: &H, request_id: &str, code: &str) {
        if let (Self::Unavailable(_) | Self::Internal(_) | Self::NoSpace, Some(cause)) = (self, self.cause())
        {
            let fields = [("request", request_id), ("code", code), ("cause", cause)];
            host.log(Level::Error, "transfer failed", &fields);
        }
    }

    /// Notes the reason for the request's own line in the log.
    fn note<I>(&self, request: &Request<I>, message: &str) {
        request.note(|outcome| {
            outcome.kind = matches!(self, Self::Stale).then_some(OutcomeKind::Stale);
            outcome.reason = Some(match self.cause() {
                Some(cause) => format!("{}: {cause}", message.trim_end_matches('.')),
                None => message.trim_end_matches('.').to_owned(),
            });
        });
    }

    /// What the client is not told.
    fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable(cause)
            | Self::Internal(cause)
            | Self::BadBlockList(cause)
            | Self::BadBody(cause) => Some(cause),
            Self::MissingParameter(name) | Self::BadParameter(name) | Self::BadHeader(name) => Some(name),
            Self::NoSpace => Some("no space left"),
            _ => None,
        }
    }

    /// Reads a storage error of a call that takes the request's body.
    pub(super) fn of_body(error: StorageError) -> Self {
        Self::of_storage(error, Self::BadBody)
    }

    /// Reads a storage error of a call for which `invalid` means what `on_invalid` makes of it.
    pub(super) fn of_storage(error: StorageError, on_invalid: impl FnOnce(String) -> Self) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::NoSpace => Self::NoSpace,
            StorageError::TooLarge => Self::TooLarge,
            StorageError::Invalid(why) => on_invalid(why),
            StorageError::Unavailable(how) => Self::Unavailable(how),
        }
    }
}

impl From<Refused> for BlobError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<IndexError> for BlobError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable(how) => Self::Unavailable(how),
            IndexError::NoSpace => Self::NoSpace,
        }
    }
}
