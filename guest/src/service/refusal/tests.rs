#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault};
use crate::ports::{IndexError, StorageError};

const LAYER: &str = "buildkit-blob-1-sha256:aa";
const INDEX: &str = "index-buildkit-1-00000000#1";
const AZURE: &str = "azsdk-go-azblob/v1.6.0 (go1.23.5; linux)";

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.allow("other", &["main=rw"]);
    host
}

fn call(host: &FakeHost, token: &str, name: &str, key: &str, more: &str) -> FakeResponse {
    let message = format!(r#"{{"key":"{key}","version":"v"{more}}}"#);
    host.send(FakeRequest::call(name, token, &message).header("user-agent", "buildkit/0.20"))
}

fn create(host: &FakeHost, token: &str, key: &str) -> FakeResponse {
    call(host, token, "CreateCacheEntry", key, "")
}

fn finalize(host: &FakeHost, token: &str, key: &str) -> FakeResponse {
    call(host, token, "FinalizeCacheEntryUpload", key, r#","size_bytes":"4""#)
}

fn target(created: &FakeResponse, more: &str) -> String {
    assert_eq!(created.status, 200, "{}", created.text());
    let url = created.member("signed_upload_url");
    format!("{}{more}", url.strip_prefix("http://cache.example").unwrap())
}

fn put(host: &FakeHost, target: &str, agent: &str, body: &str) -> u16 {
    host.send(FakeRequest::new("PUT", target).header("user-agent", agent).body(body)).status
}

/// What a host does: the upload of what does not fit is abandoned.
fn refuse(host: &FakeHost, call: &'static str) {
    host.fail(call, Fault::Storage(StorageError::NoSpace));
    host.before(call, FakeHost::abandon_all);
}

/// An export that is refused in the middle of its first layer.
fn refused(host: &FakeHost) {
    let created = create(host, "t", LAYER);
    refuse(host, "storage.put-block");
    assert_eq!(put(host, &target(&created, "&comp=block&blockid=MDAw"), AZURE, "1234"), 201);
    host.heal();
    // The upload is gone, but the client must not know.
    assert_eq!(put(host, &target(&created, "&comp=block&blockid=MDAx"), AZURE, "1234"), 201);
    let list = "<BlockList><Latest>MDAw</Latest></BlockList>";
    assert_eq!(put(host, &target(&created, "&comp=blocklist"), AZURE, list), 201);
    let finalized = finalize(host, "t", LAYER);
    assert_eq!((finalized.status, finalized.json()["ok"].as_bool()), (200, Some(true)));
}

#[test]
fn a_layer_without_room_is_taken_in_words() {
    let host = host();
    refused(&host);
    assert!(host.entries().is_empty() && host.uploads().is_empty() && host.objects().is_empty());
}

#[test]
fn after_a_refusal_layers_exist_and_an_index_becomes_no_entry() {
    let host = host();
    refused(&host);
    let layer = create(&host, "t", "buildkit-blob-1-sha256:bb");
    assert_eq!((layer.status, &*layer.member("code")), (409, "already_exists"));
    let index = create(&host, "t", INDEX);
    assert_eq!(put(&host, &target(&index, ""), AZURE, "1234"), 201);
    let finalized = finalize(&host, "t", INDEX);
    assert_eq!((finalized.status, finalized.json()["ok"].as_bool()), (200, Some(true)));
    assert!(host.entries().is_empty() && host.uploads().is_empty());
}

/// The index was reserved before, by the other one of two exports of a job.
#[test]
fn an_index_under_way_at_the_refusal_becomes_no_entry_either() {
    let host = host();
    let index = create(&host, "t", INDEX);
    assert_eq!(put(&host, &target(&index, ""), AZURE, "1234"), 201);
    host.fail("index.reserve", Fault::Index(IndexError::NoSpace));
    assert_eq!(create(&host, "t", LAYER).status, 409);
    host.heal();
    assert_eq!(finalize(&host, "t", INDEX).status, 200);
    assert!(host.entries().is_empty() && host.uploads().is_empty() && host.objects().is_empty());
    // A repeat, whose first response was lost.
    assert_eq!(finalize(&host, "t", INDEX).status, 200);
}

#[test]
fn other_tokens_and_other_clients_are_not_concerned() {
    let host = host();
    refused(&host);
    let created = create(&host, "other", LAYER);
    assert_eq!(put(&host, &target(&created, ""), AZURE, "1234"), 201);
    assert_eq!(finalize(&host, "other", LAYER).status, 200);
    assert_eq!(host.entries().len(), 1);
    // With the same token, but not BuildKit.
    let message = r#"{"key":"k","version":"v"}"#;
    let created = host.send(FakeRequest::call("CreateCacheEntry", "t", message));
    refuse(&host, "storage.put");
    assert_eq!(put(&host, &target(&created, ""), "azsdk-js-azure-storage-blob/12", "1234"), 507);
    host.heal();
    assert_eq!(put(&host, &target(&created, ""), "azsdk-js-azure-storage-blob/12", "1234"), 404);
}

#[test]
fn what_cannot_be_noted_is_not_hidden() {
    let host = host();
    let created = create(&host, "t", LAYER);
    refuse(&host, "storage.put");
    host.fail("index.note-refused", Fault::Index(IndexError::NoSpace));
    assert_eq!(put(&host, &target(&created, ""), AZURE, "1234"), 507);
}

#[test]
fn an_export_by_version_1_does_not_fail_either() {
    let host = host();
    let agent = ("user-agent", "go-actions-cache/1.0");
    let send = |method: &str, path: String, range: bool, body: &str| {
        let request = FakeRequest::new(method, &path).token("t").header(agent.0, agent.1);
        let request = if range { request.header("content-range", "bytes 0-3/*") } else { request };
        host.send(request.body(body))
    };
    let caches = "/_apis/artifactcache/caches";
    let reserve = |key: &str| {
        let created = send("POST", caches.to_owned(), false, &format!(r#"{{"key":"{key}","version":"v"}}"#));
        (created.status, created.json()["cacheId"].as_u64().unwrap_or_default())
    };
    let (status, id) = reserve(LAYER);
    assert_eq!(status, 201);
    refuse(&host, "storage.put-block");
    assert_eq!(send("PATCH", format!("{caches}/{id}"), true, "1234").status, 204);
    host.heal();
    assert_eq!(send("PATCH", format!("{caches}/{id}"), true, "1234").status, 204);
    assert_eq!(send("POST", format!("{caches}/{id}"), false, r#"{"size":4}"#).status, 204);
    assert_eq!(reserve("buildkit-blob-1-sha256:bb").0, 409);
    let (status, id) = reserve(INDEX);
    assert!(status == 201 && (1..1 << 53).contains(&id), "{id}");
    assert_eq!(send("PATCH", format!("{caches}/{id}"), true, "1234").status, 204);
    assert_eq!(send("POST", format!("{caches}/{id}"), false, r#"{"size":4}"#).status, 204);
    assert!(host.entries().is_empty() && host.uploads().is_empty());
}
