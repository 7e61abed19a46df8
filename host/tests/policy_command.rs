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
    assert!(bad(dir, &["policy", "check", "module.wasm"]).contains("a core module, not a component"));
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
