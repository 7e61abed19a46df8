//! Signed URLs: HMAC-SHA256 over a text, as hexadecimal digits.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Length of the digest in bytes.
const DIGEST_BYTES: usize = 32;

/// Signs texts, and checks signatures.
pub(crate) struct UrlSigner {
    primary: Hmac<Sha256>,
    /// A second key during a rotation: its signatures are accepted, none is made with it.
    secondary: Option<Hmac<Sha256>>,
}

impl UrlSigner {
    /// Makes a signer of one or two secrets.
    pub(crate) fn new(primary: &[u8], secondary: Option<&[u8]>) -> Self {
        Self { primary: key(primary), secondary: secondary.map(key) }
    }

    /// Returns the signature of a text: 64 lower-case hexadecimal digits.
    pub(crate) fn sign(&self, text: &str) -> String {
        hex::encode(self.primary.clone().chain_update(text).finalize().into_bytes())
    }

    /// Returns whether [`Self::sign`] made this signature, with the primary or the secondary key.
    /// Takes the same time for every wrong signature of the right form.
    pub(crate) fn check(&self, text: &str, signature: &str) -> bool {
        let mut digest = [0; DIGEST_BYTES];
        let canonical = !signature.bytes().any(|b| b.is_ascii_uppercase());
        if !canonical || hex::decode_to_slice(signature, &mut digest).is_err() {
            return false;
        }
        let matches = |key: &Hmac<Sha256>| key.clone().chain_update(text).verify_slice(&digest).is_ok();
        // Without a short cut: the time must not tell which key matched.
        matches(&self.primary) | self.secondary.as_ref().is_some_and(matches)
    }
}

/// Keys of any length are keys of HMAC.
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
pub(super) fn key(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}
