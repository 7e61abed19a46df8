//! Where each setting comes from, and the configuration in force as text.

use std::{collections::BTreeMap, fmt, fmt::Write};

use toml::{Table, Value};

use super::Settings;

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is not set.
    Default,
    /// From the configuration file.
    File,
    /// From this environment variable.
    Variable(&'static str),
    /// From this option of the command line.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Option(name) => write!(f, "option {name}"),
        }
    }
}

/// Where the settings come from, by dotted name.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(super) fn set(&mut self, name: &str, origin: Origin) {
        self.0.insert(name.to_owned(), origin);
    }

    pub(super) fn set_all(&mut self, table: &Table, origin: Origin) {
        each_setting(table, &mut String::new(), &mut |name, _| self.set(name, origin));
    }

    pub(super) fn get(&self, name: &str) -> Origin {
        self.0.get(name).copied().unwrap_or(Origin::Default)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name) != Origin::Default
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'static str> {
        match self.get(name) {
            Origin::Variable(variable) => Some(variable),
            Origin::Default | Origin::File | Origin::Option(_) => None,
        }
    }

    /// Names a setting for an error: as in the file, with the variable that set it.
    pub(super) fn name(&self, name: &str) -> String {
        self.variable(name).map_or_else(|| name.to_owned(), |variable| format!("{name} ({variable})"))
    }
}

/// Writes the settings as TOML that can be read back, with their origins.
pub(super) fn write(settings: &Settings, origins: &Origins) -> String {
    // The settings are plain structures of text, numbers and lists: they always serialize.
    let table = Table::try_from(settings).unwrap_or_default();
    let mut text = String::new();
    write_table(&table, &mut String::new(), origins, &mut text);
    text
}

fn write_table(table: &Table, prefix: &mut String, origins: &Origins, text: &mut String) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{key} = {value} # {}", origins.get(&format!("{prefix}{key}")));
    }
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        let length = prefix.len();
        let _ = writeln!(text, "\n[{prefix}{key}]");
        prefix.push_str(key);
        prefix.push('.');
        write_table(inner, prefix, origins, text);
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
