//! Messages in protobuf. The field numbers are those of protocol reference 1.1.

use prost::Message as _;

use super::Reply;
use crate::route::V2Call;
use crate::service::{Code, Error, Message};

/// No request has `metadata` (1), on purpose: authority comes from the token alone.
#[derive(Clone, PartialEq, prost::Message)]
struct CreateRequest {
    #[prost(string, tag = "2")]
    key: String,
    /// 3 here, 4 in the other requests.
    #[prost(string, tag = "3")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FinalizeRequest {
    #[prost(string, tag = "2")]
    key: String,
    #[prost(int64, tag = "3")]
    size_bytes: i64,
    #[prost(string, tag = "4")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LookupRequest {
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, repeated, tag = "3")]
    restore_keys: Vec<String>,
    #[prost(string, tag = "4")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CreateResponse {
    #[prost(bool, tag = "1")]
    ok: bool,
    #[prost(string, tag = "2")]
    signed_upload_url: String,
    #[prost(string, tag = "3")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FinalizeResponse {
    #[prost(bool, tag = "1")]
    ok: bool,
    #[prost(int64, tag = "2")]
    entry_id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LookupResponse {
    #[prost(bool, tag = "1")]
    ok: bool,
    #[prost(string, tag = "2")]
    signed_download_url: String,
    #[prost(string, tag = "3")]
    matched_key: String,
}

/// Decodes the message of a call. Ignores unknown fields.
pub(super) fn decode(call: V2Call, body: &[u8]) -> Result<Message, Error> {
    let decoded = match call {
        V2Call::Create => CreateRequest::decode(body).map(|CreateRequest { key, version }| Message {
            key,
            version,
            ..Message::default()
        }),
        V2Call::Finalize => {
            FinalizeRequest::decode(body).map(|FinalizeRequest { key, size_bytes, version }| Message {
                key,
                version,
                size_bytes,
                ..Message::default()
            })
        }
        V2Call::Lookup => LookupRequest::decode(body).map(|LookupRequest { key, restore_keys, version }| {
            Message { key, version, restore_keys, ..Message::default() }
        }),
    };
    decoded.map_err(|error| {
        Error::new(Code::Malformed, format!("the message is not the expected protobuf: {error}"))
    })
}

/// Encodes a reply. A miss is a message of zero bytes.
pub(super) fn encode(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Reserved { upload_url } => {
            CreateResponse { ok: true, signed_upload_url: upload_url, message: String::new() }.encode_to_vec()
        }
        Reply::Denied { message } => {
            CreateResponse { ok: false, signed_upload_url: String::new(), message }.encode_to_vec()
        }
        Reply::Finalized { entry_id } => {
            FinalizeResponse { ok: true, entry_id: i64::try_from(entry_id).unwrap_or(i64::MAX) }
                .encode_to_vec()
        }
        Reply::Hit { download_url, matched_key } => {
            LookupResponse { ok: true, signed_download_url: download_url, matched_key }.encode_to_vec()
        }
        Reply::Miss => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
