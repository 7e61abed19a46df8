//! `larder tenant`: the files of tenants, by the program itself.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const ISSUER: &str = "https://issuer.test";

fn larder(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear().env("LARDER_TENANTS_DIR", dir).args(args).output().unwrap()
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

#[test]
fn a_tenant_is_added_listed_and_removed() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("tenants.d");
    let added =
        good(&dir, &["tenant", "add", "acme", "--host", "Acme.test", "--issuer", ISSUER, "--owner", "9919"]);
    let file = dir.join("acme.toml");
    assert_eq!(added.trim(), file.to_str().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(good(&dir, &["tenant", "ls"]), "acme\tacme.test\n");
    assert!(good(&dir, &["config", "check"]).contains("# tenant acme: good"));
    let other = ["--by-issuer", "--issuer", "https://other.test", "--listen", "4001"];
    good(&dir, &[&["tenant", "add", "other"][..], &other].concat());
    let line = "other\t\tlistens on 127.0.0.1:4001\tby issuer\n";
    assert_eq!(good(&dir, &["tenant", "ls"]), format!("acme\tacme.test\n{line}"));
    good(&dir, &["tenant", "rm", "acme"]);
    assert_eq!(good(&dir, &["tenant", "ls"]), format!("acme\tbeing removed\n{line}"));
    assert!(
        bad(&dir, &["tenant", "add", "acme", "--host", "a.test", "--issuer", ISSUER])
            .contains("being removed")
    );
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    good(dir, &["tenant", "add", "acme", "--host", "acme.test", "--issuer", ISSUER]);
    let before = fs::read(dir.join("acme.toml")).unwrap();
    for (args, why) in [
        (
            &["tenant", "add", "acme", "--host", "b.test", "--issuer", ISSUER][..],
            "there is a tenant acme already",
        ),
        (
            &["tenant", "add", "b", "--host", "acme.test", "--issuer", ISSUER],
            "claimed by the tenants acme and b",
        ),
        (&["tenant", "add", "B", "--host", "b.test", "--issuer", ISSUER], "not the name of a tenant"),
        (&["tenant", "add", "../b", "--host", "b.test", "--issuer", ISSUER], "not the name of a tenant"),
        (
            &["tenant", "add", "default", "--host", "b.test", "--issuer", ISSUER],
            "configuration of the server",
        ),
        (&["tenant", "add", "b", "--issuer", ISSUER], "no request can reach this tenant"),
        (&["tenant", "add", "b", "--listen", ":3000", "--issuer", ISSUER], "the server itself listens on"),
        (&["tenant", "add", "b", "--listen", "nowhere", "--issuer", ISSUER], "is `nowhere`; it must be like"),
        (&["tenant", "add", "b", "--host", "b.test"], "--issuer"),
        (&["tenant", "rm", "b"], "there is no tenant b"),
        (&["tenant", "rm", "../acme"], "not the name of a tenant"),
    ] {
        let error = bad(dir, args);
        assert!(error.contains(why), "{args:?}: {error}");
    }
    assert_eq!(fs::read(dir.join("acme.toml")).unwrap(), before);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "something was left behind");
    fs::write(dir.join("broken.toml"), "nonsense").unwrap();
    assert!(bad(dir, &["config", "check"]).contains("the tenant broken has a fault"));
}

#[test]
fn without_a_directory_there_are_no_tenants_to_add() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    let output = command.env_clear().args(["tenant", "ls"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("tenants.dir (LARDER_TENANTS_DIR)"));
}
