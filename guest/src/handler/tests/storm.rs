//! A retry storm: the requests of a save, each any number of times, in any order, some of them cut off. Whatever comes of it, an
//! entry that is there has the right bytes.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::fake::{FakeHost, FakeRequest};

const CONTENT: [&str; 3] = ["first ", "second ", "third"];
const V1: &str = "/_apis/artifactcache";

/// The requests of a save with one token, in order, but for the first, which reserves.
type Save = fn(&FakeHost) -> Vec<FakeRequest>;

fn size() -> usize {
    CONTENT.concat().len()
}

fn create(host: &FakeHost) -> String {
    let message = r#"{"key":"k","version":"v"}"#;
    host.send(FakeRequest::call("CreateCacheEntry", "t", message)).member("signed_upload_url")
}

fn finalize() -> FakeRequest {
    let message = format!(r#"{{"key":"k","version":"v","size_bytes":{}}}"#, size());
    FakeRequest::call("FinalizeCacheEntryUpload", "t", &message)
}

fn in_blocks(host: &FakeHost) -> Vec<FakeRequest> {
    let url = create(host);
    let put = |more: &str, body: &str| FakeRequest::new("PUT", &format!("{url}&comp={more}")).body(body);
    let mut requests: Vec<_> =
        CONTENT.iter().enumerate().map(|(id, piece)| put(&format!("block&blockid={id}"), piece)).collect();
    let list = "<BlockList><Latest>0</Latest><Latest>1</Latest><Latest>2</Latest></BlockList>";
    requests.extend([put("blocklist", list), finalize()]);
    requests
}

fn in_one_piece(host: &FakeHost) -> Vec<FakeRequest> {
    vec![FakeRequest::new("PUT", &create(host)).body(CONTENT.concat()), finalize()]
}

fn in_version_1(host: &FakeHost) -> Vec<FakeRequest> {
    let message = r#"{"key":"k","version":"v"}"#;
    let reserved = host.send(FakeRequest::new("POST", &format!("{V1}/caches")).token("t").body(message));
    let path = format!("{V1}/caches/{}", reserved.json()["cacheId"]);
    let mut start = 0;
    let mut requests = Vec::new();
    for piece in CONTENT {
        let range = format!("bytes {start}-{}/*", start + piece.len() - 1);
        let request = FakeRequest::new("PATCH", &path).token("t").header("content-range", &range);
        requests.push(request.chunked(piece));
        start += piece.len();
    }
    let size = format!(r#"{{"size":{}}}"#, size());
    requests.push(FakeRequest::new("POST", &path).token("t").body(size));
    requests
}

const SAVES: [Save; 3] = [in_blocks, in_one_piece, in_version_1];

/// Every entry has the right bytes, and no object is without a row.
fn check(host: &FakeHost) -> Result<(), TestCaseError> {
    let objects = host.objects();
    for entry in host.entries() {
        let content = objects.get(&entry.object).cloned().unwrap_or_default();
        prop_assert_eq!(String::from_utf8_lossy(&content), CONTENT.concat());
    }
    let attached = host.uploads().into_iter().filter(|upload| upload.attachment.is_some()).count();
    prop_assert_eq!(objects.len(), host.entries().len() + attached);
    Ok(())
}

proptest! {
    #[test]
    fn an_entry_is_right_or_absent_whatever_is_repeated_reordered_or_cut(
        save in 0_usize..SAVES.len(),
        storm in proptest::collection::vec((0_usize..5, any::<bool>()), 0..24),
    ) {
        let host = FakeHost::new();
        host.allow("t", &["main=rw"]);
        for (which, cut) in storm {
            // Reserves again, too: a repeat of the first request.
            let mut requests = SAVES[save](&host);
            let request = requests.remove(which % requests.len());
            let answer = host.send(if cut { request.cut_short() } else { request });
            prop_assert!([200, 201, 204, 400, 404, 409].contains(&answer.status), "{}", answer.status);
            check(&host)?;
        }
    }

    /// In order, but each request up to three times, the early ones cut off, and the answers lost: the save succeeds.
    #[test]
    fn a_save_of_which_each_request_is_repeated_succeeds(
        save in 0_usize..SAVES.len(),
        repeats in proptest::collection::vec((0_usize..3, any::<bool>()), 5),
    ) {
        let host = FakeHost::new();
        host.allow("t", &["main=rw"]);
        let count = SAVES[save](&host).len();
        for (at, (lost, cut)) in repeats.into_iter().enumerate().take(count) {
            let request = || {
                let mut requests = SAVES[save](&host);
                (requests.len() == count).then(|| requests.remove(at))
            };
            for _ in 0..lost {
                if let Some(request) = request() {
                    host.send(if cut { request.cut_short() } else { request });
                    check(&host)?;
                }
            }
            // Once the entry is there, nothing can be reserved any more.
            if host.entries().is_empty() {
                host.send(request().unwrap());
            }
            check(&host)?;
        }
        prop_assert_eq!(host.entries().len(), 1);
    }
}
