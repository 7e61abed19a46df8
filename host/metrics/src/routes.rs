//! `/metrics`, `/livez` and `/readyz`, for the listener of operators.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::encoding::prometheus_text;

use crate::{Health, Metrics};

const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const DISABLED: &str = r#"{"code":"not_found","msg":"metrics are disabled (metrics.enabled)"}"#;

/// Routes for operators: `/metrics` in the text format of Prometheus, or of OpenMetrics where the
/// client accepts it; `/livez` and `/readyz` in JSON.
pub fn routes(metrics: Arc<Metrics>, health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(scrape).with_state(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready).with_state(health))
}

async fn scrape(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    if !metrics.is_enabled() {
        return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, JSON)], DISABLED).into_response();
    }
    let text = metrics.scrape().await;
    if accepts_open_metrics(&headers) {
        return ([(CONTENT_TYPE, OPEN_METRICS)], metrics.render_open_metrics()).into_response();
    }
    ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response()
}

fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|media| media.trim().to_ascii_lowercase().starts_with("application/openmetrics-text"))
}

async fn live() -> Response {
    ([(CONTENT_TYPE, JSON)], Health::LIVE).into_response()
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, JSON)], readiness.json()).into_response()
}
