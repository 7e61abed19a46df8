//! What can be wrong with a token, and with the set-up.

use std::path::PathBuf;

/// Why a token does not count. The same cases as `auth.error` of the guest's world.
///
/// No case holds the token, or anything of it but a claim's or issuer's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no bearer token.
    #[error("no bearer token")]
    Missing,
    /// It is not a token of a form that is understood; says why.
    #[error("not a token: {0}")]
    Malformed(String),
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It will be valid later.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The signature is wrong, or made with a key or algorithm that is not accepted.
    #[error("the token's signature is not accepted")]
    BadSignature,
    /// Signed by somebody who is not trusted here; says who.
    #[error("the token's issuer is not trusted here: {0}")]
    UntrustedIssuer(String),
    /// A claim that is needed is missing or of a wrong form; says which.
    #[error("claim {0}")]
    BadClaim(String),
    /// Its repository may not use this server (`auth.owners`, `auth.repositories`); says which it is.
    #[error("not allowed here: {0}")]
    NotAllowed(String),
    /// The issuer's signing keys cannot be fetched at the moment. A retry may help.
    #[error("cannot fetch the issuer's signing keys: {0}")]
    Unavailable(String),
}

/// Why the verifier or the signer cannot be made from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// A file of keys cannot be read.
    #[error("jwks_file: cannot read {path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A file of keys is not a key set.
    #[error("jwks_file: {path} is not a key set: {problem}")]
    KeySet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A secret is too short, or not of its form. The secret is not shown.
    #[error("{setting}: {problem}")]
    Secret {
        /// Which secret.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
