//! `larder revoke`, and webhooks, by the program itself beside a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Output},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use larder::{Larder, config::Config};
use serde_json::{Value, json};

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";
const SECRET: &str = "a secret of the platform";
const WEBHOOKS: &str = "/_larder/webhooks/github";

fn variables(data: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("LARDER_DATA", data.as_os_str().to_owned()),
        ("LARDER_LISTEN", "127.0.0.1:0".into()),
        ("SKIP_TOKEN_VALIDATION", "true".into()),
        ("DEFAULT_ACTIONS_RESULTS_URL", "none".into()),
        ("LARDER_THREADS", "1".into()),
    ]
}

async fn start(data: &Path, more: &[(&'static str, &str)]) -> Larder {
    let more = more.iter().map(|(name, value)| (*name, OsString::from(value)));
    let all = variables(data).into_iter().chain(more).map(|(name, value)| (OsString::from(name), value));
    Box::pin(Larder::builder(Config::load(None, all).unwrap()).build()).await.unwrap()
}

fn revoke(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear().envs(variables(data)).arg("revoke").args(args).output().unwrap()
}

fn good(data: &Path, args: &[&str]) -> String {
    let output = revoke(data, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a request, and returns status and body of the response.
fn send(address: SocketAddr, method: &str, target: &str, fields: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: cache.test\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// A job of a run.
#[derive(Clone, Copy)]
struct Job {
    address: SocketAddr,
    scope: &'static str,
    run: &'static str,
}

impl Job {
    fn call(self, call: &str, message: &Value) -> Value {
        let scopes = json!([{ "Scope": self.scope, "Permission": 3 }]).to_string();
        let claims = json!({
            "repository_id": "42", "repository": "octo/hello", "run_id": self.run, "actor": "mallory", "ac": scopes,
            "exp": 4_000_000_000_u64,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.x", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
        let fields = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        let target = format!("/twirp/github.actions.results.api.v1.CacheService/{call}");
        serde_json::from_str(&send(self.address, "POST", &target, &fields, &message.to_string()).1).unwrap()
    }

    fn save(self, key: &str) {
        let created = self.call("CreateCacheEntry", &json!({ "key": key, "version": "v1" }));
        let url = created["signed_upload_url"].as_str().unwrap();
        let target = url.strip_prefix("http://cache.test").unwrap();
        let (status, body) = send(self.address, "PUT", target, "x-ms-blob-type: BlockBlob\r\n", "content");
        assert_eq!(status, 201, "{body}");
        let message = json!({ "key": key, "version": "v1", "size_bytes": 7 });
        assert_eq!(self.call("FinalizeCacheEntryUpload", &message)["ok"], true);
    }

    /// Returns the URL of a download.
    fn restore(self, key: &str) -> Option<String> {
        let found = self
            .call("GetCacheEntryDownloadURL", &json!({ "key": key, "version": "v1", "restore_keys": [] }));
        let url = found["signed_download_url"].as_str().filter(|_| found["ok"] == true)?;
        Some(url.strip_prefix("http://cache.test").unwrap().to_owned())
    }
}

#[tokio::test]
async fn what_a_run_saved_is_revoked_beside_the_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let larder = start(&data, &[]).await;
    let address = larder.address().unwrap();
    tokio::task::spawn_blocking(move || {
        let [bad, other] = ["7", "8"].map(|run| Job { address, scope: MAIN, run });
        bad.save("poisoned-1");
        bad.save("poisoned-2");
        other.save("good");
        let handed_out = other.restore("poisoned-1").expect("not revoked yet");

        let dry = good(&data, &["-R", "42", "--run", "7", "--dry-run"]);
        assert!(dry.ends_with("2 entries (14 bytes) would be deleted\n"), "{dry}");
        assert!(dry.contains("refs/heads/main  poisoned-1  entry 1, 7 bytes, made 2"), "{dry}");
        assert!(other.restore("poisoned-1").is_some(), "nothing was changed");

        let held = good(&data, &["-R", "42", "--run", "7", "--quarantine"]);
        assert!(held.ends_with("2 entries (14 bytes) put into quarantine\n"), "{held}");
        assert_eq!((other.restore("poisoned-1"), other.restore("poisoned-2")), (None, None));
        assert!(other.restore("good").is_some());
        let (status, _) = send(address, "GET", &handed_out, "", "");
        assert_eq!(status, 404, "also by a URL that was handed out before");
        let again = other.call("CreateCacheEntry", &json!({ "key": "poisoned-1", "version": "v1" }));
        assert_ne!(again["ok"], true, "its key is taken");

        let released = good(&data, &["--actor", "mallory", "--release"]);
        assert!(released.ends_with("2 entries (14 bytes) released from quarantine\n"), "{released}");
        assert!(other.restore("poisoned-1").is_some());
        assert_eq!(send(address, "GET", &handed_out, "", "").1, "content");

        let told = good(&data, &["-R", "42", "--run", "7", "--since", "1h", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["action"], &told["dry_run"], &told["unknown"]),
            (&json!("delete"), &json!(false), &json!(0))
        );
        let keys: Vec<_> =
            told["entries"].as_array().unwrap().iter().map(|entry| entry["key"].clone()).collect();
        assert_eq!(keys, ["poisoned-1", "poisoned-2"]);
        assert_eq!((other.restore("poisoned-1"), other.restore("poisoned-2")), (None, None));
        assert!(other.restore("good").is_some());
        other.save("poisoned-1");
        assert!(other.restore("poisoned-1").is_some(), "its key is free");

        let nothing = revoke(&data, &["-R", "42"]);
        assert!(!nothing.status.success(), "without a condition all would go");
        let unknown = revoke(&data, &["-R", "octo/other", "--run", "7"]);
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("no repository called octo/other"));
    })
    .await
    .unwrap();
    larder.stop();
}

fn deliver(address: SocketAddr, secret: &str, event: &str, body: &str) -> (u16, Value) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
    let fields = format!("x-github-event: {event}\r\nx-hub-signature-256: sha256={signature}\r\n");
    let (status, body) = send(address, "POST", WEBHOOKS, &fields, body);
    (status, serde_json::from_str(&body).unwrap())
}

fn closed(number: u32, action: &str) -> String {
    let repository = json!({ "id": 42, "full_name": "octo/hello" });
    json!({ "action": action, "number": number, "repository": repository }).to_string()
}

#[tokio::test]
async fn a_closed_pull_request_and_a_deleted_branch_end_their_scopes() {
    let folder = tempfile::tempdir().unwrap();
    let larder = start(folder.path(), &[("LARDER_WEBHOOK_SECRET", SECRET)]).await;
    let address = larder.address().unwrap();
    tokio::task::spawn_blocking(move || {
        let [main, pull] = [MAIN, PULL].map(|scope| Job { address, scope, run: "7" });
        main.save("k");
        pull.save("k");
        pull.save("k-2");
        assert_eq!(deliver(address, SECRET, "ping", "{}"), (200, json!({ "status": "ignored" })));
        assert_eq!(deliver(address, SECRET, "pull_request", &closed(7, "opened")).1["status"], "ignored");
        assert_eq!(deliver(address, SECRET, "pull_request", &closed(70, "closed")).1["entries"], 0);

        let (status, told) =
            deliver(address, "another secret of somebody", "pull_request", &closed(7, "closed"));
        assert_eq!((status, &told["code"]), (401, &json!("unauthenticated")));
        assert_eq!(
            send(address, "POST", WEBHOOKS, "x-github-event: pull_request\r\n", &closed(7, "closed")).0,
            401
        );
        assert_eq!(deliver(address, SECRET, "pull_request", "not JSON").0, 400);
        assert_eq!(deliver(address, SECRET, "pull_request", &" ".repeat((1 << 20) + 1)).0, 413);
        assert_eq!(send(address, "GET", WEBHOOKS, "", "").0, 405);
        assert!(pull.restore("k").is_some(), "nothing of this ends anything");

        let told = deliver(address, SECRET, "pull_request", &closed(7, "closed"));
        let expected = json!({ "status": "ended", "scope": PULL, "entries": 2, "bytes": 14, "uploads": 0 });
        assert_eq!(told, (200, expected));
        assert_eq!((pull.restore("k"), pull.restore("k-2")), (None, None));
        assert!(main.restore("k").is_some());
        assert_eq!(
            deliver(address, SECRET, "pull_request", &closed(7, "closed")).1["entries"],
            0,
            "repeated"
        );

        let branch = json!({
            "ref": "main", "ref_type": "branch", "repository": { "id": 42, "full_name": "octo/hello" },
        });
        assert_eq!(deliver(address, SECRET, "delete", &branch.to_string()).1["entries"], 1);
        assert_eq!(main.restore("k"), None);
    })
    .await
    .unwrap();
    larder.stop();
}

/// Eight are read at once.
#[tokio::test]
async fn a_delivery_waits_for_others_that_come_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let larder = start(folder.path(), &[("LARDER_WEBHOOK_SECRET", SECRET)]).await;
    let address = larder.address().unwrap();
    tokio::task::spawn_blocking(move || {
        let head = format!("POST {WEBHOOKS} HTTP/1.1\r\nhost: cache.test\r\ncontent-length: 1000\r\n");
        let slow: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                // The server says so once it reads, which is when it has a place.
                stream.write_all(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).unwrap();
                let mut answer = [0; 12];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 100");
                stream
            })
            .collect();
        let delivery =
            std::thread::spawn(move || deliver(address, SECRET, "pull_request", &closed(7, "closed")));
        // Time to be refused in.
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(slow);
        assert_eq!(delivery.join().unwrap().0, 200);
    })
    .await
    .unwrap();
    larder.stop();
}

#[tokio::test]
async fn without_a_secret_there_are_no_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    let larder = start(folder.path(), &[]).await;
    let address = larder.address().unwrap();
    tokio::task::spawn_blocking(move || {
        let (status, told) = deliver(address, SECRET, "pull_request", &closed(7, "closed"));
        assert_eq!((status, &told["code"]), (404, &json!("not_found")));
    })
    .await
    .unwrap();
    larder.stop();
}
