//! Scrubs of a tenant.

use axum::{Json, http::StatusCode};

use super::{TenantParam, failures};
use crate::{
    access::{Deleter, Reader},
    params::Json as Body,
    problem::Problem,
    scrub::{ScrubRequest, ScrubStatus},
};

/// How far the scrub of a tenant is, or how the last one ended.
#[utoipa::path(get, path = "/scrub", params(TenantParam), tag = "server", operation_id = "scrub_status",
    responses((status = 200, body = ScrubStatus), failures::Tenant))]
pub(crate) async fn status(Reader(session): Reader) -> Result<Json<ScrubStatus>, Problem> {
    Ok(Json(session.tenant.scrub_status()?))
}

/// Read the objects of a tenant back, and compare them with what was recorded of them. Responds at once, and
/// goes on without the caller. One runs at a time.
#[utoipa::path(post, path = "/scrub", params(TenantParam), request_body = ScrubRequest, tag = "server",
    operation_id = "start_scrub",
    responses((status = 202, body = ScrubStatus, description = "It has begun"),
        (status = 409, description = "One is under way"), failures::Body))]
pub(crate) async fn start(
    Deleter(session): Deleter,
    Body(mut asked): Body<ScrubRequest>,
) -> Result<(StatusCode, Json<ScrubStatus>), Problem> {
    let repositories = session.repositories(asked.repository.as_deref()).await?;
    let what = asked.repository.take().unwrap_or_else(|| "all entries".to_owned());
    let action = if asked.repair { "scrub and repair" } else { "scrub" };
    let started = session.tenant.start_scrub(asked, repositories).await?;
    let started = started.ok_or_else(|| Problem::conflict("a scrub is under way"))?;
    session.log(action, &what, 1);
    Ok((StatusCode::ACCEPTED, Json(started)))
}

/// Stop the scrub of a tenant. What it has deleted stays deleted.
#[utoipa::path(delete, path = "/scrub", params(TenantParam), tag = "server", operation_id = "stop_scrub",
    responses((status = 200, body = ScrubStatus), failures::Tenant))]
pub(crate) async fn stop(Deleter(session): Deleter) -> Result<Json<ScrubStatus>, Problem> {
    let was_running = session.tenant.scrub_status()?.running;
    let status = session.tenant.stop_scrub()?;
    if was_running {
        session.log("stop", "scrub", 1);
    }
    Ok(Json(status))
}
