//! Signed URLs: HMAC-SHA256 over a text, as hexadecimal digits.

use std::fmt;

use aws_lc_rs::hmac;

use super::AuthSetupError;
use crate::config::{MIN_SECRET_BYTES, Urls};

/// Length of the digest in bytes.
const DIGEST_BYTES: usize = 32;

/// Signs texts, and checks signatures. Shared by all threads.
pub(crate) struct UrlSigner {
    primary: hmac::Key,
    /// A second key during a rotation: its signatures are accepted, none is made with it.
    secondary: Option<hmac::Key>,
}

impl UrlSigner {
    /// Makes a signer of one or two secrets.
    ///
    /// # Errors
    /// When a secret has fewer than [`MIN_SECRET_BYTES`] bytes.
    pub(crate) fn new(primary: &[u8], secondary: Option<&[u8]>) -> Result<Self, AuthSetupError> {
        Ok(Self {
            primary: key(primary, "urls.signing_secret")?,
            secondary: secondary.map(|s| key(s, "urls.signing_secret_secondary")).transpose()?,
        })
    }

    /// Makes the configured signer. `own_secret` (random, stored in the database) is used if no
    /// primary secret is configured.
    ///
    /// # Errors
    /// When a secret has fewer than [`MIN_SECRET_BYTES`] bytes.
    pub(crate) fn from_config(urls: &Urls, own_secret: &[u8]) -> Result<Self, AuthSetupError> {
        let primary = urls.signing_secret.as_ref().map_or(own_secret, |s| s.expose().as_bytes());
        Self::new(primary, urls.signing_secret_secondary.as_ref().map(|s| s.expose().as_bytes()))
    }

    /// Returns the signature of a text: 64 lower-case hexadecimal digits.
    #[must_use]
    pub(crate) fn sign(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.primary, text.as_bytes()))
    }

    /// Returns whether [`Self::sign`] made this signature, with the primary or the secondary key.
    /// Takes the same time for every wrong signature of the right form.
    #[must_use]
    pub(crate) fn check(&self, text: &str, signature: &str) -> bool {
        let mut digest = [0; DIGEST_BYTES];
        let canonical = !signature.bytes().any(|b| b.is_ascii_uppercase());
        if !canonical || hex::decode_to_slice(signature, &mut digest).is_err() {
            return false;
        }
        let matches = |key: &hmac::Key| hmac::verify(key, text.as_bytes(), &digest).is_ok();
        // Without a short cut: the time must not tell which key matched.
        matches(&self.primary) | self.secondary.as_ref().is_some_and(matches)
    }
}

impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSigner").finish_non_exhaustive()
    }
}

fn key(secret: &[u8], setting: &'static str) -> Result<hmac::Key, AuthSetupError> {
    if secret.len() < MIN_SECRET_BYTES {
        let problem = format!("must have at least {MIN_SECRET_BYTES} bytes");
        return Err(AuthSetupError::Secret { setting, problem });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}
