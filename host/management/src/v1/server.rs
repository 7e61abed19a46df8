//! The server as a whole.

use std::time::Duration;

use axum::{Json, http::StatusCode};
use larder_index::{Area, EntryOrder};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::failures;
use crate::{
    access::{Admin, Reader},
    audit,
    problem::Problem,
    server::{Fault, ServerStatus, SweepOutcome, TenantInfo},
};

/// How the server and a tenant are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    #[serde(flatten)]
    server: ServerStatus,
    /// The server's time, in milliseconds since 1970.
    time_ms: u64,
    /// The tenant that the numbers below are of.
    tenant: String,
    /// How many bytes are counted as stored.
    bytes: Option<u64>,
    /// Most bytes that may be stored; absent: any number.
    limit_bytes: Option<u64>,
    /// How long the entry is unused that is the least recently used, in milliseconds: how far back the cache
    /// reaches.
    longest_idle_ms: Option<u64>,
}

/// How the server and a tenant are.
#[utoipa::path(get, path = "/status", params(super::TenantParam), tag = "server",
    responses((status = 200, body = Status), failures::Tenant))]
pub(crate) async fn status(Reader(session): Reader) -> Result<Json<Status>, Problem> {
    let (index, time_ms) = (session.tenant.index(), session.server().now_ms());
    let bytes = match index.usage_of(&Area::Tenant).await {
        Err(larder_index::IndexError::Unsupported(_)) => None,
        bytes => Some(bytes?),
    };
    let oldest = index.scan_entries(EntryOrder::LastUsed, false, None, 1).await?;
    Ok(Json(Status {
        server: session.server().status(),
        time_ms,
        tenant: session.tenant_name.to_string(),
        bytes,
        limit_bytes: session.tenant.limit_bytes(),
        longest_idle_ms: oldest.first().map(|entry| time_ms.saturating_sub(entry.last_used_ms)),
    }))
}

/// What a key permits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The name of the key.
    key: String,
    /// Its role: `read`, `delete` or `admin`.
    role: String,
    /// The tenant that it is for; absent: all.
    tenant: Option<String>,
}

/// What the key of this request permits.
#[utoipa::path(get, path = "/whoami", tag = "server", params(super::TenantParam),
    responses((status = 200, body = WhoAmI), failures::Tenant))]
pub(crate) async fn whoami(Reader(session): Reader) -> Json<WhoAmI> {
    let caller = session.caller;
    let tenant = caller.tenant.map(|name| name.to_string());
    Json(WhoAmI { key: caller.name, role: caller.role.to_string(), tenant })
}

/// The tenants that the key is for.
#[utoipa::path(get, path = "/tenants", tag = "server", params(super::TenantParam),
    responses((status = 200, body = Vec<TenantInfo>), failures::Tenant))]
pub(crate) async fn tenants(Reader(session): Reader) -> Json<Vec<TenantInfo>> {
    let mut tenants = session.server().tenants();
    if let Some(own) = &session.caller.tenant {
        tenants.retain(|tenant| tenant.name == own.as_str());
    }
    Json(tenants)
}

/// The rules in force (`active`), those that are only asked and compared (`shadow`), and what has become of
/// their questions. Each is null where there are none.
#[utoipa::path(get, path = "/rules", params(super::TenantParam), tag = "server",
    responses((status = 200, body = Object), failures::Tenant))]
pub(crate) async fn rules(Reader(session): Reader) -> Json<Value> {
    Json(session.tenant.rules())
}

/// The effective configuration, with secrets masked.
#[utoipa::path(get, path = "/config", tag = "server",
    responses((status = 200, body = Object), failures::Admin))]
pub(crate) async fn config(admin: Admin) -> Json<Value> {
    Json(admin.app.server.configuration())
}

/// Sweep all tenants now. Responds when that is done, or goes on without the caller after half a minute.
#[utoipa::path(post, path = "/sweep", tag = "server",
    responses((status = 200, body = SweepOutcome), (status = 202, body = SweepOutcome, description = "It goes on"),
        failures::Admin))]
pub(crate) async fn sweep(admin: Admin) -> Result<(StatusCode, Json<SweepOutcome>), Problem> {
    let swept = tokio::time::timeout(SWEEP_WAIT, admin.app.server.sweep()).await;
    let refused = matches!(swept, Ok(Err(Fault::Unsupported(_))));
    if !refused {
        audit::log(&admin.caller, None, "sweep", "all tenants", 1);
    }
    let outcome = match swept {
        Ok(swept) => swept?,
        Err(_) => SweepOutcome::default(),
    };
    Ok((if outcome.ended { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(outcome)))
}

/// Longest wait for a sweep.
const SWEEP_WAIT: Duration = Duration::from_secs(30);
