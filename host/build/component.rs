//! Builds WebAssembly components of this workspace from source. Shared by the build scripts that need one.
//!
//! The target is `wasm32-unknown-unknown`. Its standard library comes from one of two places, tried in this order: the
//! rustup toolchain in use (where the target is missing, `rustup target add` is tried, with a time limit), or Debian's
//! packages `rustc-web cargo-web rust-web-src`, which build it from source. `LARDER_GUEST_TOOLCHAIN=rustup|debian` forces
//! one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";
const CHOICE: &str = "LARDER_GUEST_TOOLCHAIN";
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Builds the component of `package` into the build script's output directory, as `name`.
pub(crate) fn build(package: &str, name: &str) -> Result<()> {
    let root = workspace_root()?;
    for watched in ["wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed={CHOICE}");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Beside the profile's own artifacts, so that the standard library built there outlives this build script's directory.
    let target_dir = out.ancestors().nth(3).context("OUT_DIR is too short")?.join("guest-target");
    build_core_module(package, &target_dir)?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let core = target_dir.join(TARGET).join(PROFILE).join(file);
    let component = encode(&core).with_context(|| format!("making a component of {}", core.display()))?;
    fs::write(out.join(name), component)?;
    Ok(())
}

/// The folder of the workspace: the nearest one above the package that has a lock file.
fn workspace_root() -> Result<PathBuf> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    Ok(root.context("no Cargo.lock above the package")?.to_owned())
}

/// Makes a component of the guest's core module.
fn encode(core: &Path) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default().module(&fs::read(core)?)?.validate(true).encode()
}

fn build_core_module(package: &str, target_dir: &Path) -> Result<()> {
    match env::var(CHOICE).as_deref() {
        Ok("rustup") => with_rustup(package, target_dir),
        Ok("debian") => with_debian(package, target_dir),
        Ok(other) => bail!("{CHOICE} is `{other}`; allowed are `rustup` and `debian`"),
        Err(_) if rustup_has_target() => with_rustup(package, target_dir),
        Err(_) if debian_is_complete() => with_debian(package, target_dir),
        Err(_) if rustup_adds_target() => with_rustup(package, target_dir),
        Err(_) => bail!(
            "no way to build the guest for {TARGET}: either `rustup target add {TARGET}`, or, on Debian, \
             `apt-get install rustc-web cargo-web rust-web-src` (`make toolchain` tries both)"
        ),
    }
}

/// Returns whether the toolchain in use has the target's standard library.
fn rustup_has_target() -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let Ok(printed) = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()
    else {
        return false;
    };
    let libdir = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    fs::read_dir(libdir)
        .is_ok_and(|mut files| files.any(|f| f.is_ok_and(|f| f.path().extension() == Some("rlib".as_ref()))))
}

/// Asks rustup for the target. Where rustup reaches nothing it may hang: then it is stopped.
fn rustup_adds_target() -> bool {
    let started = Instant::now();
    let Ok(mut child) = Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).spawn()
    else {
        return false;
    };
    while started.elapsed() < RUSTUP_LIMIT {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success() && rustup_has_target();
        }
        thread::sleep(Duration::from_millis(200));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn with_rustup(package: &str, target_dir: &Path) -> Result<()> {
    run(cargo(Path::new(&env::var("CARGO")?), package, target_dir)?)
}

fn debian_is_complete() -> bool {
    Path::new(DEBIAN_RUSTC).exists()
        && Path::new(DEBIAN_CARGO).exists()
        && debian_std_source().is_ok_and(|s| s.exists())
}

fn debian_std_source() -> Result<PathBuf> {
    Ok(sysroot(DEBIAN_RUSTC)?.join("lib/rustlib/src/rust/library/std/Cargo.toml"))
}

fn with_debian(package: &str, target_dir: &Path) -> Result<()> {
    let mut command = cargo(Path::new(DEBIAN_CARGO), package, target_dir)?;
    command.args(["-Z", "build-std=std,panic_abort"]);
    command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker()?);
    run(command)
}

/// The wasm linker: the one in the toolchain that builds the host.
fn linker() -> Result<PathBuf> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let lld = sysroot(&rustc)?.join("lib/rustlib").join(env::var("HOST")?).join("bin/rust-lld");
    ensure!(lld.exists(), "{} is missing", lld.display());
    Ok(lld)
}

fn sysroot(rustc: &str) -> Result<PathBuf> {
    let printed = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .with_context(|| format!("running {rustc}"))?;
    Ok(PathBuf::from(String::from_utf8(printed.stdout)?.trim()))
}

/// A cargo that builds the guest and inherits nothing of the cargo that runs this script.
fn cargo(program: &Path, package: &str, target_dir: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    for inherited in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        let keep = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO"].contains(&inherited.as_str())
            || inherited.starts_with("CARGO_REGISTRIES_")
            || inherited.starts_with("CARGO_SOURCE_");
        if !keep
            && (inherited.starts_with("CARGO") || inherited.starts_with("RUSTC") || inherited == "RUSTFLAGS")
        {
            command.env_remove(inherited);
        }
    }
    command.args([
        "build",
        "--package",
        package,
        "--lib",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
        "--target-dir",
    ]);
    command.arg(target_dir).current_dir(workspace_root()?);
    Ok(command)
}

fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("running {command:?}"))?;
    ensure!(status.success(), "building the guest failed: {command:?}");
    Ok(())
}
