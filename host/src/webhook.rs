//! Webhooks of the platform: a closed pull request, or a deleted branch, ends its scope at once.
//!
//! The host answers them before any guest runs. A delivery is signed with the secret that the operator
//! gave to the platform, and may be repeated.

mod github;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use http::{Method, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use larder_common::{TenantName, causes::chain};
use larder_index::{Index, IndexError};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    config::Settings,
    ending::{Ended, Ending},
    message::{RequestBody, RequestRecord, Response, error_response, json_response, unavailable},
    tenant::Tenant,
};

/// Where the platform delivers.
const PATH: &str = "/_larder/webhooks/github";

/// Longest delivery that is read, in bytes. Events of pull requests and branches are shorter.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Deliveries whose bodies are in memory at once: the signature is known only at the end of one.
static READING: Semaphore = Semaphore::const_new(8);

/// Longest wait for such a place: many pull requests may be closed at once, and GitHub delivers once only.
const WAIT_TIME: Duration = Duration::from_secs(4);

/// Longest time in which a delivery is read: nobody may keep the places of others.
const READ_TIME: Duration = Duration::from_secs(10);

/// The platform waits for 10 s. Work that takes longer goes on without it.
const WORK_TIME: Duration = Duration::from_secs(5);

/// What a tenant needs for webhooks.
pub(crate) struct Webhooks {
    key: hmac::Key,
    /// What may go before a repository's id, one for each platform.
    prefixes: Vec<String>,
}

impl Webhooks {
    /// `None` where no secret is configured.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        let secret = settings.webhooks.secret.as_ref()?;
        // The configuration has checked it.
        let bytes = secret.key_bytes().unwrap_or_else(|_| secret.expose().as_bytes().to_vec());
        let auth = &settings.auth;
        let of_issuers = auth.issuers.iter().map(|issuer| issuer.repository_prefix.clone());
        let mut prefixes: Vec<String> = of_issuers.collect();
        if !auth.hs256_secrets.is_empty() || prefixes.is_empty() {
            prefixes.push(auth.hs256_repository_prefix.clone());
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        Some(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), prefixes })
    }

    /// Returns whether the field `X-Hub-Signature-256` signs this body. In constant time.
    fn accepts(&self, field: Option<&[u8]>, body: &[u8]) -> bool {
        let digits = field.and_then(|field| field.strip_prefix(b"sha256="));
        let signature = digits.and_then(|digits| hex::decode(digits).ok());
        signature.is_some_and(|signature| hmac::verify(&self.key, body, &signature).is_ok())
    }

    /// Returns the repositories of the index that the event is about. Where several platforms have ids
    /// of their own, the name decides.
    async fn repositories(
        &self,
        index: &dyn Index,
        event: &github::Ended,
    ) -> Result<Vec<String>, IndexError> {
        let mut found: Vec<String> =
            self.prefixes.iter().map(|prefix| format!("{prefix}{}", event.repository_id)).collect();
        if found.len() > 1 {
            let mut named = Vec::new();
            for repository in found {
                let name = index.repository_name(&repository).await?;
                if name.is_some_and(|name| name.eq_ignore_ascii_case(&event.repository_name)) {
                    named.push(repository);
                }
            }
            found = named;
        }
        Ok(found)
    }
}

/// Whether a request is one of a platform's.
pub(crate) fn is_webhook(head: &Parts) -> bool {
    head.uri.path() == PATH
}

/// Responds to a delivery.
pub(crate) async fn respond(
    tenant: &Arc<Tenant>,
    head: &Parts,
    body: RequestBody,
    record: &RequestRecord,
) -> Response {
    let id = record.id();
    let refuse = |status, code, why| error_response(status, code, why, id);
    let Some(webhooks) = tenant.webhooks.clone() else {
        return refuse(StatusCode::NOT_FOUND, "not_found", "webhooks are not configured");
    };
    if head.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_route", "webhooks are sent with POST");
    }
    let Ok(Ok(reading)) = timeout(WAIT_TIME, READING.acquire()).await else {
        return unavailable("too many deliveries at once", id);
    };
    let Ok(body) = timeout(READ_TIME, Limited::new(body, MAX_BODY_BYTES).collect()).await else {
        return refuse(StatusCode::REQUEST_TIMEOUT, "deadline_exceeded", "the delivery comes too slowly");
    };
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "invalid_argument", "the delivery is too long");
        }
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "malformed", "the delivery broke off"),
    };
    let field = |name: &str| head.headers.get(name).map(http::HeaderValue::as_bytes);
    if !webhooks.accepts(field("x-hub-signature-256"), &body) {
        tracing::warn!("a webhook's signature does not verify: is its secret webhooks.secret?");
        return refuse(StatusCode::UNAUTHORIZED, "unauthenticated", "the signature does not verify");
    }
    let Some(event) = field("x-github-event") else {
        return refuse(StatusCode::BAD_REQUEST, "malformed", "X-GitHub-Event is missing");
    };
    let ended = github::ended(event, &body).map_err(|github::Malformed| github::explain(&body));
    // The work may take longer than it took to read what is to be done.
    drop((body, reading));
    match ended {
        Err(why) => refuse(StatusCode::BAD_REQUEST, "malformed", why),
        Ok(None) => json_response(StatusCode::OK, r#"{"status":"ignored"}"#.to_owned(), id),
        Ok(Some(ended)) => {
            let name = record.tenant_name().unwrap_or_default();
            end((name, tenant.clone()), webhooks, ended, id).await
        }
    }
}

/// Ends a scope, and responds when that is done or takes longer.
async fn end(
    (name, tenant): (TenantName, Arc<Tenant>),
    webhooks: Arc<Webhooks>,
    ended: github::Ended,
    id: &str,
) -> Response {
    let scope = ended.scope.clone();
    let work = tokio::spawn(async move {
        let done = end_all(&tenant, &webhooks, &ended).await;
        match &done {
            Ok(done) => log(&name, &ended, done),
            Err(error) => {
                tracing::warn!(error = %chain(error), scope = ended.scope, "cannot end a scope; the platform may repeat its delivery");
            }
        }
        done
    });
    match timeout(WORK_TIME, work).await {
        Ok(Ok(Ok(Ended { entries, bytes, uploads }))) => {
            let done = serde_json::json!({
                "status": "ended", "scope": scope, "entries": entries, "bytes": bytes, "uploads": uploads,
            });
            json_response(StatusCode::OK, done.to_string(), id)
        }
        Ok(_) => unavailable("the database is not available", id),
        Err(_) => json_response(StatusCode::ACCEPTED, r#"{"status":"accepted"}"#.to_owned(), id),
    }
}

/// Logs what was deleted, as the management API does: a line for each change.
fn log(tenant: &TenantName, ended: &github::Ended, done: &Ended) {
    let Ended { entries, bytes, uploads } = done;
    let count = entries + uploads;
    if count == 0 {
        return;
    }
    let what = format!("scope {} of {}", ended.scope, ended.repository_name);
    tracing::info!(
        target: "larder::audit",
        key = "webhooks.secret",
        role = "webhook",
        tenant = tenant.as_str(),
        action = "end",
        what,
        count,
        bytes,
        "a scope was ended by the platform"
    );
}

async fn end_all(tenant: &Tenant, webhooks: &Webhooks, event: &github::Ended) -> Result<Ended, IndexError> {
    let ending = Ending::of(tenant);
    let mut all = Ended::default();
    for repository in webhooks.repositories(ending.index, event).await? {
        let Ended { entries, bytes, uploads } =
            ending.scope(&repository, &event.scope, tenant.clock.now_ms()).await?;
        all = Ended {
            entries: all.entries + entries,
            bytes: all.bytes + bytes,
            uploads: all.uploads + uploads,
        };
    }
    Ok(all)
}
