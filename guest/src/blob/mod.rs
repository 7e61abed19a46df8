//! Transfers: the part of Azure's Blob API that cache clients use.
//!
//! Called by `handler`. A signed URL is the whole authority here, and a bad URL is reported before
//! anything else that is wrong with a request. Bytes never enter the guest: handles are passed from
//! the request to the storage and back. Must not depend on tokens, or on the encodings of the cache
//! service.

mod append;
mod block_list;
mod conditions;
mod download;
mod error;
mod put;
mod put_block;
mod put_block_list;
mod range;
mod request;

pub(crate) use download::{download, send};

use crate::ports::{Host, OutcomeKind, Payload, Request, Response};
use crate::route::BlobOperation;
use crate::service::refusal;
use crate::url;
use error::BlobError;
use request::Target;

/// The version of Azure's API in responses. Clients send newer and older ones; none checks this
/// one.
const API_VERSION: &str = "2021-08-06";

/// Handles an operation on an upload.
pub(crate) async fn upload<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    name: &str,
    operation: BlobOperation,
) -> Response<H> {
    let result = run(host, request, name, operation).await;
    into_response(host, request, result)
}

async fn run<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    name: &str,
    operation: BlobOperation,
) -> Result<Response<H>, BlobError> {
    let writer = url::check_upload(host, name, request.query.as_deref(), request.received_ms)?;
    let target = Target { name, writer };
    request.record(|outcome| outcome.kind = success_kind(operation));
    match transfer(host, request, target, operation).await {
        // Room for it was refused in words, and the upload abandoned.
        Err(BlobError::NotFound)
            if refusal::is_export_upload(request) && refusal::is_of_upload(host, name).await? =>
        {
            refusal::record(request);
            Ok(Response::new(201, Payload::Empty))
        }
        done => done,
    }
}

async fn transfer<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
    operation: BlobOperation,
) -> Result<Response<H>, BlobError> {
    match operation {
        BlobOperation::PutBlob if put::is_append_blob(request) => {
            return append::create(host, request, target).await;
        }
        BlobOperation::AppendBlock => return append::append(host, request, target).await,
        BlobOperation::Seal => return append::seal(host, request, target).await,
        BlobOperation::PutBlob => put::put(host, request, target).await?,
        BlobOperation::PutBlock => put_block::put_block(host, request, target).await?,
        BlobOperation::PutBlockList => put_block_list::put_block_list(host, request, target).await?,
        BlobOperation::UnknownComp => return Err(BlobError::BadParameter("comp")),
        BlobOperation::WrongMethod => return Err(BlobError::WrongMethod),
    }
    // Exactly 201: the SDKs treat 200 as a failure.
    Ok(Response::new(201, Payload::Empty))
}

/// Returns the outcome of an operation that succeeds.
fn success_kind(operation: BlobOperation) -> Option<OutcomeKind> {
    match operation {
        BlobOperation::PutBlob | BlobOperation::PutBlock | BlobOperation::AppendBlock => {
            Some(OutcomeKind::Stored)
        }
        BlobOperation::PutBlockList | BlobOperation::Seal => Some(OutcomeKind::Committed),
        BlobOperation::UnknownComp | BlobOperation::WrongMethod => None,
    }
}

/// Adds the header fields of every response. BuildKit's client crashes without the request id.
fn into_response<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    result: Result<Response<H>, BlobError>,
) -> Response<H> {
    result
        .unwrap_or_else(|error| error.into_response(host, request))
        .with_header("x-ms-request-id", request.id.as_str())
        .with_header("x-ms-version", API_VERSION)
}

#[cfg(test)]
mod tests;
