//! `use`, `rollback` and `status`, of policies and of rules: on the data directory of a server, which
//! follows when it runs.

use std::{
    fmt::Write,
    fs::{File, TryLockError},
    path::Path,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use larder::versions::{Version, Versions};
use serde_json::json;

/// How long a running server is waited for. It compiles what it does not have yet.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// The versions of one kind, of one server.
pub(crate) struct Store<'a> {
    pub(crate) data: &'a Path,
    pub(crate) versions: Versions,
}

impl Store<'_> {
    /// Chooses a version that was checked, and waits for the running server.
    pub(crate) fn choose(&self, content: &[u8], name: &str) -> anyhow::Result<String> {
        let version = self.versions.store(content, name).context("storing the version")?;
        self.put(&version)
    }

    /// The same of what is not in force, but beside it. No content: nothing.
    pub(crate) fn choose_beside(&self, content: &[u8], name: &str, label: &str) -> anyhow::Result<String> {
        let version = self.versions.store(content, name).context("storing the version")?;
        let then = if self.follow(&version)? { "" } else { "; from the next start on" };
        Ok(if content.is_empty() {
            format!("{label}: nothing{then}\n")
        } else {
            format!("{label}: {} {}{then}\n", version.short(), version.name)
        })
    }

    /// Chooses what was in force before.
    pub(crate) fn roll_back(&self) -> anyhow::Result<String> {
        let history = self.versions.history();
        let good = |version: &Version| self.versions.rejection(version).is_none();
        let before = history.iter().skip(1).map(|known| &known.version).find(|version| good(version));
        let Some(before) = before.cloned() else { bail!("nothing was in force before") };
        self.put(&before)
    }

    /// Leaves it to the configuration.
    pub(crate) fn choose_none(&self) -> anyhow::Result<String> {
        self.versions.choose_none()?;
        let follows =
            if self.is_running()? { "the server follows within seconds" } else { "from the next start on" };
        Ok(format!("what the configuration says holds; {follows}\n"))
    }

    fn put(&self, version: &Version) -> anyhow::Result<String> {
        let named = format!("{} {}", version.short(), version.name);
        Ok(if self.follow(version)? {
            format!("in force: {named}\n")
        } else {
            format!("chosen: {named}; in force from the next start on\n")
        })
    }

    /// Chooses a version, and waits until the running server has it. Returns whether one runs.
    fn follow(&self, version: &Version) -> anyhow::Result<bool> {
        self.versions.choose(version)?;
        let named = format!("{} {}", version.short(), version.name);
        if !self.is_running()? {
            return Ok(false);
        }
        for _ in 0..FOLLOWED_WITHIN.as_millis() / PAUSE.as_millis() {
            if self.versions.history().first().is_some_and(|known| known.version.digest == version.digest) {
                return Ok(true);
            }
            if let Some(reason) = self.versions.rejection(version) {
                bail!("the server cannot use {named}: {reason}");
            }
            sleep(PAUSE);
        }
        bail!("chosen: {named}, but the running server has not taken it within a minute; its log says why")
    }

    /// Says what is in force, what was, and what went back.
    pub(crate) fn status(&self, as_json: bool) -> anyhow::Result<String> {
        let (history, chosen) = (self.versions.history(), self.versions.chosen()?);
        let rejected = |version: &Version| self.versions.rejection(version);
        let is_running = self.is_running()?;
        if as_json {
            let known: Vec<_> = history
                .iter()
                .map(|known| Ok(with(serde_json::to_value(known)?, "went_back", rejected(&known.version))))
                .collect::<anyhow::Result<_>>()?;
            let chosen = chosen.map(|chosen| {
                let reason = rejected(&chosen);
                anyhow::Ok(with(serde_json::to_value(chosen)?, "went_back", reason))
            });
            let told = json!({ "running": is_running, "chosen": chosen.transpose()?, "in_force": known });
            return Ok(format!("{told:#}\n"));
        }
        let mut text = String::new();
        if let Some(chosen) = &chosen {
            let _ = write!(text, "chosen    {}  {}", chosen.short(), chosen.name);
            let reason = rejected(chosen).map(|reason| format!("  (not used: {reason})"));
            text.push_str(&reason.unwrap_or_default());
            text.push('\n');
        } else {
            text.push_str("chosen    nothing: the configuration decides\n");
        }
        for (at, known) in history.iter().enumerate() {
            let label = if at == 0 && is_running { "in force" } else { "earlier " };
            let since = crate::time(known.since_ms);
            let (short, name, source) = (known.version.short(), &known.version.name, &known.source);
            let reason = rejected(&known.version).map(|reason| format!("  (went back: {reason})"));
            let reason = reason.unwrap_or_default();
            let _ = writeln!(text, "{label}  {short}  {name}  {source}, since {since}{reason}");
        }
        if history.is_empty() {
            let _ = writeln!(text, "nothing but what is built in or configured was in force yet");
        }
        text.push_str(if is_running { "the server is running\n" } else { "the server is not running\n" });
        Ok(text)
    }

    /// Whether a server has the data directory.
    pub(crate) fn is_running(&self) -> anyhow::Result<bool> {
        let lock = match File::open(self.data.join("larder.lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("looking whether the server runs"),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context("looking whether the server runs"),
        }
    }
}

fn with(mut value: serde_json::Value, name: &str, text: Option<String>) -> serde_json::Value {
    if let (Some(members), Some(text)) = (value.as_object_mut(), text) {
        members.insert(name.to_owned(), text.into());
    }
    value
}

/// The content of a file and its name, up to a limit.
pub(crate) fn read(file: &Path) -> anyhow::Result<(Vec<u8>, String)> {
    let content = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    ensure!(!content.is_empty(), "{}: is empty", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((content, name))
}
