//! Authentication of requests, and signed URLs.
//!
//! [`TokenVerifier`] turns a bearer token into [`Claims`]; [`UrlSigner`] signs the URLs that need
//! no token. Knows no routes, WIT types or meaning of scopes, and reads no clock: the caller passes
//! the time. Tokens and keys stay inside: no error, log line or `Debug` output holds one.

mod admission;
mod allowed;
mod authenticator;
mod cache;
mod claim_names;
mod claims;
mod error;
mod facts;
mod issuers;
mod jwks;
mod jwt;
mod scope;
mod signing;
mod token_verifier;

use larder_common::facts::{CLAIMS, Facts};

pub(crate) use admission::{AccessRules, rules_caller};
pub use authenticator::{Access, Authenticator};
pub(crate) use claims::Claims;
pub use claims::Scope;
pub use error::{AuthSetupError, TokenError};
pub(crate) use issuers::KeyStatus;
pub(crate) use jwt::bearer;
pub(crate) use signing::UrlSigner;
pub use token_verifier::SKIP_WARNING;
pub(crate) use token_verifier::{TokenVerifier, issuer_of};

#[cfg(test)]
mod tests;
