#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, block_on};
use crate::ports::{IndexError, StorageError};
use crate::retention::{ABANDONED_AFTER_MS, review_uploads};

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

/// An export that sends some layers, and then an index that names them.
struct Export {
    token: String,
    layers: Vec<String>,
    index: String,
    /// What it does next, and the upload that it writes.
    step: usize,
    created: Option<FakeResponse>,
}

impl Export {
    fn new(number: usize, layers: &[usize]) -> Self {
        Self {
            token: format!("t{number}"),
            layers: layers.iter().map(|layer| format!("buildkit-blob-1-sha256:{layer}")).collect(),
            index: format!("index-buildkit-{number}-00000000#1"),
            step: 0,
            created: None,
        }
    }

    /// Makes one request, for which there may be no room. Returns whether there was something to do.
    fn advance(&mut self, host: &FakeHost, has_room: bool) -> bool {
        let key = self.layers.get(self.step / 3).unwrap_or(&self.index).clone();
        if self.step >= self.layers.len() * 3 + 3 {
            return false;
        }
        match self.step % 3 {
            0 => {
                let created = create(host, &self.token, &key);
                match created.status {
                    200 => self.created = Some(created),
                    status => assert_eq!((status, &*created.member("code")), (409, "already_exists")),
                }
            }
            1 => {
                if let Some(created) = &self.created {
                    let url = target(created, "");
                    // What is taken in words does not reach the storage.
                    if !has_room && host.uploads().iter().any(|upload| url.contains(&upload.name)) {
                        host.fail("storage.put", Fault::Storage(StorageError::NoSpace));
                        let key = key.clone();
                        host.before("storage.put", move |host| host.abandon_key(&key));
                    }
                    let status = put(host, &url, AZURE, "1234");
                    host.heal();
                    assert_eq!(status, 201);
                }
            }
            _ => {
                if self.created.take().is_some() {
                    assert_eq!(finalize(host, &self.token, &key).status, 200);
                }
            }
        }
        self.step += 1;
        true
    }

    /// What is missing of what its index names.
    fn missing(&self, host: &FakeHost) -> Vec<&String> {
        let keys: Vec<String> = host.entries().into_iter().map(|entry| entry.slot.key).collect();
        if !keys.contains(&self.index) {
            return Vec::new();
        }
        self.layers.iter().filter(|layer| !keys.contains(layer)).collect()
    }
}

fn exports(host: &FakeHost, layers: &[Vec<usize>]) -> Vec<Export> {
    let export = |(number, layers): (usize, &Vec<usize>)| {
        host.allow(&format!("t{number}"), &["main=rw"]);
        Export::new(number, layers)
    };
    layers.iter().enumerate().map(export).collect()
}

/// Lets an export make some requests.
fn advance(host: &FakeHost, export: &mut Export, requests: usize) {
    for _ in 0..requests {
        assert!(export.advance(host, true));
    }
}

#[test]
fn an_index_that_relied_on_an_upload_becomes_no_entry_if_that_was_refused() {
    let host = FakeHost::new();
    let mut exports = exports(&host, &[vec![0], vec![0]]);
    let [sends, relies] = &mut exports[..] else { panic!() };
    advance(&host, sends, 1);
    advance(&host, relies, 3);
    assert!(sends.advance(&host, false));
    advance(&host, relies, 3);
    assert!(host.entries().is_empty());
}

#[test]
fn an_index_that_relied_on_an_upload_is_deleted_when_that_is_refused() {
    let host = FakeHost::new();
    let mut exports = exports(&host, &[vec![0], vec![0], vec![1]]);
    let [sends, relies, other] = &mut exports[..] else { panic!() };
    advance(&host, sends, 1);
    advance(&host, relies, 6);
    advance(&host, other, 6);
    assert_eq!(host.entries().len(), 3);
    assert!(sends.advance(&host, false));
    // That of the other one, which relied on nothing, stays.
    let keys: Vec<String> = host.entries().into_iter().map(|entry| entry.slot.key).collect();
    assert_eq!(keys, [other.layers[0].clone(), other.index.clone()]);
    assert_eq!(host.objects().len(), 2);
}

/// A client that goes away sends no more, and nobody refuses it anything.
#[test]
fn an_index_that_relied_on_an_upload_is_deleted_when_the_sweep_abandons_that() {
    let host = FakeHost::new();
    let mut exports = exports(&host, &[vec![0], vec![0], vec![1]]);
    let [dies, relies, other] = &mut exports[..] else { panic!() };
    advance(&host, dies, 1);
    advance(&host, relies, 6);
    advance(&host, other, 6);
    let dead = host.uploads();
    let now_ms = dead[0].last_activity_ms + ABANDONED_AFTER_MS + 1;
    assert!(block_on(review_uploads(&host, now_ms - 1, dead.clone())).is_empty());
    assert_eq!(host.entries().len(), 3);
    assert_eq!(block_on(review_uploads(&host, now_ms, dead.clone())), [dead[0].id]);
    let keys: Vec<String> = host.entries().into_iter().map(|entry| entry.slot.key).collect();
    assert_eq!(keys, [other.layers[0].clone(), other.index.clone()]);
}

/// Between the look for the mark and the entry.
#[test]
fn a_refusal_at_the_very_moment_of_the_finalize_is_seen() {
    let host = FakeHost::new();
    let mut exports = exports(&host, &[vec![0], vec![0]]);
    let [sends, relies] = &mut exports[..] else { panic!() };
    advance(&host, sends, 1);
    advance(&host, relies, 5);
    let url = target(sends.created.as_ref().unwrap(), "");
    host.before("index.finalize", move |host| {
        host.fail("storage.put", Fault::Storage(StorageError::NoSpace));
        assert_eq!(put(host, &url, AZURE, "1234"), 201);
        host.heal();
    });
    advance(&host, relies, 1);
    assert!(host.entries().is_empty() && host.objects().is_empty());
}

/// Where nothing is refused nothing changes.
#[test]
fn an_index_that_relied_on_an_upload_stays_otherwise() {
    let host = FakeHost::new();
    let mut exports = exports(&host, &[vec![0], vec![0]]);
    let [sends, relies] = &mut exports[..] else { panic!() };
    advance(&host, sends, 1);
    advance(&host, relies, 6);
    advance(&host, sends, 5);
    assert_eq!(host.entries().len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Exports of the same layers at once, of which some are refused anywhere.
    #[test]
    fn no_index_names_a_layer_that_never_came(
        layers in proptest::collection::vec(proptest::collection::vec(0_usize..3, 1..4), 2..5),
        steps in proptest::collection::vec((0_usize..5, proptest::bool::weighted(0.85)), 0..60),
    ) {
        let host = FakeHost::new();
        let mut exports = exports(&host, &layers);
        let count = exports.len();
        for (number, has_room) in steps {
            exports[number % count].advance(&host, has_room);
        }
        for export in &mut exports {
            while export.advance(&host, true) {}
        }
        for export in &exports {
            prop_assert!(export.missing(&host).is_empty(), "{} {:?}", export.index, export.missing(&host));
        }
    }
}
