//! The keys of this API.

use axum::{Json, http::StatusCode};
use larder_common::TenantName;
use larder_index::{AccessKey, AccessRole, MAX_ACCESS_KEYS};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::failures;
use crate::{
    access::{Admin, NewKey, is_good_name},
    audit,
    params::{Json as Body, Names},
    problem::Problem,
};

/// What a key permits. Each includes those before it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoleName {
    /// Look at everything.
    Read,
    /// Delete entries and uploads, and hold entries back.
    Delete,
    /// Everything.
    Admin,
}

impl From<RoleName> for AccessRole {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Read => Self::Read,
            RoleName::Delete => Self::Delete,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// Its name.
    name: String,
    /// Its role: `read`, `delete` or `admin`.
    role: String,
    /// The tenant that it is for; absent: all.
    tenant: Option<String>,
    /// When it was made, in milliseconds since 1970.
    created_ms: u64,
}

impl From<AccessKey> for KeyView {
    fn from(key: AccessKey) -> Self {
        let tenant = key.tenant.map(|name| name.to_string());
        Self { name: key.name, role: key.role.to_string(), tenant, created_ms: key.created_ms }
    }
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// Its name, for the log: up to 64 letters of ASCII, digits, `-`, `_` and `.`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    name: String,
    /// What it permits.
    role: RoleName,
    /// The tenant that it is for; absent: all.
    #[serde(default)]
    tenant: Option<String>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeKey {
    #[serde(flatten)]
    view: KeyView,
    /// The key. Nobody can read it again.
    key: String,
}

/// All keys of the database. The configured one is not among them.
#[utoipa::path(get, path = "/keys", tag = "keys", operation_id = "list_keys",
    responses((status = 200, body = Vec<KeyView>), failures::Admin))]
pub(crate) async fn list(admin: Admin) -> Result<Json<Vec<KeyView>>, Problem> {
    let keys = admin.app.server.index().list_access_keys().await?;
    Ok(Json(keys.into_iter().map(KeyView::from).collect()))
}

/// Make a key.
#[utoipa::path(post, path = "/keys", request_body = KeyRequest, tag = "keys", operation_id = "create_key",
    responses((status = 201, body = MadeKey), failures::Keys))]
pub(crate) async fn create(
    admin: Admin,
    Body(asked): Body<KeyRequest>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    if !is_good_name(&asked.name) {
        return Err(Problem::bad_request(
            "a name is 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`, and not MANAGEMENT_API_KEY",
        ));
    }
    let server = &admin.app.server;
    let tenant = match asked.tenant.as_deref().map(TenantName::parse) {
        None => None,
        Some(Ok(name)) if server.tenant(&name).await?.is_some() => Some(name),
        Some(_) => return Err(Problem::not_found("there is no such tenant")),
    };
    if server.index().list_access_keys().await?.len() >= MAX_ACCESS_KEYS {
        return Err(Problem::conflict("there are a thousand keys; remove some"));
    }
    let no_random = || crate::server::Fault::Unavailable("the system has no random numbers".to_owned());
    let NewKey { key, digest } = NewKey::random().ok_or_else(no_random)?;
    let made =
        AccessKey { name: asked.name, role: asked.role.into(), tenant, digest, created_ms: server.now_ms() };
    audit::to_the_end(async move {
        if !admin.app.server.index().add_access_key(&made).await? {
            return Err(Problem::conflict("there is a key of this name"));
        }
        let what = format!("key {} with the role {}", made.name, made.role);
        audit::log(&admin.caller, made.tenant.as_ref(), "add", &what, 1);
        Ok((StatusCode::CREATED, Json(MadeKey { view: made.into(), key })))
    })
    .await
}

/// Revoke a key. It counts no more from the next request on.
#[utoipa::path(delete, path = "/keys/{name}", tag = "keys", operation_id = "delete_key",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "Revoked"), failures::Keys))]
pub(crate) async fn delete(admin: Admin, names: Names) -> Result<StatusCode, Problem> {
    let name = names.get("name").to_owned();
    audit::to_the_end(async move {
        let index = admin.app.server.index();
        let known = index.list_access_keys().await?.into_iter().find(|key| key.name == name);
        if !index.remove_access_key(&name).await? {
            return Err(Problem::not_found("there is no such key"));
        }
        admin.app.revoked.send_replace(());
        let tenant = known.and_then(|key| key.tenant);
        audit::log(&admin.caller, tenant.as_ref(), "remove", &format!("key {name}"), 1);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
