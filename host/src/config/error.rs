//! Why a configuration is refused.

use std::path::PathBuf;

/// Why a configuration is refused. Each is one sentence that names the setting, and never holds a
/// secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The configuration file is not TOML, or holds a setting that is not known or not of its type.
    #[error("{path}, line {line}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem, and the allowed values.
        problem: String,
    },
    /// A setting has a value that is not allowed.
    #[error("{setting} {problem}")]
    Setting {
        /// The name in the file, with the variable in brackets if that set it; or the variable
        /// alone.
        setting: String,
        /// The value, unless it is secret, and the allowed values.
        problem: String,
    },
    /// An unknown variable with a prefix of this server.
    #[error("the environment variable {name} is not known; did you mean {nearest}?")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The known one whose name is most like it.
        nearest: &'static str,
    },
    /// A variable looks like a misspelt one of this server.
    #[error(
        "the environment variable {name} is not known; did you mean {nearest}? (if it is another program's, start this \
         server without it)"
    )]
    NearMiss {
        /// The variable.
        name: String,
        /// The known one that it looks like.
        nearest: &'static str,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Contradiction(String),
}
