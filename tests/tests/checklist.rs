//! The lines of the protocol reference's checklist (section 7) that need a whole server:
//! connections, storage, responses without the policy. The others are in `protocol/`, and line 33
//! in `forward.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{fs, path::Path, time::Duration};

use futures_util::future::join_all;
use larder_tests::{Job, RESPONSE_TIMEOUT, TestServer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const MIB: usize = 1 << 20;

/// Returns content without repetitions.
fn content(size: usize) -> Vec<u8> {
    (0..size as u64 / 8 + 1)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(size)
        .collect()
}

fn remove_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_files(&entry.path());
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[tokio::test]
async fn checklist_08_a_hit_is_only_what_is_there() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    job.save("key", &content(1000)).await;
    let url = job.url("key").await;
    remove_files(&server.data.path().join("storage/objects"));
    assert_eq!(
        job.look_up("key", &[]).await,
        json!({ "ok": false, "signed_download_url": "", "matched_key": "" })
    );
    assert_eq!(server.get(&url).await.status.as_u16(), 404);
}

#[tokio::test]
async fn checklist_10_answers_without_the_policy_have_a_request_id_too() {
    let server = TestServer::start(&[]).await;
    let long = "x".repeat(40 << 10);
    let response = server.send("PUT", "/devstoreaccount1/upload/1", &[("x-long", &long)], "body").await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (431, "application/json"));
    assert!(!response.header("x-ms-request-id").is_empty() && response.json()["msg"].is_string());
    let hostile = TestServer::start_hostile().await;
    let response = hostile.get("/trap").await;
    assert_eq!(response.status.as_u16(), 404);
    assert!(!response.header("x-ms-request-id").is_empty());
}

#[tokio::test]
async fn checklist_14_fifty_thousand_blocks_are_one_entry() {
    const BLOCKS: usize = 50_000;
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    let url = job.create("key").await;
    let id = |number: usize| format!("{number:064}");
    // Four at a time, of two bytes each: only their number matters.
    let lane = async |lane: usize| {
        for number in (lane..BLOCKS).step_by(4) {
            let target = format!("{url}&comp=block&blockid={}", id(number));
            let bytes = u16::try_from(number).unwrap().to_be_bytes().to_vec();
            assert_eq!(server.send("PUT", &target, &[], bytes).await.status.as_u16(), 201);
        }
    };
    join_all((0..4).map(lane)).await;
    let list: String = (0..BLOCKS).map(|number| format!("<Latest>{}</Latest>", id(number))).collect();
    let list = format!("<BlockList>{list}</BlockList>");
    assert_eq!(server.send("PUT", &format!("{url}&comp=blocklist"), &[], list).await.status.as_u16(), 201);
    job.finalize("key", BLOCKS * 2).await;
    let whole = server.get(&job.url("key").await).await.body;
    let expected: Vec<u8> = (0..BLOCKS).flat_map(|n| u16::try_from(n).unwrap().to_be_bytes()).collect();
    assert!(whole == expected);
}

#[tokio::test]
async fn checklist_22_no_download_stalls() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    let url = job.create("key").await;
    let whole = content(64 * MIB);
    // The worst order: the list has the blocks backwards.
    for (number, block) in whole.chunks(MIB).enumerate().collect::<Vec<_>>().into_iter().rev() {
        let target = format!("{url}&comp=block&blockid={number:04}");
        assert_eq!(server.send("PUT", &target, &[], block.to_vec()).await.status.as_u16(), 201);
    }
    let list: String = (0..64).map(|number| format!("<Latest>{number:04}</Latest>")).collect();
    let list = format!("<BlockList>{list}</BlockList>");
    assert_eq!(server.send("PUT", &format!("{url}&comp=blocklist"), &[], list).await.status.as_u16(), 201);
    job.finalize("key", whole.len()).await;
    let url = job.url("key").await;
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let head = format!("GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut got, mut buffer, mut longest) = (Vec::new(), vec![0; MIB], Duration::ZERO);
    loop {
        let began = Instant::now();
        let read = timeout(RESPONSE_TIMEOUT, stream.read(&mut buffer)).await.expect("bytes in time").unwrap();
        longest = longest.max(began.elapsed());
        if read == 0 {
            break;
        }
        got.extend_from_slice(&buffer[..read]);
    }
    assert!(got.ends_with(&whole), "the first download is right");
    assert!(longest < Duration::from_secs(5), "{longest:?} without a byte");
}

#[tokio::test]
async fn checklist_26_a_rush_of_requests_is_never_answered_with_429() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    job.save("key", &content(1000)).await;
    let url = job.url("key").await;
    let requests = (0..300).map(async |number| {
        let response = match number % 3 {
            0 => job.call_about("GetCacheEntryDownloadURL", "key", json!({})).await,
            1 => server.get(&url).await,
            _ => job.call_about("CreateCacheEntry", &format!("other {number}"), json!({})).await,
        };
        response.status.as_u16()
    });
    assert!(join_all(requests).await.into_iter().all(|status| status == 200));
}

#[tokio::test]
async fn checklist_34_nothing_of_ours_is_a_redirect() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    job.save("key", &content(10)).await;
    let url = job.url("key").await;
    for target in [
        "/",
        "/health",
        "/health/",
        "//",
        "/devstoreaccount1",
        "/devstoreaccount1/download",
        "/_apis/artifactcache/cache",
        "/devstoreaccount1/download/1/",
        SERVICE,
        "/twirp",
        &url,
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let response = server.send(method, target, &[], "").await;
            assert!(!response.status.is_redirection(), "{method} {target}");
            assert_eq!(response.header("location"), "", "{method} {target}");
        }
    }
}

/// As `@actions/cache` does with a host whose name ends in `.blob.core.windows.net`.
#[tokio::test]
async fn eight_readers_at_once_get_the_right_ranges() {
    let origin = "http://cache.blob.core.windows.net:3000";
    let server = TestServer::start(&[("LARDER_PARALLEL_DOWNLOAD_URL", origin)]).await;
    let job = Job::new(&server);
    let whole = content(32 * MIB + 12345);
    job.save("key", &whole).await;
    let url = job.url("key").await;
    let path = url.strip_prefix(origin).expect("the parallel origin").to_owned() + "&timeout=30";
    // The runner's DNS resolves the host name to the server, so it is the `Host` of each request.
    let host = ("host", "cache.blob.core.windows.net:3000");
    let head = server.send("HEAD", &path, &[host], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, &*whole.len().to_string()));
    let tag = head.header("etag").to_owned();
    let starts: Vec<usize> = (0..whole.len()).step_by(4 * MIB).collect();
    for lane in starts.chunks(8) {
        let reads = lane.iter().map(async |start| {
            let end = (start + 4 * MIB).min(whole.len());
            let range = format!("bytes={start}-{}", end - 1);
            let fields = [host, ("x-ms-range", range.as_str()), ("if-match", tag.as_str())];
            let response = server.send("GET", &path, &fields, "").await;
            assert_eq!(response.status.as_u16(), 206);
            assert_eq!(response.header("etag"), tag);
            assert_eq!(response.header("content-length"), (end - start).to_string());
            assert_eq!(
                response.header("content-range"),
                format!("bytes {start}-{}/{}", end - 1, whole.len())
            );
            assert!(response.body == whole[*start..end], "the bytes of {range}");
        });
        join_all(reads).await;
    }
    let other =
        server.send("GET", &path, &[host, ("x-ms-range", "bytes=0-9"), ("if-match", "\"other\"")], "").await;
    assert_eq!(other.status.as_u16(), 412);
}

/// Gitea's tokens name no repository, and one scope without a name, with the permission "write"
/// (protocol reference, section 5).
#[tokio::test]
async fn tokens_of_gitea_and_act_save_and_restore() {
    let server = TestServer::start(&[("LARDER_DEFAULT_REPOSITORY", "gitea")]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for permission in [2, 3] {
        let claims = json!({
            "scp": "Actions.Results:7:9", "TaskID": 1, "RunID": 7, "JobID": 9,
            "ac": json!([{ "Scope": "", "Permission": permission }]).to_string(),
            "nbf": now - 10, "exp": now + 600,
        });
        let key = jsonwebtoken::EncodingKey::from_secret(larder_tests::SECRET.as_bytes());
        let bearer = format!(
            "Bearer {}",
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
        );
        let send = async |method: &str, path: &str, field: (&str, &str), body: String| {
            let headers = [("authorization", bearer.as_str()), field];
            server.send(method, &format!("/_apis/artifactcache/{path}"), &headers, body).await
        };
        let (key, accept) =
            (format!("key-{permission}"), ("accept", "application/json;api-version=6.0-preview.1"));
        let reserved =
            send("POST", "caches", accept, json!({ "key": key, "version": "v" }).to_string()).await;
        assert_eq!(reserved.status.as_u16(), 201, "{}", reserved.text());
        let id = reserved.json()["cacheId"].as_u64().unwrap();
        let piece =
            send("PATCH", &format!("caches/{id}"), ("content-range", "bytes 0-6/*"), "content".into()).await;
        assert_eq!(piece.status.as_u16(), 204);
        let done = send("POST", &format!("caches/{id}"), accept, json!({ "size": 7 }).to_string()).await;
        assert_eq!(done.status.as_u16(), 204);
        let found = send("GET", &format!("cache?keys={key}&version=v"), accept, String::new()).await;
        assert_eq!((found.status.as_u16(), &found.json()["scope"]), (200, &json!("")));
        let archive = server.get(found.json()["archiveLocation"].as_str().unwrap()).await;
        assert_eq!(archive.text(), "content");
    }
}
