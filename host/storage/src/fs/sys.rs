//! System calls that the standard library does not have, with fallbacks for those that may be
//! missing.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    os::unix::fs::FileExt,
};

use bytes::Bytes;
use rustix::{
    fs::{FallocateFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    io::{Errno, ReadWriteFlags},
};

use super::{dirs::Dir, space::Measured};

/// Whether a call may block on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayBlock {
    /// The call fails with `WouldBlock` where the kernel does not have the result in memory.
    No,
    /// The caller runs on a thread for blocking calls.
    Yes,
}

/// Opens a file for reading.
pub(super) fn open(dir: &Dir, path: &str, may_block: MayBlock) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match may_block {
        MayBlock::Yes => {
            let opened = rustix::fs::openat(&dir.file, &*dir.resolve(path), flags, Mode::empty());
            opened.map_err(|error| dir.at(path, error))?
        }
        MayBlock::No => {
            let cached = ResolveFlags::CACHED;
            let opened = rustix::fs::openat2(&dir.file, &*dir.resolve(path), flags, Mode::empty(), cached);
            opened.map_err(|error| dir.at(path, would_block(error)))?
        }
    };
    Ok(File::from(file))
}

/// Reads some bytes; none only at the end of the file.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64, may_block: MayBlock) -> io::Result<usize> {
    match may_block {
        MayBlock::Yes => loop {
            match file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        },
        MayBlock::No => {
            let flags = ReadWriteFlags::NOWAIT;
            rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], offset, flags).map_err(would_block)
        }
    }
}

/// Fills the buffer; a file that is too short is `UnexpectedEof`.
pub(super) fn read_exact_at(
    file: &File,
    mut buffer: &mut [u8],
    mut offset: u64,
    may_block: MayBlock,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match read_at(file, buffer, offset, may_block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Old kernels, some file systems, and sandboxes with few system calls do not support non-blocking
/// calls.
fn would_block(error: Errno) -> io::Error {
    match error {
        Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::INTR => {
            io::ErrorKind::WouldBlock.into()
        }
        error => error.into(),
    }
}

/// Most slices of one call.
const MAX_SLICES: usize = 1024;

/// Writes all chunks, concatenated, at `offset`.
pub(super) fn write_all_at(file: &File, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
    for chunks in chunks.chunks(MAX_SLICES) {
        let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Copies within the kernel if possible; a source that is too short is `UnexpectedEof`.
pub(super) fn copy(from: &File, to: &File, to_offset: u64, length: u64) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let (mut read_at, mut write_at) = (done, to_offset + done);
        let step = usize::try_from(length - done).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), step) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::PERM) => {
                return copy_through_memory(from, to, to_offset, done, length);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_through_memory(from: &File, to: &File, to_offset: u64, mut done: u64, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while done < length {
        let step = usize::try_from(length - done).unwrap_or(usize::MAX).min(buffer.len());
        read_exact_at(from, &mut buffer[..step], done, MayBlock::Yes)?;
        to.write_all_at(&buffer[..step], to_offset + done)?;
        done += step as u64;
    }
    Ok(())
}

/// Frees the space of a range, if the file system supports it. Reading it gives zeros, or the old
/// bytes.
pub(super) fn punch(file: &File, offset: u64, length: u64) {
    if length > 0 {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // It is only space: otherwise it is freed when the file is deleted.
        let _ = rustix::fs::fallocate(file, flags, offset, length);
    }
}

/// Sets the modification time to now.
pub(super) fn touch(file: &File) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// `f_type` of file systems whose bytes are on another machine, or in another process: NFS, SMB and
/// CIFS, FUSE, 9P, Ceph, Lustre, AFS, GPFS, BeeGFS, OCFS2, GFS2 (`statfs(2)`, `linux/magic.h`).
const REMOTE_OR_USERSPACE: [u64; 13] = [
    0x6969,
    0x517B,
    0xFE53_4D42,
    0xFF53_4D42,
    0x6573_5546,
    0x0102_1997,
    0x00C3_6400,
    0x0BD0_0BD0,
    0x5346_414F,
    0x4750_4653,
    0x1983_0326,
    0x7461_636F,
    0x0116_1970,
];

/// Returns whether the file is on a file system that may not respond at all.
pub(super) fn may_hang(file: &File) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(file)?.f_type;
    // The number has another type on other processors, and is negative on some.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, clippy::cast_lossless)]
    let kind = kind as u64 & 0xFFFF_FFFF;
    Ok(REMOTE_OR_USERSPACE.contains(&kind))
}

/// Returns the size of the file system, and the space that is free for this process.
pub(super) fn measure(file: &File) -> io::Result<Measured> {
    let found = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Measured { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// Truncates the file to this length, if it is longer.
pub(super) fn cut(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() > length { file.set_len(length) } else { Ok(()) }
}
