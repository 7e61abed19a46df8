//! The program `larder` as an operator calls it: on the data of a server, and over HTTP on a server that
//! runs on it. Both must tell the same.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use larder::{
    facts::Facts,
    index::{
        Attachment, Durability, Index, KeyRule, RepositoryName, Reservation, Slot, Trust, sqlite::SqliteIndex,
    },
    storage::{
        ObjectName, Source, Storage as _,
        fs::{FsStorage, budget::Budget},
    },
};
use larder_testing::certificates::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;

const LARDER: &str = env!("CARGO_BIN_EXE_larder");

/// Entries of two repositories, in a database that no server has.
async fn fill(data: &Path) {
    let index = SqliteIndex::open(&data.join("larder.db"), KeyRule::AnyCase).unwrap();
    let entries =
        [("7", "linux-1", 2048), ("7", "linux-2", 100), ("8", "macos-1", 10), ("8", "mac\u{1b}os", 5)];
    for (number, (repository, key, size_bytes)) in entries.into_iter().enumerate() {
        let [repository, scope, version, key] = [repository, "refs/heads/main", "v", key].map(str::to_owned);
        let slot = Slot { repository, scope, version, key };
        let facts = Facts::try_from(&[("run_id", if number == 3 { "77" } else { "9" })][..]).unwrap();
        let now_ms = 1_700_000_000_000 + number as u64;
        let reserved = index.reserve(&slot, "owner", &facts, Trust::Full, now_ms, 0).await.unwrap();
        let Reservation::Reserved(upload) = reserved else { panic!("{reserved:?}") };
        let object = ObjectName::parse(format!("p-{}-{number}", upload.name)).unwrap();
        let attachment = Attachment { object, size_bytes };
        index.attach(upload.id, &attachment, None, now_ms).await.unwrap();
        index.finalize(upload.id, &attachment, &Durability::Durable, now_ms).await.unwrap().unwrap();
    }
    let name = RepositoryName { repository: "7".to_owned(), name: "acme/app".to_owned(), named_ms: 1 };
    index.name_repositories(&[name], 10).await.unwrap();
}

/// How the program is called: on the data, or over HTTP.
struct Caller {
    data: String,
    server: Option<(String, String)>,
}

impl Caller {
    fn command(&self) -> Command {
        let mut command = Command::new(LARDER);
        command.env_clear().env("LARDER_DATA", &self.data).env("SKIP_TOKEN_VALIDATION", "true");
        command.env("DISABLE_CLEANUP_JOBS", "true").env("DEFAULT_ACTIONS_RESULTS_URL", "none");
        if let Some((url, key)) = &self.server {
            command.env("LARDER_URL", url).env("LARDER_API_KEY", key);
            // What is not there cannot be read by mistake.
            command.env("LARDER_DATA", "/nowhere");
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, error) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{args:?}: {out}{error}");
        out
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(args)).unwrap()
    }

    /// Fails with this status, and says so.
    fn fails(&self, args: &[&str], status: i32, words: &str) {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
}

/// A running server, which is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(local: &Caller) -> (Server, String) {
    start_with(local, &[])
}

fn start_with(local: &Caller, environment: &[(&str, &Path)]) -> (Server, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = local
        .command()
        .args(["serve"])
        .env("LARDER_LISTEN", "127.0.0.1:0")
        .env("LARDER_MANAGEMENT_LISTEN", &free)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The greeting: it listens.
    assert!(lines.by_ref().take(50).any(|line| line.unwrap().contains("ACTIONS_RESULTS_URL")));
    (Server(child), format!("http://{free}"))
}

fn look(caller: &Caller) {
    let listed = caller.json(&["ls", "--json", "key,size_bytes", "-S", "size_in_bytes", "-O", "asc"]);
    let keys: Vec<&str> =
        listed.as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["mac\u{1b}os", "macos-1", "linux-2", "linux-1"]);
    assert_eq!(listed[0], json!({ "key": "mac\u{1b}os", "size_bytes": 5 }));
    let table = caller.text(&["ls", "-R", "acme/app", "-k", "LINUX", "-L", "1", "-S", "created_at"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(
        table.contains("linux-2") && table.contains("acme/app") && table.contains("2023-11-14T22:13:20Z"),
        "{table}"
    );
    assert!(!caller.text(&["ls", "-R", "8"]).contains('\u{1b}'));
    caller.fails(&["ls", "--json", "nothing"], 1, "no field is called nothing");
    caller.fails(&["ls", "-R", "no/such"], 1, "no repository of this name");
    let id = caller.json(&["ls", "-R", "7", "-k", "linux-1", "--json"])[0]["id"].to_string();
    let shown = caller.text(&["show", &id]);
    assert!(shown.contains("2.00 KiB") && shown.contains("run_id"), "{shown}");
    caller.fails(&["show", "12345"], 1, "not found");
    let stats = caller.text(&["stats"]);
    assert!(
        stats.contains("acme/app") && stats.contains("2163 B in all") | stats.contains("2.11 KiB in all"),
        "{stats}"
    );
    assert_eq!(caller.json(&["stats", "--by", "scope", "-R", "7", "--json"])["bytes"], 2148);
    assert!(caller.text(&["status"]).contains("database"));
    assert_eq!(caller.json(&["rm", "linux-1", "--dry-run", "--json"])["count"], 1);
    assert_eq!(caller.json(&["rm", "--all", "-R", "7", "--dry-run", "--json"])["count"], 2);
    assert_eq!(
        caller.json(&["rm", "--run", "77", "--dry-run", "--json"])["entries"].as_array().unwrap().len(),
        1
    );
    caller.fails(&["rm", "none"], 1, "no entry has this key");
    let told =
        caller.text(&["explain", "-R", "acme/app", "--ref", "refs/heads/main", "linux-none", "linux-none-"]);
    assert!(told.contains("miss: never-saved"), "{told}");
    let revoked = caller.text(&["revoke", "--run", "77", "--quarantine", "--dry-run"]);
    assert!(revoked.contains("would be put into quarantine"), "{revoked}");
    for wrong in [
        &["rm"][..],
        &["rm", "k", "--all"],
        &["stats", "--by", "scope"],
        &["ls", "-L", "0"],
        &["key", "new", "x"],
    ] {
        let status = caller.run(wrong).status;
        assert_eq!(status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_commands_tell_the_same_beside_a_server_and_over_http() {
    let data = TempDir::new().unwrap();
    let local = Caller { data: data.path().to_str().unwrap().to_owned(), server: None };
    // It makes the folders.
    let (_server, url) = start(&local);
    fill(data.path()).await;
    let made = local.json(&["key", "new", "--role", "admin", "--json", "me"]);
    let key = made["key"].as_str().unwrap().to_owned();
    local.fails(&["key", "new", "--role", "read", "me"], 1, "there is a key of this name");
    local.fails(&["sweep"], 1, "needs the running server");
    look(&local);
    let remote = |key: &str| Caller { data: String::new(), server: Some((url.clone(), key.to_owned())) };
    let admin = remote(&key);
    look(&admin);
    let reader = remote(admin.text(&["key", "new", "--role", "read", "reader"]).trim());
    assert!(reader.text(&["ls"]).contains("linux-1"));
    reader.fails(&["rm", "linux-1"], 1, "role `delete`");
    reader.fails(&["key", "ls"], 1, "role `admin`");
    remote("wrong").fails(&["ls"], 1, "a valid API key is needed");
    admin.fails(&["sweep"], 1, "sweeps are off");
    assert!(admin.text(&["key", "ls"]).contains("reader"));
    assert_eq!(admin.text(&["key", "revoke", "reader"]), "revoked\n");
    reader.fails(&["ls"], 1, "a valid API key is needed");
    assert_eq!(admin.text(&["rm", "linux-1"]), "1 entry (2.00 KiB) deleted\n");
    let id = local.json(&["ls", "-k", "linux-2", "--json", "id"])[0]["id"].to_string();
    assert_eq!(local.text(&["rm", &id]), "1 entry deleted\n");
    assert_eq!(admin.text(&["rm", "--run", "77"]), "1 entry deleted\n");
    assert_eq!(admin.json(&["ls", "--json", "key"]), json!([{ "key": "macos-1" }]));
}

#[test]
fn completions_and_the_version_need_no_server() {
    let none = Caller { data: "/nowhere".to_owned(), server: None };
    for shell in ["bash", "zsh", "fish"] {
        let script = none.text(&["completions", shell]);
        assert!(script.contains("completions"), "{shell}");
        // What the server starts is no command of an operator's.
        assert!(!script.contains("compile"), "{shell}");
    }
    assert!(!none.text(&["--help"]).contains("compile"));
    assert_eq!(none.json(&["version", "--json"])["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(none.text(&["version"]), format!("larder {}\n", env!("CARGO_PKG_VERSION")));
}

/// Before the first start.
#[test]
fn a_key_is_made_where_nothing_is_yet() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("new");
    let local = Caller { data: data.to_str().unwrap().to_owned(), server: None };
    local.fails(&["key", "ls"], 1, "opening what the server has");
    assert!(!data.exists(), "who only looks makes nothing");
    let key = local.text(&["key", "new", "--role", "admin", "me"]).trim().to_owned();
    assert!(local.text(&["key", "ls"]).contains("admin"));
    let (_server, url) = start(&local);
    let remote = Caller { data: String::new(), server: Some((url, key)) };
    assert_eq!(remote.json(&["ls", "--json"]), json!([]));
}

/// Two entries with the digest of their objects, in a folder that no server has.
async fn store(data: &Path) {
    let storage = FsStorage::open(data.join("storage"), Budget::new(1 << 20)).unwrap();
    let index = SqliteIndex::open(&data.join("larder.db"), KeyRule::AnyCase).unwrap();
    for key in ["good", "damaged"] {
        let [repository, scope, version] = ["7", "refs/heads/main", "v"].map(str::to_owned);
        let slot = Slot { repository, scope, version, key: key.to_owned() };
        let reserved = index.reserve(&slot, "owner", &Facts::default(), Trust::Full, 1, 0).await.unwrap();
        let Reservation::Reserved(upload) = reserved else { panic!("{reserved:?}") };
        let bytes = Bytes::from(key.repeat(1_000));
        let source = Source::new(Some(bytes.len() as u64), stream::iter([Ok(bytes)]).boxed());
        let stored = storage.put(&upload.name, source.recording_digest()).await.unwrap();
        let content = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        index.attach(upload.id, &content, stored.digest.as_ref(), 1).await.unwrap();
        index.finalize(upload.id, &content, &Durability::Durable, 1).await.unwrap().unwrap();
    }
}

/// Changes a bit of the object with this text.
fn damage(folder: &Path, text: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, text);
        } else if let Ok(mut bytes) = std::fs::read(&path)
            && bytes.starts_with(text.as_bytes())
        {
            bytes[2_000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_scrub_finds_what_is_damaged_beside_a_server_and_over_http() {
    let data = TempDir::new().unwrap();
    let local = Caller { data: data.path().to_str().unwrap().to_owned(), server: None };
    store(data.path()).await;
    assert_eq!(local.json(&["scrub", "--json"])["checked"], 2);
    damage(&data.path().join("storage/objects"), "damaged");
    local.fails(&["scrub"], 1, "objects are damaged, lost or cannot be read");
    let told = String::from_utf8(local.run(&["scrub"]).stdout).unwrap();
    assert!(
        told.contains("damaged") && told.contains("2 entries") && !told.contains("deleted  \n"),
        "{told}"
    );
    let id = local.json(&["ls", "-k", "damaged", "--json", "id"])[0]["id"].to_string();
    assert_eq!(local.json(&["scrub", "--after", &id, "--json"])["checked"], 0);
    // It would take an hour for the first entry: so it is killed in the middle, and has changed nothing.
    let mut slow = local.command().args(["scrub", "--repair", "--rate", "1"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    slow.kill().unwrap();
    assert_eq!(slow.wait().unwrap().code(), None, "it had not ended");
    let found: Value = serde_json::from_slice(&local.run(&["scrub", "--json"]).stdout).unwrap();
    assert_eq!((&found["bad"], &found["checked"]), (&json!(1), &json!(2)));
    let key = local.text(&["key", "new", "--role", "delete", "me"]).trim().to_owned();
    let reader = local.text(&["key", "new", "--role", "read", "reader"]).trim().to_owned();
    let (_server, url) = start(&local);
    let remote = |key: &str| Caller { data: String::new(), server: Some((url.clone(), key.to_owned())) };
    remote(&reader).fails(&["scrub"], 1, "role `delete`");
    let output = remote(&key).run(&["scrub", "--repair", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["bad"], &found["repaired"], &found["complete"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(found["bad_entries"][0]["problem"], "damaged");
    assert_eq!(remote(&key).json(&["scrub", "--repair", "--json"])["checked"], 1);
    assert_eq!(local.json(&["ls", "--json", "key"]), json!([{ "key": "good" }]));
    remote(&key).fails(&["scrub", "-R", "no/such"], 1, "no repository of this name");
}

#[test]
fn the_management_api_is_served_over_tls() {
    let (data, authority) = (TempDir::new().unwrap(), Authority::new());
    let pair = authority.issue("management", "localhost");
    let local = Caller { data: data.path().to_str().unwrap().to_owned(), server: None };
    let key = local.text(&["key", "new", "--role", "read", "me"]).trim().to_owned();
    let files = [
        ("LARDER_MANAGEMENT_TLS_CERTIFICATE", &*pair.certificate),
        ("LARDER_MANAGEMENT_TLS_KEY", &*pair.key),
    ];
    let (_server, url) = start_with(&local, &files);
    let secure = url.replace("http://", "https://");
    let ls = |url: &str, authority: &Path| {
        let caller = Caller { data: String::new(), server: Some((url.to_owned(), key.clone())) };
        caller.command().env("SSL_CERT_FILE", authority).args(["ls", "--json"]).output().unwrap()
    };
    let output = ls(&secure, &authority.certificate());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.trim_ascii(), b"[]");
    let other = Authority::new();
    for (url, authority) in [(&url, &authority), (&secure, &other)] {
        assert_eq!(ls(url, &authority.certificate()).status.code(), Some(1), "{url}");
    }
}
