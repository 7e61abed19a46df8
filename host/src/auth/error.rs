//! Errors of token verification, and of its setup.

use std::path::PathBuf;

/// Why a token is refused. The same cases as `auth.error` of the guest's world.
///
/// No case holds the token, or any part of it but the name of a claim or issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is no bearer token.
    #[error("no bearer token")]
    Missing,
    /// Not a JSON Web Token of a supported form; with the reason.
    #[error("not a token: {0}")]
    Malformed(String),
    /// Its `exp` is in the past.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The signature is wrong, or of a key or algorithm that is not accepted.
    #[error("the token's signature is not accepted")]
    BadSignature,
    /// The issuer is not trusted; with its name.
    #[error("the token's issuer is not trusted here: {0}")]
    UntrustedIssuer(String),
    /// A required claim is missing or malformed; with its name.
    #[error("claim {0}")]
    BadClaim(String),
    /// Its repository may not use this server (`auth.owners`, `auth.repositories`); with its name.
    #[error("not allowed here: {0}")]
    NotAllowed(String),
    /// The issuer's signing keys cannot be fetched at the moment. A retry may help.
    #[error("cannot fetch the issuer's signing keys: {0}")]
    Unavailable(String),
}

/// Most characters of a name that an unverified token gave, in an error.
pub(super) const SHOWN_CHARS: usize = 100;

impl TokenError {
    /// The issuer of this name is not trusted.
    pub(super) fn untrusted(issuer: &str) -> Self {
        Self::UntrustedIssuer(shown(issuer, SHOWN_CHARS))
    }
}

/// Returns a text of a token for the log, where it is the sender's: cut, and without line breaks.
pub(super) fn shown(text: &str, chars: usize) -> String {
    let short: String = text.chars().take(chars).collect();
    short.escape_debug().to_string()
}

/// Why the verifier or the signer cannot be set up.
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
    /// A secret is too short or malformed. It is not shown.
    #[error("{setting}: {problem}")]
    Secret {
        /// Which secret.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
