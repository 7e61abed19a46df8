//! This server's own API, below `/api/v1`. OpenAPI describes it ([`openapi`]).

mod describe;
mod entries;
mod failures;
mod history;
mod keys;
mod live;
mod revoke;
mod scrub;
mod server;
mod stats;
mod summary;
mod uploads;
mod versions;

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::describe::openapi;
use crate::app::App;

/// The tenant of a request.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the description; a session reads it")]
pub(crate) struct TenantParam {
    /// The tenant, for a key of all; `default` if it is not given.
    tenant: Option<String>,
}

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(describe::base())
        .routes(routes!(server::status))
        .routes(routes!(server::whoami))
        .routes(routes!(server::tenants))
        .routes(routes!(server::config))
        .routes(routes!(server::sweep))
        .routes(routes!(server::rules))
        .routes(routes!(versions::policy))
        .routes(routes!(versions::use_policy, versions::use_configured_policy))
        .routes(routes!(versions::roll_back_policy))
        .routes(routes!(versions::rules))
        .routes(routes!(versions::use_rules, versions::use_configured_rules))
        .routes(routes!(versions::roll_back_rules))
        .routes(routes!(versions::shadow, versions::use_shadow, versions::end_shadow))
        .routes(routes!(scrub::status, scrub::start, scrub::stop))
        .routes(routes!(stats::stats))
        .routes(routes!(history::history))
        .routes(routes!(history::savings))
        .routes(routes!(history::markdown))
        .routes(routes!(entries::list, entries::delete_many))
        .routes(routes!(entries::get, entries::delete))
        .routes(routes!(entries::quarantine, entries::release))
        .routes(routes!(entries::explain))
        .routes(routes!(live::requests))
        .routes(routes!(live::decisions))
        .routes(routes!(live::errors))
        .routes(routes!(uploads::list))
        .routes(routes!(uploads::delete))
        .routes(routes!(revoke::revoke))
        .routes(routes!(revoke::run))
        .routes(routes!(revoke::actor))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::delete))
}

/// All routes but the description.
pub(crate) fn routes() -> Router<Arc<App>> {
    described().split_for_parts().0
}

/// The description, which needs no key.
pub(crate) fn description() -> Router<Arc<App>> {
    Router::new().route("/openapi.json", get(async || Json(openapi())))
}
