//! A file of a trace, which is exchanged for a new one when it is full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// `NAME.jsonl`, and `NAME.jsonl.1` (the latest) to `NAME.jsonl.N`, which are full.
pub(super) struct TraceFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    kept: u32,
}

impl TraceFile {
    /// Opens a file to append to it. One that ends in the middle of a line, after a crash, counts as full.
    pub(super) fn open(path: PathBuf, max_bytes: u64, kept: u32) -> io::Result<Self> {
        let mut file = for_appending(&path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let is_whole = bytes == 0 || last_byte(&mut file)? == b'\n';
        let mut opened = Self { path, file, bytes, max_bytes, kept };
        if !is_whole {
            opened.exchange()?;
        }
        Ok(opened)
    }

    /// Appends lines. They are in one file, which is longer than its limit only if they are.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.max_bytes {
            self.exchange()?;
        }
        self.file.write_all(lines)?;
        self.bytes += length;
        Ok(())
    }

    /// Renames the files, the oldest first, and begins a new one.
    fn exchange(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            ignore_missing(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        if self.kept > 0 {
            fs::rename(&self.path, numbered(&self.path, 1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        self.file = for_appending(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Only the server's user may read it: names of branches and people are in it.
fn for_appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
