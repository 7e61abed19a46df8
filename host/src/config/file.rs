//! The configuration file, and the settings before they are checked.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{ConfigError, Provenance, Settings, effective::Provenances};

/// Shorter words of an error are not treated as a quotation of the file.
const LEAST_QUOTED: usize = 4;

/// The settings that are set, from the file and then from variables, not checked yet.
#[derive(Default)]
pub(super) struct RawSettings {
    pub(super) provenances: Provenances,
    table: Table,
    file: Option<(PathBuf, String)>,
}

impl RawSettings {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let table: Table =
            toml::from_str(&text).map_err(|e| in_file(path, &text, &e, &without_values(&e, &text)))?;
        let mut provenances = Provenances::default();
        provenances.set_all(&table, Provenance::File);
        Ok(Self { provenances, table, file: Some((path.to_owned(), text)) })
    }

    /// Sets one setting, by its dotted name.
    pub(super) fn set(&mut self, name: &str, value: Value, provenance: Provenance) {
        let mut table = &mut self.table;
        let mut rest = name;
        while let Some((section, key)) = rest.split_once('.') {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            // A file with something else in a section's place is refused when it is read as
            // settings.
            let Value::Table(inner) = entry else { return };
            (table, rest) = (inner, key);
        }
        table.insert(rest.to_owned(), value);
        self.provenances.set(name, provenance);
    }

    /// Reads the settings of a server: names, types and choices are checked.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        self.parse()
    }

    /// Reads settings of this form.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        T::deserialize(self.table.clone()).map_err(|error| self.explain::<T>(&error))
    }

    /// The file, if there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Describes an error in one sentence. The library's own text shows the line, which may hold a
    /// secret.
    fn explain<T: DeserializeOwned>(&self, error: &toml::de::Error) -> ConfigError {
        let problem = error.message().replace('\n', ", ");
        let name = setting_in(error).unwrap_or_default();
        let of_the_file = || self.file.as_ref().filter(|_| self.provenances.variable(&name).is_none());
        // Read once more, for the line alone. With two faults, that may find the other one first.
        let same_fault = |other: &toml::de::Error| other.message() == error.message();
        let placed = of_the_file().and_then(|(path, text)| {
            let fault = toml::from_str::<T>(text).err().filter(same_fault)?;
            Some((path, text, fault))
        });
        match placed {
            Some((path, text, placed)) => in_file(path, text, &placed, &format!("{name}: {problem}")),
            None => ConfigError::Setting { setting: self.provenances.name(&name), problem },
        }
    }
}

/// Returns the setting's name, which the library reports only in its text, on a line of its own.
fn setting_in(error: &toml::de::Error) -> Option<String> {
    let text = error.to_string();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("in `"))?;
    Some(line.trim_end_matches('`').to_owned())
}

fn in_file(path: &Path, text: &str, error: &toml::de::Error, problem: &str) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
    ConfigError::File { path: path.to_owned(), line, problem: problem.replace('\n', ", ") }
}

/// Describes text that is not TOML. The library quotes the text that it cannot parse, which may be
/// a secret without quotes: words of the setting's value are left out.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| text.floor_char_boundary(span.start));
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    let words = error.message().split_inclusive(|c: char| !c.is_alphanumeric());
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
            if bare.len() >= LEAST_QUOTED && value.contains(bare) {
                word.replacen(bare, "…", 1)
            } else {
                word.to_owned()
            }
        })
        .collect()
}
