use crate::fake::{Answer, FakeHost, FakeRequest, Fault, NOW_MS};
use crate::ports::{DbError, StorageError};

const MESSAGE: &str = r#"{"key":"k","version":"v"}"#;

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["pr=rw", "main=r"]);
    host.allow("other", &["pr=rw"]);
    host
}

fn create(host: &FakeHost, token: &str) -> Answer {
    host.send(FakeRequest::call("CreateCacheEntry", token, MESSAGE))
}

fn is_taken(answer: &Answer) -> bool {
    let text = "cache entry with the same key, version, and scope already exists";
    (answer.status, &*answer.member("code"), &*answer.member("msg")) == (409, "already_exists", text)
}

#[test]
fn a_free_slot_is_reserved_in_the_scope_that_may_be_written() {
    let host = host();
    let answer = create(&host, "t");
    let uploads = host.uploads();
    let slot = &uploads[0].slot;
    assert_eq!((&*slot.repository, &*slot.scope, &*slot.version, &*slot.key), ("1", "pr", "v", "k"));
    let prefix =
        format!("http://cache.example/devstoreaccount1/upload/{}?se=1800003600&sig=", uploads[0].name);
    assert!(answer.member("signed_upload_url").starts_with(&prefix), "{}", answer.text());
    assert_eq!((answer.status, answer.json()["ok"].as_bool()), (200, Some(true)));
}

#[test]
fn who_lost_the_answer_gets_it_again_and_others_are_told_that_the_slot_is_taken() {
    let host = host();
    let first = create(&host, "t");
    assert_eq!(create(&host, "t").body, first.body);
    assert!(is_taken(&create(&host, "other")));
    assert_eq!(host.uploads().len(), 1);
}

#[test]
fn an_idle_upload_yields_to_others() {
    let host = host();
    create(&host, "t");
    let later = |ms| FakeRequest::call("CreateCacheEntry", "other", MESSAGE).at(NOW_MS + ms);
    assert!(is_taken(&host.send(later(60_000))));
    assert_eq!(host.send(later(60_001)).status, 200);
    assert_eq!(host.uploads()[0].owner, "other");
}

#[test]
fn a_whole_entry_is_never_replaced() {
    let host = host();
    host.add_entry("pr", "v", "k", b"content");
    assert!(is_taken(&create(&host, "t")));
    assert!(is_taken(&create(&host, "other")));
    assert_eq!((host.entries().len(), host.uploads().len()), (1, 0));
}

#[test]
fn entries_of_other_scopes_versions_and_keys_are_not_in_the_way() {
    let host = host();
    host.add_entry("main", "v", "k", b"x");
    host.add_entry("pr", "w", "k", b"x");
    host.add_entry("pr", "v", "k2", b"x");
    assert_eq!(create(&host, "t").status, 200);
}

#[test]
fn a_stale_entry_is_replaced_so_that_a_save_after_a_miss_succeeds() {
    for keep_bytes in [None, Some(3)] {
        let host = host();
        let id = host.add_entry("pr", "v", "k", b"content");
        host.damage(id, keep_bytes);
        assert_eq!(create(&host, "t").status, 200);
        assert_eq!((host.entries().len(), host.uploads().len(), host.objects().len()), (0, 1, 0));
        let log = host.take_log();
        assert_eq!((log.len(), &*log[0].message), (1, "stale entry replaced"));
    }
}

#[test]
fn nothing_is_deleted_while_the_storage_cannot_say() {
    for error in
        [StorageError::Unavailable("x".into()), StorageError::NoSpace, StorageError::Invalid("x".into())]
    {
        let host = host();
        let id = host.add_entry("pr", "v", "k", b"content");
        host.damage(id, None);
        host.fail("storage.stat", Fault::Storage(error));
        assert!(is_taken(&create(&host, "t")));
        assert_eq!(host.entries().len(), 1);
    }
}

#[test]
fn of_two_who_replace_a_stale_entry_one_reserves() {
    let host = host();
    let id = host.add_entry("pr", "v", "k", b"content");
    host.damage(id, None);
    host.before("db.delete-entry", |host| {
        assert_eq!(create(host, "other").status, 200);
    });
    assert!(is_taken(&create(&host, "t")));
    assert_eq!(host.uploads()[0].owner, "other");
}

#[test]
fn without_a_scope_to_write_to_a_save_is_refused_as_each_client_understands_it() {
    let host = host();
    host.allow("reader", &["main=r"]);
    let request = || FakeRequest::call("CreateCacheEntry", "reader", MESSAGE);
    let toolkit = host.send(request().header("user-agent", "@actions/cache-6.3.0 (linux)"));
    assert_eq!((toolkit.status, toolkit.json()["ok"].as_bool()), (200, Some(false)));
    assert!(toolkit.member("message").starts_with("cache write denied:"));
    for agent in ["go-http-client", "", "x @actions/cache"] {
        let answer = host.send(request().header("user-agent", agent));
        assert_eq!((answer.status, &*answer.member("code")), (403, "permission_denied"));
        assert!(answer.member("msg").starts_with("cache write denied:"));
    }
    let path = "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";
    let request = FakeRequest::new("POST", path).token("reader").body(b"\x12\x01k\x1a\x01v");
    let answer = host.send(
        request.header("content-type", "application/protobuf").header("user-agent", "@actions/cache-6.3.0"),
    );
    assert_eq!((answer.status, answer.header("content-type")), (403, "application/json"));
    assert!(host.uploads().is_empty());
}

#[test]
fn an_index_that_does_not_answer_is_unavailable_and_its_words_stay_in_the_log() {
    for call in ["db.reserve", "db.delete-entry"] {
        let host = host();
        let id = host.add_entry("pr", "v", "k", b"content");
        host.damage(id, None);
        host.fail(call, Fault::Db(DbError::Unavailable("password=x".to_owned())));
        let answer = create(&host, "t");
        assert_eq!((answer.status, &*answer.member("code")), (503, "unavailable"), "{call}");
        assert!(!answer.text().contains("password"));
        assert_eq!(host.take_log().len(), 1);
    }
}
