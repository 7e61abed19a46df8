//! The form of a token: three parts in base64url (RFC 7519, compact serialization).
//!
//! Also compiled into the component of `guest/serve`, so it names no library of signatures.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{TokenError, claims::RawClaims};

/// Longest token that is parsed. GitHub's have 1 to 2 KiB.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A parsed token. Nothing in it is verified.
pub(super) struct Jwt<'a> {
    pub(super) header: Header,
    pub(super) claims: RawClaims,
    /// The claims as they came: a JSON object.
    pub(super) payload: Vec<u8>,
    /// What the signature is made of: header and claims as they came.
    pub(super) signed: &'a [u8],
    /// The signature, still in base64url.
    pub(super) signature: &'a str,
}

/// The members of a header that are read. Keys and URLs of keys in a header (`jwk`, `jku`, `x5c`,
/// `x5u`) come from the sender and are ignored.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Header {
    /// Returns the name of the algorithm. `None` if the token has an extension that has to be
    /// understood: there is none that is.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.crit.is_none().then_some(&self.alg)
    }
}

impl<'a> Jwt<'a> {
    /// Parses a token.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed(&format!("longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed("no three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("no three parts"))?;
        if claims.contains('.') {
            return Err(malformed("more than three parts"));
        }
        let header = serde_json::from_slice(&decode(header, "the header")?)
            .map_err(|_| malformed("the header is not a JSON object with an alg"))?;
        let payload = decode(claims, "the claims")?;
        let claims = RawClaims::parse(&payload)?;
        Ok(Self { header, claims, payload, signed: signed.as_bytes(), signature })
    }
}

/// Returns the token of an `Authorization` field, `Bearer <token>`; the scheme in any case (RFC
/// 9110, 11.1).
///
/// # Errors
/// [`TokenError::Missing`] when there is no field, or it is of another scheme;
/// [`TokenError::Malformed`] when it is not text.
pub(crate) fn bearer(authorization: Option<&[u8]>) -> Result<&str, TokenError> {
    let field = authorization.ok_or(TokenError::Missing)?;
    let field = std::str::from_utf8(field).map_err(|_| TokenError::Malformed("not text".to_owned()))?;
    let (scheme, token) = field.trim().split_once(' ').ok_or(TokenError::Missing)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(TokenError::Missing)
    }
}

fn decode(part: &str, what: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(&format!("{what} is not base64url")))
}

fn malformed(why: &str) -> TokenError {
    TokenError::Malformed(why.to_owned())
}
