//! From the bytes of a component to machine code, of rules and of policies. Compilation takes about a
//! second (seconds in a program that is not optimised), so its result is kept in a file. A program that serves
//! has it done by a process of its own.
//!
//! Loading a damaged file would run damaged machine code. So each file is named by the digest of its
//! content, and is loaded only if the two match.

mod process;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use wasmtime::{Engine, component::Component};

use larder_common::causes::chain;
pub use process::{CompilerProgram, serve, set_program};

use process::Fault;

/// Compiled components of other sources or versions that are kept.
const MAX_OTHERS: usize = 64;
/// Bytes of each digest in a file's name.
const DIGEST_BYTES: usize = 16;
/// Bytes read at once to compute a digest.
const CHUNK_BYTES: usize = 64 * 1024;
const EXTENSION: &str = ".cwasm";

/// What is compiled: each kind has an engine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A policy.
    Policy,
    /// Rules.
    Rules,
}

impl Kind {
    /// Its name, in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Rules => "rules",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kinds = [Self::Policy, Self::Rules];
        kinds.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("`{name}`: policy or rules"))
    }
}

/// What a WebAssembly binary begins with.
pub const MAGIC: &[u8] = b"\0asm";
/// What is wrong with one that does not: in the reader's own words it is a page of numbers.
pub const NO_MAGIC: &str = "it does not begin with `\\0asm`";

/// Why there is no compiled component.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not a component.
    #[error("not a WebAssembly component")]
    NotAComponent(#[source] wasmtime::Error),
    /// The process that was to compile it took too much, or crashed.
    #[error("the component was not compiled: {0}")]
    Failed(String),
}

/// Returns the compiled component, from a file in `dir` where there is one. What is not there is compiled in
/// a process of its own if [`set_program`] says by which program, and in this one without it or `dir`, or
/// where no process can be started.
///
/// # Errors
/// When it is not a component, or the process fails. A directory that cannot be written to is a warning.
pub fn compile_or_reuse(
    engine: &Engine,
    bytes: &[u8],
    dir: Option<&Path>,
    kind: Kind,
) -> Result<Component, CompileError> {
    if !bytes.starts_with(MAGIC) {
        return Err(CompileError::NotAComponent(wasmtime::Error::msg(NO_MAGIC)));
    }
    let Some(compiled) = dir.map(|dir| Compiled::of(dir, engine, bytes)) else {
        return Component::from_binary(engine, bytes).map_err(CompileError::NotAComponent);
    };
    if let Some(component) = compiled.load(engine) {
        return Ok(component);
    }
    if is_compiled_elsewhere(&compiled, bytes, kind)?
        && let Some(component) = compiled.load(engine)
    {
        return Ok(component);
    }
    tracing::info!("compiling the {kind}, for this start and the next ones");
    let component = Component::from_binary(engine, bytes).map_err(CompileError::NotAComponent)?;
    let stored = component.serialize().map_err(io::Error::other).and_then(|code| compiled.store(&code));
    if let Err(error) = stored {
        tracing::warn!(error = %error, "cannot store the compiled {kind}; the next start compiles it again");
        return Ok(component);
    }
    // Mapped from the file: only pages that are used take memory.
    Ok(compiled.load(engine).unwrap_or(component))
}

/// Has the component compiled by a process of its own. Returns whether it was: not where there is none, or
/// where it cannot store anything.
fn is_compiled_elsewhere(compiled: &Compiled<'_>, bytes: &[u8], kind: Kind) -> Result<bool, CompileError> {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    let Some(program) = process::program() else { return Ok(false) };
    let began = Instant::now();
    match program.compile(kind, bytes, compiled.dir) {
        Ok(()) => {
            let duration_ms = began.elapsed().as_millis();
            tracing::info!(
                duration_ms,
                "compiled the {kind} in a process of its own, for the next starts, too"
            );
            Ok(true)
        }
        Err(Fault::Start(error)) => {
            if !IS_SAID.swap(true, Relaxed) {
                tracing::warn!(%error, "cannot start a process to compile in: this one does it");
            }
            Ok(false)
        }
        Err(Fault::NotStored) => Ok(false),
        Err(Fault::Invalid(text)) => Err(CompileError::NotAComponent(wasmtime::Error::msg(text))),
        Err(Fault::Failed(text)) => Err(CompileError::Failed(text)),
    }
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

    /// Writes the compiled component to its file, atomically and durably.
    fn store(&self, code: &[u8]) -> io::Result<()> {
        make_private(self.dir)?;
        let file = self.dir.join(self.name(&short_hex(digest(&SHA256, code).as_ref())));
        let temporary = PathBuf::from(format!("{}.{}.tmp", file.display(), std::process::id()));
        let mut writer = File::create(&temporary)?;
        writer.write_all(code)?;
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
