//! Makes the template of scripts: QuickJS with the bindings of the rules' world, and without a script.
//!
//! QuickJS comes compiled, in the sources of the crate `componentize-qjs`, which `Cargo.lock` pins by
//! version and digest. `cargo fetch` fetches it like any other; the crate itself is not compiled, because
//! it needs a wasmtime of its own.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The crate, and where it has the runtime: without fibers, optimised for speed.
const CRATE: &str = "componentize-qjs";
const RUNTIME: &str = "prebuilt/runtime-sync.wasm";
/// The platform whose dependency it is.
const PLATFORM: &str = "wasm32-wasip2";

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let world = here.join("../../wit/rules");
    let script = here.join("wit/script.wit");
    let lock = here.join("../../Cargo.lock");
    for watched in [&world, &script, &lock, &here.join("build.rs")] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let runtime = crate_folder(&here)?.join(RUNTIME);
    let runtime = fs::read(&runtime).with_context(|| format!("reading {}", runtime.display()))?;
    let template = template(&runtime, &world, &script)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("quickjs.wasm"), template)?;
    Ok(())
}

/// Where cargo has the sources of the crate.
fn crate_folder(here: &Path) -> Result<PathBuf> {
    let mut command = Command::new(env::var("CARGO")?);
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM]);
    let output = command.current_dir(here).output().context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == CRATE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.with_context(|| format!("{CRATE} is not in Cargo.lock"))?);
    Ok(manifest.parent().context("a manifest without a folder")?.to_owned())
}

/// Links QuickJS with the bindings of the world in `script`, which includes the one in `world`.
fn template(runtime: &[u8], world: &Path, script: &Path) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_path(world)?;
    let package = resolve.push_file(script)?;
    let world = resolve.select_world(&[package], Some("template"))?;
    let (mut bindings, _) = wit_dylib::create_with_metadata(&resolve, world, None);
    wit_component::embed_component_metadata(&mut bindings, &resolve, world, StringEncoding::UTF8)?;
    let mut linker = wit_component::Linker::default();
    linker.encoder().validate(true);
    linker.library("componentize_qjs_runtime.wasm", runtime, false)?;
    linker.library("wit-dylib.wasm", &bindings, false)?;
    linker.encoder().adapter("wasi_snapshot_preview1", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    linker.encode()
}
