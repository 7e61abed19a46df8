//! `use`, `rollback` and `status`, of policies and of rules: on the data directory of a server, which
//! follows when it runs.

use std::{
    fmt::Write,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context, ensure};
use larder::versions::{Chooser, Followed, InForce, Version, Versions};
use serde_json::json;

/// The versions of one kind, of one server.
pub(crate) struct Store<'a> {
    pub(crate) data: &'a Path,
    pub(crate) versions: Versions,
    /// The file that the configuration names.
    pub(crate) configured: Option<&'a Path>,
}

impl Store<'_> {
    /// Chooses a version that was checked, and waits for the running server.
    pub(crate) fn choose(&self, content: &[u8], name: &str) -> anyhow::Result<String> {
        Ok(self.told(&self.chooser().choose(content, name, &())?))
    }

    /// The same of what is not in force, but beside it. No content: nothing.
    pub(crate) fn choose_beside(&self, content: &[u8], name: &str, label: &str) -> anyhow::Result<String> {
        let (version, followed) = self.chooser().choose(content, name, &())?;
        let then = if followed == Followed::InForce { "" } else { "; from the next start on" };
        Ok(if content.is_empty() {
            format!("{label}: nothing{then}\n")
        } else {
            format!("{label}: {} {}{then}\n", version.short(), version.name)
        })
    }

    /// Chooses what was in force before.
    pub(crate) fn roll_back(&self) -> anyhow::Result<String> {
        Ok(self.told(&self.chooser().roll_back(None, &())?))
    }

    /// Leaves it to the configuration.
    pub(crate) fn choose_none(&self) -> anyhow::Result<String> {
        self.chooser().choose_none(&())?;
        let follows =
            if self.is_running()? { "the server follows within seconds" } else { "from the next start on" };
        Ok(format!("what the configuration says holds; {follows}\n"))
    }

    /// Says what has become of a choice. Where no server runs: in which folder it was made, which may be the wrong one.
    fn told(&self, (version, followed): &(Version, Followed)) -> String {
        let (named, data) = (format!("{} {}", version.short(), version.name), self.data.display());
        match followed {
            Followed::InForce => format!("in force: {named}\n"),
            Followed::AtNextStart => {
                format!("chosen: {named}; no server has {data}, so it is in force from the next start on\n")
            }
        }
    }

    fn chooser(&self) -> Chooser<'_> {
        Chooser { data: self.data, versions: self.versions.clone() }
    }

    /// Says what is in force, what was, and what went back.
    pub(crate) fn status(&self, as_json: bool) -> anyhow::Result<String> {
        let (history, chosen) = (self.versions.read_history()?, self.versions.chosen()?);
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
            let waiting = self.waiting(is_running && chosen.is_none(), history.first());
            let chosen = chosen.transpose()?;
            let told = json!({ "running": is_running, "chosen": chosen, "not_in_force": waiting, "in_force": known });
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
        if let Some(waiting) = self.waiting(is_running && chosen.is_none(), history.first()) {
            let _ = writeln!(text, "configured  {waiting}");
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

    /// What is to be said of the configured file, if it decides, and what is in force is something else.
    fn waiting(&self, decides: bool, in_force: Option<&InForce>) -> Option<String> {
        let file = self.configured.filter(|_| decides)?;
        let content = match content_of(file) {
            Ok(content) => content,
            Err(error) => return Some(format!("{}: cannot be read: {error}", file.display())),
        };
        let version = Version::of(&content, "");
        if in_force.is_some_and(|known| known.version.digest == version.digest) {
            return None;
        }
        let (short, name) = (version.short(), file.display());
        Some(format!(
            "{short}  {name}  is not in force: it is new, or was refused, and the server's log says why"
        ))
    }

    /// Whether a server has the data directory.
    pub(crate) fn is_running(&self) -> anyhow::Result<bool> {
        self.chooser().is_running().context("looking whether the server runs")
    }
}

fn with(mut value: serde_json::Value, name: &str, text: Option<String>) -> serde_json::Value {
    if let (Some(members), Some(text)) = (value.as_object_mut(), text) {
        members.insert(name.to_owned(), text.into());
    }
    value
}

/// Most bytes of a file that is read: a component, a script, or cases.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The content of a file and its name, up to a limit.
pub(crate) fn read(file: &Path) -> anyhow::Result<(Vec<u8>, String)> {
    let content = content_of(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    ensure!(!content.is_empty(), "{}: is empty", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((content, name))
}

/// The text of a file, up to the same limit.
pub(crate) fn read_text(file: &Path) -> anyhow::Result<String> {
    let text = content_of(file).and_then(|content| String::from_utf8(content).map_err(io::Error::other));
    text.with_context(|| format!("{}: cannot be read", file.display()))
}

/// Reads a file that may have no end, such as a device.
fn content_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        let most = MAX_FILE_BYTES >> 20;
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} MiB")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
