#![expect(clippy::unwrap_used, reason = "tests")]

use super::MAX_BY_RULES;
use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS};
use crate::ports::{Cause, Entry, HitVerdict, IndexError, Level, MissCause, OutcomeKind, StorageError};

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["pr=rw", "main=r"]);
    host
}

#[test]
fn an_expired_entry_is_a_hit_until_it_is_swept() {
    let host = host();
    let old = host.add_entry("pr", "v", "k-old", b"x");
    host.configure(|settings| settings.unused_entry_ms = Some(500));
    assert_eq!(lookup(&host, "k-", &[]).member("matched_key"), "k-old");
    assert_eq!(host.touched(), [(old, NOW_MS)]);
}

#[test]
fn only_actions_cache_gets_the_parallel_download_origin() {
    let host = host();
    host.add_entry("pr", "v", "k", b"x");
    let url = |agent: &str| {
        let message = r#"{"key":"k","version":"v"}"#;
        let call = FakeRequest::call("GetCacheEntryDownloadURL", "t", message).header("user-agent", agent);
        host.send(call).member("signed_download_url")
    };
    let usual = url("@actions/cache-6.3.0");
    assert!(usual.starts_with("http://cache.example/devstoreaccount1/download/"));
    let origin = "http://cache.blob.core.windows.net:3000";
    host.configure(|settings| settings.parallel_download_origin = Some(origin.to_owned()));
    assert_eq!(url("@actions/cache-6.3.0"), usual.replace("http://cache.example", origin));
    for agent in ["", "go-actions-cache/1.0", "actions/cache", "curl"] {
        assert_eq!(url(agent), usual, "{agent}");
    }
    let found = host.send(
        FakeRequest::new("GET", "/_apis/artifactcache/cache?keys=k&version=v")
            .token("t")
            .header("user-agent", "@actions/cache-3.2.4"),
    );
    assert_eq!(found.member("archiveLocation"), usual, "version 1");
}

fn lookup(host: &FakeHost, key: &str, restore_keys: &[&str]) -> FakeResponse {
    let message = serde_json::json!({ "key": key, "version": "v", "restore_keys": restore_keys });
    host.send(FakeRequest::call("GetCacheEntryDownloadURL", "t", &message.to_string()))
}

/// The matched key, and the content behind the URL, or `None` for a miss.
fn found(host: &FakeHost, key: &str, restore_keys: &[&str]) -> Option<(String, String)> {
    let answer = lookup(host, key, restore_keys);
    assert_eq!(answer.status, 200, "{}", answer.text());
    if answer.text() == r#"{"ok":false,"signed_download_url":"","matched_key":""}"# {
        return None;
    }
    let content = host.send(FakeRequest::new("GET", &answer.member("signed_download_url")));
    assert_eq!(content.status, 200);
    Some((answer.member("matched_key"), content.text()))
}

fn pair(key: &str, content: &str) -> Option<(String, String)> {
    Some((key.to_owned(), content.to_owned()))
}

#[test]
fn the_best_match_is_found_in_githubs_order() {
    let host = host();
    assert_eq!(found(&host, "k-1", &["k-"]), None);
    host.add_entry("main", "v", "k-0", b"main k-0");
    assert_eq!(found(&host, "k-1", &[]), None);
    assert_eq!(found(&host, "k-1", &["k-"]), pair("k-0", "main k-0"));
    host.add_entry("main", "v", "k-1", b"main k-1");
    assert_eq!(found(&host, "k-1", &["k-"]), pair("k-1", "main k-1"));
    host.add_entry("pr", "v", "k-5", b"pr k-5");
    assert_eq!(
        found(&host, "k-1", &["k-"]),
        pair("k-5", "pr k-5"),
        "the own scope's restore key comes first"
    );
    host.add_entry("pr", "v", "k-10", b"pr k-10");
    assert_eq!(found(&host, "k-1", &["k-"]), pair("k-10", "pr k-10"), "the key itself may be a prefix");
    host.add_entry("pr", "v", "k-1", b"pr k-1");
    host.add_entry("pr", "v", "k-11", b"pr k-11");
    assert_eq!(found(&host, "k-1", &["k-"]), pair("k-1", "pr k-1"), "exact comes before newest");
    // Fault 4: as at GitHub.
    assert_eq!(found(&host, "K-1", &["K-"]), pair("k-1", "pr k-1"), "case does not matter");
    assert_eq!(found(&host, "no", &["K-1"]), pair("k-1", "pr k-1"), "nor in restore keys");
    assert_eq!(found(&host, "k_1", &["k%"]), None, "there are no wildcards");
}

#[test]
fn entries_of_other_versions_repositories_and_scopes_are_not_found() {
    let host = host();
    host.add_entry("pr", "w", "k", b"x");
    host.add_entry("elsewhere", "v", "k", b"x");
    assert_eq!(found(&host, "k", &["k"]), None);
}

#[test]
fn a_hit_is_a_use_and_a_miss_is_not() {
    let host = host();
    let id = host.add_entry("pr", "v", "k", b"x");
    found(&host, "nothing", &[]);
    assert!(host.touched().is_empty());
    lookup(&host, "k", &[]);
    assert_eq!(host.touched(), [(id, NOW_MS)]);
}

#[test]
fn a_concurrently_deleted_entry_is_skipped() {
    let host = host();
    host.add_entry("main", "v", "k", b"main");
    let id = host.add_entry("pr", "v", "k", b"pr");
    host.delete_before_touch(id);
    assert_eq!(found(&host, "k", &[]), pair("k", "main"));
    assert_eq!(host.touched().len(), 1);
}

#[test]
fn a_hit_costs_one_query_and_one_storage_call() {
    let host = host();
    host.add_entry("main", "v", "k", b"x");
    lookup(&host, "x", &["y", "z", "k"]);
    assert_eq!(
        host.take_calls(),
        ["auth.verify", "http.read-body", "index.find", "storage.stat", "index.touch"]
    );
}

#[test]
fn a_stale_entry_is_skipped_with_one_warning_and_never_deleted() {
    for (keep_bytes, reason) in [(None, "gone"), (Some(2), "size")] {
        let host = host();
        host.add_entry("main", "v", "k", b"main");
        let id = host.add_entry("pr", "v", "k", b"stale");
        host.damage(id, keep_bytes);
        assert_eq!(found(&host, "k", &[]), pair("k", "main"));
        let log = host.take_log();
        assert_eq!((log.len(), log[0].level, &*log[0].message), (1, Level::Warn, "stale entry skipped"));
        let fields: Vec<_> = log[0].fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let id = id.to_string();
        assert_eq!(fields, [("entry", &*id), ("key", "k"), ("object", "object-2"), ("reason", reason)]);
        assert_eq!(host.entries().len(), 2);
    }
}

/// A host whose newest entries are this many stale ones, `k-…`.
fn stale(count: usize) -> FakeHost {
    let host = host();
    host.add_entry("pr", "v", "k-good", b"good");
    for n in 0..count {
        let id = host.add_entry("pr", "v", &format!("k-{n}"), b"x");
        host.damage(id, None);
    }
    host
}

/// Fault 5: a storage that lost its newest objects.
#[test]
fn many_stale_entries_do_not_hide_an_intact_one() {
    for count in [32, 33, 200, 999] {
        let host = stale(count);
        assert_eq!(found(&host, "k-", &[]), pair("k-good", "good"), "{count}");
        assert_eq!(host.touched().len(), 1);
        let log = host.take_log();
        let [single, more] = ["stale entry skipped", "more stale entries skipped"]
            .map(|text| log.iter().filter(|line| line.message == text).count());
        assert_eq!((single, more), (32, usize::from(count > 32)), "the log is not flooded");
        let summed = log.last().unwrap().fields.iter().find(|(name, _)| name == "count");
        assert!(count == 32 || summed.unwrap().1 == (count - 32).to_string());
    }
}

/// Fault 5: the limit.
#[test]
fn after_a_thousand_matches_it_is_a_miss() {
    let host = stale(1000);
    host.take_calls();
    assert_eq!(found(&host, "k-", &[]), None);
    let calls = host.take_calls();
    assert_eq!(calls.iter().filter(|call| **call == "index.find").count(), 1000);
    assert!(host.touched().is_empty());
    // Lookups of other keys still hit.
    assert_eq!(found(&host, "k-good", &[]), pair("k-good", "good"));
}

#[test]
fn without_a_readable_scope_it_is_denied() {
    let host = host();
    host.allow("t", &["pr=w"]);
    let answer = lookup(&host, "k", &[]);
    assert_eq!((answer.status, &*answer.member("code")), (403, "permission_denied"));
    assert!(answer.member("msg").starts_with("cache read denied:"));
}

#[test]
fn an_unavailable_storage_or_index_is_not_a_miss() {
    for (call, fault) in [
        ("index.find", Fault::Index(IndexError::Unavailable("x".into()))),
        ("storage.stat", Fault::Storage(StorageError::Unavailable("x".into()))),
    ] {
        let host = host();
        host.add_entry("pr", "v", "k", b"x");
        host.fail(call, fault);
        let answer = lookup(&host, "k", &[]);
        assert_eq!((answer.status, &*answer.member("code")), (503, "unavailable"), "{call}");
        assert_eq!(host.take_log().len(), 1);
    }
}

#[test]
fn many_probes_are_split_into_queries_in_order() {
    let host = host();
    let scopes: Vec<_> = (0..20).map(|n| format!("s{n}=r")).collect();
    host.allow("t", &scopes.iter().map(String::as_str).collect::<Vec<_>>());
    let keys: Vec<_> = (0..100).map(|n| format!("r{n}-")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    host.add_entry("s19", "v", "r99-x", b"last");
    assert_eq!(found(&host, "k", &keys), pair("r99-x", "last"));
    host.add_entry("s7", "v", "r3-x", b"earlier");
    assert_eq!(found(&host, "k", &keys), pair("r3-x", "earlier"));
}

/// The URL that a client with this user agent gets for the key `k`, in JSON.
fn url_for(host: &FakeHost, agent: &str) -> String {
    let message = r#"{"key":"k","version":"v"}"#;
    let call = FakeRequest::call("GetCacheEntryDownloadURL", "t", message).header("user-agent", agent);
    host.send(call).member("signed_download_url")
}

const OWN: &str = "http://cache.example/devstoreaccount1/download/";

#[test]
fn known_clients_get_a_direct_url_on_the_first_hit() {
    let host = host();
    host.add_entry("pr", "v", "k", b"x");
    assert!(url_for(&host, "@actions/cache-6.3.0").starts_with(OWN), "nobody unless it is configured");
    host.configure(|settings| settings.direct_url_ms = Some(600_000));
    assert_eq!(url_for(&host, "@actions/cache-6.3.0"), "https://bucket.test/object-1?lifetime-ms=600000");
    for agent in
        ["buildkit/v0.25", "go-actions-cache/1.0", "azsdk-go-azblob/v1.5.0", "Go-http-client/1.1", ""]
    {
        assert!(url_for(&host, agent).starts_with(OWN), "{agent} may ask for x-ms-range");
    }
    let version_1 = FakeRequest::new("GET", "/_apis/artifactcache/cache?keys=k&version=v");
    let answer = host.send(version_1.token("t").header("user-agent", "actions/cache"));
    assert!(answer.member("archiveLocation").starts_with("https://bucket.test/"), "{}", answer.text());
}

#[test]
fn a_direct_url_costs_one_query_and_one_storage_call() {
    let host = host();
    host.add_entry("main", "v", "k", b"x");
    host.configure(|settings| settings.direct_url_ms = Some(600_000));
    host.take_calls();
    url_for(&host, "@actions/cache-6.3.0");
    assert_eq!(
        host.take_calls(),
        ["auth.verify", "http.read-body", "index.find", "storage.presign", "index.touch"]
    );
}

#[test]
fn a_stale_entry_gets_no_direct_url() {
    for (keep_bytes, reason) in [(None, "gone"), (Some(2), "size")] {
        let host = host();
        host.configure(|settings| settings.direct_url_ms = Some(600_000));
        host.add_entry("main", "v", "k", b"main");
        let id = host.add_entry("pr", "v", "k", b"stale");
        host.damage(id, keep_bytes);
        assert!(url_for(&host, "@actions/cache-6.3.0").starts_with("https://bucket.test/object-1?"));
        let log = host.take_log();
        assert_eq!((log.len(), &*log[0].message), (1, "stale entry skipped"));
        assert!(log[0].fields.iter().any(|(name, value)| (&**name, &**value) == ("reason", reason)));
        assert_eq!(host.touched().len(), 1);
    }
}

#[test]
fn without_a_direct_url_there_is_one_of_the_server() {
    let host = host();
    host.configure(|settings| settings.direct_url_ms = Some(600_000));
    host.add_entry("pr", "v", "k", b"x");
    host.disable_presign();
    assert!(url_for(&host, "@actions/cache-6.3.0").starts_with(OWN));
    // Such a storage does not check whether the object exists.
    host.damage(1, None);
    assert_eq!(url_for(&host, "@actions/cache-6.3.0"), "");
}

#[test]
fn an_unavailable_storage_is_not_a_miss_and_has_no_url() {
    let host = host();
    host.configure(|settings| settings.direct_url_ms = Some(600_000));
    host.add_entry("pr", "v", "k", b"x");
    host.fail("storage.presign", Fault::Storage(StorageError::Unavailable("x".into())));
    let call = FakeRequest::call("GetCacheEntryDownloadURL", "t", r#"{"key":"k","version":"v"}"#);
    let answer = host.send(call.header("user-agent", "@actions/cache-6.3.0"));
    assert_eq!((answer.status, &*answer.member("code")), (503, "unavailable"));
}

/// Looks up `k`, which is a miss, and returns the cause in the log line.
fn miss(host: &FakeHost) -> Option<MissCause> {
    host.take_calls();
    let answer = lookup(host, "k", &[]);
    assert_eq!(answer.member("matched_key"), "");
    answer.outcome.miss
}

#[test]
fn each_miss_has_its_cause() {
    assert_eq!(miss(&host()), Some(MissCause::NeverSaved));

    let elsewhere = host();
    elsewhere.add_entry("elsewhere", "v", "k", b"x");
    assert_eq!(miss(&elsewhere), Some(MissCause::OtherScope));

    let version = host();
    version.add_entry("main", "w", "k", b"x");
    assert_eq!(miss(&version), Some(MissCause::OtherVersion));

    let denied = host();
    denied.allow("t", &["pr=rw", "main=w"]);
    denied.add_entry("main", "v", "k", b"x");
    assert_eq!(miss(&denied), Some(MissCause::Denied));

    let uploading = host();
    uploading.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    assert_eq!(miss(&uploading), Some(MissCause::Uploading));
    assert_eq!(uploading.take_calls().iter().filter(|call| call.starts_with("index.list")).count(), 1);

    let stale = host();
    let id = stale.add_entry("main", "v", "k", b"x");
    stale.damage(id, None);
    assert_eq!(miss(&stale), Some(MissCause::Stale));

    let withheld = host();
    let id = withheld.add_entry("main", "v", "k", b"x");
    withheld.quarantine(id);
    assert_eq!(miss(&withheld), Some(MissCause::Quarantined));

    for (cause, expected) in [
        (Cause::Age, MissCause::Expired),
        (Cause::Size, MissCause::Evicted),
        (Cause::Superseded, MissCause::Superseded),
        (Cause::Revoked, MissCause::Revoked),
        (Cause::ClosedScope, MissCause::ClosedScope),
        (Cause::Manual, MissCause::Deleted),
    ] {
        let gone = host();
        let id = gone.add_entry("main", "v", "k", b"x");
        gone.depart(id, cause, NOW_MS - 1);
        assert_eq!(miss(&gone), Some(expected));
    }
}

#[test]
fn a_token_that_may_read_nothing_misses_by_denial() {
    let host = host();
    host.allow("t", &["pr=w"]);
    assert_eq!(lookup(&host, "k", &[]).outcome.miss, Some(MissCause::Denied));
}

#[test]
fn a_miss_costs_two_more_queries() {
    let host = host();
    assert_eq!(miss(&host), Some(MissCause::NeverSaved));
    assert_eq!(
        host.take_calls(),
        ["auth.verify", "http.read-body", "index.find", "index.list-near", "index.list-departed"]
    );
}

/// The client gets its miss.
#[test]
fn a_miss_whose_cause_cannot_be_found_is_a_miss() {
    for call in ["index.list-near", "index.list-departed"] {
        let host = host();
        host.fail(call, Fault::Index(IndexError::Unavailable("x".into())));
        assert_eq!(miss(&host), None, "{call}");
    }
}

#[test]
fn an_entry_that_is_too_old_is_not_served_and_another_one_is() {
    let host = host();
    host.configure(|settings| settings.max_age_ms = Some(10_000));
    let old = host.add_entry("pr", "v", "k", b"old");
    host.change_entry(old, |entry| entry.created_ms = NOW_MS - 10_001);
    assert_eq!(miss(&host), Some(MissCause::Expired));
    assert!(host.touched().is_empty());
    host.add_entry("main", "v", "k", b"main");
    assert_eq!(found(&host, "k", &[]), pair("k", "main"));
    // An index may name it.
    let layer = host.add_entry("pr", "v", "buildkit-blob-1", b"layer");
    host.change_entry(layer, |entry| entry.created_ms = NOW_MS - 10_001);
    assert_eq!(found(&host, "buildkit-blob-1", &[]), pair("buildkit-blob-1", "layer"));
}

#[test]
fn a_lookup_passes_by_a_bounded_number_of_old_entries() {
    let host = host();
    host.configure(|settings| settings.max_age_ms = Some(10_000));
    for n in 0..100 {
        let id = host.add_entry("pr", "v", &format!("k{n}"), b"x");
        host.change_entry(id, |entry| entry.created_ms = 0);
    }
    host.take_calls();
    assert_eq!(miss(&host), Some(MissCause::Expired));
    let calls = host.take_calls();
    assert_eq!(calls.iter().filter(|call| **call == "index.find").count(), 32);
}

fn skips(key: &'static str) -> impl Fn(&Entry) -> HitVerdict {
    move |entry| match entry.slot.key.starts_with(key) {
        true => HitVerdict::Skip("not for you".to_owned()),
        false => HitVerdict::Accept,
    }
}

#[test]
fn a_rule_that_skips_an_entry_leaves_the_next_best() {
    let host = host();
    host.add_entry("main", "v", "k-1", b"good");
    let bad = host.add_entry("pr", "v", "k-2", b"bad");
    host.set_hit_rule(skips("k-2"));
    assert_eq!(found(&host, "k-2", &["k-"]), pair("k-1", "good"));
    assert!(host.touched().iter().all(|(id, _)| *id != bad), "no use of what was skipped");
    let list = FakeRequest::new("GET", "/_apis/artifactcache/cache?keys=k-2,k-&version=v").token("t");
    assert_eq!(host.send(list).member("cacheKey"), "k-1", "version 1");
}

#[test]
fn a_miss_by_a_rule_says_so_and_why() {
    let host = host();
    host.add_entry("main", "v", "k", b"x");
    host.set_hit_rule(skips("k"));
    let missed = lookup(&host, "k", &[]);
    assert_eq!(
        (missed.outcome.miss, missed.outcome.reason),
        (Some(MissCause::Rule), Some("not for you".into()))
    );
    let list = FakeRequest::new("GET", "/_apis/artifactcache/cache?keys=k&version=v").token("t");
    assert_eq!(host.send(list).status, 204, "version 1");
}

/// A newer entry that a rule skips must not hide a good one, but not so many of them either that a lookup
/// goes on for ever.
#[test]
fn skips_by_rules_have_a_bound() {
    let host = host();
    host.add_entry("pr", "v", "good-1", b"good");
    for number in 0..MAX_BY_RULES - 1 {
        host.add_entry("pr", "v", &format!("good-1-bad-{number}"), b"bad");
    }
    host.set_hit_rule(skips("good-1-bad"));
    assert_eq!(found(&host, "good-", &[]), pair("good-1", "good"));
    host.add_entry("pr", "v", "good-1-bad-more", b"bad");
    host.take_calls();
    assert_eq!(found(&host, "good-", &[]), None);
    let asked = host.take_calls().iter().filter(|call| **call == "rules.judge-hit").count();
    assert_eq!(asked, MAX_BY_RULES);
}

#[test]
fn an_entry_past_the_lifetime_that_a_rule_gave_it_is_absent_but_a_layer_is_not() {
    let host = host();
    let layer = format!("buildkit-blob-1-sha256:{}", "1".repeat(64));
    for key in ["k", &layer] {
        host.add_entry("pr", "v", key, b"x");
    }
    host.set_hit_rule(|_| HitVerdict::Expired);
    let missed = lookup(&host, "k", &[]);
    assert_eq!(
        (missed.outcome.kind, missed.outcome.miss),
        (Some(OutcomeKind::Miss), Some(MissCause::Expired))
    );
    assert_eq!(found(&host, &layer, &[]), pair(&layer, "x"));
}

#[test]
fn a_download_is_not_asked_about() {
    let host = host();
    host.add_entry("pr", "v", "k", b"x");
    let url = lookup(&host, "k", &[]).member("signed_download_url");
    host.set_hit_rule(skips("k"));
    assert_eq!(host.send(FakeRequest::new("GET", &url)).text(), "x");
}

#[test]
fn a_lookup_whose_entry_cannot_be_judged_is_no_miss() {
    let host = host();
    host.add_entry("pr", "v", "k", b"x");
    host.set_hit_rule(skips("other"));
    host.fail("rules.judge-hit", Fault::Index(IndexError::Unavailable("down".to_owned())));
    assert_eq!(lookup(&host, "k", &[]).status, 503);
}
