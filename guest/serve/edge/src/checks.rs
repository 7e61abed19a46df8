//! What the policy relies on in a request, and clients in a response.

use http::{HeaderName, HeaderValue, Method, StatusCode};

/// Longest head of a request in bytes, as for the native server.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Most header fields of a request, and of a response of the policy.
const MAX_FIELDS: usize = 100;
/// Longest body in memory of a response, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Names and values of header fields.
pub(crate) type Fields = Vec<(String, String)>;

/// Why a request does not reach the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHead {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) why: &'static str,
}

/// Why a response of the policy cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InvalidResponse {
    Status(u16),
    TooManyHeaders,
    Header(String),
    /// `content-length` is not the length of the object.
    Length(u64),
    TooLarge(usize),
}

/// The rule for a response's `content-length`.
pub(crate) enum LengthRule {
    /// It is this; the policy's is replaced.
    Set(u64),
    /// The policy may set it: there is no body.
    Optional,
    /// The policy must have set it to this.
    Exactly(u64),
    /// There is none.
    None,
}

impl BadHead {
    pub(crate) fn malformed(why: &'static str) -> Self {
        Self { status: 400, code: "malformed", why }
    }
}

/// Checks the head of a request.
pub(crate) fn check_head(method: &str, target: &str, fields: &[(String, Vec<u8>)]) -> Result<(), BadHead> {
    // `: ` and the end of the line.
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if bytes + target.len() > MAX_HEAD_BYTES || fields.len() > MAX_FIELDS {
        return Err(BadHead {
            status: 431,
            code: "invalid_argument",
            why: "the request's head is too large",
        });
    }
    if method == Method::CONNECT.as_str() {
        return Err(BadHead::malformed("CONNECT is not supported"));
    }
    if !target.starts_with('/') {
        return Err(BadHead::malformed("the request's target is not a path"));
    }
    Ok(())
}

/// Returns whether a header field is hop-by-hop (RFC 9110, 7.6.1).
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"].contains(&name)
}

/// Checks the status and the fields of a response of the policy, and sets its `content-length`.
pub(crate) fn check_response(
    status: u16,
    fields: &mut Fields,
    rule: &LengthRule,
) -> Result<(), InvalidResponse> {
    let is_valid = StatusCode::from_u16(status).is_ok() && (200..600).contains(&status);
    if !is_valid {
        return Err(InvalidResponse::Status(status));
    }
    check_fields(fields)?;
    let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
    match rule {
        LengthRule::Optional => {}
        LengthRule::Set(_) | LengthRule::None => fields.retain(|(name, _)| !is_length(name)),
        LengthRule::Exactly(bytes) => {
            let announced = fields.iter().find(|(name, _)| is_length(name));
            if announced.and_then(|(_, value)| value.parse().ok()) != Some(*bytes) {
                return Err(InvalidResponse::Length(*bytes));
            }
        }
    }
    if let LengthRule::Set(bytes) = rule {
        fields.push(("content-length".to_owned(), bytes.to_string()));
    }
    Ok(())
}

/// Checks the fields of a response of the policy.
pub(crate) fn check_fields(fields: &Fields) -> Result<(), InvalidResponse> {
    if fields.len() > MAX_FIELDS {
        return Err(InvalidResponse::TooManyHeaders);
    }
    let is_valid = |(name, value): &&(String, String)| {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        parsed.is_ok_and(|name| !is_hop_by_hop(name.as_str())) && HeaderValue::try_from(value).is_ok()
    };
    match fields.iter().find(|field| !is_valid(field)) {
        None => Ok(()),
        Some((name, _)) => Err(InvalidResponse::Header(name.clone())),
    }
}

/// Returns whether two texts are equal; the time does not tell where they differ.
pub(crate) fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
