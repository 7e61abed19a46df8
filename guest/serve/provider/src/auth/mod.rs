//! Tokens and signatures.
//!
//! The form of a token and the rules for claims are the native server's own files: one text,
//! compiled for both. Signatures are RustCrypto's, because the native server's library is not of
//! this target.

#[path = "../../../../../host/src/auth/allowed.rs"]
mod allowed;
#[path = "../../../../../host/src/auth/claims.rs"]
#[allow(unreachable_pub, reason = "public in the native server's library")]
mod claims;
#[path = "../../../../../host/src/auth/error.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "errors of the native server's start")]
mod error;
#[path = "../../../../../host/src/auth/facts.rs"]
mod facts;
mod jwks;
#[path = "../../../../../host/src/auth/jwt.rs"]
mod jwt;
mod signing;
#[cfg(test)]
mod tests;
mod verifier;

use crate::facts::{CLAIMS, Facts};

pub(crate) use claims::Claims;
pub(crate) use error::TokenError;
pub(crate) use jwks::KeySet;
pub(crate) use jwt::bearer;
pub(crate) use signing::UrlSigner;
pub(crate) use verifier::TokenVerifier;
