//! The page for operators: embedded files that call [`v1`](crate::v1) with the key that the user enters.
//! They need no key, because they say nothing. Nothing is loaded from elsewhere.

use axum::{Router, response::IntoResponse, routing::get};
use http::{HeaderName, header};

/// Scripts and styles are those of the page alone, and no other page may frame it. So a text of a client that was taken
/// for HTML after all could do nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../page/index.html")))
        .route("/page/page.css", file("text/css; charset=utf-8", include_str!("../page/page.css")))
        .route("/page/page.js", file("text/javascript; charset=utf-8", include_str!("../page/page.js")))
        .route(
            "/page/chartist.js",
            file("text/javascript; charset=utf-8", include_str!("../page/chartist.js")),
        )
        .route("/page/icon.svg", file("image/svg+xml", include_str!("../page/icon.svg")))
}

fn file<S: Clone + Send + Sync + 'static>(
    media_type: &'static str,
    text: &'static str,
) -> axum::routing::MethodRouter<S> {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    get(async move || (headers, text).into_response())
}
