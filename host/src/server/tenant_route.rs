//! Whose a request is, in a server with several tenants.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header::AUTHORIZATION, request::Parts, uri::PathAndQuery};

use super::{
    origin::{Reached, reached},
    peer::Peer,
    respond::{BadHead, NO_HOST},
};
use crate::{
    auth::issuer_of,
    message::{Response, json_response},
    registry::{self, Registered, Registry, Whose},
};

/// Answered at every host: a load balancer asks by address.
const HEALTH: &str = "/health";

/// Where a request goes.
pub(super) struct Route {
    /// The beginning of the URLs that the client gets.
    pub(super) origin: String,
    pub(super) whose: Owner,
}

/// Who responds to a request.
pub(super) enum Owner {
    Default,
    Tenant(Arc<Registered>),
    /// The server itself: nobody's host was asked for its health.
    Health,
}

/// No tenant is served at this host, and the token names none; or it is another tenant's listener.
const NOBODY: BadHead = BadHead {
    status: StatusCode::NOT_FOUND,
    code: "not_found",
    why: "no tenant of this server has this host, or issued this token",
};

/// Determines whose a request is. Where its URL names the tenant, the head is changed to what the
/// guest knows.
///
/// # Errors
/// When it is nobody's: a 404, before any guest runs.
pub(super) fn route(
    registry: &Registry,
    base_url: Option<&str>,
    head: &mut Parts,
    peer: &Peer,
) -> Result<Route, BadHead> {
    let reached = reached(head, peer).ok_or(NO_HOST)?;
    let issuer = || issuer_of(head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes));
    let authority = match reached.authority.as_str() {
        // The address of a tenant's listener is no host of another tenant, even if its IP address is.
        authority if is_listener(authority, peer) => "",
        authority => authority,
    };
    match registry.whose(peer.listener.as_ref(), authority, head.uri.path(), issuer) {
        Whose::Default => Ok(Route { origin: origin(base_url, &reached), whose: Owner::Default }),
        Whose::Hosts(tenant) => {
            let origin = origin(tenant.base_url.as_deref(), &reached);
            Ok(Route { origin, whose: Owner::Tenant(tenant) })
        }
        Whose::Named(tenant) => {
            let origin = origin(tenant.base_url.as_deref().or(base_url), &reached);
            strip_tenant(head).ok_or(NOBODY)?;
            Ok(Route { origin: registry::origin_of(&origin, &tenant.name), whose: Owner::Tenant(tenant) })
        }
        Whose::Nobody if is_health(head) => Ok(Route { origin: String::new(), whose: Owner::Health }),
        Whose::Nobody => Err(NOBODY),
    }
}

/// Returns whether this is the address at which a tenant's listener was reached.
fn is_listener(authority: &str, peer: &Peer) -> bool {
    peer.listener.is_some() && authority.parse().is_ok_and(|address: SocketAddr| peer.local == Some(address))
}

fn origin(configured: Option<&str>, reached: &Reached) -> String {
    configured.map_or_else(|| reached.origin(), str::to_owned)
}

/// Removes the name of a tenant from the beginning of the path, if it is there. Returns `None` where
/// the rest is not a path.
fn strip_tenant(head: &mut Parts) -> Option<()> {
    let Some((_, rest)) = registry::in_path(head.uri.path()) else { return Some(()) };
    let target = match head.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(target)).ok()?);
    head.uri = Uri::from_parts(parts).ok()?;
    Some(())
}

fn is_health(head: &Parts) -> bool {
    head.uri.path() == HEALTH && (head.method == Method::GET || head.method == Method::HEAD)
}

/// The response to a question for the health of the server.
pub(super) fn healthy(id: &str) -> Response {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#.to_owned(), id)
}
