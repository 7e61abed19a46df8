//! `larder rules new`: files to begin with.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};

use crate::cli::Language;

/// The world of all rules, and of it what these decide: all that a toolchain needs.
const INTERFACES: Template = ("wit/deps/larder-rules.wit", include_str!("../../../wit/rules/rules.wit"));
const WORLD: Template = ("wit/world.wit", include_str!("templates/world.wit"));
const CASES: Template = ("cases.toml", include_str!("templates/cases.toml"));
const SCRIPT: Template = ("rules.js", include_str!("templates/rules.js"));

/// A file to begin with: its path and its text.
type Template = (&'static str, &'static str);

const JS: &[Template] = &[SCRIPT, CASES];
const NPM: &[Template] =
    &[("package.json", include_str!("templates/package.json")), SCRIPT, WORLD, INTERFACES, CASES];
const RUST: &[Template] = &[
    ("Cargo.toml", include_str!("templates/rust.Cargo.toml")),
    ("src/lib.rs", include_str!("templates/rust.rs")),
    WORLD,
    INTERFACES,
    CASES,
];
const PYTHON: &[Template] = &[("app.py", include_str!("templates/app.py")), WORLD, INTERFACES, CASES];

/// Writes the files of a language into a directory. Refuses if one of them is there.
///
/// # Errors
/// When a file is there, or cannot be written.
pub(super) fn write(dir: &Path, language: Language) -> anyhow::Result<String> {
    let (files, next) = match language {
        Language::Js => (JS, NEXT_JS),
        Language::Npm => (NPM, NEXT_NPM),
        Language::Rust => (RUST, NEXT_RUST),
        Language::Py => (PYTHON, NEXT_PYTHON),
    };
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).exists()) {
        bail!("{}: is there already, and nothing was written", dir.join(name).display());
    }
    let mut text = String::new();
    for (name, content) in files {
        let path = dir.join(name);
        create(&path, content).with_context(|| format!("{}: cannot be written", path.display()))?;
        let _ = writeln!(text, "{}", path.display());
    }
    if dir != Path::new(".") {
        let _ = write!(text, "\ncd {}", dir.display());
    }
    Ok(text + next)
}

fn create(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}

const NEXT_JS: &str = "\nlarder rules check rules.js
larder rules test rules.js cases.toml
larder rules use rules.js
";
const NEXT_NPM: &str = "\nnpm install
npm run build
larder rules check rules.wasm
larder rules test rules.wasm cases.toml
";
const NEXT_RUST: &str = "\nrustup target add wasm32-unknown-unknown
cargo build --release --target wasm32-unknown-unknown
larder rules check target/wasm32-unknown-unknown/release/rules.wasm
larder rules test target/wasm32-unknown-unknown/release/rules.wasm cases.toml
";
const NEXT_PYTHON: &str = "\npip install componentize-py==0.25.1
componentize-py -d wit -w rules componentize --stub-wasi app -o rules.wasm
larder rules check rules.wasm
larder rules test rules.wasm cases.toml
";
