//! What must stay true of the source: who may name whom, and how large a file may be.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// The crates of the host. Which of them may use which is in their `Cargo.toml`; here is what that
/// does not say.
const CRATES: [&str; 9] = [
    "common/src",
    "index/src",
    "management/src",
    "metrics/src",
    "otlp/src",
    "rules/src",
    "src",
    "storage/src",
    "tls/src",
];

/// A library or module, and the folders below `host/` in which it may be named.
const MAY_NAME: [(&str, &[&str]); 20] = [
    ("axum::", &["management/src", "metrics/src", "src/management"]),
    ("utoipa", &["management/src"]),
    ("wasmtime", &["rules/src", "src/engine", "src/interfaces"]),
    ("wasmparser", &["src/inspect.rs"]),
    ("rusqlite", &["index/src/sqlite"]),
    ("refinery", &["index/src/sqlite"]),
    ("sqlx", &["index/src/sql"]),
    ("aws_sdk_", &["storage/src/bucket/s3"]),
    ("aws_config", &["storage/src/bucket/s3"]),
    ("aws_smithy_", &["storage/src/bucket/s3"]),
    ("google_cloud_", &["storage/src/bucket/gcs"]),
    ("gcloud_storage", &["storage/src/bucket/gcs"]),
    ("object_store", &["storage/src/bucket/azblob"]),
    ("reqwest", &["storage/src/bucket/gcs", "storage/src/bucket/azblob", "storage/src/bucket/http.rs"]),
    ("jsonwebtoken", &["src/auth"]),
    ("tokio_rustls", &["tls/src"]),
    ("simple_asn1", &["tls/src"]),
    ("prometheus_client", &["metrics/src"]),
    ("opentelemetry", &["otlp/src"]),
    ("std::env::", &["src/config"]),
];

/// A room of the host (a folder or file under `host/src/`), and rooms that it must not name: those
/// above it, and those that it is to know nothing of.
const MUST_NOT_NAME: [(&str, &[&str]); 5] = [
    ("management", &["interfaces"]),
    (
        "config",
        &["auth", "engine", "index", "interfaces", "net", "server", "setup", "storage", "sweep", "tenant"],
    ),
    ("interfaces", &["engine", "server", "setup", "sweep"]),
    ("retention", &["engine", "interfaces", "server", "setup", "sweep"]),
    ("sweep", &["interfaces", "server", "setup"]),
];

/// Most lines of a source file.
const MAX_LINES: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    let is_of_tests = |name: &OsStr| {
        ["tests", "tests.rs", "conformance", "conformance.rs"].iter().any(|part| name == *part)
    };
    path.components().any(|part| is_of_tests(part.as_os_str())) || path.ends_with("testing.rs")
}

/// The lines of code: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn each_library_is_named_only_in_its_own_layer() {
    let host = root().join("host");
    for (path, text) in CRATES.iter().flat_map(|folder| sources(&host.join(folder))) {
        let place = path.strip_prefix(&host).unwrap();
        for (name, folders) in MAY_NAME {
            let allowed = folders.iter().any(|folder| place.starts_with(folder));
            let named = code(&text).find(|(_, line)| line.contains(name));
            assert!(
                allowed || is_test(place) || named.is_none(),
                "{} line {}: `{name}` belongs to {folders:?}",
                path.display(),
                named.map_or(0, |(number, _)| number + 1)
            );
        }
    }
}

/// The rooms that a text names: `crate::room`, each first name in `crate::{…}`, and the crates beside
/// it, `larder_room`.
fn named_rooms(text: &str) -> Vec<String> {
    let code: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let code = code.join("\n");
    let paths = code.split("crate::").skip(1);
    let own =
        paths.flat_map(|path| if path.starts_with('{') { first_names(path) } else { vec![first_word(path)] });
    own.chain(code.split("larder_").skip(1).map(first_word)).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The names that stand first in the parts of a group in braces: `a` and `b` of `{a::{c, d}, b}`.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, false);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if begins && (c.is_alphabetic() || c == '_') {
            names.push(first_word(&group[at..]));
        }
        begins = depth == 1 && (matches!(c, '{' | ',') || begins && c.is_whitespace());
    }
    names
}

#[test]
fn rooms_are_found_in_all_forms_of_paths() {
    let text = "use crate::one;\n// crate::no\nuse crate::{\n    two::{Two, no},\n    three,\n};\nuse crate::{four};\nlet x = crate::five::x(&crate::six::Y);\nuse larder_seven::Seven;";
    assert_eq!(named_rooms(text), ["one", "two", "three", "four", "five", "six", "seven"]);
}

#[test]
fn no_room_names_one_above_it() {
    let host = root().join("host/src");
    for (path, text) in sources(&host) {
        let place = path.strip_prefix(&host).unwrap().with_extension("");
        let rules = MUST_NOT_NAME.iter().filter(|(room, _)| place.starts_with(room));
        for (room, others) in rules {
            for named in named_rooms(&text) {
                assert!(
                    !others.contains(&named.as_str()),
                    "{}: `{room}` must not name `{named}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn each_rule_is_of_a_room_that_exists() {
    let host = root().join("host/src");
    let exists = |room: &&str| host.join(room).is_dir() || host.join(room).with_extension("rs").is_file();
    for (room, others) in MUST_NOT_NAME {
        // The crates beside it are named like its rooms.
        let crates = ["index", "storage"];
        let missing: Vec<_> =
            others.iter().chain([&room]).filter(|room| !exists(room) && !crates.contains(room)).collect();
        assert!(missing.is_empty(), "no such rooms: {missing:?}");
    }
}

#[test]
fn files_stay_small_and_keep_their_tests_beside_them() {
    for folder in CRATES.map(|folder| format!("host/{folder}")).into_iter().chain(["guest/src".to_owned()]) {
        for (path, text) in sources(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(is_test(&path) || lines <= MAX_LINES, "{} has {lines} lines", path.display());
            assert!(
                !text.contains("mod tests {"),
                "{}: unit tests belong into {{file}}/tests.rs",
                path.display()
            );
        }
    }
}
