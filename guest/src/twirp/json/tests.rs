#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{decode, encode};
use crate::service::Message;
use crate::twirp::Reply;

fn message(key: &str, restore_keys: &[&str], size_bytes: i64) -> Message {
    let restore_keys = restore_keys.iter().map(|key| (*key).to_owned()).collect();
    Message { key: key.into(), version: "v".into(), restore_keys, size_bytes }
}

#[test]
fn messages_of_known_clients_are_decoded() {
    for (body, expected) in [
        (r#"{"key":"k","version":"v"}"#, message("k", &[], 0)),
        (r#"{"key":"k","version":"v","size_bytes":"5214"}"#, message("k", &[], 5214)),
        (r#"{"key":"k","version":"v","size_bytes":5214}"#, message("k", &[], 5214)),
        (r#"{"key":"k","version":"v","sizeBytes":5214}"#, message("k", &[], 5214)),
        (r#"{"key":"k","version":"v","sizeBytes":"0"}"#, message("k", &[], 0)),
        (r#"{"key":"k","version":"v","size_bytes":5e3}"#, message("k", &[], 5000)),
        (r#"{"key":"k","version":"v","size_bytes":5000.0}"#, message("k", &[], 5000)),
        (r#"{"key":"k","version":"v","size_bytes":null}"#, message("k", &[], 0)),
        (r#"{"key":"k","version":"v","size_bytes":-1}"#, message("k", &[], -1)),
        (r#"{"key":"k","version":"v","restore_keys":["a","b"]}"#, message("k", &["a", "b"], 0)),
        (r#"{"key":"k","version":"v","restoreKeys":["a"]}"#, message("k", &["a"], 0)),
        (r#"{"key":"k","version":"v","restore_keys":null}"#, message("k", &[], 0)),
        (r#"{"key":"k","version":"v","restore_keys":[]}"#, message("k", &[], 0)),
        (
            r#"{"metadata":{"repository_id":"9","scope":[{"scope":"x"}]},"key":"k","version":"v"}"#,
            message("k", &[], 0),
        ),
        (r#"{"key":"k","version":"v","new":[[[{"deep":1}]]]}"#, message("k", &[], 0)),
        (r#"{"key":"a","version":"v","key":"k"}"#, message("k", &[], 0)),
        (r#"{"\u006bey":"\u00e4\n","version":"v"}"#, message("ä\n", &[], 0)),
        (r#" { "key" : null , "version" : "v" } "#, message("", &[], 0)),
    ] {
        assert_eq!(decode(body.as_bytes()), Ok(expected), "{body}");
    }
}

#[test]
fn malformed_messages_have_short_errors() {
    let deep = format!(r#"{{"x":{}"#, "[".repeat(200_000));
    let long = format!(r#"{{"size_bytes":"{}"}}"#, "9".repeat(100_000));
    let bodies: [&[u8]; 18] = [
        b"",
        b"null",
        b"[]",
        br#"["k","v"]"#,
        b"7",
        b"{",
        br#"{"key":1}"#,
        br#"{"key":["k"]}"#,
        br#"{"restore_keys":"a"}"#,
        br#"{"restore_keys":[null]}"#,
        br#"{"size_bytes":"x"}"#,
        br#"{"size_bytes":""}"#,
        br#"{"size_bytes":1.5}"#,
        br#"{"size_bytes":18446744073709551615}"#,
        br#"{"key":"k"} trailing"#,
        b"{\"key\":\"\xff\"}",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    for body in bodies {
        let error = decode(body).unwrap_err();
        let answer = crate::twirp::unlogged_error_response::<crate::fake::FakeHost>(&error);
        assert_eq!(answer.status, 400);
        assert!(matches!(answer.payload, crate::ports::Payload::Bytes(text) if text.len() < 4096));
    }
}

/// Fault 30: replies have all fields, unset ones too.
#[test]
fn replies_are_snake_case_with_ids_as_text_and_have_all_fields() {
    for (reply, expected) in [
        (Reply::Reserved { upload_url: "u".into() }, r#"{"ok":true,"signed_upload_url":"u","message":""}"#),
        (
            Reply::Denied { message: "cache write denied: x".into() },
            r#"{"ok":false,"signed_upload_url":"","message":"cache write denied: x"}"#,
        ),
        (Reply::Finalized { entry_id: 7 }, r#"{"ok":true,"entry_id":"7","message":""}"#),
        (
            Reply::Hit { download_url: "u".into(), matched_key: "k".into() },
            r#"{"ok":true,"signed_download_url":"u","matched_key":"k"}"#,
        ),
        (Reply::Miss, r#"{"ok":false,"signed_download_url":"","matched_key":""}"#),
    ] {
        assert_eq!(String::from_utf8(encode(&reply).unwrap()).unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&body);
    }

    #[test]
    fn any_text_in_a_message_is_decoded(key in "\\PC*", restore_keys in proptest::collection::vec("\\PC*", 0..4), size in any::<i64>(), as_text in any::<bool>()) {
        let size_json = if as_text { serde_json::json!(size.to_string()) } else { serde_json::json!(size) };
        let body = serde_json::json!({ "key": key, "version": "v", "restore_keys": restore_keys, "size_bytes": size_json });
        let expected = Message { key, version: "v".into(), restore_keys, size_bytes: size };
        prop_assert_eq!(decode(body.to_string().as_bytes()), Ok(expected));
    }
}
