//! Versions of what an operator exchanges in a running server: policy components, rules. A folder of
//! the data directory has the versions themselves, which one the operator has chosen, which ones were
//! in force, and which ones went back by themselves.
//!
//! `larder policy` and `larder rules` write the choice, and the running server the rest, so that no
//! file has two writers. Everything is written beside its place and renamed.

mod choice;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::digest::{SHA256, digest};
use larder_common::clock::Clock;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::choice::{ChoiceError, Chooser, Followed, Follower};

/// Versions that were in force that are kept.
const KEPT: usize = 5;
/// What was stored so recently is not removed: it may not be chosen, or in force, yet.
const SPARED_MS: u64 = 10 * 60 * 1000;
/// Longest reason of a rejection that is read.
const MAX_REASON: usize = 4096;
/// The file with the operator's choice.
const CHOSEN: &str = "current";
/// The file with what was in force.
const HISTORY: &str = "history.json";
/// A history that could not be read. As long as it is there no version is removed: it may name them.
const DAMAGED_HISTORY: &str = "history.json.damaged";
const REJECTED: &str = "rejected";
/// The file that is locked while somebody chooses.
const LOCK: &str = "choosing";
/// The file with what the running server reports.
const REPORT: &str = "report.json";

/// The versions of one kind, in a folder of the data directory.
#[derive(Clone, Debug)]
pub struct Versions {
    dir: PathBuf,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// SHA-256 of the content, in hex.
    pub digest: String,
    /// What the file was called; not its path.
    pub name: String,
}

/// A version that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Which.
    #[serde(flatten)]
    pub version: Version,
    /// Where it came from: `built in`, `chosen`, `call`, or the path of a configured file.
    pub source: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Version {
    /// The version of this content.
    #[must_use]
    pub fn of(content: &[u8], name: &str) -> Self {
        Self { digest: hex::encode(digest(&SHA256, content)), name: name.to_owned() }
    }

    /// The first characters of the digest, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// Whether the digest is one, and so can be a file's name.
    fn is_valid(&self) -> bool {
        self.digest.len() == 64 && self.digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl Versions {
    /// Those of the policy of the server with this data directory.
    #[must_use]
    pub fn of_policy(data: &Path) -> Self {
        Self { dir: data.join("policies") }
    }

    /// Those of the rules of the server with this data directory.
    #[must_use]
    pub fn of_rules(data: &Path) -> Self {
        Self { dir: data.join("rules") }
    }

    /// Those of the rules in the shadow of the server with this data directory.
    #[must_use]
    pub fn of_shadow_rules(data: &Path) -> Self {
        Self { dir: data.join("rules").join("shadow") }
    }

    /// The file whose change means that the operator has chosen.
    #[must_use]
    pub fn choice_file(&self) -> PathBuf {
        self.dir.join(CHOSEN)
    }

    /// Stores a version, if it is not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, content: &[u8], name: &str) -> io::Result<Version> {
        let version = Version::of(content, name);
        // As what is new it is spared, until it is chosen.
        if self.read(&version).is_err() || self.touch(&version).is_err() {
            self.write(&version.digest, content)?;
        }
        Ok(version)
    }

    fn touch(&self, version: &Version) -> io::Result<()> {
        let now = UNIX_EPOCH + Duration::from_millis(Clock::system().now_ms());
        OpenOptions::new().write(true).open(self.dir.join(&version.digest))?.set_modified(now)
    }

    /// Returns the content of a version.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn read(&self, version: &Version) -> io::Result<Vec<u8>> {
        if !version.is_valid() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a digest"));
        }
        let file = self.dir.join(&version.digest);
        let content = fs::read(&file).map_err(|error| with_path(&file, &error))?;
        if Version::of(&content, "").digest != version.digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the stored version is damaged"));
        }
        Ok(content)
    }

    /// Chooses a stored version. A rejection of it is forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn choose(&self, version: &Version) -> io::Result<()> {
        remove(&self.rejection_file(version))?;
        self.write_choice(version)
    }

    /// The same, and a rejection of it stays.
    fn write_choice(&self, version: &Version) -> io::Result<()> {
        self.write(CHOSEN, &serde_json::to_vec(version)?)
    }

    /// Takes the choice back: what the configuration says holds.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn choose_none(&self) -> io::Result<()> {
        remove(&self.choice_file())
    }

    /// Returns the chosen version, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn chosen(&self) -> io::Result<Option<Version>> {
        self.read_json(CHOSEN, "choose again, with `use`")
    }

    /// The same for who chooses anew: a damaged choice is one of nothing.
    fn chosen_before(&self) -> io::Result<Option<Version>> {
        match self.chosen() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            chosen => chosen,
        }
    }

    /// Runs `change` while nobody else chooses, in this or in another process.
    fn alone<T>(&self, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.make_dir()?;
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(self.dir.join(LOCK))?;
        lock.lock()?;
        change()
    }

    /// Returns what was in force, the latest first. A file that cannot be read is an empty one.
    #[must_use]
    pub fn history(&self) -> Vec<InForce> {
        self.read_history().unwrap_or_default()
    }

    /// Returns what was in force, the latest first.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn read_history(&self) -> io::Result<Vec<InForce>> {
        let history =
            self.read_json(HISTORY, "what was in force is stored beside it; choose it with `use`")?;
        Ok(history.unwrap_or_default())
    }

    /// Reads a file of this folder; `None` if it is not there. `remedy`: what to do if it is damaged.
    fn read_json<T: DeserializeOwned>(&self, name: &str, remedy: &str) -> io::Result<Option<T>> {
        let file = self.dir.join(name);
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                let problem = format!("{}: is damaged ({error}): {remedy}", file.display());
                io::Error::new(io::ErrorKind::InvalidData, problem)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(with_path(&file, &error)),
        }
    }

    /// Returns what was in force before `now`, and did not go back by itself. Without `now`: before what the
    /// history has first.
    ///
    /// # Errors
    /// When the history cannot be read, or is damaged.
    pub fn previous(&self, now: Option<&Version>) -> io::Result<Option<InForce>> {
        let history = self.read_history()?;
        let Some(now) = now.or(history.first().map(|first| &first.version)) else { return Ok(None) };
        let now = now.digest.clone();
        let is_good =
            |known: &InForce| known.version.digest != now && self.rejection(&known.version).is_none();
        Ok(history.into_iter().find(is_good))
    }

    /// Records that a version is in force from now on, and forgets the oldest ones. A damaged history is kept
    /// beside a new one.
    ///
    /// # Errors
    /// When it cannot be written, or the history cannot be read.
    pub fn record(&self, in_force: InForce) -> io::Result<()> {
        let mut history = match self.read_history() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                fs::rename(self.dir.join(HISTORY), self.dir.join(DAMAGED_HISTORY))?;
                tracing::error!(%error, "a new history is begun; no stored version is removed while {DAMAGED_HISTORY} is there");
                Vec::new()
            }
            read => read?,
        };
        let is_same = |earlier: &InForce| earlier.version.digest == in_force.version.digest;
        if history.first().is_some_and(|latest| is_same(latest) && latest.source == in_force.source) {
            return Ok(());
        }
        history.retain(|earlier| !is_same(earlier));
        history.insert(0, in_force);
        history.truncate(KEPT);
        self.write(HISTORY, &serde_json::to_vec(&history)?)?;
        self.remove_unnamed(&history);
        Ok(())
    }

    /// Records why a version must not be put in force again until it is chosen anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn reject(&self, version: &Version, reason: &str) -> io::Result<()> {
        self.write(&format!("{}.{REJECTED}", version.digest), reason.as_bytes())
    }

    /// Returns why a version was rejected; `None` if it was not.
    #[must_use]
    pub fn rejection(&self, version: &Version) -> Option<String> {
        let mut reason = fs::read(self.rejection_file(version)).ok()?;
        reason.truncate(MAX_REASON);
        Some(String::from_utf8_lossy(&reason).into_owned())
    }

    /// Writes what there is to report of the version in force. It may be lost with the power.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn report(&self, report: &[u8]) -> io::Result<()> {
        self.write_unsynced(REPORT, report)
    }

    /// Returns what was reported last; `None` if nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn reported(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(REPORT)) {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rejection_file(&self, version: &Version) -> PathBuf {
        self.dir.join(format!("{}.{REJECTED}", version.digest))
    }

    /// Removes versions that are neither chosen nor in the history, and what was written half by who was killed.
    fn remove_unnamed(&self, history: &[InForce]) {
        let Ok(chosen) = self.chosen() else { return };
        let any_may_be_named = self.dir.join(DAMAGED_HISTORY).exists();
        let named: HashSet<_> =
            history.iter().map(|known| &known.version).chain(&chosen).map(|known| &*known.digest).collect();
        for file in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = file.file_name();
            if name.as_encoded_bytes().starts_with(b".") && !is_recent(&file.path()) {
                let _ = fs::remove_file(file.path());
                continue;
            }
            let Some(digest) = name.to_str().map(|name| name.split('.').next().unwrap_or(name)) else {
                continue;
            };
            let version = Version { digest: digest.to_owned(), name: String::new() };
            let is_rejection = name.len() > digest.len();
            // A rejection of a configured file outlives its content, which is not stored.
            let is_named = any_may_be_named || named.contains(digest);
            if version.is_valid() && !is_rejection && !is_named && !is_recent(&file.path()) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let draft = self.draft(name);
        self.write_draft(&draft, content)?.sync_all()?;
        fs::rename(draft, self.dir.join(name))
    }

    fn write_unsynced(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let draft = self.draft(name);
        self.write_draft(&draft, content)?;
        fs::rename(draft, self.dir.join(name))
    }

    fn write_draft(&self, draft: &Path, content: &[u8]) -> io::Result<File> {
        self.make_dir()?;
        let mut options = OpenOptions::new();
        let mut writer = options.write(true).create(true).truncate(true).mode(0o600).open(draft)?;
        writer.write_all(content)?;
        Ok(writer)
    }

    fn make_dir(&self) -> io::Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|error| with_path(&self.dir, &error))
    }

    /// Each has another name, also of two threads of one process.
    fn draft(&self, name: &str) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        self.dir.join(format!(".{name}.{}.{number}", std::process::id()))
    }
}

fn with_path(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// Whether a file was written within [`SPARED_MS`], or cannot be looked at.
fn is_recent(file: &Path) -> bool {
    let written = fs::metadata(file).and_then(|metadata| metadata.modified());
    let since = written.ok().and_then(|written| written.duration_since(UNIX_EPOCH).ok());
    let written_ms = since.map_or(u64::MAX, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Clock::system().now_ms().saturating_sub(written_ms) < SPARED_MS
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
