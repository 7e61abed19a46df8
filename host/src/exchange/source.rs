//! Where the wanted version comes from.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use larder_common::FileStamp;

use crate::versions::{InForce, Version, Versions};

/// What tells that a file is another one, by path.
pub(super) type Stamps = BTreeMap<PathBuf, Option<FileStamp>>;

/// Sources that are no files.
pub(crate) mod known {
    pub(crate) const CHOSEN: &str = "chosen";
    pub(crate) const BUILT_IN: &str = "built in";
    /// A call of the embedding program.
    pub(crate) const BY_CALL: &str = "call";
}

/// Which version an operator wants.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) versions: Versions,
    /// The configured file.
    pub(crate) file: Option<PathBuf>,
    /// What holds without one, and its name.
    pub(crate) built_in: (&'static [u8], &'static str),
}

/// A version that is wanted.
pub(crate) struct Wanted {
    pub(crate) content: Vec<u8>,
    pub(crate) version: Version,
    /// As in [`InForce::source`].
    pub(crate) source: String,
}

/// The file or the stored version cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be read")]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

impl Source {
    /// Returns what is wanted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn wanted(&self) -> Result<Wanted, Unreadable> {
        let unreadable = |source| Unreadable { path: self.versions.choice_file(), source };
        if let Some(version) = self.versions.chosen().map_err(unreadable)? {
            let content = self.content(&version).map_err(unreadable)?;
            return Ok(Wanted { content, version, source: known::CHOSEN.to_owned() });
        }
        let Some(file) = &self.file else { return Ok(self.built_in()) };
        let content = fs::read(file).map_err(|source| Unreadable { path: file.clone(), source })?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Wanted { version: Self::version(&content, &name), content, source: file.display().to_string() })
    }

    /// Returns versions to fall back on, the best first: those that were in force. For a configured
    /// file only what was in force from this very file, because another file is another wish.
    pub(crate) fn earlier(&self, wanted: &Wanted) -> Vec<(InForce, Vec<u8>)> {
        let may_replace = |known: &InForce| {
            known.version.digest != wanted.version.digest
                && self.versions.rejection(&known.version).is_none()
                && (wanted.source == known::CHOSEN || known.source == wanted.source)
        };
        let known = self.versions.history().into_iter().filter(may_replace);
        known.filter_map(|known| Some((known.clone(), self.content(&known.version).ok()?))).collect()
    }

    /// What tells that another version may be wanted.
    pub(super) fn stamps(&self) -> Stamps {
        let files = [Some(self.versions.choice_file()), self.file.clone()];
        files.into_iter().flatten().map(|path| (path.clone(), FileStamp::of(&path))).collect()
    }

    pub(crate) fn version(content: &[u8], name: &str) -> Version {
        Version::of(content, name)
    }

    fn built_in(&self) -> Wanted {
        let (content, name) = self.built_in;
        Wanted {
            version: Self::version(content, name),
            content: content.to_vec(),
            source: known::BUILT_IN.to_owned(),
        }
    }

    /// The built-in version is in the program, and not in the folder.
    fn content(&self, version: &Version) -> io::Result<Vec<u8>> {
        let built_in = self.built_in();
        if version.digest == built_in.version.digest {
            Ok(built_in.content)
        } else {
            self.versions.read(version)
        }
    }
}
