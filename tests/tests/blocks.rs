//! Many blocks, as BuildKit makes them from a large layer.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use bytes::Bytes;
use larder_tests::{Response, TestServer, token};
use serde_json::{Value, json};

const BLOCKS: usize = 5000;
const BLOCK_BYTES: usize = 1 << 20;

async fn call(server: &TestServer, token: &str, name: &str, message: Value) -> Value {
    let path = format!("/twirp/github.actions.results.api.v1.CacheService/{name}");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let response: Response = server.send("POST", &path, &headers, message.to_string()).await;
    assert_eq!(response.status.as_u16(), 200, "{name}: {}", response.text());
    response.json()
}

/// Returns a block that has its number at both ends.
fn block(number: usize) -> Bytes {
    let mut content = vec![0; BLOCK_BYTES];
    content[..8].copy_from_slice(&number.to_be_bytes());
    content[BLOCK_BYTES - 8..].copy_from_slice(&number.to_be_bytes());
    content.into()
}

/// Returns an id as azblob makes it: 88 characters that end in `==`.
fn block_id(number: usize) -> String {
    format!("mAIuHFFgSw56GIx7t8GPC{number:065}==")
}

#[tokio::test]
async fn five_thousand_blocks_of_a_mebibyte_are_one_entry() {
    let server = TestServer::start(&[]).await;
    let token = token("1", &[("main", 3)]);
    let slot = json!({ "key": "layer", "version": "v" });
    let created = call(&server, &token, "CreateCacheEntry", slot.clone()).await;
    let url = created["signed_upload_url"].as_str().unwrap();
    for number in 0..BLOCKS {
        let target = format!("{url}&comp=block&blockid={}", block_id(number).replace('=', "%3D"));
        assert_eq!(server.send("PUT", &target, &[], block(number)).await.status.as_u16(), 201);
    }
    let list: String = (0..BLOCKS).map(|number| format!("<Latest>{}</Latest>", block_id(number))).collect();
    let list = format!("<BlockList>{list}</BlockList>");
    assert_eq!(server.send("PUT", &format!("{url}&comp=blocklist"), &[], list).await.status.as_u16(), 201);
    let size = BLOCKS * BLOCK_BYTES;
    let finalize = json!({ "key": "layer", "version": "v", "size_bytes": size });
    assert_eq!(call(&server, &token, "FinalizeCacheEntryUpload", finalize).await["ok"], true);

    let found = call(&server, &token, "GetCacheEntryDownloadURL", slot).await;
    let url = found["signed_download_url"].as_str().unwrap();
    assert_eq!(server.send("HEAD", url, &[], "").await.header("content-length"), size.to_string());
    for number in [0, 1, 2499, BLOCKS - 1] {
        let start = number * BLOCK_BYTES;
        let range = format!("bytes={start}-{}", start + BLOCK_BYTES - 1);
        let response = server.send("GET", url, &[("x-ms-range", &range)], "").await;
        assert_eq!(response.status.as_u16(), 206);
        assert_eq!(response.body, block(number), "block {number}");
    }
}
