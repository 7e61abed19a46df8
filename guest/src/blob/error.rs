//! Errors of transfers, in Azure's form: code, status, XML.
//!
//! Permanent errors are 4xx, because the SDKs retry 5xx for up to a quarter of an hour (protocol
//! reference 3.3). A 503 has `Retry-After: 1`. A lasting 5xx has `Retry-After: 121`, with which the
//! Go SDK gives up at once.

use crate::ports::{Host, IndexError, Level, OutcomeKind, Payload, Request, Response, StorageError};
use crate::url::UrlError;

/// Why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobError {
    /// The URL is rejected.
    BadUrl(UrlError),
    /// The upload or entry does not exist (any more).
    NotFound,
    /// The entry's object is gone, or has another size.
    Stale,
    /// A query parameter is missing.
    MissingParameter(&'static str),
    /// A query parameter has an unsupported value.
    BadParameter(&'static str),
    /// A header field has an unsupported value.
    BadHeader(&'static str),
    /// The HTTP method is not supported.
    WrongMethod,
    /// The body is not a block list.
    BadXml,
    /// The block list names unknown blocks, or the upload is committed already.
    BadBlockList(String),
    /// The block list names too many blocks.
    LongBlockList,
    /// The body ended early, or has been taken already.
    BadBody(String),
    /// The entry would be larger than allowed.
    TooLarge,
    /// The upload was finalized or abandoned during the transfer.
    UploadGone,
    /// The upload was renewed for another writer.
    Displaced,
    /// A condition of the request is false.
    ConditionFailed,
    /// The expected position of an append is not the end.
    AppendPosition,
    /// The range starts after the end of the object; holds the object's size.
    RangeNotSatisfiable(u64),
    /// The storage or the disk of the index is full.
    NoSpace,
    /// Storage or index failed. The text is the cause.
    Unavailable(String),
    /// The server has no memory left for the body. The host logs it.
    Busy,
    /// A bug of this server. The text is the cause.
    Internal(String),
}

impl BlobError {
    /// Returns the code, the status and the message for the client. The texts are fixed, so that
    /// the XML is always well-formed.
    fn wire_form(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadUrl(UrlError::Unsigned) => ("AuthenticationFailed", 403, "The URL is not signed."),
            Self::BadUrl(UrlError::Forged) => ("AuthenticationFailed", 403, "The URL's signature is wrong."),
            Self::BadUrl(UrlError::Expired) => ("AuthenticationFailed", 403, "The URL has expired."),
            Self::NotFound | Self::Stale => ("BlobNotFound", 404, "The blob does not exist, or is gone."),
            Self::MissingParameter(_) => {
                ("MissingRequiredQueryParameter", 400, "A required query parameter is missing.")
            }
            Self::BadParameter(_) => {
                ("InvalidQueryParameterValue", 400, "A query parameter has an unsupported value.")
            }
            Self::BadHeader(_) => ("InvalidHeaderValue", 400, "A header field has an unsupported value."),
            Self::WrongMethod => ("UnsupportedHttpVerb", 405, "The method is not supported."),
            Self::BadXml => ("InvalidXmlDocument", 400, "The body is not a block list."),
            Self::BadBlockList(_) => (
                "InvalidBlockList",
                400,
                "The block list names unknown blocks, or differs from an earlier one.",
            ),
            Self::LongBlockList => ("BlockListTooLong", 400, "The block list names more than 50,000 blocks."),
            Self::BadBody(_) => {
                ("InvalidInput", 400, "The body ended early, or the blob takes no more content.")
            }
            Self::TooLarge => ("RequestBodyTooLarge", 413, "The blob is larger than this server allows."),
            Self::UploadGone => {
                ("OperationNotAllowedInCurrentState", 409, "The upload has ended in the meantime.")
            }
            Self::Displaced => {
                ("OperationNotAllowedInCurrentState", 409, "The upload was renewed for another client.")
            }
            Self::ConditionFailed => ("ConditionNotMet", 412, "A condition of the request is false."),
            Self::AppendPosition => {
                ("AppendPositionConditionNotMet", 412, "The blob does not end at the given position.")
            }
            Self::RangeNotSatisfiable(_) => {
                ("InvalidRange", 416, "The range starts after the end of the blob.")
            }
            Self::NoSpace => ("InsufficientStorage", 507, "The storage is full."),
            Self::Unavailable(_) => ("ServerBusy", 503, "The storage is unavailable."),
            Self::Busy => ("ServerBusy", 503, "The server is busy."),
            Self::Internal(_) => ("InternalError", 500, "Internal error."),
        }
    }

    /// Logs the error, and returns its response.
    pub(super) fn into_response<H: Host>(
        self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> Response<H> {
        let (code, status, message) = self.wire_form();
        self.record(request, message);
        self.log(host, &request.id, code);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let response = Response::bytes(status, "application/xml", body.into_bytes())
            .with_header("x-ms-error-code", code);
        match self {
            Self::RangeNotSatisfiable(size_bytes) => response
                .with_header("content-range", format!("bytes */{size_bytes}"))
                .with_header("accept-ranges", "bytes"),
            Self::Unavailable(_) | Self::Busy => response.with_header("retry-after", "1"),
            Self::NoSpace | Self::Internal(_) => response.with_header("retry-after", "121"),
            Self::WrongMethod => response.with_header("allow", "GET, HEAD, PUT"),
            _ => response,
        }
    }

    /// As [`Self::into_response`], in JSON: `code` and `msg`.
    pub(super) fn into_json_response<H: Host>(
        self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> Response<H> {
        let (code, _, message) = self.wire_form();
        let mut response = self.into_response(host, request);
        response.headers.retain(|(name, _)| name != "content-type" && name != "x-ms-error-code");
        response.payload = Payload::Bytes(format!(r#"{{"code":"{code}","msg":"{message}"}}"#).into_bytes());
        response.with_header("content-type", "application/json")
    }

    fn log<H: Host>(&self, host: &H, request_id: &str, code: &str) {
        if let (Self::Unavailable(_) | Self::Internal(_) | Self::NoSpace, Some(cause)) = (self, self.cause())
        {
            let fields = [("request", request_id), ("code", code), ("cause", cause)];
            host.log(Level::Error, "transfer failed", &fields);
        }
    }

    /// Records the reason in the request's log line.
    fn record<I>(&self, request: &Request<I>, message: &str) {
        request.record(|outcome| {
            outcome.kind = matches!(self, Self::Stale).then_some(OutcomeKind::Stale);
            outcome.reason = Some(match self.cause() {
                Some(cause) => format!("{}: {cause}", message.trim_end_matches('.')),
                None => message.trim_end_matches('.').to_owned(),
            });
        });
    }

    /// Returns the details that are logged and not sent.
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

    /// Converts a storage error of a call that takes the request's body.
    pub(super) fn of_body(error: StorageError) -> Self {
        Self::of_storage(error, Self::BadBody)
    }

    /// Converts a storage error; `on_invalid` converts `invalid`, whose meaning depends on the
    /// call.
    pub(super) fn of_storage(error: StorageError, on_invalid: impl FnOnce(String) -> Self) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::NoSpace => Self::NoSpace,
            StorageError::TooLarge => Self::TooLarge,
            StorageError::Invalid(reason) => on_invalid(reason),
            StorageError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<UrlError> for BlobError {
    fn from(error: UrlError) -> Self {
        Self::BadUrl(error)
    }
}

impl From<IndexError> for BlobError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable(cause) => Self::Unavailable(cause),
            IndexError::NoSpace => Self::NoSpace,
        }
    }
}
