//! Uploads in progress.

use axum::{Json, http::StatusCode};
use larder_index::{Trust, UploadId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{TenantParam, failures};
use crate::{
    access::{Deleter, Reader},
    audit::to_the_end,
    params::{Id, Query},
    problem::Problem,
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

/// An upload in progress. Its name is a secret of who sends it, and not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadView {
    /// Its number.
    id: u64,
    /// The repository's id, as in tokens.
    repository: String,
    /// The scope.
    scope: String,
    /// The version.
    version: String,
    /// The key.
    key: String,
    /// How far its saver is trusted: `low` or `full`.
    trust: String,
    /// When it was reserved, in milliseconds since 1970.
    created_ms: u64,
    /// When bytes last arrived.
    last_activity_ms: u64,
    /// The size of the complete content; absent: it is not complete.
    size_bytes: Option<u64>,
}

/// A page of uploads.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadPage {
    /// The uploads, in the order of their numbers.
    uploads: Vec<UploadView>,
    /// `after` of the next page; absent: this is the last one.
    next: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Where the page starts: `next` of the page before.
    after: Option<u64>,
    /// Most uploads of the page, from 1 to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// Uploads in progress.
#[utoipa::path(get, path = "/uploads", params(ListParams), tag = "uploads", operation_id = "list_uploads",
    responses((status = 200, body = UploadPage), failures::Tenant))]
pub(crate) async fn list(
    Reader(session): Reader,
    Query(params): Query<ListParams>,
) -> Result<Json<UploadPage>, Problem> {
    let limit = params.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request("limit is from 1 to 1000"));
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    let found = session.tenant.index().list_uploads(UploadId(params.after.unwrap_or(0)), limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.id.0);
    let uploads = found
        .into_iter()
        .map(|upload| UploadView {
            id: upload.id.0,
            repository: upload.slot.repository,
            scope: upload.slot.scope,
            version: upload.slot.version,
            key: upload.slot.key,
            trust: if upload.trust == Trust::Low { "low".to_owned() } else { "full".to_owned() },
            created_ms: upload.created_ms,
            last_activity_ms: upload.last_activity_ms,
            size_bytes: upload.attachment.map(|attachment| attachment.size_bytes),
        })
        .collect();
    Ok(Json(UploadPage { uploads, next }))
}

/// End an upload, and delete what was sent for it.
#[utoipa::path(delete, path = "/uploads/{id}", tag = "uploads", operation_id = "delete_upload",
    params(("id" = u64, Path, description = "The upload"), TenantParam),
    responses((status = 204, description = "Ended"), failures::Tenant))]
pub(crate) async fn delete(Deleter(session): Deleter, Id(id): Id) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_found("there is no such upload");
    let upload = session.tenant.index().get_upload_by_id(UploadId(id.0)).await?.ok_or_else(missing)?;
    to_the_end(async move {
        if !session.tenant.delete_upload(&upload).await? {
            return Err(missing());
        }
        session.log("delete", &format!("upload {}", id.0), 1);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
