//! The section `storage` of a tenant's file: where its objects are, if not in the server's storage.
//!
//! It inherits no name and no credential of the server: neither from its configuration nor from its
//! environment or machine.

use std::{
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use crate::config::{
    ConfigError, Settings, Storage, StorageDriver,
    check::storage::{alone, is_set, resolve},
    effective::Provenances,
    file::RawSettings,
};

/// What is the same for all storages of a server.
const COMMON: [&str; 2] = ["storage.buffer_bytes", "storage.filesystem.reserve_bytes"];

/// A tenant's file, of which only this section is read.
#[derive(Deserialize)]
struct StorageOnly {
    storage: Option<Storage>,
}

/// Reads the section of a file whose other sections do not matter; `None` if it has none.
///
/// # Errors
/// When the section has a fault, or when the file cannot be read as TOML and may have the section.
pub(super) fn read(path: &Path, server: &Settings) -> Result<Option<Storage>, ConfigError> {
    let source = match RawSettings::read(path) {
        Ok(mut source) => {
            source.provenances.set_file_alone();
            source
        }
        // Nothing in it says `[storage]`.
        Err(ConfigError::File { .. })
            if fs::read_to_string(path).is_ok_and(|text| !text.contains("storage")) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let StorageOnly { storage } = source.parse()?;
    storage.map(|storage| complete(storage, server, &source.provenances)).transpose()
}

/// Checks the section, and fills in what follows from other settings.
///
/// # Errors
/// When it does not say of its own where the objects are, and with which credentials.
pub(super) fn complete(
    mut storage: Storage,
    server: &Settings,
    provenances: &Provenances,
) -> Result<Storage, ConfigError> {
    let setting = |name: &str, problem: &str| {
        Err(ConfigError::Setting { setting: name.to_owned(), problem: problem.to_owned() })
    };
    if let Some(name) = COMMON.iter().find(|name| provenances.is_set(name)) {
        return setting(name, "is the same for all tenants: set it in the server's file");
    }
    if !provenances.is_set("storage.driver") {
        return setting("storage.driver", "is not set: a storage of a tenant's own must say what it is");
    }
    if storage.driver == StorageDriver::Filesystem {
        match &storage.filesystem.path {
            Some(path) if is_plain(path) => {}
            Some(_) => return setting("storage.filesystem.path", "must be an absolute path without `..`"),
            None => {
                return setting("storage.filesystem.path", "is not set: a tenant's folder has no default");
            }
        }
        storage.filesystem.reserve_bytes = server.storage.filesystem.reserve_bytes;
    }
    resolve(&mut storage, &server.data, provenances);
    storage.buffer_bytes = server.storage.buffer_bytes;
    alone(&storage, provenances)?;
    credentials(&storage)?;
    Ok(storage)
}

fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

/// What the drivers look up where nothing is configured (variables, profiles, the machine's
/// identity) is the server's.
fn credentials(storage: &Storage) -> Result<(), ConfigError> {
    let needed = match storage.driver {
        StorageDriver::Filesystem => return Ok(()),
        StorageDriver::S3 => "storage.s3.access_key_id",
        // With an endpoint, requests without a key are anonymous.
        StorageDriver::Gcs if storage.gcs.endpoint.is_some() => return Ok(()),
        StorageDriver::Gcs => "storage.gcs.service_account_key",
        StorageDriver::Azblob => "storage.azblob.connection_string",
    };
    if is_set(storage, needed) {
        return Ok(());
    }
    let problem =
        "is not set: a tenant's storage is used with credentials of its own, never with the server's";
    Err(ConfigError::Setting { setting: needed.to_owned(), problem: problem.to_owned() })
}

/// Where a storage is, as far as it can be compared.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Folder(PathBuf),
    /// Of whichever service and account: one service may have several names.
    Bucket {
        name: String,
        prefix: String,
    },
}

impl Place {
    pub(super) fn of(storage: &Storage) -> Self {
        let Storage { filesystem, s3, gcs, azblob, prefix, .. } = storage;
        let name = match storage.driver {
            StorageDriver::Filesystem => {
                return Self::folder(filesystem.path.as_deref().unwrap_or(Path::new("")));
            }
            StorageDriver::S3 => &s3.bucket,
            StorageDriver::Gcs => &gcs.bucket,
            StorageDriver::Azblob => &azblob.container,
        };
        let name = name.as_deref().unwrap_or_default().to_ascii_lowercase();
        Self::Bucket { name, prefix: prefix.clone() }
    }

    /// A folder, which need not exist.
    pub(super) fn folder(path: &Path) -> Self {
        Self::Folder(canonical(path))
    }

    /// Returns whether one of them is in the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => one.starts_with(other) || other.starts_with(one),
            (Self::Bucket { name, prefix }, Self::Bucket { name: other, prefix: others }) => {
                let (one, second) = (Path::new(prefix), Path::new(others));
                name == other && (one.starts_with(second) || second.starts_with(one))
            }
            (Self::Folder(_), Self::Bucket { .. }) | (Self::Bucket { .. }, Self::Folder(_)) => false,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "the folder {}", path.display()),
            Self::Bucket { name, prefix } if prefix.is_empty() => write!(f, "the bucket {name}"),
            Self::Bucket { name, prefix } => write!(f, "{prefix}/ in the bucket {name}"),
        }
    }
}

/// Resolves the links of a path as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (mut exists, mut rest) = (whole.as_path(), Vec::<OsString>::new());
    loop {
        if let Ok(real) = fs::canonicalize(exists) {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (exists.parent(), exists.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                exists = parent;
            }
            _ => return whole,
        }
    }
}

#[cfg(test)]
mod tests;
