//! A component in `rules.file` is compiled by a process of its own, also in a server that runs; and a process that
//! dies leaves the rules in force that were.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{env::current_exe, fs, path::Path, time::Duration};

use larder::{
    compiler::{CompilerProgram, Kind, run, set_program},
    versions::{Version, Versions},
};
use larder_tests::{Job, TestServer};
use tempfile::TempDir;

/// They do what they are told by the names of keys, and nothing else.
const RULES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile-rules.wasm"));
/// Enough for what is compiled here.
const MEMORY: u64 = 1 << 30;

/// Other rules that do the same.
fn variant(mark: u8) -> Vec<u8> {
    [RULES, &[0, 3, 1, b'x', mark]].concat()
}

/// A shell compiles that has the directory in `$dir` and the kind in `$2`.
fn shell(text: &str) {
    let text = format!("for dir; do :; done; {text}");
    let command = vec!["/bin/sh".into(), "-c".into(), text.into(), "sh".into()];
    set_program(Some(CompilerProgram { command, memory_bytes: MEMORY, deadline: Duration::from_secs(300) }));
}

/// This program compiles, by one of the two below. What it was asked for is noted.
fn compiles() {
    let program = current_exe().unwrap();
    shell(&format!(
        "echo \"$2\" >> \"${{dir%/*}}/asked\"; mkdir -p \"$dir\"; cd \"$dir\"; exec '{}' --ignored --exact \"of_$2\"",
        program.display()
    ));
}

fn compile(kind: Kind) {
    assert_eq!(run(kind, MEMORY, Path::new(".")), 0);
}

#[test]
#[ignore = "what a process does that compiles"]
fn of_policy() {
    compile(Kind::Policy);
}

#[test]
#[ignore = "what a process does that compiles"]
fn of_rules() {
    compile(Kind::Rules);
}

/// The digest by which a version is known.
fn digest(content: &[u8]) -> String {
    Version::of(content, "rules.wasm").digest
}

fn in_force(server: &TestServer) -> String {
    server.rules().rules().unwrap().digest().to_owned()
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..600 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within a minute");
}

#[tokio::test]
async fn a_component_as_the_rules_file_is_compiled_elsewhere_and_a_process_that_dies_changes_nothing() {
    let data = TempDir::new().unwrap();
    let (file, asked) = (data.path().join("rules.wasm"), data.path().join("asked"));
    let asked = || fs::read_to_string(&asked).unwrap_or_default();
    let replace = |content: &[u8]| {
        let draft = file.with_extension("draft");
        fs::write(&draft, content).unwrap();
        fs::rename(draft, &file).unwrap();
    };
    replace(RULES);
    compiles();
    let server = TestServer::start_on(data, &[("LARDER_RULES", file.to_str().unwrap())]).await;
    assert_eq!(asked().matches("rules\n").count(), 1, "{}", asked());
    assert_eq!(in_force(&server), digest(RULES));

    shell("echo died >> \"${dir%/*}/asked\"; kill -9 $$");
    replace(&variant(1));
    server.larder().reload();
    until(|| asked().ends_with("died\n")).await;
    assert_eq!(in_force(&server), digest(RULES));
    Job::new(&server).save("a", b"bytes").await;

    compiles();
    replace(&variant(2));
    server.larder().reload();
    until(|| in_force(&server) == digest(&variant(2))).await;
    assert_eq!(asked().matches("rules\n").count(), 2, "{}", asked());
    Job::new(&server).save("b", b"bytes").await;
    // What did not compile never was in force.
    let history = Versions::of_rules(server.data.path()).history();
    let known: Vec<_> = history.into_iter().map(|known| known.version.digest).collect();
    assert_eq!(known, [digest(&variant(2)), digest(RULES)]);
}
