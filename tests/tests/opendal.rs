//! opendal's `ghac` service, which sccache and others use, over both versions of the protocol: with
//! one write per entry, as sccache uses it, and with blocks of random ids in parallel. The service
//! reads its settings from the environment, so it runs in a process of its own: this test, started
//! again.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::process::{Command, Output};

use larder_tests::{TestServer, token};
use opendal::{ErrorKind, Operator, services::Ghac};

/// Set in the client's process: the server's origin.
const SERVER: &str = "LARDER_TEST_OPENDAL_SERVER";
const SECOND_VERSION: &str = "ACTIONS_CACHE_SERVICE_V2";
const BLOCK_BYTES: usize = (1 << 20) + 1;
const BLOCKS: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opendal_writes_and_reads_over_version_2() {
    run("opendal_writes_and_reads_over_version_2", Some("on")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opendal_writes_and_reads_over_version_1() {
    run("opendal_writes_and_reads_over_version_1", None).await;
}

/// Runs the client if it was started as one. Otherwise starts a server, and this test again as its
/// client.
async fn run(test: &'static str, second_version: Option<&str>) {
    if let Ok(server) = std::env::var(SERVER) {
        return be_client(&server).await;
    }
    let server = TestServer::start(&[]).await;
    let mut client = Command::new(std::env::current_exe().unwrap());
    client.args(["--exact", test, "--nocapture"]).env(SERVER, &server.base).env_remove(SECOND_VERSION);
    client.env("GITHUB_SERVER_URL", "https://github.com");
    if let Some(value) = second_version {
        client.env(SECOND_VERSION, value);
    }
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || client.output().unwrap()).await.unwrap();
    let told = [stdout, stderr].concat();
    assert!(status.success(), "{}", String::from_utf8_lossy(&told));
    // A misspelt name would run no test.
    assert!(String::from_utf8_lossy(&told).contains("1 passed"), "{}", String::from_utf8_lossy(&told));
}

async fn be_client(server: &str) {
    opendal::install_default();
    let token = token("1", &[("refs/heads/main", 3)]);
    let service = Ghac::default().root("/project").version("test").endpoint(server).runtime_token(&token);
    let operator = Operator::new(service).unwrap();
    misses(&operator).await;
    writes_at_once(&operator).await;
    writes_blocks(&operator).await;
    is_refused_a_second_write(&operator).await;
}

async fn misses(operator: &Operator) {
    assert_eq!(operator.stat("absent").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(operator.read("absent").await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn writes_at_once(operator: &Operator) {
    for size in [1, 1000, 3 << 20] {
        let (name, content) = (format!("whole-{size}"), content(size));
        operator.write(&name, content.clone()).await.unwrap();
        assert_eq!(operator.stat(&name).await.unwrap().content_length(), size as u64);
        assert!(operator.read(&name).await.unwrap().to_bytes() == content, "{name}");
    }
}

/// Four at once, with random ids: only the list determines the order.
async fn writes_blocks(operator: &Operator) {
    let content = content(BLOCKS * BLOCK_BYTES + 17);
    let mut writer = operator.writer_with("blocks").chunk(BLOCK_BYTES).concurrent(4).await.unwrap();
    for piece in content.chunks(BLOCK_BYTES) {
        writer.write(piece.to_vec()).await.unwrap();
    }
    writer.close().await.unwrap();

    let size = content.len();
    assert_eq!(operator.stat("blocks").await.unwrap().content_length(), size as u64);
    for (start, end) in
        [(0, 1), (0, size), (BLOCK_BYTES - 1, BLOCK_BYTES + 1), (size - 1, size), (5, 4 * BLOCK_BYTES)]
    {
        let part = operator.read_with("blocks").range(start as u64..end as u64).await.unwrap().to_bytes();
        assert!(part == content[start..end], "{start}..{end}");
    }
}

async fn is_refused_a_second_write(operator: &Operator) {
    operator.write("taken", "first").await.unwrap();
    let refused = operator.write("taken", "second").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(operator.read("taken").await.unwrap().to_bytes(), "first");
}

/// Returns bytes without repetitions.
fn content(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(size).collect()
}
