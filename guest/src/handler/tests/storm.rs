//! A retry storm: the requests of saves, repeated any number of times, in any order, some of them
//! cut short, with repeated reservations. Whatever the result, an entry has the bytes of one saver.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use crate::fake::{FakeHost, FakeRequest, NOW_MS};

const V1: &str = "/_apis/artifactcache";
const MESSAGE: &str = r#"{"key":"k","version":"v"}"#;

/// A saver's content in three chunks, of the same sizes for all savers.
fn content(saver: usize) -> [String; 3] {
    ["first-", "second-", "third-"].map(|chunk| format!("{chunk}{saver}"))
}

fn size() -> usize {
    content(0).concat().len()
}

/// A kind of save: its reservation, and the requests that follow, in order.
#[derive(Clone, Copy)]
struct Protocol {
    /// Returns the URL or the path to send to, or `None` if the slot is taken.
    reserve: fn(&FakeHost, u64) -> Option<String>,
    requests: fn(&str, usize) -> Vec<FakeRequest>,
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol { reserve: create, requests: in_blocks },
    Protocol { reserve: create, requests: in_one_request },
    Protocol { reserve: create, requests: by_appending },
    Protocol { reserve: reserve_v1, requests: in_version_1 },
];

fn create(host: &FakeHost, now_ms: u64) -> Option<String> {
    let answer = host.send(FakeRequest::call("CreateCacheEntry", "t", MESSAGE).at(now_ms));
    assert!([200, 409].contains(&answer.status), "{}", answer.status);
    (answer.status == 200).then(|| answer.member("signed_upload_url"))
}

fn reserve_v1(host: &FakeHost, now_ms: u64) -> Option<String> {
    let request = FakeRequest::new("POST", &format!("{V1}/caches")).token("t").at(now_ms);
    let answer = host.send(request.body(MESSAGE));
    assert!([201, 409].contains(&answer.status), "{}", answer.status);
    (answer.status == 201).then(|| format!("{V1}/caches/{}", answer.json()["cacheId"]))
}

fn finalize() -> FakeRequest {
    let message = format!(r#"{{"key":"k","version":"v","size_bytes":{}}}"#, size());
    FakeRequest::call("FinalizeCacheEntryUpload", "t", &message)
}

fn in_blocks(url: &str, saver: usize) -> Vec<FakeRequest> {
    let put = |more: &str, body: &str| FakeRequest::new("PUT", &format!("{url}&comp={more}")).body(body);
    let blocks = content(saver);
    // Ids with nothing but the position, as wireit's: equal for two savers.
    let mut requests: Vec<_> =
        blocks.iter().enumerate().map(|(id, chunk)| put(&format!("block&blockid={id}"), chunk)).collect();
    let list = "<BlockList><Latest>0</Latest><Latest>1</Latest><Latest>2</Latest></BlockList>";
    requests.extend([put("blocklist", list), finalize()]);
    requests
}

fn in_one_request(url: &str, saver: usize) -> Vec<FakeRequest> {
    vec![FakeRequest::new("PUT", url).body(content(saver).concat()), finalize()]
}

fn by_appending(url: &str, saver: usize) -> Vec<FakeRequest> {
    let mut at = 0;
    let mut requests = vec![FakeRequest::new("PUT", url).header("x-ms-blob-type", "AppendBlob")];
    for chunk in content(saver) {
        let request = FakeRequest::new("PUT", &format!("{url}&comp=appendblock"));
        requests.push(request.header("x-ms-blob-condition-appendpos", &at.to_string()).body(&chunk));
        at += chunk.len();
    }
    requests.push(finalize());
    requests
}

fn in_version_1(path: &str, saver: usize) -> Vec<FakeRequest> {
    let mut start = 0;
    let mut requests = Vec::new();
    for chunk in content(saver) {
        let range = format!("bytes {start}-{}/*", start + chunk.len() - 1);
        let request = FakeRequest::new("PATCH", path).token("t").header("content-range", &range);
        start += chunk.len();
        requests.push(request.chunked(chunk));
    }
    let size = format!(r#"{{"size":{}}}"#, size());
    requests.push(FakeRequest::new("POST", path).token("t").body(size));
    requests
}

/// Every entry has the bytes of one of the savers, and every object has a row.
fn check(host: &FakeHost, savers: usize) -> Result<(), TestCaseError> {
    let objects = host.objects();
    let entries = host.entries();
    prop_assert!(entries.len() <= 1);
    for entry in &entries {
        let found = objects.get(&entry.object).cloned().unwrap_or_default();
        let found = String::from_utf8_lossy(&found).into_owned();
        prop_assert!((0..savers).any(|saver| content(saver).concat() == found), "a mixture: {found}");
    }
    let attached = host.uploads().into_iter().filter(|upload| upload.attachment.is_some()).count();
    prop_assert_eq!(objects.len(), entries.len() + attached);
    Ok(())
}

/// A step of a storm.
#[derive(Clone, Debug)]
enum StormStep {
    /// A reservation with the same token, this long after the last one: a retry, or another saver.
    Reserve { after_ms: u64 },
    /// One of the writers sends one of its requests.
    Send { saver: usize, request: usize, cut: bool },
    /// The index forgets the last activity, as if the bytes had reached another server.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<StormStep>> {
    let step = prop_oneof![
        2 => (0_u64..3000).prop_map(|after_ms| StormStep::Reserve { after_ms }),
        8 => (0_usize..4, 0_usize..6, proptest::bool::weighted(0.2))
            .prop_map(|(saver, request, cut)| StormStep::Send { saver, request, cut }),
        1 => Just(StormStep::Forget),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// Fault 1.
    #[test]
    fn an_entry_has_one_savers_bytes_whatever_is_repeated_reordered_or_cut(
        which in 0_usize..PROTOCOLS.len(),
        storm in steps(),
    ) {
        let protocol = PROTOCOLS[which];
        let host = FakeHost::new();
        host.allow("t", &["main=rw"]);
        let mut now_ms = NOW_MS;
        let mut savers = vec![(protocol.reserve)(&host, now_ms).unwrap()];
        for step in storm {
            match step {
                StormStep::Reserve { after_ms } => {
                    now_ms += after_ms;
                    savers.extend((protocol.reserve)(&host, now_ms));
                }
                StormStep::Send { saver, request, cut } => {
                    let saver = saver % savers.len();
                    let mut requests = (protocol.requests)(&savers[saver], saver);
                    let request = requests.remove(request % requests.len()).at(now_ms);
                    let answer = host.send(if cut { request.cut_short() } else { request });
                    let expected = [200, 201, 204, 400, 404, 409, 412];
                    prop_assert!(expected.contains(&answer.status), "{}", answer.status);
                }
                StormStep::Forget => {
                    for upload in host.uploads() {
                        host.change_upload(upload.id, |upload| upload.last_activity_ms = upload.created_ms);
                    }
                }
            }
            check(&host, savers.len())?;
        }
    }

    /// In order, but each request up to three times, the early ones cut short, and the responses
    /// lost: the save succeeds, if the client waits for its back-off before it reserves again.
    #[test]
    fn a_save_with_repeated_requests_succeeds(
        which in 0_usize..PROTOCOLS.len(),
        lost_reservations in 0_u64..3,
        repeats in proptest::collection::vec((0_usize..3, any::<bool>()), 6),
    ) {
        let protocol = PROTOCOLS[which];
        let host = FakeHost::new();
        host.allow("t", &["main=rw"]);
        for lost in 0..lost_reservations {
            prop_assert!((protocol.reserve)(&host, NOW_MS + lost * 1000).is_some());
        }
        let reserved = (protocol.reserve)(&host, NOW_MS + lost_reservations * 1000).unwrap();
        let count = (protocol.requests)(&reserved, 0).len();
        for (at, (lost, cut)) in repeats.into_iter().enumerate().take(count) {
            let request = || (protocol.requests)(&reserved, 0).remove(at);
            for _ in 0..lost {
                host.send(if cut { request().cut_short() } else { request() });
                check(&host, 1)?;
            }
            host.send(request());
            check(&host, 1)?;
        }
        prop_assert_eq!(host.entries().len(), 1);
    }
}
