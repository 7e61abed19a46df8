//! Messages in JSON.
//!
//! Reads what the clients write, which is protobuf's JSON mapping with liberties: names in snake_case or lowerCamelCase,
//! 64-bit numbers as numbers or text, null for absent. Writes snake_case, and ids as text (protocol reference 1.2).

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Reply;
use crate::service::{Code, Error, Message, clip};

/// Reads a message. Unknown fields are passed over; of a field that comes twice the last one counts.
pub(super) fn decode(body: &[u8]) -> Result<Message, Error> {
    match serde_json::from_slice(body) {
        Ok(Fields(message)) => Ok(message),
        Err(error) => {
            // The error may quote the message at any length.
            let text = clip(&format!("the message is not the expected JSON: {error}"));
            Err(Error::new(Code::Malformed, text))
        }
    }
}

/// Writes a reply: all fields of the call's message, also those that are unset, as GitHub's service writes them. A client that
/// is not made from the protocol's description takes a field that is missing for an error.
pub(super) fn encode(reply: &Reply) -> Result<Vec<u8>, Error> {
    let body = match reply {
        Reply::Reserved { upload_url } => {
            serde_json::to_vec(&Created { ok: true, signed_upload_url: upload_url, message: "" })
        }
        Reply::Denied { message } => {
            serde_json::to_vec(&Created { ok: false, signed_upload_url: "", message })
        }
        Reply::Finalized { entry_id } => {
            serde_json::to_vec(&Finalized { ok: true, entry_id: &entry_id.to_string(), message: "" })
        }
        Reply::Hit { download_url, matched_key } => {
            serde_json::to_vec(&Found { ok: true, signed_download_url: download_url, matched_key })
        }
        Reply::Miss => serde_json::to_vec(&Found { ok: false, signed_download_url: "", matched_key: "" }),
    };
    body.map_err(|error| Error::new(Code::Internal, "internal error").caused_by(error.to_string()))
}

/// The reply to `CreateCacheEntry`.
#[derive(Serialize)]
struct Created<'a> {
    ok: bool,
    signed_upload_url: &'a str,
    message: &'a str,
}

/// The reply to `FinalizeCacheEntryUpload`.
#[derive(Serialize)]
struct Finalized<'a> {
    ok: bool,
    entry_id: &'a str,
    message: &'a str,
}

/// The reply to `GetCacheEntryDownloadURL`.
#[derive(Serialize)]
struct Found<'a> {
    ok: bool,
    signed_download_url: &'a str,
    matched_key: &'a str,
}

/// A message as an object; the derived reader would take an array for it, too, and refuse repeated fields.
struct Fields(Message);

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

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
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
        Ok(Fields(message))
    }
}

/// Reads a value; null is the default, as in protobuf's JSON.
fn next_or_default<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
    map: &mut A,
) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// A 64-bit number: as a number, as text, or null for 0.
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
        f.write_str("a 64-bit integer, as a number or as text")
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

    /// Writers that know only doubles may write `5e3` or `5000.0`.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Int64, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            #[allow(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
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
