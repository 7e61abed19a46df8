//! Reads the parameters of a request.

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use larder_index::EntryId;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Longest body of a request, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The query of a request. A list is a name that is repeated, also as `name[]` or `name[0]`.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query.
pub(crate) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut plain = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let end = name.find('[').filter(|_| name.ends_with(']')).unwrap_or(name.len());
        plain.append_pair(&name[..end], &value);
    }
    serde_html_form::from_str(&plain.finish())
        .map_err(|error| Problem::bad_request(format!("the query cannot be read: {error}")))
}

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Problem::too_large()),
            Err(_) => return Err(Problem::bad_request("the body broke off")),
        };
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))
    }
}

/// A number in the path. What is no number names nothing.
pub(crate) struct Id(pub(crate) EntryId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Names(names) = Names::from_request_parts(parts, state).await?;
        let number = names.last().and_then(|(_, text)| parse_id(text));
        number.map(Self).ok_or_else(|| Problem::not_found("there is nothing with this id"))
    }
}

/// Reads a number, as this server writes it.
pub(crate) fn parse_id(text: &str) -> Option<EntryId> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).map(EntryId)
}

/// All names in the path, decoded.
pub(crate) struct Names(pub(crate) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(Problem::not_found("there is no such route")),
        }
    }
}

impl Names {
    /// Returns the name of this parameter.
    pub(crate) fn get(&self, parameter: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == parameter);
        found.map_or("", |(_, text)| text)
    }
}
