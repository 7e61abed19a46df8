use aws_lc_rs::hmac;

use super::{
    Webhooks,
    github::{Ended, Malformed, ended, explain},
};

fn webhooks(prefixes: &[&str]) -> Webhooks {
    Webhooks {
        key: hmac::Key::new(hmac::HMAC_SHA256, b"It's a Secret to Everybody"),
        prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
    }
}

/// The example of GitHub's documentation.
#[test]
fn a_signature_is_accepted_for_its_body_alone() {
    let webhooks = webhooks(&[""]);
    let signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(webhooks.accepts(Some(signature), b"Hello, World!"));
    assert!(!webhooks.accepts(Some(signature), b"Hello, World?"));
    assert!(!webhooks.accepts(Some(&signature[7..]), b"Hello, World!"));
    assert!(!webhooks.accepts(Some(&signature[..signature.len() - 2]), b"Hello, World!"));
    assert!(!webhooks.accepts(Some(b"sha256="), b"Hello, World!"));
    assert!(!webhooks.accepts(None, b"Hello, World!"));
}

fn of(scope: &str) -> Result<Option<Ended>, Malformed> {
    let scope = scope.to_owned();
    Ok(Some(Ended { repository_id: 7, repository_name: "octo/hello".to_owned(), scope }))
}

#[test]
fn events_end_the_scope_that_they_name() {
    let repository = r#""repository":{"id":7,"full_name":"octo/hello","private":true}"#;
    let pull = |action| format!(r#"{{"action":"{action}","number":12,{repository}}}"#);
    assert_eq!(ended(b"pull_request", pull("closed").as_bytes()), of("refs/pull/12/merge"));
    assert_eq!(ended(b"pull_request", pull("opened").as_bytes()), Ok(None));
    let delete = |name, kind| format!(r#"{{"ref":"{name}","ref_type":"{kind}",{repository}}}"#);
    for (name, kind, scope) in [
        ("feature/x", "branch", "refs/heads/feature/x"),
        ("refs/heads/x", "branch", "refs/heads/x"),
        ("v1", "tag", "refs/tags/v1"),
    ] {
        assert_eq!(ended(b"delete", delete(name, kind).as_bytes()), of(scope));
    }
    assert_eq!(ended(b"delete", delete("x", "else").as_bytes()), Ok(None));
    assert_eq!(ended(b"push", b"not JSON"), Ok(None));
    assert_eq!(ended(b"delete", b"not JSON"), Err(Malformed));
    assert_eq!(ended(b"pull_request", b"{}"), Err(Malformed));
}

#[test]
fn a_form_is_told_from_what_is_no_event() {
    let form = b"payload=%7B%22action%22%3A%22closed%22%7D";
    assert_eq!(ended(b"pull_request", form), Err(Malformed));
    assert!(explain(form).contains("application/json"));
    assert!(!explain(b"{}").contains("form"));
}
