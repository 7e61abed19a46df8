#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::{
    checks::{BadHead, InvalidResponse, LengthRule, check_head, check_response, is_same_secret},
    origin::origin,
    record::RequestRecord,
};

fn fields(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_origin_is_configured_or_the_hosts_and_never_guessed() {
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.as_bytes().to_vec()).collect::<Vec<_>>();
    let base = Some("https://cache.example.com");
    assert_eq!(origin(base, &[], None).unwrap(), "https://cache.example.com");
    assert_eq!(origin(None, &hosts(&["a:80"]), Some("b")).unwrap(), "http://a:80");
    assert_eq!(origin(None, &[], Some("[::1]:80")).unwrap(), "http://[::1]:80");
    assert_eq!(origin(None, &[], None).unwrap_err().status, 503);
    for bad in [&["a", "b"][..], &["user@a"], &[""], &["a b"]] {
        assert_eq!(origin(None, &hosts(bad), None).unwrap_err().status, 400, "{bad:?}");
    }
    assert_eq!(origin(base, &hosts(&["a", "b"]), None).unwrap_err().status, 400);
}

#[test]
fn a_head_has_bounds() {
    let field = |bytes: usize| ("x".to_owned(), vec![b'x'; bytes]);
    assert_eq!(check_head("GET", "/", &[field(32 * 1024 - 6)]), Ok(()));
    let too_large = |head: Result<(), BadHead>| head.unwrap_err().status == 431;
    assert!(too_large(check_head("GET", "/", &[field(32 * 1024 - 5)])));
    assert!(too_large(check_head("GET", "/", &vec![field(1); 101])));
    assert_eq!(check_head("CONNECT", "/", &[]).unwrap_err().status, 400);
    assert_eq!(check_head("OPTIONS", "*", &[]).unwrap_err().status, 400);
}

#[test]
fn a_response_has_the_length_of_its_body() {
    let check = |status, list: &[(&str, &str)], rule| {
        let mut fields = fields(list);
        check_response(status, &mut fields, &rule).map(|()| fields)
    };
    let length = |bytes: &str| fields(&[("content-length", bytes)]);
    assert_eq!(check(200, &[("Content-Length", "9")], LengthRule::Set(3)).unwrap(), length("3"));
    assert_eq!(check(204, &[("content-length", "9")], LengthRule::None).unwrap(), []);
    assert_eq!(check(200, &[("content-length", "9")], LengthRule::Optional).unwrap(), length("9"));
    assert_eq!(check(200, &[("content-length", "9")], LengthRule::Exactly(9)).unwrap(), length("9"));
    for wrong in [&[][..], &[("content-length", "8")], &[("content-length", "x")]] {
        assert_eq!(check(200, wrong, LengthRule::Exactly(9)), Err(InvalidResponse::Length(9)));
    }
}

#[test]
fn a_response_that_breaks_a_rule_is_refused() {
    for status in [0, 100, 199, 600, 9999] {
        let checked = check_response(status, &mut Vec::new(), &LengthRule::None);
        assert_eq!(checked, Err(InvalidResponse::Status(status)));
    }
    for (name, value) in
        [("a b", "x"), ("x", "a\nb"), ("connection", "close"), ("transfer-encoding", "x"), ("", "x")]
    {
        let checked = check_response(200, &mut fields(&[(name, value)]), &LengthRule::None);
        assert_eq!(checked, Err(InvalidResponse::Header(name.to_owned())));
    }
    let mut many = fields(&[("x", "y"); 101]);
    assert_eq!(check_response(200, &mut many, &LengthRule::None), Err(InvalidResponse::TooManyHeaders));
}

#[test]
fn secrets_are_the_same_only_if_all_of_them_is() {
    assert!(is_same_secret(b"abc", b"abc"));
    for other in [&b"abd"[..], b"ab", b"abcd", b""] {
        assert!(!is_same_secret(b"abc", other));
    }
}

#[test]
fn a_line_of_the_log_cannot_be_forged_by_a_path() {
    let record = RequestRecord { path: "/a\nERROR \"b".to_owned(), ..RequestRecord::default() };
    let line = record.line(0, Some("cut\nshort"));
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains(r#"path="/a\nERROR \"b""#), "{line}");
}
