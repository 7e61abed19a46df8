//! Which entry a lookup finds (protocol reference, section 5.1).

use super::session::Session;

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";

pub async fn exact_comes_before_prefix_and_the_newest_prefix_wins(session: &Session) {
    let token = session.main();
    for number in 1..=12 {
        session.save(&token, &format!("index-x#{number}"), b"content").await;
    }
    assert_eq!(session.matched(&token, "index-x#1", &[]).await.as_deref(), Some("index-x#1"));
    assert_eq!(session.matched(&token, "index-x#", &[]).await.as_deref(), Some("index-x#12"));
    assert_eq!(session.matched(&token, "none", &["no", "index-x#1"]).await.as_deref(), Some("index-x#1"));
    assert_eq!(session.matched(&token, "none", &["index-"]).await.as_deref(), Some("index-x#12"));
    // The key is tried first, also as a prefix; then the restore keys in order.
    session.save(&token, "other", b"content").await;
    assert_eq!(session.matched(&token, "index-x#1", &["other"]).await.as_deref(), Some("index-x#1"));
    assert_eq!(session.matched(&token, "none", &["other", "index-"]).await.as_deref(), Some("other"));
}

pub async fn own_scope_comes_before_better_match_in_another(session: &Session) {
    let (main, pull) = (session.main(), session.token(&[(PULL, 3), (MAIN, 1)]));
    session.save(&main, "deps-abc", b"main").await;
    assert_eq!(session.matched(&pull, "deps-abc", &["deps-"]).await.as_deref(), Some("deps-abc"));
    session.save(&pull, "deps-old", b"pull").await;
    assert_eq!(session.matched(&pull, "deps-abc", &["deps-"]).await.as_deref(), Some("deps-old"));
    assert_eq!(session.matched(&pull, "deps-abc", &[]).await.as_deref(), Some("deps-abc"));
}

pub async fn scopes_and_repositories_are_isolated(session: &Session) {
    let (main, pull) = (session.main(), session.token(&[(PULL, 3), (MAIN, 1)]));
    session.save(&pull, "key", b"pull").await;
    let sibling = session.token(&[("refs/pull/8/merge", 3), (MAIN, 1)]);
    for stranger in [&main, &sibling, &session.token_of("another-repository", &[(PULL, 3), (MAIN, 3)])] {
        assert_eq!(session.matched(stranger, "key", &["k"]).await, None);
    }
    // Each scope may have an entry with the same key.
    session.save(&main, "key", b"main").await;
    assert_eq!(session.content(&main, "key").await, "main");
    assert_eq!(session.content(&pull, "key").await, "pull");
    // A write-only scope is not read.
    let writer = session.token(&[(PULL, 2), (MAIN, 1)]);
    assert_eq!(session.content(&writer, "key").await, "main");
}

/// Fault 4: except for the case of ASCII letters.
pub async fn keys_are_compared_byte_for_byte_but_for_their_case(session: &Session) {
    let token = session.main();
    for key in ["Key", "a%b", "a_c", "caché-1", "with space/and:#?&", "e\u{301}"] {
        session.save(&token, key, key.as_bytes()).await;
        assert_eq!(session.matched(&token, key, &[]).await.as_deref(), Some(key));
        assert_eq!(session.content(&token, key).await, key.as_bytes());
    }
    for asked in ["key", "KEY", "kE", "Ke"] {
        assert_eq!(session.matched(&token, asked, &[]).await.as_deref(), Some("Key"), "{asked}");
    }
    assert_eq!(session.matched(&token, "CACHé", &[]).await.as_deref(), Some("caché-1"));
    let taken = serde_json::json!({ "key": "KEY", "version": "v" });
    let refused = session.call("CreateCacheEntry", &token, &taken).await;
    assert_eq!(refused.status, 409, "the slot is taken in any case");
    for miss in ["a%%", "a__", "%", "_", "cache", "CACHÉ", "\u{e9}", "*"] {
        assert_eq!(session.matched(&token, miss, &[]).await, None, "{miss}");
    }
}

pub async fn versions_must_be_equal(session: &Session) {
    let token = session.main();
    session.save(&token, "key", b"content").await;
    for version in ["V", "v ", "w", "vv"] {
        let message = serde_json::json!({ "key": "key", "version": version, "restore_keys": ["k"] });
        let response = session.call("GetCacheEntryDownloadURL", &token, &message).await;
        assert_eq!(response.json()["ok"], false, "{version}");
    }
}
