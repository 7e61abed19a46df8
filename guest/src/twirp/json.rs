//! Messages in JSON.
//!
//! Decodes protobuf's JSON mapping with the liberties that clients take: names in snake_case or
//! lowerCamelCase, 64-bit numbers as numbers or strings, null for absent. Encodes names in
//! snake_case, and ids as strings (protocol reference 1.2).

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Reply;
use crate::service::{Code, Error, Message, clip};

/// Decodes a message. Ignores unknown fields; the last one of repeated fields counts.
pub(super) fn decode(body: &[u8]) -> Result<Message, Error> {
    match serde_json::from_slice(body) {
        Ok(JsonMessage(message)) => Ok(message),
        Err(error) => {
            // The error may quote the message at any length.
            let text = clip(&format!("the message is not the expected JSON: {error}"));
            Err(Error::new(Code::Malformed, text))
        }
    }
}

/// Encodes a reply with all fields of its message, unset ones too, as GitHub's service does: some
/// clients reject a message with missing fields.
pub(super) fn encode(reply: &Reply) -> Result<Vec<u8>, Error> {
    let body = match reply {
        Reply::Reserved { upload_url } => {
            serde_json::to_vec(&CreateJson { ok: true, signed_upload_url: upload_url, message: "" })
        }
        Reply::Denied { message } => {
            serde_json::to_vec(&CreateJson { ok: false, signed_upload_url: "", message })
        }
        Reply::Finalized { entry_id } => {
            serde_json::to_vec(&FinalizeJson { ok: true, entry_id: &entry_id.to_string(), message: "" })
        }
        Reply::Hit { download_url, matched_key } => {
            serde_json::to_vec(&LookupJson { ok: true, signed_download_url: download_url, matched_key })
        }
        Reply::Miss => {
            serde_json::to_vec(&LookupJson { ok: false, signed_download_url: "", matched_key: "" })
        }
    };
    body.map_err(|error| Error::internal(error.to_string()))
}

/// The reply to `CreateCacheEntry`.
#[derive(Serialize)]
struct CreateJson<'a> {
    ok: bool,
    signed_upload_url: &'a str,
    message: &'a str,
}

/// The reply to `FinalizeCacheEntryUpload`.
#[derive(Serialize)]
struct FinalizeJson<'a> {
    ok: bool,
    entry_id: &'a str,
    message: &'a str,
}

/// The reply to `GetCacheEntryDownloadURL`.
#[derive(Serialize)]
struct LookupJson<'a> {
    ok: bool,
    signed_download_url: &'a str,
    matched_key: &'a str,
}

/// A message as a JSON object. A derived implementation would also accept arrays, and reject
/// repeated fields.
struct JsonMessage(Message);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Key,
    Version,
    #[serde(alias = "restoreKeys")]
    RestoreKeys,
    #[serde(alias = "sizeBytes")]
    SizeBytes,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for JsonMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = JsonMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMessage, A::Error> {
        let mut message = Message::default();
        while let Some(field) = map.next_key()? {
            match field {
                Field::Key => message.key = next_or_default(&mut map)?,
                Field::Version => message.version = next_or_default(&mut map)?,
                Field::RestoreKeys => message.restore_keys = next_or_default(&mut map)?,
                Field::SizeBytes => message.size_bytes = map.next_value::<Int64>()?.0,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(JsonMessage(message))
    }
}

/// Decodes a value; null is the default, as in protobuf's JSON.
fn next_or_default<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
    map: &mut A,
) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// A 64-bit integer: a number, a string, or null for 0.
struct Int64(i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int64Visitor)
    }
}

struct Int64Visitor;

impl Visitor<'_> for Int64Visitor {
    type Value = Int64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-bit integer, as a number or a string")
    }

    fn visit_unit<E>(self) -> Result<Int64, E> {
        Ok(Int64(0))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Int64, E> {
        Ok(Int64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Int64, E> {
        i64::try_from(value).map(Int64).map_err(|_| E::custom("number out of range"))
    }

    /// Clients that only have doubles may send `5e3` or `5000.0`.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Int64, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
            return Ok(Int64(value as i64));
        }
        Err(E::custom("not a 64-bit integer"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Int64, E> {
        value.parse().map(Int64).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
