//! The whole policies of `examples/policies` run in a server, and answer requests as they say.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use http::StatusCode;
use larder_tests::{BRANCH, Job, TenantServer, TestServer, tenants, token, token_with};
use serde_json::json;
use tempfile::TempDir;

const HTTP_CACHE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/http-cache.wasm"));
const STAGED_MOVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/staged-move.wasm"));

/// Writes a component into a data directory; returns its path.
fn write(data: &Path, component: &[u8]) -> String {
    let file = data.join("policy.wasm");
    std::fs::write(&file, component).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn start(component: &[u8], variables: &[(&str, &str)]) -> TestServer {
    let data = TempDir::new().unwrap();
    let policy = write(data.path(), component);
    let variables: Vec<_> = variables.iter().copied().chain([("LARDER_POLICY", policy.as_str())]).collect();
    TestServer::start_on(data, &variables).await
}

/// What any HTTP client does with the plain cache, as a job.
async fn puts_and_gets(job: &Job<'_>) {
    let auth = [("authorization", job.bearer.as_str())];
    let missing = job.send("GET", "/http/out.tar", &auth, "").await;
    assert_eq!((missing.status, missing.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    assert_eq!(job.send("PUT", "/http/out.tar", &auth, "the content").await.status, StatusCode::CREATED);
    assert_eq!(job.send("PUT", "/http/out.tar", &auth, "another").await.status, StatusCode::OK);
    assert_eq!(job.send("GET", "/http/out.tar", &auth, "").await.text(), "the content");
    let range = [auth[0], ("range", "bytes=4-")];
    let part = job.send("GET", "/http/out.tar", &range, "").await;
    assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, "content"));
    let head = job.send("HEAD", "/http/out.tar", &auth, "").await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "11"));
    // What begins with a key is another key.
    assert_eq!(job.send("GET", "/http/out", &auth, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(job.send("DELETE", "/http/out.tar", &auth, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_plain_http_cache_is_beside_the_cache_service() {
    let server = start(HTTP_CACHE, &[]).await;
    let job = Job::new(&server);
    puts_and_gets(&job).await;
    let without = server.get("/http/out.tar").await;
    assert_eq!(
        (without.status, without.json()["code"].as_str()),
        (StatusCode::UNAUTHORIZED, Some("unauthenticated"))
    );
    let reader = Job::with_token(&server, &token("1", &[("refs/heads/other", 1), (BRANCH, 1)]));
    let auth = [("authorization", reader.bearer.as_str())];
    assert_eq!(reader.send("GET", "/http/out.tar", &auth, "").await.text(), "the content");
    assert_eq!(reader.send("PUT", "/http/new", &auth, "x").await.status, StatusCode::FORBIDDEN);
    let stranger = Job::of(&server, "2");
    let auth = [("authorization", stranger.bearer.as_str())];
    assert_eq!(stranger.send("GET", "/http/out.tar", &auth, "").await.status, StatusCode::NOT_FOUND);
    // The rest is Larder's, and the keys of one are not those of the other.
    job.save("out.tar", b"of the action").await;
    assert_eq!(job.restore("out.tar").await, "of the action");
    let own = [("authorization", job.bearer.as_str())];
    assert_eq!(job.send("GET", "/http/out.tar", &own, "").await.text(), "the content");
}

/// Whether there is a ccache, of Debian's package of that name (`tests/scripts/need.sh`). Under CI there must be.
fn has_ccache() -> bool {
    let found = Command::new("ccache").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "ccache is not there: under CI it must be");
    if !found {
        eprintln!("skipped: there is no ccache");
    }
    found
}

/// Compiles a file with ccache on a machine whose own cache is empty, as a job. Returns the object, and what
/// ccache has counted.
fn compile(server: &TestServer, job: &Job<'_>, source: &Path) -> (Vec<u8>, String) {
    let machine = TempDir::new().unwrap();
    let token = job.bearer.strip_prefix("Bearer ").unwrap();
    let storage = format!("{}/http/|bearer-token={token}", server.base);
    let ccache = |args: &[&str]| {
        let mut ccache = Command::new("ccache");
        ccache.args(args).current_dir(source.parent().unwrap());
        ccache.env("CCACHE_DIR", machine.path()).env("CCACHE_REMOTE_STORAGE", &storage);
        let output = ccache.env("CCACHE_REMOTE_ONLY", "true").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let object = machine.path().join("one.o");
    ccache(&["cc", "-c", "one.c", "-o", object.to_str().unwrap()]);
    (std::fs::read(&object).unwrap(), ccache(&["--print-stats"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn ccache_finds_on_another_machine_what_it_has_saved() {
    if !has_ccache() {
        return;
    }
    let server = start(HTTP_CACHE, &[]).await;
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("one.c");
    std::fs::write(&source, "int one(void) { return 1; }\n").unwrap();
    let job = Job::new(&server);
    let (compiled, counted) = compile(&server, &job, &source);
    assert!(
        counted.contains("cache_miss\t1\n") && counted.contains("remote_storage_error\t0\n"),
        "{counted}"
    );
    let (found, counted) = compile(&server, &job, &source);
    assert!(counted.contains("cache_miss\t0\n") && counted.contains("direct_cache_hit\t1\n"), "{counted}");
    assert!(counted.contains("remote_storage_hit\t1\n"), "{counted}");
    assert_eq!(found, compiled);
    // Another repository's job finds nothing of it.
    let (_, counted) = compile(&server, &Job::of(&server, "2"), &source);
    assert!(counted.contains("cache_miss\t1\n") && counted.contains("remote_storage_hit\t0\n"), "{counted}");
}

#[tokio::test]
async fn a_tenant_has_a_policy_with_routes_of_its_own() {
    let data = TempDir::new().unwrap();
    let policy = write(data.path(), HTTP_CACHE);
    tenants::write(data.path(), "plain", &format!("[policy]\ncomponent = \"{policy}\"\n"));
    tenants::write(data.path(), "usual", "");
    let server = TenantServer::start_on(data, &[("DEFAULT_ACTIONS_RESULTS_URL", "none")]).await;
    puts_and_gets(&server.job("plain")).await;
    let usual = server.job("usual");
    let auth = [("authorization", usual.bearer.as_str())];
    assert_eq!(usual.send("PUT", "/http/out.tar", &auth, "x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn those_who_have_not_moved_go_on_with_the_upstream() {
    let upstream = TestServer::start(&[("DEFAULT_ACTIONS_RESULTS_URL", "none")]).await;
    let server = start(STAGED_MOVE, &[("DEFAULT_ACTIONS_RESULTS_URL", upstream.base.as_str())]).await;
    let of = |name: &str| token_with("1", &json!({ "repository": name }));
    let moved = Job::with_token(&server, &of("octo/first"));
    let of_owner = Job::with_token(&server, &of("octo-tools/any"));
    let other = Job::with_token(&server, &of("octo/first-not"));
    moved.save("k", b"here").await;
    assert_eq!(moved.restore("k").await, "here");
    assert_eq!(of_owner.restore("k").await, "here");
    // The same repository number, so that only the route tells them apart.
    assert_eq!(other.look_up("k", &[]).await["ok"], false);
    let reserved = other.call_about("CreateCacheEntry", "k", json!({})).await;
    let url = reserved.json()["signed_upload_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&upstream.base), "{url}");
    let listed = server.get("/staged-move").await;
    assert_eq!((listed.status, listed.text()), (StatusCode::OK, "octo/first\nocto-tools/\n"));
    let unknown =
        server.send("POST", "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry", &[], "{}");
    assert_eq!(unknown.await.json()["code"], "unauthenticated");
}
