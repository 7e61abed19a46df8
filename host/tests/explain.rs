//! `larder explain` by the program itself, beside a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use larder::{Larder, config::Config};
use serde_json::{Value, json};

const MAIN: &str = "refs/heads/main";

fn variables(data: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("LARDER_DATA", data.as_os_str().to_owned()),
        ("LARDER_LISTEN", "127.0.0.1:0".into()),
        ("SKIP_TOKEN_VALIDATION", "true".into()),
        ("DEFAULT_ACTIONS_RESULTS_URL", "none".into()),
        ("LARDER_THREADS", "1".into()),
    ]
}

fn explain(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear().envs(variables(data)).arg("explain").args(args).output().unwrap()
}

fn good(data: &Path, args: &[&str]) -> String {
    let output = explain(data, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bad(data: &Path, args: &[&str]) -> String {
    let output = explain(data, args);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Sends a request, and returns the body of the response.
fn send(address: SocketAddr, method: &str, target: &str, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: cache.test\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{response}");
    body.to_owned()
}

fn call(address: SocketAddr, call: &str, message: &Value) -> Value {
    let scopes = json!([{ "Scope": MAIN, "Permission": 3 }]).to_string();
    let claims =
        json!({ "repository_id": "42", "repository": "octo/hello", "ac": scopes, "exp": 4_000_000_000_u64 });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.x", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let fields = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let target = format!("/twirp/github.actions.results.api.v1.CacheService/{call}");
    serde_json::from_str(&send(address, "POST", &target, &fields, &message.to_string())).unwrap()
}

fn save(address: SocketAddr, key: &str) {
    let created = call(address, "CreateCacheEntry", &json!({ "key": key, "version": "v1" }));
    let url = created["signed_upload_url"].as_str().unwrap();
    let target = url.strip_prefix("http://cache.test").unwrap();
    send(address, "PUT", target, "x-ms-blob-type: BlockBlob\r\n", "content");
    let message = json!({ "key": key, "version": "v1", "size_bytes": 7 });
    assert_eq!(call(address, "FinalizeCacheEntryUpload", &message)["ok"], true);
}

#[tokio::test]
async fn a_lookup_is_explained_beside_the_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let all = variables(&data).into_iter().map(|(name, value)| (OsString::from(name), value));
    let larder = Box::pin(Larder::builder(Config::load(None, all).unwrap()).build()).await.unwrap();
    let address = larder.address().unwrap();
    tokio::task::spawn_blocking(move || {
        save(address, "npm-1");
        let none = good(&data, &["-R", "42", "--ref", "refs/pull/7/merge", "--ref", MAIN, "yarn-2", "yarn-"]);
        assert!(none.starts_with("repository 42\n"), "no version is known of such a key: {none}");
        let near = good(&data, &["-R", "42", "--ref", "refs/pull/7/merge", "--ref", MAIN, "npm-2", "npm-"]);
        let at = ["-R", "42", "--ref", "refs/pull/7/merge", "--ref", MAIN, "--version", "v1"];
        let told = good(&data, &[&at[..], &["npm-2", "npm-"]].concat());
        assert_eq!(near, told, "the version is that of what comes near");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "repository 42, version v1");
        assert_eq!(lines[1], "  refs/pull/7/merge  npm-2  nothing");
        assert!(
            lines[8].starts_with("  refs/heads/main  npm-*  found: npm-1 (entry 1, 7 bytes, made 2"),
            "{told}"
        );
        assert_eq!(lines[9], "hit");

        let told = good(&data, &[&at[..], &["--json", "yarn-1"]].concat());
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["cause"], &told["repository"]), (&json!("never-saved"), &json!("42")));
        assert_eq!(told["attempts"][1]["is_prefix"], true);

        let told = good(&data, &["-R", "42", "--ref", "refs/heads/other", "npm-1"]);
        assert!(
            told.contains(
                "miss: other-scope\nnear it:\n  other-scope: refs/heads/main  npm-1  version v1, entry 1"
            ),
            "{told}"
        );

        assert!(
            bad(&data, &["-R", "octo/other", "--ref", MAIN, "k"]).contains("no repository called octo/other")
        );
        assert!(bad(&data, &["-R", "42", "k"]).contains("--ref"));
        assert!(bad(&data, &["-R", "42", "--ref", MAIN, "--tenant", "acme", "k"]).contains("no such tenant"));
        // The server is as it was.
        save(address, "npm-2");
    })
    .await
    .unwrap();
    larder.stop();
    let data = folder.path();
    // Also when it does not run. What it kept in memory is written now: the repository's name, too.
    let told = good(data, &["-R", "Octo/Hello", "--ref", MAIN, "npm-2"]);
    assert!(told.contains("repository 42, version v1\n") && told.contains("\nhit\n"), "{told}");
}

#[test]
fn a_mistyped_data_directory_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("no-such");
    let told = bad(&data, &["-R", "42", "--ref", MAIN, "k"]);
    assert!(told.contains("larder.db"), "{told}");
    assert!(!data.exists());
}
