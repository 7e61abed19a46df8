//! Who calls: keys, their roles, and the tenant that they are for.

use std::sync::Arc;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand::SystemRandom,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use larder_common::TenantName;
use larder_index::{
    AccessKey, AccessRole,
    catalogue::{ACCESS_KEY_DIGEST_BYTES, MAX_ACCESS_KEY_NAME_BYTES},
};
use serde::Deserialize;

use crate::{
    app::App,
    params,
    problem::Problem,
    server::{Server, Tenant},
};

/// How keys begin, so that a scanner for secrets finds them.
pub const KEY_PREFIX: &str = "larder_";

/// The name of the configured key, in the audit log.
const MASTER_NAME: &str = "MANAGEMENT_API_KEY";

/// The configured key: an administrator of all tenants. Only its digest is kept.
#[derive(Clone)]
pub struct MasterKey(Digest);

type Digest = [u8; ACCESS_KEY_DIGEST_BYTES];

impl MasterKey {
    /// Takes the key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(digest_of(key.as_bytes()))
    }
}

/// A key that was just made.
pub struct NewKey {
    /// The key itself, which is not kept anywhere.
    pub key: String,
    /// Its digest.
    pub digest: [u8; ACCESS_KEY_DIGEST_BYTES],
}

impl NewKey {
    /// Makes a key of 256 random bits. `None` if the system has no random numbers.
    #[must_use]
    pub fn random() -> Option<Self> {
        let random = aws_lc_rs::rand::generate::<[u8; 32]>(&SystemRandom::new()).ok()?.expose();
        let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let digest = digest_of(key.as_bytes());
        Some(Self { key, digest })
    }
}

fn digest_of(key: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest(&SHA256, key).as_ref());
    bytes
}

/// Whether a key may be called so.
pub(crate) fn is_good_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.len() <= MAX_ACCESS_KEY_NAME_BYTES
        && name.bytes().all(is_plain)
        && name != MASTER_NAME
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of the key.
    pub(crate) name: String,
    pub(crate) role: AccessRole,
    /// `None`: all tenants.
    pub(crate) tenant: Option<TenantName>,
}

/// Determines who calls, before any handler runs.
pub(crate) async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl App {
    /// Returns whether a caller's key is still one: it may be revoked while a stream runs.
    pub(crate) async fn still_has(&self, caller: &Caller) -> bool {
        if caller.name == MASTER_NAME {
            return true;
        }
        let keys = self.server.index().list_access_keys().await;
        let is_it = |key: &AccessKey| {
            (&key.name, key.role, &key.tenant) == (&caller.name, caller.role, &caller.tenant)
        };
        // What cannot be asked is no reason to end it.
        keys.map_or(true, |keys| keys.iter().any(is_it))
    }
}

async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let known = match app.server.index().list_access_keys().await {
        Err(larder_index::IndexError::Unsupported(_)) => Vec::new(),
        keys => keys?,
    };
    if app.master.is_none() && known.is_empty() {
        return Err(Problem::disabled());
    }
    let given = digest_of(key_in(headers).ok_or_else(Problem::unauthorized)?);
    let is_given = |digest: &Digest| verify_slices_are_equal(digest, &given).is_ok();
    let mut caller = None;
    // All are compared, so that the time does not tell which.
    for key in &known {
        if is_given(&key.digest) {
            let AccessKey { name, role, tenant, .. } = key.clone();
            caller = Some(Caller { name, role, tenant });
        }
    }
    if app.master.as_ref().is_some_and(|master| is_given(&master.0)) {
        caller = Some(Caller { name: MASTER_NAME.to_owned(), role: AccessRole::Admin, tenant: None });
    }
    caller.ok_or_else(Problem::unauthorized)
}

/// The key in `X-Api-Key`, or in `Authorization` as `Bearer` or `token`.
fn key_in(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let field = headers.get(header::AUTHORIZATION)?.as_bytes();
    let at = field.iter().position(|byte| *byte == b' ')?;
    let (scheme, key) = (&field[..at], field[at..].trim_ascii());
    let is_known = [b"bearer".as_slice(), b"token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then_some(key)
}

/// A caller, and the tenant that the request is about.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    pub(crate) tenant_name: TenantName,
    pub(crate) tenant: Arc<dyn Tenant>,
}

#[derive(Deserialize)]
struct TenantParam {
    tenant: Option<String>,
}

impl Session {
    async fn open(parts: &Parts, app: &Arc<App>, needed: AccessRole) -> Result<Self, Problem> {
        let caller = caller_of(parts, needed)?;
        let TenantParam { tenant: asked } = params::read(parts.uri.query().unwrap_or_default())?;
        let name = asked_tenant(&caller, asked.as_deref())?;
        let tenant = app.server.tenant(&name).await?;
        let tenant = tenant.ok_or_else(|| Problem::not_found("there is no such tenant"))?;
        Ok(Self { app: app.clone(), caller, tenant_name: name, tenant })
    }

    pub(crate) fn server(&self) -> &dyn Server {
        &*self.app.server
    }
}

/// What a tenant's key learns of another tenant is not whether it exists.
fn asked_tenant(caller: &Caller, asked: Option<&str>) -> Result<TenantName, Problem> {
    match (&caller.tenant, asked) {
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(asked)) if own.as_str() == asked => Ok(own.clone()),
        (Some(_), Some(_)) => Err(Problem::forbidden("this key is for another tenant")),
        (None, None) => Ok(TenantName::default()),
        (None, Some(asked)) => {
            TenantName::parse(asked).map_err(|_| Problem::not_found("there is no such tenant"))
        }
    }
}

impl Admin {
    /// Returns the tenant that the request is about.
    pub(crate) async fn tenant(&self, asked: Option<&str>) -> Result<(TenantName, Arc<dyn Tenant>), Problem> {
        let name = asked_tenant(&self.caller, asked)?;
        let tenant = self.app.server.tenant(&name).await?;
        let tenant = tenant.ok_or_else(|| Problem::not_found("there is no such tenant"))?;
        Ok((name, tenant))
    }
}

fn caller_of(parts: &Parts, needed: AccessRole) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::unauthorized)?;
    if caller.role < needed {
        return Err(Problem::forbidden(format!("this needs a key with the role `{needed}`")));
    }
    Ok(caller)
}

/// Makes an extractor for the callers that have a role.
macro_rules! role {
    ($name:ident, $role:expr, $doc:literal) => {
        #[doc = $doc]
        pub(crate) struct $name(pub(crate) Session);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
                Session::open(parts, app, $role).await.map(Self)
            }
        }
    };
}

role!(Reader, AccessRole::Read, "A caller who may look at a tenant.");
role!(Deleter, AccessRole::Delete, "A caller who may delete in a tenant.");

/// A caller who may do everything in all tenants.
pub(crate) struct Admin {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = caller_of(parts, AccessRole::Admin)?;
        if caller.tenant.is_some() {
            return Err(Problem::forbidden("this needs a key for all tenants"));
        }
        Ok(Self { app: app.clone(), caller })
    }
}
