//! `larder policy`, by the program itself.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use larder::BUILT_IN_POLICY;
use serde_json::Value;
use tempfile::TempDir;

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear().env("HOME", dir).current_dir(dir);
    if dir.join("larder.toml").exists() {
        command.env("LARDER_CONFIG", "larder.toml");
    }
    command
}

fn larder(dir: &Path, args: &[&str]) -> Output {
    program(dir).args(args).output().unwrap()
}

/// Runs it, and returns what it printed.
fn good(dir: &Path, args: &[&str]) -> String {
    let output = larder(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it, and returns why it failed.
fn bad(dir: &Path, args: &[&str]) -> String {
    let output = larder(dir, args);
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// The built-in policy as another component.
fn variant(mark: u8) -> Vec<u8> {
    [BUILT_IN_POLICY, &[0, 3, 1, b'x', mark]].concat()
}

/// A server in the directory's `data`.
struct Server(Child);

impl Server {
    fn start(dir: &Path) -> Self {
        let variables = [
            ("LARDER_LISTEN", "127.0.0.1:0"),
            ("LARDER_THREADS", "1"),
            ("LARDER_HS256_SECRET", "a secret of more than thirty-two bytes"),
        ];
        let mut child = program(dir)
            .envs(variables)
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where it listens.
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the server does not start");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_component_is_inspected_and_checked() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("policy.wasm"), BUILT_IN_POLICY).unwrap();
    let shown = good(dir, &["policy", "inspect", "policy.wasm"]);
    assert!(shown.starts_with("world    larder:cache@0."), "{shown}");
    assert!(shown.contains("\nexports  larder:cache/") && shown.contains("digest   sha256:"), "{shown}");
    let checked = good(dir, &["policy", "check", "policy.wasm"]);
    assert!(
        checked.contains("ok    a restore key finds it (") && checked.ends_with(" good, 0 failed\n"),
        "{checked}"
    );
    fs::write(dir.join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    assert!(bad(dir, &["policy", "check", "module.wasm"]).contains("a core module without a world"));
    // Nothing of a server is left behind.
    assert!(!dir.join("data").exists());
}

#[test]
fn a_running_server_takes_what_is_used_and_goes_back() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("mine.wasm"), variant(1)).unwrap();
    fs::write(dir.join("half.wasm"), &BUILT_IN_POLICY[..1000]).unwrap();
    let server = Server::start(dir);
    assert!(bad(dir, &["policy", "rollback"]).contains("nothing was in force before"));
    let used = good(dir, &["policy", "use", "mine.wasm"]);
    assert!(used.starts_with("in force: ") && used.ends_with(" mine.wasm\n"), "{used}");
    assert!(bad(dir, &["policy", "use", "half.wasm"]).contains("not a WebAssembly component"));
    let status: Value = serde_json::from_str(&good(dir, &["policy", "status", "--json"])).unwrap();
    assert_eq!((&status["running"], &status["in_force"][0]["name"]), (&true.into(), &"mine.wasm".into()));
    assert_eq!(status["in_force"][1]["source"], "built in");
    let back = good(dir, &["policy", "rollback"]);
    assert!(back.starts_with("in force: ") && back.ends_with(" larder.wasm\n"), "{back}");
    let again = good(dir, &["policy", "rollback"]);
    assert!(again.ends_with(" mine.wasm\n"), "{again}");
    drop(server);
    let status = good(dir, &["policy", "status"]);
    assert!(status.contains("mine.wasm") && status.ends_with("the server is not running\n"), "{status}");
    // It is what the next server starts with.
    let server = Server::start(dir);
    assert!(good(dir, &["policy", "status"]).contains("in force"));
    drop(server);
}

#[test]
fn a_configured_file_that_is_not_in_force_is_said() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("mine.wasm"), variant(1)).unwrap();
    fs::write(dir.join("larder.toml"), "[policy]\ncomponent = \"mine.wasm\"\n").unwrap();
    let server = Server::start(dir);
    assert!(!good(dir, &["policy", "status"]).contains("configured  "));
    fs::write(dir.join("mine.wasm"), &BUILT_IN_POLICY[..1000]).unwrap();
    let status = good(dir, &["policy", "status"]);
    assert!(status.contains("\nconfigured  ") && status.contains("mine.wasm  is not in force: "), "{status}");
    let status: Value = serde_json::from_str(&good(dir, &["policy", "status", "--json"])).unwrap();
    assert!(status["not_in_force"].as_str().unwrap().contains("mine.wasm"), "{status}");
    fs::remove_file(dir.join("mine.wasm")).unwrap();
    assert!(good(dir, &["policy", "status"]).contains("\nconfigured  mine.wasm: cannot be read"));
    drop(server);
}

/// The bytes with each such part replaced by another of the same length.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..=out.len() - from.len() {
        if out[at..].starts_with(from) {
            out[at..at + to.len()].copy_from_slice(to);
        }
    }
    out
}

#[test]
fn a_component_of_another_world_is_refused_with_its_version() {
    let dir = TempDir::new().unwrap();
    let older = replace(BUILT_IN_POLICY, b"@0.6.0", b"@0.4.0");
    assert_ne!(older, BUILT_IN_POLICY);
    fs::write(dir.path().join("older.wasm"), older).unwrap();
    for command in ["check", "use"] {
        let refused = bad(dir.path(), &["policy", command, "older.wasm"]);
        assert!(
            refused.contains("older.wasm: ")
                && refused.contains("made for larder:cache@0.4.0; this server takes 0.5.0 to 0.6.0"),
            "{refused}"
        );
    }
    // A world of somebody else's has no version of this one.
    fs::write(dir.path().join("empty.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let refused = bad(dir.path(), &["policy", "check", "empty.wasm"]);
    assert!(refused.contains("does not fit the world larder:cache/cache@0.6.0"), "{refused}");
}

#[test]
fn cases_are_sent_in_order_and_what_is_wrong_is_said() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("policy.wasm"), BUILT_IN_POLICY).unwrap();
    fs::write(dir.join("text.wasm"), "text").unwrap();
    let test = |cases: &str| {
        fs::write(dir.join("cases.toml"), cases).unwrap();
        let output = larder(dir, &["policy", "test", "policy.wasm", "cases.toml"]);
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), text)
    };
    let path = "path = \"/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry\"";
    let create = format!(
        "[[request]]\nname = \"reserve\"\nmethod = \"POST\"\n{path}\n\
        headers = {{ content-type = \"application/json\" }}\nbody = '{{\"key\": \"k\", \"version\": \"v\"}}'\n"
    );
    let kept = "status = 200\nkeep = { url = \"signed_upload_url\" }\n";
    let upload = "[[request]]\nname = \"upload\"\nmethod = \"PUT\"\npath = \"${url}\"\n\
        headers = { x-ms-blob-type = \"BlockBlob\" }\nbody = \"x\"\nstatus = 201\n";
    let (status, text) = test(&format!("{create}{kept}{upload}"));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("ok    reserve (") && text.ends_with("2 good, 0 failed\n"), "{text}");
    // Another job may not do so: which case, what was expected, and what came.
    let reader = format!("{create}scopes = [\"refs/heads/main=r\"]\nstatus = 200\ncontains = \"signed\"\n");
    let (status, text) = test(&reader);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.starts_with("FAIL  reserve: expected 200 with `signed`, got 403 {\""), "{text}");
    assert!(text.ends_with("larder: policy.wasm: not as cases.toml says\n"), "{text}");
    for (cases, why) in [
        (upload.to_owned(), "the request `upload`: `${url}`: no request before it"),
        (format!("{create}state = 200\n"), "unknown field `state`"),
        (create.clone(), "missing field `status`"),
        (format!("{create}status = 99\n"), "the request `reserve`: status 99"),
        (format!("{create}scopes = [\"a=x\"]\nstatus = 200\n"), "scope `a=x`"),
        (String::new(), "cases.toml: has no [[request]]"),
    ] {
        let (status, text) = test(&cases);
        assert!(status == Some(1) && text.contains(why), "{why}: {status:?} {text}");
    }
    // What a policy or a file says does not steer the terminal.
    let (_, text) = test("[[request]]\nname = \"a\\u001b[2J\"\npath = \"/x\"\nstatus = 200\n");
    assert!(text.starts_with("FAIL  a\\u001b[2J: expected 200") && !text.contains('\u{1b}'), "{text}");
    let test = |file: &str, cases: &str| bad(dir, &["policy", "test", file, cases]);
    assert!(test("policy.wasm", "none.toml").contains("none.toml: cannot be read"));
    fs::write(dir.join("cases.toml"), upload.replace("${url}", "/")).unwrap();
    assert!(test("none.wasm", "cases.toml").contains("none.wasm: cannot be read"));
    let text = test("text.wasm", "cases.toml");
    assert!(text.ends_with(": not a WebAssembly component: it does not begin with `\\0asm`\n"), "{text}");
    assert_eq!(larder(dir, &["policy", "test", "policy.wasm"]).status.code(), Some(2));
}

/// Builds the crate in `dir` with the toolchain, the versions, the profile and the products of the build of the
/// built-in policy, so that little is left to build. Returns the core module.
fn built(dir: &Path) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let profile = workspace.split_once("\n[profile.guest]\n").unwrap().1;
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let manifest = format!("{manifest}\n[profile.guest]\noverflow-checks = true\n{profile}");
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_larder")).parent().unwrap().join("guest-target");
    let mut build = Command::new(root.join("tests/scripts/cargo-wasm.sh"));
    build.current_dir(dir).env("WASM_TARGET_DIR", &target).env("WASM_PROFILE", "guest");
    let output = build.env("CARGO_NET_OFFLINE", "true").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(target.join("wasm32-unknown-unknown/guest/policy.wasm")).unwrap()
}

#[test]
fn a_new_policy_builds_and_passes_its_cases() {
    // Always the same folder: so what was built for it is built once.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-policy");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let dir = dir.as_path();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest").canonicalize().unwrap();
    let library = library.to_str().unwrap();
    let told = good(dir, &["policy", "new", "mine", "--library", library]);
    assert!(told.contains("cargo build --release --target wasm32-unknown-unknown\n"), "{told}");
    let again = bad(dir, &["policy", "new", "mine", "--library", "https://x.invalid/l"]);
    assert!(again.contains("mine/Cargo.toml: is there already"), "{again}");
    let other = bad(dir, &["policy", "new", "other", "--library", "."]);
    assert!(other.contains("is not the crate larder-policy") && !dir.join("other").exists(), "{other}");
    fs::write(dir.join("policy.wasm"), built(&dir.join("mine"))).unwrap();
    assert!(good(dir, &["policy", "inspect", "policy.wasm"]).starts_with("world    larder:cache@0.6.0\n"));
    let tested = good(dir, &["policy", "test", "policy.wasm", "mine/cases.toml"]);
    assert!(tested.ends_with("4 good, 0 failed\n"), "{tested}");
    // Without it the server's own policy answers, which knows none of this.
    fs::write(dir.join("larder.wasm"), BUILT_IN_POLICY).unwrap();
    let output = larder(dir, &["policy", "test", "larder.wasm", "mine/cases.toml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("FAIL  a route of its own: expected 200 with `hello`, got 404 "), "{text}");
    assert!(
        text.contains("FAIL  a key that is not saved: expected 403 with `are not saved`, got 200 "),
        "{text}"
    );
    // A server takes the core module as it is.
    let server = Server::start(dir);
    let refused = bad(dir, &["policy", "use", "larder.wasm", "--cases", "mine/cases.toml"]);
    assert!(refused.contains("larder.wasm: failed its cases, and is not used"), "{refused}");
    let used = good(dir, &["policy", "use", "policy.wasm", "--cases", "mine/cases.toml"]);
    assert!(used.starts_with("in force: ") && used.ends_with(" policy.wasm\n"), "{used}");
    drop(server);
}
