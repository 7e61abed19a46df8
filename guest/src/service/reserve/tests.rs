#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS};
use crate::ports::{Cause, IndexError, StorageError, Trust};

const MESSAGE: &str = r#"{"key":"k","version":"v"}"#;

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["pr=rw", "main=r"]);
    host.allow("other", &["pr=rw"]);
    host
}

fn create(host: &FakeHost, token: &str) -> FakeResponse {
    host.send(FakeRequest::call("CreateCacheEntry", token, MESSAGE))
}

fn is_taken(answer: &FakeResponse) -> bool {
    let text = "cache entry with the same key, version, and scope already exists";
    (answer.status, &*answer.member("code"), &*answer.member("msg")) == (409, "already_exists", text)
}

#[test]
fn a_free_slot_is_reserved_in_the_writable_scope() {
    let host = host();
    let answer = create(&host, "t");
    let uploads = host.uploads();
    let slot = &uploads[0].slot;
    assert_eq!((&*slot.repository, &*slot.scope, &*slot.version, &*slot.key), ("1", "pr", "v", "k"));
    let prefix = format!("http://cache.example/devstoreaccount1/upload/{}?w=", uploads[0].name);
    assert!(answer.member("signed_upload_url").starts_with(&prefix), "{}", answer.text());
    assert_eq!((answer.status, answer.json()["ok"].as_bool()), (200, Some(true)));
}

/// In both versions of the protocol; a look-up does not ask for them (`lookup/tests.rs` has its calls).
#[test]
fn an_upload_is_reserved_with_the_facts_of_the_token() {
    let host = host();
    create(&host, "t");
    let reserve = FakeRequest::new("POST", "/_apis/artifactcache/caches").token("other");
    let version_1 = host.send(reserve.body(r#"{"key":"another","version":"v"}"#));
    assert_eq!(version_1.status, 201, "{}", version_1.text());
    let actors: Vec<_> = host.uploads().iter().map(|upload| host.facts(upload.id)).collect();
    let actor = |name: &str| vec![("actor".to_owned(), name.to_owned())];
    assert_eq!(actors, [actor("t"), actor("other")]);
}

/// A retry may have another token of the job.
#[test]
fn a_renewed_upload_keeps_the_facts_of_its_reservation() {
    let host = host();
    create(&host, "t");
    create_after(&host, "t", 2000);
    assert_eq!(host.facts(host.uploads()[0].id), [("actor".to_owned(), "t".to_owned())]);
}

/// A Create that arrives this long after the first one.
fn create_after(host: &FakeHost, token: &str, ms: u64) -> FakeResponse {
    host.send(FakeRequest::call("CreateCacheEntry", token, MESSAGE).at(NOW_MS + ms))
}

fn path(answer: &FakeResponse) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.member("signed_upload_url").split('?').next().unwrap().to_owned()
}

/// Fault 1: all processes of a job share a token.
#[test]
fn one_of_many_concurrent_reservations_gets_the_upload_even_with_one_token() {
    let host = host();
    let answers: Vec<_> = (0..12).map(|n| create(&host, if n % 3 == 2 { "other" } else { "t" })).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| is_taken(answer)).count(), 11);
    assert_eq!(host.uploads().len(), 1);
}

/// Fault 1: a client that lost the response to its Create retries after its back-off, and has sent
/// nothing.
#[test]
fn a_retry_gets_the_same_upload() {
    let host = host();
    let first = create(&host, "t");
    assert!(is_taken(&create_after(&host, "t", 999)));
    let second = create_after(&host, "t", 1000);
    assert_eq!(path(&second), path(&first));
    assert!(is_taken(&create_after(&host, "other", 60_000)));
    // The second response may be lost, too.
    assert!(is_taken(&create_after(&host, "t", 1999)));
    let third = create_after(&host, "t", 2000);
    assert_eq!((path(&third), host.uploads().len()), (path(&first), 1));
    let url = third.member("signed_upload_url");
    assert_eq!(host.send(FakeRequest::new("PUT", &url).body("hello")).status, 201);
}

/// Fault 1: of several concurrent calls that look like a retry one gets the upload.
#[test]
fn one_of_many_concurrent_retries_gets_the_upload() {
    let host = host();
    create(&host, "t");
    host.before("index.renew", |host| assert_eq!(create_after(host, "t", 5000).status, 200));
    assert!(is_taken(&create_after(&host, "t", 5001)));
    let statuses: Vec<_> = (0..5).map(|_| create_after(&host, "t", 5500).status).collect();
    assert_eq!(statuses, [409; 5]);
}

/// Fault 1: a second saver with the same token, while the first one's bytes are stored or in
/// transit.
#[test]
fn an_upload_with_activity_is_not_renewed() {
    let list = "<BlockList></BlockList>";
    let version_1 = |host: &FakeHost| {
        let number =
            crate::writer::Writer::of_reservation(&host.uploads()[0]).number(host.uploads()[0].id).unwrap();
        FakeRequest::new("PATCH", &format!("/_apis/artifactcache/caches/{number}"))
            .token("t")
            .header("content-range", "bytes 0-0/*")
            .chunked("x")
    };
    type Send = fn(&str) -> FakeRequest;
    let sends: [Send; 5] = [
        |url| FakeRequest::new("PUT", url).body("x"),
        |url| FakeRequest::new("PUT", url).body("x").cut_short(),
        |url| FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("x"),
        |url| FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("x").cut_short(),
        |url| FakeRequest::new("PUT", &format!("{url}&comp=appendblock")).body("x"),
    ];
    for send in sends {
        let host = host();
        host.send(send(&create(&host, "t").member("signed_upload_url")));
        assert!(is_taken(&create_after(&host, "t", 5000)));
    }
    let host = host();
    let url = create(&host, "t").member("signed_upload_url");
    host.send(FakeRequest::new("PUT", &format!("{url}&comp=blocklist")).body(list));
    assert!(is_taken(&create_after(&host, "t", 5000)), "an empty content is a content");
    let host = self::host();
    create(&host, "t");
    assert_eq!(host.send(version_1(&host)).status, 204);
    assert!(is_taken(&create_after(&host, "t", 5000)));
}

/// Fault 1: bytes at another server, which has not written their activity yet.
#[test]
fn content_at_another_server_prevents_a_renewal() {
    let host = host();
    let url = create(&host, "t").member("signed_upload_url");
    host.send(FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("x"));
    host.change_upload(1, |upload| upload.last_activity_ms = upload.created_ms);
    assert!(is_taken(&create_after(&host, "t", 5000)));
    let host = self::host();
    let url = create(&host, "t").member("signed_upload_url");
    host.send(FakeRequest::new("PUT", &url).body("x"));
    host.change_upload(1, |upload| upload.last_activity_ms = upload.created_ms);
    assert!(is_taken(&create_after(&host, "t", 5000)));
}

/// Fault 1: a build with several targets, one of which waits for more than a second before it
/// sends.
#[test]
fn a_client_that_never_retries_is_another_saver() {
    for agent in ["buildkit/v0.25", "go-actions-cache/1.0"] {
        let host = host();
        let create = |ms| {
            let request = FakeRequest::call("CreateCacheEntry", "t", MESSAGE).at(NOW_MS + ms);
            host.send(request.header("user-agent", agent))
        };
        let first = create(0);
        assert!(is_taken(&create(30_000)), "{agent}");
        assert_eq!(
            host.send(FakeRequest::new("PUT", &first.member("signed_upload_url")).body("x")).status,
            201
        );
    }
}

/// Fault 1: if it was no retry, two clients hold the upload; the earlier one is rejected, and its
/// bytes are ignored.
#[test]
fn a_displaced_writer_is_rejected() {
    let host = host();
    let before = create(&host, "t").member("signed_upload_url");
    let now = create_after(&host, "t", 1000).member("signed_upload_url");
    let later = |url: &str, more: &str, body: &str| {
        host.send(FakeRequest::new("PUT", &format!("{url}{more}")).body(body).at(NOW_MS + 2000))
    };
    let list = "<BlockList><Latest>a</Latest></BlockList>";
    for (more, body) in [
        ("", "old"),
        ("&comp=block&blockid=a", "old"),
        ("&comp=blocklist", list),
        ("&comp=appendblock", "old"),
    ] {
        let refused = later(&before, more, body);
        assert_eq!(refused.status, 409, "{more}");
        assert_eq!(refused.header("x-ms-error-code"), "OperationNotAllowedInCurrentState");
    }
    assert_eq!(later(&now, "&comp=block&blockid=a", "new").status, 201);
    assert_eq!(later(&now, "&comp=blocklist", list).status, 201);
    let message = r#"{"key":"k","version":"v","size_bytes":3}"#;
    assert_eq!(host.send(FakeRequest::call("FinalizeCacheEntryUpload", "t", message)).status, 200);
    assert_eq!(host.objects().into_values().collect::<Vec<_>>(), [b"new"]);
}

/// Fault 1: the retry reaches another server while a body is in transit here. Two writers then have
/// blocks in one upload.
#[test]
fn a_body_in_transit_during_a_renewal_is_ignored() {
    for more in ["", "&comp=block&blockid=a"] {
        let host = host();
        let before = create(&host, "t").member("signed_upload_url");
        let call = if more.is_empty() { "storage.put" } else { "storage.put-block" };
        host.before(call, |host| {
            let now = create_after(host, "t", 1000).member("signed_upload_url");
            let block =
                FakeRequest::new("PUT", &format!("{now}&comp=block&blockid=b")).body("new").at(NOW_MS + 1001);
            assert_eq!(host.send(block).status, 201);
        });
        let answer = host.send(FakeRequest::new("PUT", &format!("{before}{more}")).body("old"));
        assert_eq!(answer.status, if more.is_empty() { 409 } else { 201 }, "{more}");
        assert!(host.objects().is_empty());
        let now = crate::writer::Writer::of_renewal(&host.uploads()[0]);
        let url = crate::url::make_upload(&host, "http://h", &host.uploads()[0].name, now, NOW_MS + 60_000);
        for (id, status) in [("a", 400), ("b", 201)] {
            let list = format!("<BlockList><Latest>{id}</Latest></BlockList>");
            assert_eq!(
                host.send(FakeRequest::new("PUT", &format!("{url}&comp=blocklist")).body(list)).status,
                status
            );
        }
        assert_eq!(host.objects().into_values().collect::<Vec<_>>(), [b"new"]);
    }
}

#[test]
fn a_retry_is_unavailable_while_activity_is_unknown() {
    let host = host();
    create(&host, "t");
    for (call, fault) in [
        ("storage.blocks", Fault::Storage(StorageError::Unavailable("x".into()))),
        ("index.renew", Fault::Index(IndexError::Unavailable("x".into()))),
    ] {
        host.fail(call, fault);
        let answer = create_after(&host, "t", 5000);
        assert_eq!((answer.status, &*answer.member("code")), (503, "unavailable"), "{call}");
        host.heal();
    }
    host.fail("storage.blocks", Fault::Storage(StorageError::NotFound));
    assert_eq!(create_after(&host, "t", 5000).status, 200);
}

#[test]
fn an_idle_upload_is_displaced() {
    let host = host();
    create(&host, "t");
    let later = |ms| FakeRequest::call("CreateCacheEntry", "other", MESSAGE).at(NOW_MS + ms);
    assert!(is_taken(&host.send(later(60_000))));
    assert_eq!(host.send(later(60_001)).status, 200);
    assert_eq!(host.uploads()[0].owner, "other");
}

#[test]
fn an_intact_entry_is_never_replaced() {
    let host = host();
    host.add_entry("pr", "v", "k", b"content");
    assert!(is_taken(&create(&host, "t")));
    assert!(is_taken(&create(&host, "other")));
    assert_eq!((host.entries().len(), host.uploads().len()), (1, 0));
}

#[test]
fn entries_of_other_scopes_versions_and_keys_do_not_block_a_slot() {
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
fn nothing_is_deleted_while_the_storage_is_unavailable() {
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
fn one_of_two_concurrent_replacements_of_a_stale_entry_reserves() {
    let host = host();
    let id = host.add_entry("pr", "v", "k", b"content");
    host.damage(id, None);
    host.before("index.delete-entry", |host| {
        assert_eq!(create(host, "other").status, 200);
    });
    assert!(is_taken(&create(&host, "t")));
    assert_eq!(host.uploads()[0].owner, "other");
}

#[test]
fn without_a_writable_scope_each_client_gets_its_form_of_denial() {
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
fn an_unavailable_index_is_a_503_and_its_cause_is_only_logged() {
    for call in ["index.reserve", "index.delete-entry"] {
        let host = host();
        let id = host.add_entry("pr", "v", "k", b"content");
        host.damage(id, None);
        host.fail(call, Fault::Index(IndexError::Unavailable("password=x".to_owned())));
        let answer = create(&host, "t");
        assert_eq!((answer.status, &*answer.member("code")), (503, "unavailable"), "{call}");
        assert!(!answer.text().contains("password"));
        assert_eq!(host.take_log().len(), 1);
    }
}

/// Fault 19.
#[test]
fn a_reservation_from_the_future_does_not_hold_its_slot() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.allow("other", &["main=rw"]);
    let create = |token: &str, at_ms: u64| {
        let message = r#"{"key":"k","version":"v"}"#;
        host.send(FakeRequest::call("CreateCacheEntry", token, message).at(at_ms)).status
    };
    assert_eq!(create("t", NOW_MS + 365 * 24 * 3_600_000), 200);
    assert_eq!(create("other", NOW_MS), 200);
    assert_eq!((host.uploads().len(), host.uploads()[0].last_activity_ms), (1, NOW_MS));
    assert_eq!(create("t", NOW_MS), 409);
}

/// Fault 4.
#[test]
fn a_key_in_another_case_is_the_same_key() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.add_entry("main", "v", "macOS-13-deps", b"content");
    let create =
        host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"MACOS-13-DEPS","version":"v"}"#));
    assert_eq!(create.status, 409);
    for key in ["macos-13-deps", "MACOS-13"] {
        let message = format!(r#"{{"key":"{key}","version":"v"}}"#);
        let found = host.send(FakeRequest::call("GetCacheEntryDownloadURL", "t", &message));
        assert_eq!(found.member("matched_key"), "macOS-13-deps");
    }
}

/// Fault 13: `@actions/cache` shows a warning for this form alone, and retries none of these.
#[test]
fn on_a_full_disk_each_client_gets_its_form_of_rejection() {
    let host = host();
    let full = || {
        host.fail("index.reserve", Fault::Index(IndexError::NoSpace));
    };
    let request = || FakeRequest::call("CreateCacheEntry", "t", MESSAGE);
    full();
    let toolkit = host.send(request().header("user-agent", "@actions/cache-6.3.0 (linux)"));
    assert_eq!((toolkit.status, toolkit.json()["ok"].as_bool()), (200, Some(false)));
    assert!(toolkit.member("message").contains("disk is full"), "{}", toolkit.text());
    full();
    let other = host.send(request());
    assert_eq!((other.status, &*other.member("code")), (507, "resource_exhausted"));

    let version_1 = || FakeRequest::new("POST", "/_apis/artifactcache/caches").token("t").body(MESSAGE);
    full();
    let toolkit = host.send(version_1().header("user-agent", "actions/cache"));
    assert_eq!(toolkit.status, 400);
    assert!(toolkit.member("message").contains("disk is full"), "{}", toolkit.text());
    full();
    // BuildKit and its library are not told: `refusal/tests.rs`.
    assert_eq!(host.send(version_1().header("user-agent", "curl/8.0")).status, 507);
}

#[test]
fn an_upload_is_reserved_with_the_trust_of_its_saver_and_its_entry_keeps_it() {
    let host = host();
    host.allow("open", &["main=rw"]);
    host.set_event("open", "issue_comment");
    // It may read the default branch, and not write it.
    assert_eq!(create(&host, "t").status, 200);
    assert_eq!(create(&host, "open").status, 200);
    let other = r#"{"key":"another","version":"v"}"#;
    assert_eq!(host.send(FakeRequest::call("CreateCacheEntry", "other", other)).status, 200);
    let trust: Vec<_> = host.uploads().iter().map(|upload| host.trust(upload.id)).collect();
    assert_eq!(trust, [Trust::Low, Trust::Low, Trust::Full]);
}

#[test]
fn an_entry_that_is_too_old_to_be_served_is_replaced_once_its_urls_are_void() {
    let host = host();
    host.configure(|settings| settings.max_age_ms = Some(10_000));
    let old = host.add_entry("pr", "v", "k", b"x");
    host.change_entry(old, |entry| entry.created_ms = NOW_MS - 10_001);
    assert!(is_taken(&create(&host, "t")), "it was used a second ago");
    host.change_entry(old, |entry| (entry.created_ms, entry.last_used_ms) = (0, NOW_MS - 3_600_001));
    assert_eq!(create(&host, "t").status, 200);
    assert!(host.entries().is_empty() && host.objects().is_empty());
    assert_eq!(host.departed()[0].cause, Cause::MaxAge);
}
