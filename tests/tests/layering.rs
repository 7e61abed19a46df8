//! What must stay true of the source: who may name whom, and how large a file may be.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A crate or module, and the folders of the host in which it may be named.
const MAY_NAME: [(&str, &[&str]); 13] = [
    ("wasmtime", &["engine", "interfaces"]),
    ("rusqlite", &["index/sqlite"]),
    ("refinery", &["index/sqlite"]),
    ("sqlx", &["index/sql"]),
    ("aws_sdk_", &["storage/s3"]),
    ("aws_config", &["storage/s3"]),
    ("aws_smithy_", &["storage/s3"]),
    ("google_cloud_", &["storage/gcs"]),
    ("gcloud_storage", &["storage/gcs"]),
    ("object_store", &["storage/azblob"]),
    ("reqwest", &["storage/gcs", "storage/azblob", "storage/outgoing.rs"]),
    ("jsonwebtoken", &["auth"]),
    ("std::env::", &["config"]),
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
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
        || path.ends_with("conformance.rs")
        || path.ends_with("testing.rs")
}

/// The lines of code: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn each_library_is_named_only_in_its_own_layer() {
    let host = root().join("host/src");
    for (path, text) in sources(&host) {
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

#[test]
fn files_stay_small_and_keep_their_tests_beside_them() {
    for folder in ["host/src", "guest/src"] {
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
