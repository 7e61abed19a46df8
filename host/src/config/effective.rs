//! The provenance of each setting, and the effective configuration as text.

use std::{collections::BTreeMap, fmt, fmt::Write};

use toml::{Table, Value};

use super::Settings;

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Not set: the default.
    Default,
    /// From the configuration file.
    File,
    /// From this environment variable.
    Variable(&'static str),
    /// From this option of the command line.
    Option(&'static str),
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Option(name) => write!(f, "option {name}"),
        }
    }
}

/// The provenance of each setting, by dotted name.
#[derive(Clone, Debug, Default)]
pub(super) struct Provenances {
    known: BTreeMap<String, Provenance>,
    /// Whether they are those of a tenant's file, which no variable overlays.
    is_file_alone: bool,
}

impl Provenances {
    pub(super) fn set(&mut self, name: &str, provenance: Provenance) {
        self.known.insert(name.to_owned(), provenance);
    }

    /// Says that no variable overlays the file.
    pub(super) fn set_file_alone(&mut self) {
        self.is_file_alone = true;
    }

    /// Names a setting that is not set, for an error, with the variable that would set it.
    pub(super) fn unset(&self, name: &str, variable: &str) -> String {
        if self.is_file_alone { name.to_owned() } else { format!("{name} ({variable})") }
    }

    /// Says how to set a setting, in the file or by its variable.
    pub(super) fn assignment(&self, name: &str, variable: &str, value: &str) -> String {
        if self.is_file_alone { format!("{name} = \"{value}\"") } else { format!("{variable}={value}") }
    }

    pub(super) fn set_all(&mut self, table: &Table, provenance: Provenance) {
        each_setting(table, &mut String::new(), &mut |name, _| self.set(name, provenance));
    }

    pub(super) fn get(&self, name: &str) -> Provenance {
        self.known.get(name).copied().unwrap_or(Provenance::Default)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name) != Provenance::Default
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'static str> {
        match self.get(name) {
            Provenance::Variable(variable) => Some(variable),
            Provenance::Default | Provenance::File | Provenance::Option(_) => None,
        }
    }

    /// Names a setting for an error: as in the file, with the variable that set it.
    pub(super) fn name(&self, name: &str) -> String {
        self.variable(name).map_or_else(|| name.to_owned(), |variable| format!("{name} ({variable})"))
    }
}

/// Writes the settings as TOML that can be read back, each with its provenance as a comment.
pub(super) fn write(settings: &Settings, provenances: &Provenances) -> String {
    // The settings are plain structures of text, numbers and lists: they always serialize.
    let table = Table::try_from(settings).unwrap_or_default();
    let mut text = String::new();
    write_table(&table, &mut String::new(), provenances, &mut text);
    text
}

fn write_table(table: &Table, prefix: &mut String, provenances: &Provenances, text: &mut String) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{key} = {value} # {}", provenances.get(&format!("{prefix}{key}")));
    }
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        let length = prefix.len();
        let _ = writeln!(text, "\n[{prefix}{key}]");
        prefix.push_str(key);
        prefix.push('.');
        write_table(inner, prefix, provenances, text);
        prefix.truncate(length);
    }
}

/// Calls `visit` for each setting of a table, with its dotted name.
pub(super) fn each_setting(table: &Table, prefix: &mut String, visit: &mut impl FnMut(&str, &Value)) {
    for (key, value) in table {
        let length = prefix.len();
        prefix.push_str(key);
        if let Value::Table(inner) = value {
            prefix.push('.');
            each_setting(inner, prefix, visit);
        } else {
            visit(prefix, value);
        }
        prefix.truncate(length);
    }
}
