//! What must be true of the storage's settings.

use std::path::Path;

use http::Uri;

use super::{Check, shown};
use crate::config::{ConfigError, Settings, Storage, StorageDriver, effective::Provenances};

/// A setting that belongs to one driver.
struct Given {
    name: &'static str,
    /// The variable that is named for it where it is missing.
    variable: &'static str,
    is_set: bool,
}

/// What uploads may have in memory where nothing is configured: parts for a bucket are larger than
/// what a disk is given at once.
const BUCKET_BUFFER_BYTES: u64 = 64 << 20;
/// Longest prefix of keys, in bytes: a whole key stays below the limit of every service (1,024
/// bytes).
const MAX_PREFIX_BYTES: usize = 512;

/// Fills in what follows from other settings.
pub(in crate::config) fn resolve(storage: &mut Storage, data: &Path, provenances: &Provenances) {
    if storage.driver == StorageDriver::Filesystem {
        storage.filesystem.path.get_or_insert_with(|| data.join("storage"));
    } else if !provenances.is_set("storage.buffer_bytes") {
        storage.buffer_bytes = BUCKET_BUFFER_BYTES;
    }
    storage.prefix = storage.prefix.trim_matches('/').to_owned();
    for endpoint in [&mut storage.s3.endpoint, &mut storage.gcs.endpoint, &mut storage.azblob.endpoint] {
        *endpoint = endpoint.take().map(|url| url.trim().trim_end_matches('/').to_owned());
    }
}

/// Says which settings are set and change nothing.
pub(in crate::config) fn without_effect(settings: &Settings, provenances: &Provenances) -> Option<String> {
    let none = settings.downloads.direct && settings.storage.driver == StorageDriver::Filesystem;
    none.then(|| {
        format!(
            "{} is set but has no effect: a folder has no URLs, so all downloads go through this server",
            provenances.name("downloads.direct")
        )
    })
}

/// Checks the settings of a storage by themselves.
pub(in crate::config) fn alone(storage: &Storage, provenances: &Provenances) -> Result<(), ConfigError> {
    Check(provenances).storage(storage)
}

impl Check<'_> {
    pub(super) fn storage(&self, storage: &Storage) -> Result<(), ConfigError> {
        self.of_the_driver(storage)?;
        self.bucket("storage.s3.bucket", storage.s3.bucket.as_deref())?;
        self.bucket("storage.gcs.bucket", storage.gcs.bucket.as_deref())?;
        self.bucket("storage.azblob.container", storage.azblob.container.as_deref())?;
        self.bucket("storage.azblob.account", storage.azblob.account.as_deref())?;
        self.prefix_of_keys(&storage.prefix)?;
        self.endpoint("storage.s3.endpoint", storage.s3.endpoint.as_deref())?;
        self.endpoint("storage.gcs.endpoint", storage.gcs.endpoint.as_deref())?;
        self.endpoint("storage.azblob.endpoint", storage.azblob.endpoint.as_deref())?;
        match storage.driver {
            StorageDriver::Filesystem => Ok(()),
            StorageDriver::S3 => self.s3(storage),
            StorageDriver::Gcs => self.needed(storage, "storage.gcs.bucket"),
            StorageDriver::Azblob => self.azblob(storage),
        }
    }

    /// Refuses settings of a driver that is not selected: their author expects the data to be
    /// stored there.
    fn of_the_driver(&self, storage: &Storage) -> Result<(), ConfigError> {
        let chosen = storage.driver.name();
        let bucket_only = storage.driver == StorageDriver::Filesystem && !storage.prefix.is_empty();
        let driver_of = |given: &Given| given.name.split('.').nth(1).unwrap_or_default();
        let foreign = all_given(storage).into_iter().find(|given| given.is_set && driver_of(given) != chosen);
        let (name, wanted) = match foreign {
            Some(given) => (given.name, driver_of(&given)),
            None if bucket_only => ("storage.prefix", "s3, gcs or azblob"),
            None => return Ok(()),
        };
        let driver = if self.0.is_set("storage.driver") {
            format!("{} is `{chosen}`", self.0.name("storage.driver"))
        } else {
            "STORAGE_DRIVER is not set".to_owned()
        };
        let name = self.0.name(name);
        let set = self.0.assignment("storage.driver", "STORAGE_DRIVER", wanted);
        Err(ConfigError::Contradiction(format!(
            "{name} is set, but {driver}: set {set} to use it, or remove it"
        )))
    }

    fn needed(&self, storage: &Storage, name: &str) -> Result<(), ConfigError> {
        let needed = given(storage, name);
        if needed.is_none_or(|needed| needed.is_set) {
            return Ok(());
        }
        self.missing(storage, &format!("{} is not set", self.unset(storage, name)))
    }

    fn missing(&self, storage: &Storage, what: &str) -> Result<(), ConfigError> {
        let driver = self.0.name("storage.driver");
        Err(ConfigError::Contradiction(format!("{driver} is `{}`, but {what}", storage.driver.name())))
    }

    fn s3(&self, storage: &Storage) -> Result<(), ConfigError> {
        self.needed(storage, "storage.s3.bucket")?;
        let (id, secret) = ("storage.s3.access_key_id", "storage.s3.secret_access_key");
        for (one, other) in [(id, secret), (secret, id), ("storage.s3.session_token", id)] {
            if is_set(storage, one) && !is_set(storage, other) {
                return Err(ConfigError::Contradiction(format!(
                    "{} is set, but {} is not",
                    self.0.name(one),
                    self.unset(storage, other)
                )));
            }
        }
        Ok(())
    }

    fn azblob(&self, storage: &Storage) -> Result<(), ConfigError> {
        self.needed(storage, "storage.azblob.container")?;
        let (connection, account) = ("storage.azblob.connection_string", "storage.azblob.account");
        for other in [account, "storage.azblob.endpoint"] {
            if is_set(storage, connection) && is_set(storage, other) {
                return Err(ConfigError::Contradiction(format!(
                    "{} and {} are both set; a connection string says it all, so keep one",
                    self.0.name(connection),
                    self.0.name(other)
                )));
            }
        }
        if is_set(storage, connection) || is_set(storage, account) {
            return Ok(());
        }
        let (connection, account) = (self.unset(storage, connection), self.unset(storage, account));
        self.missing(storage, &format!("neither {connection} nor {account} is set"))
    }

    /// Names a setting that is not set, and the variable that would set it.
    fn unset(&self, storage: &Storage, name: &str) -> String {
        self.0.unset(name, given(storage, name).map_or("", |given| given.variable))
    }

    /// The name of a bucket, container or account: what the services allow, taken together. It
    /// becomes a part of URLs.
    fn bucket(&self, name: &str, bucket: Option<&str>) -> Result<(), ConfigError> {
        let Some(bucket) = bucket else { return Ok(()) };
        let form = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let holds = (3..=222).contains(&bucket.len())
            && bucket.bytes().all(form)
            && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !bucket.contains("..");
        self.that(name, holds, || {
            format!("is `{bucket}`; it must be a name alone: 3 or more letters, digits, `-`, `.` and `_`, no URL and no path")
        })
    }

    fn prefix_of_keys(&self, prefix: &str) -> Result<(), ConfigError> {
        let form = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
        let folders = prefix.split('/').all(|folder| !["", ".", ".."].contains(&folder));
        let holds =
            prefix.is_empty() || prefix.len() <= MAX_PREFIX_BYTES && prefix.bytes().all(form) && folders;
        self.that("storage.prefix", holds, || {
            format!(
                "is `{prefix}`; it must be folders of letters, digits, `-`, `.` and `_`, with `/` between them, \
                 at most {MAX_PREFIX_BYTES} characters"
            )
        })
    }

    /// A server. A path may be part of it (the account, for emulators of Azure).
    fn endpoint(&self, name: &str, url: Option<&str>) -> Result<(), ConfigError> {
        let Some(text) = url else { return Ok(()) };
        let url: Option<Uri> = text.parse().ok();
        let parts =
            url.as_ref().and_then(|url| Some((url.scheme_str()?, url.authority()?.as_str(), url.query())));
        let fault = match parts {
            Some((scheme, ..)) if !["http", "https"].contains(&scheme) => {
                "it must start with http:// or https://"
            }
            Some((_, authority, _)) if authority.contains('@') => "it must not hold a user name or password",
            Some((.., Some(_))) => "it must not have a query",
            Some((.., None)) => return Ok(()),
            None => "it must be like https://storage.example.com",
        };
        self.that(name, false, || format!("is {}; {fault}", shown(text)))
    }
}

fn given(storage: &Storage, name: &str) -> Option<Given> {
    all_given(storage).into_iter().find(|given| given.name == name)
}

pub(in crate::config) fn is_set(storage: &Storage, name: &str) -> bool {
    given(storage, name).is_some_and(|given| given.is_set)
}

/// What belongs to one driver.
fn all_given(storage: &Storage) -> Vec<Given> {
    let Storage { filesystem, s3, gcs, azblob, .. } = storage;
    let unchanged = Storage::default();
    [
        ("storage.filesystem.path", "STORAGE_FILESYSTEM_PATH", filesystem.path.is_some()),
        ("storage.filesystem.reserve_bytes", "LARDER_RESERVE_BYTES", filesystem.reserve_bytes != 0),
        ("storage.s3.bucket", "STORAGE_S3_BUCKET", s3.bucket.is_some()),
        ("storage.s3.region", "AWS_REGION", s3.region.is_some()),
        ("storage.s3.endpoint", "AWS_ENDPOINT_URL", s3.endpoint.is_some()),
        ("storage.s3.access_key_id", "AWS_ACCESS_KEY_ID", s3.access_key_id.is_some()),
        ("storage.s3.secret_access_key", "AWS_SECRET_ACCESS_KEY", s3.secret_access_key.is_some()),
        ("storage.s3.session_token", "AWS_SESSION_TOKEN", s3.session_token.is_some()),
        ("storage.s3.path_style", "LARDER_S3_PATH_STYLE", s3.path_style != unchanged.s3.path_style),
        ("storage.s3.timeout_ms", "STORAGE_S3_SOCKET_TIMEOUT_MS", s3.timeout_ms != unchanged.s3.timeout_ms),
        ("storage.gcs.bucket", "STORAGE_GCS_BUCKET", gcs.bucket.is_some()),
        (
            "storage.gcs.service_account_key",
            "STORAGE_GCS_SERVICE_ACCOUNT_KEY",
            gcs.service_account_key.is_some(),
        ),
        ("storage.gcs.endpoint", "STORAGE_GCS_ENDPOINT", gcs.endpoint.is_some()),
        ("storage.azblob.container", "STORAGE_AZBLOB_CONTAINER", azblob.container.is_some()),
        (
            "storage.azblob.connection_string",
            "STORAGE_AZBLOB_CONNECTION_STRING",
            azblob.connection_string.is_some(),
        ),
        ("storage.azblob.account", "STORAGE_AZBLOB_ACCOUNT", azblob.account.is_some()),
        ("storage.azblob.endpoint", "STORAGE_AZBLOB_ENDPOINT", azblob.endpoint.is_some()),
    ]
    .map(|(name, variable, is_set)| Given { name, variable, is_set })
    .into()
}
