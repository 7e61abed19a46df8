//! The form of a token: three parts in base64url (RFC 7519, compact serialization).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{TokenError, claims::RawClaims};

/// Longest token that is parsed.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// An algorithm that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

/// A parsed token. Nothing in it is verified.
pub(super) struct Jwt<'a> {
    pub(super) header: Header,
    pub(super) claims: RawClaims,
    /// The claims as they came: a JSON object.
    pub(super) payload: Vec<u8>,
    /// What the signature is made of: header and claims as they came.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

/// The members of a header that are read. Keys and URLs of keys in a header come from the sender and
/// are ignored.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Header {
    /// Returns the algorithm, if it is one that is accepted. `none` is not, nor is an extension that
    /// has to be understood.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match self.alg.as_str() {
            _ if self.crit.is_some() => None,
            "HS256" => Some(Algorithm::Hs256),
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            _ => None,
        }
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
        // One that is not base64url is a wrong signature.
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        Ok(Self { header, claims, payload, signed: signed.as_bytes(), signature })
    }
}

fn decode(part: &str, what: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(&format!("{what} is not base64url")))
}

fn malformed(why: &str) -> TokenError {
    TokenError::Malformed(why.to_owned())
}
