//! Who sends a request, and URLs that prove themselves.
//!
//! [`TokenVerifier`] turns a bearer token into [`Claims`]; [`UrlSigner`] signs the URLs that need no token. Called by
//! `interfaces/auth.rs`, for the guest. Knows nothing of routes, of WIT types, or of what a scope is for, and never reads a
//! clock: the caller says what time it is. Tokens and keys stay in here: no error, log line or `Debug` output holds one.

mod allowed;
mod cache;
mod claims;
mod error;
mod issuers;
mod jwks;
mod jwt;
mod signing;
mod tokens;

pub use claims::{Claims, Scope};
pub use error::{AuthSetupError, TokenError};
pub use signing::UrlSigner;
pub use tokens::{SKIP_WARNING, TokenVerifier, bearer};

#[cfg(test)]
mod tests;
