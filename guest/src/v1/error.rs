//! Errors of protocol version 1, in the form of Azure DevOps.

use serde::Serialize;

use crate::ports::{Host, Request, Response};
use crate::service::{Code, Error};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V1ErrorBody<'a> {
    message: &'a str,
    type_name: String,
    type_key: &'a str,
    error_code: u8,
}

/// Logs an error, and returns its response.
pub(super) fn error_response<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    error: &Error,
) -> Response<H> {
    error.log(host, request);
    let type_key = match error.code() {
        // BuildKit's client looks for `AlreadyExists` in it.
        Code::AlreadyExists => "ArtifactCacheItemAlreadyExistsException",
        _ => "ArtifactCacheException",
    };
    let type_name = format!(
        "Microsoft.Azure.DevOps.ArtifactCache.WebApi.{type_key}, Microsoft.Azure.DevOps.ArtifactCache.WebApi"
    );
    let body = V1ErrorBody { message: error.message(), type_name, type_key, error_code: 0 };
    let body = serde_json::to_vec(&body).unwrap_or_else(|_| br#"{"message":"internal error"}"#.to_vec());
    Response::bytes(error.code().status(), "application/json", body)
}
