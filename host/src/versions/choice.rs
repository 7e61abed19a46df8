//! Chooses a version on the data directory of a server, which follows when it runs: what the commands and the
//! management API do.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    thread::sleep,
    time::Duration,
};

use super::{Version, Versions};

/// How long a running server is waited for. It compiles what it does not have yet.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Chooses versions of one kind, of one server.
#[derive(Clone, Debug)]
pub struct Chooser<'a> {
    /// The data directory of the server.
    pub data: &'a Path,
    /// The versions.
    pub versions: Versions,
}

/// What has become of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The running server has the version in force.
    InForce,
    /// No server runs: the next one will have it.
    AtNextStart,
}

/// Why a version is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The files of versions cannot be read or written.
    #[error("the files of versions cannot be read or written")]
    Io(#[from] io::Error),
    /// There is nothing to go back to.
    #[error("nothing was in force before")]
    NothingBefore,
    /// The running server cannot use it. What was chosen before is chosen again.
    #[error("the server cannot use {} {}: {reason}", .version.short(), .version.name)]
    Refused {
        /// What was chosen.
        version: Version,
        /// Why it is not used.
        reason: String,
    },
    /// Somebody has chosen otherwise before the running server had it in force, and that holds.
    #[error("{} {} is not in force: {by} was chosen meanwhile", .version.short(), .version.name)]
    Overtaken {
        /// What was chosen.
        version: Version,
        /// What was chosen after it, in words.
        by: String,
    },
    /// The running server neither has it nor says why.
    #[error("the running server has not followed the choice of {} {} within a minute; its log says why", .0.short(), .0.name)]
    NotTaken(Version),
}

/// A running server, as far as the caller can reach it. `()`: by its files alone.
pub trait Follower {
    /// Has it look for changes at once. Without that it does so within two seconds.
    fn look(&self) {}

    /// Returns whether it has this version in force; `None` where only its files say so.
    fn has(&self, _version: &Version) -> Option<bool> {
        None
    }

    /// Returns whether what it has in force is an operator's choice, likewise.
    fn has_chosen(&self) -> Option<bool> {
        None
    }
}

impl Follower for () {}

impl Chooser<'_> {
    /// Stores and chooses a version that was checked, and waits until the running server has it, for up to a minute:
    /// blocks.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn choose(
        &self,
        content: &[u8],
        name: &str,
        server: &dyn Follower,
    ) -> Result<(Version, Followed), ChoiceError> {
        let version = self.versions.store(content, name)?;
        Ok((version.clone(), self.follow(&version, server)?))
    }

    /// Chooses what was in force before `now`, likewise. Without `now`: what the history has second.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn roll_back(
        &self,
        now: Option<&Version>,
        server: &dyn Follower,
    ) -> Result<(Version, Followed), ChoiceError> {
        let before = self.versions.previous(now)?.ok_or(ChoiceError::NothingBefore)?.version;
        let followed = self.follow(&before, server)?;
        Ok((before, followed))
    }

    /// Takes the choice back, and waits until what the configuration says is in force, where `server` can tell.
    ///
    /// # Errors
    /// [`ChoiceError`]. A running server that does not follow keeps what it has.
    pub fn choose_none(&self, server: &dyn Follower) -> Result<Followed, ChoiceError> {
        let before = self.versions.alone(|| {
            let before = self.versions.chosen_before()?;
            self.versions.choose_none()?;
            Ok(before)
        })?;
        let Some(before) = before else { return Ok(Followed::InForce) };
        if !self.is_running()? {
            return Ok(Followed::AtNextStart);
        }
        server.look();
        for _ in 0..FOLLOWED_WITHIN.as_millis() / PAUSE.as_millis() {
            if server.has_chosen() != Some(true) {
                return Ok(Followed::InForce);
            }
            sleep(PAUSE);
        }
        Err(ChoiceError::NotTaken(before))
    }

    fn follow(&self, version: &Version, server: &dyn Follower) -> Result<Followed, ChoiceError> {
        let before = self.versions.alone(|| {
            let before = self.versions.chosen_before()?;
            self.versions.choose(version)?;
            Ok(before)
        })?;
        if !self.is_running()? {
            return Ok(Followed::AtNextStart);
        }
        server.look();
        for _ in 0..FOLLOWED_WITHIN.as_millis() / PAUSE.as_millis() {
            if server.has(version).unwrap_or_else(|| self.is_first(version)) {
                return Ok(Followed::InForce);
            }
            if let Some(reason) = self.versions.rejection(version) {
                self.take_back(version, before.as_ref())?;
                return Err(ChoiceError::Refused { version: version.clone(), reason });
            }
            if let Some(by) = self.overtaken(version)? {
                return Err(ChoiceError::Overtaken { version: version.clone(), by });
            }
            sleep(PAUSE);
        }
        Err(ChoiceError::NotTaken(version.clone()))
    }

    /// Chooses again what was chosen before, unless somebody has chosen otherwise meanwhile.
    fn take_back(&self, version: &Version, before: Option<&Version>) -> io::Result<()> {
        self.versions.alone(|| match (self.overtaken(version)?, before) {
            (Some(_), _) => Ok(()),
            (None, Some(before)) => self.versions.write_choice(before),
            (None, None) => self.versions.choose_none(),
        })
    }

    /// Returns what is chosen in place of this version, in words; `None` if it is the one.
    fn overtaken(&self, version: &Version) -> io::Result<Option<String>> {
        Ok(match self.versions.chosen_before()? {
            Some(chosen) if chosen.digest == version.digest => None,
            Some(chosen) => Some(format!("{} {}", chosen.short(), chosen.name)),
            None => Some("what the configuration says".to_owned()),
        })
    }

    /// Whether the history has it first.
    fn is_first(&self, version: &Version) -> bool {
        self.versions.history().first().is_some_and(|known| known.version.digest == version.digest)
    }

    /// Whether a server has the data directory.
    ///
    /// # Errors
    /// When its lock cannot be looked at.
    pub fn is_running(&self) -> io::Result<bool> {
        let lock = match File::open(self.data.join("larder.lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
