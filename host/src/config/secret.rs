//! A text that is not shown.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Shortest secret that is accepted, for URLs and for tokens.
pub const MIN_SECRET_BYTES: usize = 16;
/// What stands in for a secret.
pub(super) const MASK: &str = "***";
/// Marks a secret that is given as base64 of its bytes.
const BASE64: &str = "base64:";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A text that `Debug` and serialization show as `***`.
///
/// Not the crate `secrecy`: its `Deserialize` quotes a value of a wrong type in the error, and it
/// does not serialize.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The bytes of a key: the text's own, or after `base64:` the decoded ones (either alphabet,
    /// padded or not), since some platforms' keys are not text.
    ///
    /// # Errors
    /// When what follows `base64:` is not base64.
    pub fn key_bytes(&self) -> Result<Vec<u8>, &'static str> {
        match self.0.strip_prefix(BASE64) {
            None => Ok(self.0.as_bytes().to_vec()),
            Some(text) => STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE.decode(text))
                .map_err(|_| "holds a secret that starts with `base64:` and is not base64"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through a value of any type: serde's own message would quote it.
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a secret must be text in quotes")),
        }
    }
}

/// Reads a list of secrets, also of one that stands alone.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let secret = |value| match value {
        toml::Value::String(text) => Ok(Secret(text)),
        _ => Err(D::Error::custom("secrets must be a list of texts in quotes")),
    };
    match toml::Value::deserialize(deserializer)? {
        toml::Value::Array(values) => values.into_iter().map(secret).collect(),
        one => Ok(vec![secret(one)?]),
    }
}
