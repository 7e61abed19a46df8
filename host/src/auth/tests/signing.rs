use crate::auth::{AuthSetupError, UrlSigner};

const OLD: &[u8] = b"the secret of yesterday";
const NEW: &[u8] = b"the secret of today";

#[test]
fn a_signature_is_hmac_sha256_in_lower_case_hex() {
    // Computed with another implementation (Python's hmac).
    let signer = UrlSigner::new(b"0123456789abcdef", None).unwrap();
    assert_eq!(
        signer.sign("upload/1?se=2"),
        "7c071776c95b5dd6c8bb9e4e8dae29a1b70f9bb03629d2c7a5593c111469ce53"
    );
}

#[test]
fn only_the_signature_of_the_same_text_counts() {
    let signer = UrlSigner::new(NEW, None).unwrap();
    let good = signer.sign("text");
    assert!(signer.check("text", &good));
    let wrong = [
        String::new(),
        signer.sign("texts"),
        good.to_uppercase(),
        good[..62].to_owned(),
        format!("{good}00"),
        format!("{}é", &good[..62]),
        "0".repeat(64),
        "x".repeat(64),
    ];
    for wrong in wrong {
        assert!(!signer.check("text", &wrong), "{wrong}");
    }
    assert!(!signer.check("texts", &good));
    assert!(!signer.check("", &good));
}

#[test]
fn secrets_can_be_changed_without_breaking_urls() {
    let of = |primary, secondary| UrlSigner::new(primary, secondary).unwrap();
    let old = of(OLD, None).sign("text");
    let between = of(NEW, Some(OLD));
    assert!(between.check("text", &old));
    assert!(between.check("text", &between.sign("text")));
    assert_ne!(between.sign("text"), old);
    assert!(of(NEW, None).check("text", &between.sign("text")));
    assert!(!of(NEW, None).check("text", &old));
    assert!(!of(b"a third, unknown secret", Some(b"and a fourth, unknown one")).check("text", &old));
}

#[test]
fn short_secrets_are_refused_and_none_is_shown() {
    for (primary, secondary) in
        [(&b"hush"[..], None), (NEW, Some(&b"hush"[..])), (&b"fifteen bytes.."[..], None)]
    {
        let error = UrlSigner::new(primary, secondary).unwrap_err();
        assert!(matches!(error, AuthSetupError::Secret { .. }));
        assert!(!error.to_string().contains("hush"));
    }
    assert_eq!(format!("{:?}", UrlSigner::new(NEW, None).unwrap()), "UrlSigner { .. }");
}

#[test]
fn the_configured_secret_wins_over_the_servers_own() {
    let mut urls = crate::config::Urls::default();
    let own = [7; 32];
    assert_eq!(
        UrlSigner::from_config(&urls, &own).unwrap().sign("t"),
        UrlSigner::new(&own, None).unwrap().sign("t")
    );
    urls.signing_secret = Some(crate::config::Secret::new(String::from_utf8(NEW.to_vec()).unwrap()));
    assert_eq!(
        UrlSigner::from_config(&urls, &own).unwrap().sign("t"),
        UrlSigner::new(NEW, None).unwrap().sign("t")
    );
}
