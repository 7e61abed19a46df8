//! Why a request is not answered as wished, and how each surface says so.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use larder_index::IndexError;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::server::Fault;

/// Why a request is not answered as wished. Each surface renders it in its own shape.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// The body of an error of this server's own API.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// One word, which does not change.
    code: String,
    /// For people.
    message: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid API key is needed")
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too long")
    }

    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message)
    }

    /// No key is configured, so nobody may do anything.
    pub(crate) fn disabled() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "disabled",
            "Management API is disabled: no key is configured; set MANAGEMENT_API_KEY, or make one with `larder key new`",
        )
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The code in the known server's notation.
    pub(crate) fn upper_code(&self) -> String {
        match self.code {
            "disabled" | "unavailable" => "SERVICE_UNAVAILABLE".to_owned(),
            "too_large" => "PAYLOAD_TOO_LARGE".to_owned(),
            code => code.to_ascii_uppercase(),
        }
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        Fault::from(error).into()
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(error) => {
                tracing::warn!(error, "a request of the management API failed");
                let message = "database or storage failed; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
            Fault::Unsupported(why) => Self::unsupported(why),
            Fault::Refused(text) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", text),
            Fault::Conflict(why) => Self::conflict(why),
            Fault::Late(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why),
        }
    }
}

/// Without a body: the surface's layer makes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Takes the problem out of a response: one of a handler, or one that the router has found.
fn problem_in(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    match status {
        _ if response.headers().contains_key(header::CONTENT_TYPE) => None,
        StatusCode::METHOD_NOT_ALLOWED => Some(Problem::new(
            status,
            "method_not_allowed",
            "this route does not have this method; the field Allow names those that it has",
        )),
        StatusCode::NOT_FOUND => Some(Problem::not_found("there is no such route")),
        _ => None,
    }
}

fn render(mut response: Response, body: impl FnOnce(&Problem) -> serde_json::Value) -> Response {
    if let Some(problem) = problem_in(&mut response) {
        let text = body(&problem).to_string();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if problem.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        *response.body_mut() = Body::from(text);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// In the shape of this server's own API.
pub(crate) async fn render_own(response: Response) -> Response {
    render(response, |problem| {
        let detail = ErrorDetail { code: problem.code.to_owned(), message: problem.message.clone() };
        json!(ErrorBody { error: detail })
    })
}

/// In the shape of the known server's.
pub(crate) async fn render_falcon(response: Response) -> Response {
    render(response, falcon_body)
}

/// The body of the known server's errors.
pub(crate) fn falcon_body(problem: &Problem) -> serde_json::Value {
    json!({
        "defined": false,
        "code": problem.upper_code(),
        "status": problem.status.as_u16(),
        "message": problem.message,
    })
}

/// In GitHub's shape.
pub(crate) async fn render_github(response: Response) -> Response {
    render(response, |problem| {
        let message = match problem.status {
            StatusCode::UNAUTHORIZED => "Bad credentials",
            StatusCode::NOT_FOUND => "Not Found",
            _ => problem.message(),
        };
        json!({ "message": message, "status": problem.status.as_str() })
    })
}
