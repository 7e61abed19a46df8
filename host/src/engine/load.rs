//! From the bytes of a component to machine code. Compiling takes a second or so; its result is kept in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::{Engine, component::Component};

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine does not start.
    #[error("the wasm engine does not start")]
    Engine(#[source] wasmtime::Error),
    /// The thread that measures run time does not start.
    #[error("the wasm engine's clock does not start")]
    Ticker(#[source] io::Error),
    /// The bytes are no component.
    #[error("not a WebAssembly component")]
    Component(#[source] wasmtime::Error),
    /// It is a component, but not of the cache world that this server offers.
    #[error("the component does not fit the world larder:cache/cache@0.1.0")]
    World(#[source] wasmtime::Error),
}

/// Returns the compiled component. `cache` is trusted: whoever writes there runs code in this process.
pub(super) fn compile_or_reuse(
    engine: &Engine,
    bytes: &[u8],
    cache: Option<&Path>,
) -> Result<Component, LoadError> {
    let Some(file) = cache.map(|dir| dir.join(cache_name(engine, bytes))) else {
        return Component::from_binary(engine, bytes).map_err(LoadError::Component);
    };
    if let Some(component) = reuse(engine, &file) {
        return Ok(component);
    }
    let component = Component::from_binary(engine, bytes).map_err(LoadError::Component)?;
    if let Err(error) = keep(&component, &file) {
        tracing::warn!(error = %error, file = %file.display(), "the compiled policy cannot be kept; the next start compiles again");
        return Ok(component);
    }
    // Of the file only what runs is in memory.
    Ok(reuse(engine, &file).unwrap_or(component))
}

/// Names a compiled component by what it was made from and by what made it.
fn cache_name(engine: &Engine, bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut compiler = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compiler);
    let source = digest(&SHA256, bytes);
    format!("{}-{:016x}.cwasm", hex::encode(&source.as_ref()[..16]), compiler.finish())
}

fn reuse(engine: &Engine, file: &Path) -> Option<Component> {
    if !file.exists() {
        return None;
    }
    // SAFETY: the file was written by `keep` of a process like this one, into a directory that is ours alone (mode 0700),
    // and wasmtime checks version and settings of what it finds. A torn file cannot be there: it is renamed into place.
    let loaded = unsafe { Component::deserialize_file(engine, file) };
    loaded
        .map_err(|error| tracing::warn!(error = %error, "the kept policy is not usable; compiling again"))
        .ok()
}

fn keep(component: &Component, file: &Path) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    make_private_dir(dir)?;
    let code = component.serialize().map_err(io::Error::other)?;
    let temporary = PathBuf::from(format!("{}.{}.tmp", file.display(), std::process::id()));
    fs::write(&temporary, code)?;
    fs::rename(&temporary, file)?;
    forget_others(dir, file);
    Ok(())
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

/// Removes what earlier versions left, so that the directory does not grow with every upgrade.
fn forget_others(dir: &Path, keep: &Path) {
    const KEPT: usize = 8;
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut others: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.path() != keep)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    others.sort();
    others.reverse();
    for (_, path) in others.into_iter().skip(KEPT) {
        let _ = fs::remove_file(path);
    }
}
