//! `larder policy new`: a crate to begin with.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail, ensure};

const MANIFEST: &str = include_str!("templates/Cargo.toml.txt");
const SOURCE: &str = include_str!("templates/lib.rs.txt");
const CASES: &str = include_str!("templates/cases.toml");
const README: &str = include_str!("templates/README.md");
/// The place in the manifest of where the library comes from.
const PLACE: &str = "LIBRARY";

const NEXT: &str = "\nrustup target add wasm32-unknown-unknown
cargo build --release --target wasm32-unknown-unknown
larder policy check target/wasm32-unknown-unknown/release/policy.wasm
larder policy test target/wasm32-unknown-unknown/release/policy.wasm cases.toml
larder policy use target/wasm32-unknown-unknown/release/policy.wasm
";

/// Writes the files into a directory. `library` is the folder `guest` of Larder's sources, or the URL of
/// their repository. Refuses if one of the files is there.
///
/// # Errors
/// When a file is there, or cannot be written; when the library is not at `library`.
pub(super) fn write(dir: &Path, library: &str) -> anyhow::Result<String> {
    let files = [
        ("Cargo.toml", MANIFEST.replace(PLACE, &dependency(library)?)),
        ("src/lib.rs", SOURCE.to_owned()),
        ("cases.toml", CASES.to_owned()),
        ("README.md", README.to_owned()),
    ];
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).exists()) {
        bail!("{}: is there already, and nothing was written", dir.join(name).display());
    }
    let mut text = String::new();
    for (name, content) in &files {
        let path = dir.join(name);
        create(&path, content).with_context(|| format!("{}: cannot be written", path.display()))?;
        let _ = writeln!(text, "{}", path.display());
    }
    Ok(text + NEXT)
}

/// The library is not in a registry: so it is taken from a folder or a repository.
fn dependency(library: &str) -> anyhow::Result<String> {
    ensure!(!library.contains(['"', '\\', '\n']), "{library}: no quotes, backslashes or line ends");
    if library.contains("://") || library.starts_with("git@") {
        return Ok(format!("git = \"{library}\""));
    }
    let folder = fs::canonicalize(library).with_context(|| format!("{library}: not a folder"))?;
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let is_it = manifest.contains("name = \"larder-policy\"");
    ensure!(is_it, "{library}: is not the crate larder-policy, the folder `guest` of Larder's sources");
    Ok(format!("path = \"{}\"", folder.display()))
}

fn create(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}
