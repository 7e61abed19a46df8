//! A full disk: reported by the call that finds it, relieved by the janitor.
//!
//! Deleting a row first needs a little space for the database's log. So there is a *ballast* beside
//! a database on this machine: a file of 8 MiB without content, which is deleted when no space is
//! left, and made again when there is.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use tokio::sync::Notify;

use crate::log_throttle::Throttle;

/// What `SQLite` writes to its log before it starts over (1,000 pages of 4 KiB), twice.
const BALLAST_BYTES: u64 = 8 << 20;
/// Most frequent log line about a full disk.
const WARNING: Duration = Duration::from_secs(60);

/// Notifies the janitor of a full disk, and has the ballast.
#[derive(Debug)]
pub(crate) struct DiskPressure {
    reported: Notify,
    /// `None` if the database is on another machine.
    ballast: Option<PathBuf>,
    turn: Mutex<()>,
    warnings: Throttle,
}

impl DiskPressure {
    /// For a database on another machine: without a ballast.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            reported: Notify::new(),
            ballast: None,
            turn: Mutex::default(),
            warnings: Throttle::new(WARNING),
        }
    }

    /// With a ballast beside the database's file.
    #[must_use]
    pub(crate) fn beside(database: &Path) -> Self {
        let mut ballast = database.as_os_str().to_owned();
        ballast.push(".reserve");
        Self { ballast: Some(ballast.into()), ..Self::new() }
    }

    /// Reports that something did not fit.
    pub(crate) fn report(&self) {
        if self.warnings.allows() {
            tracing::error!("disk full: refusing saves until a sweep or an operator frees space");
        }
        self.reported.notify_one();
    }

    /// Waits for a report. One since the last call counts.
    pub(crate) async fn wait(&self) {
        self.reported.notified().await;
    }

    /// Deletes the ballast. Returns whether there was one.
    #[must_use]
    pub(crate) fn drop_ballast(&self) -> bool {
        let Some(ballast) = &self.ballast else { return false };
        let _turn = self.turn.lock();
        let size = fs::metadata(ballast).map_or(0, |found| found.len());
        size > 0 && fs::remove_file(ballast).is_ok()
    }

    /// Makes the ballast, if there is none and there is space. Blocks on the disk.
    pub(crate) fn make_ballast(&self) {
        let Some(ballast) = &self.ballast else { return };
        let _turn = self.turn.lock();
        if fs::metadata(ballast).is_ok_and(|found| found.len() == BALLAST_BYTES) {
            return;
        }
        if let Err(error) = make(ballast) {
            // A part of it would be useless, and take space.
            let _ = fs::remove_file(ballast);
            let path = ballast.display();
            tracing::debug!(%path, %error, "no space for the database's reserve");
        }
    }
}

impl Default for DiskPressure {
    fn default() -> Self {
        Self::new()
    }
}

fn make(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            io::copy(&mut io::Read::take(io::repeat(0), BALLAST_BYTES), &mut &file).map(drop)
        }
        Err(error) => Err(error.into()),
    }
}
