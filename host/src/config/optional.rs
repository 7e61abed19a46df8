//! Settings that may be unset, which is the empty text: `#[serde(with = "optional")]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::secret::{MASK, Secret};

/// What can be made of a text that is not empty.
pub(super) trait Text: Sized {
    fn from_text(text: String) -> Self;
    fn to_text(&self) -> String;
}

impl Text for String {
    fn from_text(text: String) -> Self {
        text
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl Text for PathBuf {
    fn from_text(text: String) -> Self {
        text.into()
    }

    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

impl Text for Secret {
    fn from_text(text: String) -> Self {
        Self::new(text)
    }

    fn to_text(&self) -> String {
        MASK.to_owned()
    }
}

pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Text,
{
    // Through a value of any type: it may be a secret, and serde's own message would quote it.
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) if text.is_empty() => Ok(None),
        toml::Value::String(text) => Ok(Some(T::from_text(text))),
        other => Err(D::Error::custom(format!("must be text in quotes, not {}", other.type_str()))),
    }
}

pub(super) fn serialize<S: Serializer, T: Text>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.as_ref().map(Text::to_text).unwrap_or_default())
}
