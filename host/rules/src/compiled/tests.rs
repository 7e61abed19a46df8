//! A kept component that was damaged is never loaded.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

const SOURCE: &[u8] = b"where it comes from";

fn engine() -> Engine {
    Engine::default()
}

/// The smallest component (its magic number, version and layer), kept in a directory of its own.
fn kept(engine: &Engine) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let component = Component::from_binary(engine, b"\0asm\x0d\0\x01\0").unwrap();
    let compiled = Compiled::of(dir.path(), engine, SOURCE);
    compiled.store(&component.serialize().unwrap()).unwrap();
    let file = compiled.file().unwrap();
    (dir, file)
}

#[test]
fn what_was_kept_is_loaded() {
    let engine = engine();
    let (dir, file) = kept(&engine);
    assert!(Compiled::of(dir.path(), &engine, SOURCE).load(&engine).is_some());
    assert!(file.exists());
    assert!(Compiled::of(dir.path(), &engine, b"another source").load(&engine).is_none());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Fault 16: damaged files killed the process, at every start.
#[test]
fn a_damaged_file_is_removed_and_made_again() {
    let engine = engine();
    let (dir, file) = kept(&engine);
    let whole = fs::read(&file).unwrap();
    let compiled = Compiled::of(dir.path(), &engine, SOURCE);
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let mut damaged: Vec<_> = (0..64).map(|step| flip(step * (whole.len() - 1) / 63)).collect();
    damaged.extend([0, 1, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec()));
    damaged.push([whole.as_slice(), b"more"].concat());
    for bytes in damaged {
        fs::write(&file, &bytes).unwrap();
        assert!(compiled.load(&engine).is_none());
        assert!(!file.exists());
    }
    fs::write(&file, &whole).unwrap();
    assert!(compiled.load(&engine).is_some());
}
