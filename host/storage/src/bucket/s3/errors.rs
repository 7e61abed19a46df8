//! Maps the SDK's errors. No other file of the driver does.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use larder_common::causes::chain;

use crate::StorageError;

/// An error response of the service.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl Rejection {
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        Self { status, code: error.code().map(str::to_owned), message: error.message().map(str::to_owned) }
    }

    /// The object exists already.
    pub(super) fn is_taken(&self) -> bool {
        self.status == 412
    }

    /// A concurrent request conflicts with this one.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == 409
    }

    /// The service does not support this kind of request.
    pub(super) fn is_unsupported(&self) -> bool {
        let codes =
            ["NotImplemented", "MissingContentMD5", "InvalidArgument", "InvalidRequest", "InvalidDigest"];
        matches!(self.status, 405 | 501) || self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    fn classify(&self) -> Option<StorageError> {
        match (self.status, self.code.as_deref()) {
            // A missing bucket must not count as a missing object: entries would be dropped.
            (_, Some("NoSuchBucket")) => None,
            // A range of an object that is shorter than expected.
            (404 | 416, _) | (_, Some("NoSuchKey" | "NoSuchUpload" | "NotFound" | "InvalidRange")) => {
                Some(StorageError::NotFound)
            }
            (507, _) | (_, Some("QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage")) => {
                Some(StorageError::NoSpace)
            }
            (_, Some(code @ ("EntityTooSmall" | "EntityTooLarge" | "InvalidPart" | "InvalidPartOrder"))) => {
                Some(StorageError::Invalid(format!("the bucket refused the request: {code}")))
            }
            _ => None,
        }
    }

    fn describe(&self) -> String {
        let describe = describe(self.code.as_deref(), self.message.as_deref());
        match self.status {
            0 => describe,
            status => format!("{describe} (status {status})"),
        }
    }
}

/// Formats an error code and its message.
pub(super) fn describe(code: Option<&str>, message: Option<&str>) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "the service refused the request".to_owned(),
    }
}

/// Returns whether an error code means that the object does not exist.
pub(super) fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("NoSuchKey" | "NotFound"))
}

/// Converts the error of a request.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed<E>(context: &'static str, error: SdkError<E, HttpResponse>) -> StorageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let failure = Rejection::of(&error);
    failure.classify().unwrap_or_else(|| StorageError::unavailable(context, cause(&error, &failure)))
}

/// Describes the error without the request, which may contain a signature.
fn cause<E: Error + 'static>(error: &SdkError<E, HttpResponse>, failure: &Rejection) -> String {
    if matches!(error, SdkError::ServiceError(_)) {
        return failure.describe();
    }
    chain(error)
}

/// Describes why the bucket cannot be used.
pub(super) fn unusable<E>(bucket: &str, error: &SdkError<E, HttpResponse>) -> StorageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let failure = Rejection::of(error);
    let why = match failure.status {
        404 => format!("the bucket `{bucket}` does not exist"),
        403 => format!("these credentials have no access to the bucket `{bucket}`"),
        301 | 307 | 400 => {
            format!("the bucket `{bucket}` is in another region or does not exist")
        }
        _ => format!("the bucket `{bucket}` cannot be reached: {}", cause(error, &failure)),
    };
    StorageError::unavailable("opening the bucket", why)
}

/// Deleting what does not exist succeeds.
pub(super) fn ignore_not_found(error: StorageError) -> Result<(), StorageError> {
    match error {
        StorageError::NotFound => Ok(()),
        error => Err(error),
    }
}
