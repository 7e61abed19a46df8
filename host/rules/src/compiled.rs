//! From the bytes of a component to machine code, of rules and of policies. Compilation takes about a
//! second (seconds in a program that is not optimised), so its result is kept in a file.
//!
//! Loading a damaged file would run damaged machine code. So each file is named by the digest of its
//! content, and is loaded only if the two match.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use wasmtime::{Engine, component::Component};

use larder_common::causes::chain;

/// Compiled components of other sources or versions that are kept.
const MAX_OTHERS: usize = 64;
/// Bytes of each digest in a file's name.
const DIGEST_BYTES: usize = 16;
/// Bytes read at once to compute a digest.
const CHUNK_BYTES: usize = 64 * 1024;
const EXTENSION: &str = ".cwasm";

/// Returns the compiled component, from a file in `dir` where there is one. `what` is what the log calls
/// it.
///
/// # Errors
/// When it is not a component. A directory that cannot be written to is a warning.
pub fn compile_or_reuse(
    engine: &Engine,
    bytes: &[u8],
    dir: Option<&Path>,
    what: &str,
) -> wasmtime::Result<Component> {
    let Some(compiled) = dir.map(|dir| Compiled::of(dir, engine, bytes)) else {
        return Component::from_binary(engine, bytes);
    };
    if let Some(component) = compiled.load(engine) {
        return Ok(component);
    }
    tracing::info!("compiling the {what}, for this start and the next ones");
    let component = Component::from_binary(engine, bytes)?;
    if let Err(error) = compiled.store(&component) {
        tracing::warn!(error = %error, "cannot store the compiled {what}; the next start compiles it again");
        return Ok(component);
    }
    // Mapped from the file: only pages that are used take memory.
    Ok(compiled.load(engine).unwrap_or(component))
}

/// A directory of compiled components. It is trusted: a program that can write there can run code
/// in this process.
struct Compiled<'a> {
    dir: &'a Path,
    /// Digests of the component's bytes and of the compiler: the beginning of its file's name.
    source: String,
}

impl<'a> Compiled<'a> {
    /// The compilation of `bytes` by `engine`, in `dir`.
    fn of(dir: &'a Path, engine: &Engine, bytes: &[u8]) -> Self {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut compiler = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compiler);
        let source = digest(&SHA256, bytes);
        let source = format!("{}-{:016x}.", short_hex(source.as_ref()), compiler.finish());
        Self { dir, source }
    }

    /// Loads the component, if its file exists and is undamaged. A damaged file is removed, with a
    /// warning.
    fn load(&self, engine: &Engine) -> Option<Component> {
        let file = self.file()?;
        let loaded = self.load_file(engine, &file);
        if let Err(error) = &loaded {
            tracing::warn!(
                error = chain(error.as_ref()),
                file = %file.display(),
                "a stored compilation is damaged; compiling again"
            );
            let _ = fs::remove_file(&file);
        }
        loaded.ok()
    }

    fn load_file(&self, engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
        let named = file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        wasmtime::ensure!(named == Some(self.name(&digest_of(file)?)), "its content does not match its name");
        // SAFETY: the file's content has the digest that `store` wrote into its name, in a
        // directory that only this user can write (mode 0700), and wasmtime checks the version and
        // the settings of the compilation.
        unsafe { Component::deserialize_file(engine, file) }
    }

    /// Writes the component to its file, atomically and durably.
    fn store(&self, component: &Component) -> io::Result<()> {
        make_private(self.dir)?;
        let code = component.serialize().map_err(io::Error::other)?;
        let file = self.dir.join(self.name(&short_hex(digest(&SHA256, &code).as_ref())));
        let temporary = PathBuf::from(format!("{}.{}.tmp", file.display(), std::process::id()));
        let mut writer = File::create(&temporary)?;
        writer.write_all(&code)?;
        writer.sync_all()?;
        fs::rename(&temporary, &file)?;
        File::open(self.dir)?.sync_all()?;
        self.remove_others(&file);
        Ok(())
    }

    fn name(&self, digest: &str) -> String {
        format!("{}{digest}{EXTENSION}", self.source)
    }

    fn file(&self) -> Option<PathBuf> {
        let named = |name: &str| name.starts_with(&self.source) && name.ends_with(EXTENSION);
        let mut files = fs::read_dir(self.dir).ok()?.flatten();
        files.find(|file| file.file_name().to_str().is_some_and(named)).map(|file| file.path())
    }

    /// Removes the oldest files of other versions, so that the directory does not grow with every
    /// upgrade.
    fn remove_others(&self, keep: &Path) {
        let Ok(entries) = fs::read_dir(self.dir) else { return };
        let mut others: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path() != keep)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        others.sort();
        others.reverse();
        for (_, path) in others.into_iter().skip(MAX_OTHERS) {
            let _ = fs::remove_file(path);
        }
    }
}

fn digest_of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(short_hex(context.finish().as_ref())),
            count => context.update(&chunk[..count]),
        }
    }
}

fn short_hex(digest: &[u8]) -> String {
    hex::encode(&digest[..DIGEST_BYTES.min(digest.len())])
}

fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests;
