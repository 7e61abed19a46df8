//! The policy and the rules: which version is in force, which were, and another one in their place.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use larder_common::TenantName;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::{TenantParam, failures};
use crate::{
    access::{Admin, Caller, Reader},
    audit,
    params::Query,
    problem::Problem,
    server::{Fault, Tenant},
    versions::{VersionInfo, VersionedKind, VersionsInfo},
};

/// Longest policy or rules, in bytes: a component of Python has 18 MB.
const MAX_CONTENT_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for them.
const CONTENT_WITHIN: Duration = Duration::from_secs(60);
/// Longest name of a file, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What is put in force.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UseParams {
    /// What the file is called, for people: up to 128 letters of ASCII, digits, `-`, `_` and `.`.
    #[param(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    name: String,
    /// The tenant; `default` if it is not given.
    tenant: Option<String>,
}

/// Of whom it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfTenant {
    /// The tenant; `default` if it is not given.
    tenant: Option<String>,
}

type Told = Result<Json<VersionsInfo>, Problem>;
type Changed = Result<Json<VersionInfo>, Problem>;

/// The versions of the policy: which is in force, which is chosen, which were in force, and why one was refused.
#[utoipa::path(get, path = "/policies", params(TenantParam), tag = "versions", operation_id = "policy_versions",
    responses((status = 200, body = VersionsInfo), failures::Tenant))]
pub(crate) async fn policy(Reader(session): Reader) -> Told {
    Ok(Json(session.tenant.versions(VersionedKind::Policy)?))
}

/// The versions of the rules, likewise.
#[utoipa::path(get, path = "/rules/versions", params(TenantParam), tag = "versions", operation_id = "rules_versions",
    responses((status = 200, body = VersionsInfo), failures::Tenant))]
pub(crate) async fn rules(Reader(session): Reader) -> Told {
    Ok(Json(session.tenant.versions(VersionedKind::Rules)?))
}

/// The versions of the rules in the shadow, likewise.
#[utoipa::path(get, path = "/rules/shadow", params(TenantParam), tag = "versions", operation_id = "shadow_versions",
    responses((status = 200, body = VersionsInfo), failures::Tenant))]
pub(crate) async fn shadow(Reader(session): Reader) -> Told {
    Ok(Json(session.tenant.versions(VersionedKind::Shadow)?))
}

/// Put a policy in force: a component of the cache world, of up to 64 MiB. It is asked first what clients ask, as by
/// `larder policy check`, and requests in flight finish with the earlier one. Responds once it is in force, or says why
/// it cannot be. For the tenant `default`, and those without a policy of their own.
#[utoipa::path(post, path = "/policies/use", params(UseParams), tag = "versions", operation_id = "use_policy",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn use_policy(admin: Admin, Query(params): Query<UseParams>, request: Request) -> Changed {
    put(admin, VersionedKind::Policy, params, request).await
}

/// Put the policy in force that the configuration names, or the built-in one.
#[utoipa::path(delete, path = "/policies/use", params(OfTenant), tag = "versions", operation_id = "use_configured_policy",
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn use_configured_policy(admin: Admin, Query(of): Query<OfTenant>) -> Changed {
    change(&admin, &of, VersionedKind::Policy, Change::Configured).await
}

/// Put the policy in force again that was before.
#[utoipa::path(post, path = "/policies/rollback", params(OfTenant), tag = "versions", operation_id = "roll_back_policy",
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn roll_back_policy(admin: Admin, Query(of): Query<OfTenant>) -> Changed {
    change(&admin, &of, VersionedKind::Policy, Change::RollBack).await
}

/// Put rules in force: a script or a component, of up to 64 MiB. They are asked first what is usual and what is odd, as
/// by `larder rules check`. Responds once they are in force, or says why they cannot be. For the tenant `default`.
#[utoipa::path(post, path = "/rules/use", params(UseParams), tag = "versions", operation_id = "use_rules",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn use_rules(admin: Admin, Query(params): Query<UseParams>, request: Request) -> Changed {
    put(admin, VersionedKind::Rules, params, request).await
}

/// Put the rules in force that the configuration names, or none.
#[utoipa::path(delete, path = "/rules/use", params(OfTenant), tag = "versions", operation_id = "use_configured_rules",
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn use_configured_rules(admin: Admin, Query(of): Query<OfTenant>) -> Changed {
    change(&admin, &of, VersionedKind::Rules, Change::Configured).await
}

/// Put the rules in force again that were before.
#[utoipa::path(post, path = "/rules/rollback", params(OfTenant), tag = "versions", operation_id = "roll_back_rules",
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn roll_back_rules(admin: Admin, Query(of): Query<OfTenant>) -> Changed {
    change(&admin, &of, VersionedKind::Rules, Change::RollBack).await
}

/// Put rules in the shadow: they are asked and compared, and decide nothing. Else as `rules/use`.
#[utoipa::path(post, path = "/rules/shadow", params(UseParams), tag = "versions", operation_id = "use_shadow",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn use_shadow(admin: Admin, Query(params): Query<UseParams>, request: Request) -> Changed {
    put(admin, VersionedKind::Shadow, params, request).await
}

/// Put nothing in the shadow.
#[utoipa::path(delete, path = "/rules/shadow", params(OfTenant), tag = "versions", operation_id = "end_shadow",
    responses((status = 200, body = VersionInfo), failures::Exchange))]
pub(crate) async fn end_shadow(admin: Admin, Query(of): Query<OfTenant>) -> Changed {
    change(&admin, &of, VersionedKind::Shadow, Change::Use(String::new(), Bytes::new())).await
}

enum Change {
    /// A file of this name. No content: no rules.
    Use(String, Bytes),
    Configured,
    RollBack,
}

/// The tenant whose policy or rules are changed, and who changes them.
struct Addressed {
    caller: Caller,
    name: TenantName,
    tenant: Arc<dyn Tenant>,
}

async fn change(admin: &Admin, of: &OfTenant, kind: VersionedKind, change: Change) -> Changed {
    Addressed::of(admin, of.tenant.as_deref()).await?.change(kind, change).await
}

async fn put(admin: Admin, kind: VersionedKind, params: UseParams, request: Request) -> Changed {
    let UseParams { name, tenant } = params;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(Problem::bad_request(
            "name is that of a file: 1 to 128 of A-Z, a-z, 0-9, `-`, `_` and `.`",
        ));
    }
    let addressed = Addressed::of(&admin, tenant.as_deref()).await?;
    let Ok(_place) = admin.app.uploads.clone().try_acquire_owned() else {
        return Err(Fault::exchange_under_way().into());
    };
    let content = content_of(request).await?;
    addressed.change(kind, Change::Use(name, content)).await
}

async fn content_of(request: Request) -> Result<Bytes, Problem> {
    let collected = timeout(CONTENT_WITHIN, Limited::new(request.into_body(), MAX_CONTENT_BYTES).collect());
    let content = match collected.await {
        Ok(Ok(content)) => content.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Problem::too_large()),
        Ok(Err(_)) => return Err(Problem::bad_request("the body broke off")),
        Err(_) => return Err(Problem::bad_request("the body did not arrive within a minute")),
    };
    if content.is_empty() {
        return Err(Problem::bad_request("the body is empty: it is the file"));
    }
    Ok(content)
}

impl Addressed {
    async fn of(admin: &Admin, asked: Option<&str>) -> Result<Self, Problem> {
        let (name, tenant) = admin.tenant(asked).await?;
        Ok(Self { caller: admin.caller.clone(), name, tenant })
    }

    /// Makes a change, and logs it: also where the client does not wait for the end.
    async fn change(self, kind: VersionedKind, change: Change) -> Changed {
        let made = tokio::spawn(async move {
            let action = match change {
                Change::Use(..) => "use",
                Change::Configured => "use the configured",
                Change::RollBack => "roll back",
            };
            let version = match change {
                Change::Use(name, content) => self.tenant.use_version(kind, name, content).await,
                Change::Configured => self.tenant.use_configured(kind).await,
                Change::RollBack => self.tenant.roll_back(kind).await,
            }?;
            let what = format!("{kind} {} {}", version.digest.get(..12).unwrap_or_default(), version.name);
            audit::log(&self.caller, Some(&self.name), action, &what, 1);
            Ok::<_, Fault>(version)
        });
        let made =
            made.await.unwrap_or_else(|_| Err(Fault::Unavailable("the exchange ended early".to_owned())));
        Ok(Json(made?))
    }
}
