#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::{ClaimNames, MAX_ISSUERS, facts, list};

#[test]
fn names_are_listed_and_never_values() {
    let claims = json!({ "run_id": "the-value", "a\nb": 1, "oidc_extra": r#"{"actor":"the-actor"}"# });
    let claims = claims.as_object().unwrap();
    assert_eq!(list(claims), r"a\nb,oidc_extra,run_id");
    assert_eq!(list(&facts::extra(claims)), "actor");
    let many = (0..100).map(|number| (format!("{number:0>200}"), json!(1))).collect();
    assert!(list(&many).len() < 64 * 65);
}

#[test]
fn each_issuer_is_logged_once_and_their_number_is_bounded() {
    let names = ClaimNames::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::sink);
    tracing::subscriber::with_default(subscriber.finish(), || {
        for number in 0..2 * MAX_ISSUERS {
            names.log(Some(&(number / 2).to_string()), b"{}");
        }
        names.log(None, b"not JSON");
    });
    assert_eq!(names.logged.lock().len(), MAX_ISSUERS);
}
