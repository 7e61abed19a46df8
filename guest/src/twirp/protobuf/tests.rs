#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{decode, encode};
use crate::route::V2Call;
use crate::service::Message;
use crate::twirp::Reply;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn message(restore_keys: &[&str], size_bytes: i64) -> Message {
    let restore_keys = restore_keys.iter().map(|key| (*key).to_owned()).collect();
    Message { key: "k".into(), version: "v".into(), restore_keys, size_bytes }
}

#[test]
fn requests_have_their_field_numbers() {
    for (call, hex, expected) in [
        (V2Call::Create, "12016b 1a0176", message(&[], 0)),
        (V2Call::Finalize, "12016b 1805 220176", message(&[], 5)),
        (V2Call::Lookup, "12016b 220176", message(&[], 0)),
        (V2Call::Lookup, "12016b 1a0161 1a0162 220176", message(&["a", "b"], 0)),
        // With metadata, and with an unknown field.
        (V2Call::Create, "0a020809 12016b 1a0176 7a0178", message(&[], 0)),
        (V2Call::Create, "", Message::default()),
    ] {
        assert_eq!(decode(call, &bytes(hex)), Ok(expected), "{call:?} {hex}");
    }
}

#[test]
fn replies_have_their_field_numbers() {
    for (reply, hex) in [
        (Reply::Reserved { upload_url: "u".into() }, "0801 120175"),
        (Reply::Denied { message: "m".into() }, "1a016d"),
        (Reply::Finalized { entry_id: 7 }, "0801 1007"),
        (Reply::Hit { download_url: "u".into(), matched_key: "k".into() }, "0801 120175 1a016b"),
        (Reply::Miss, ""),
    ] {
        assert_eq!(encode(reply), bytes(hex), "{hex}");
    }
}

#[test]
fn malformed_messages_are_rejected() {
    // Truncated, text that is not UTF-8, a number in place of text, an endless number.
    for hex in ["12056b", "1201ff", "1007", "12ffffffffffffffffffff"] {
        assert!(decode(V2Call::Lookup, &bytes(hex)).is_err(), "{hex}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for call in [V2Call::Create, V2Call::Finalize, V2Call::Lookup] {
            let _ = decode(call, &body);
        }
    }
}
