//! The section `storage`: where the bytes are, and what each kind of storage needs to know.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{optional, secret::Secret, sections::choice};

const MIB: u64 = 1024 * 1024;
const SECOND: u64 = 1000;

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Which kind of storage.
    pub driver: StorageDriver,
    /// How many bytes of uploads may be in memory at once. 64 MiB where nothing is set and the
    /// storage is a bucket.
    pub buffer_bytes: u64,
    /// What the keys in a bucket begin with, so that it can be shared; empty, or folders with a
    /// slash between them.
    pub prefix: String,
    /// Whether the SHA-256 of what is stored is computed and recorded, for `larder scrub`.
    pub digests: Digests,
    /// Settings of the driver `filesystem`.
    pub filesystem: Filesystem,
    /// Settings of the driver `s3`.
    pub s3: S3,
    /// Settings of the driver `gcs`.
    pub gcs: Gcs,
    /// Settings of the driver `azblob`.
    pub azblob: Azblob,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            driver: StorageDriver::Filesystem,
            buffer_bytes: 24 * MIB,
            prefix: String::new(),
            digests: Digests::Auto,
            filesystem: Filesystem::default(),
            s3: S3::default(),
            gcs: Gcs::default(),
            azblob: Azblob::default(),
        }
    }
}

/// Whether digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Digests {
    /// Where the CPU has instructions for it.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// A folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filesystem {
    /// The folder; `<data>/storage` if not set. Always set in a configuration in force whose driver
    /// this is.
    #[serde(with = "optional")]
    pub path: Option<PathBuf>,
    /// How many bytes of the disk stay free; 0: 1 % of it, but 16 MiB at least and 1 GiB at most.
    pub reserve_bytes: u64,
}

/// A bucket of Amazon S3, or of a server that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// The bucket. Always set in a configuration in force whose driver this is.
    #[serde(with = "optional")]
    pub bucket: Option<String>,
    /// The region; unset: what the AWS SDK finds (profile, instance).
    #[serde(with = "optional")]
    pub region: Option<String>,
    /// The server; unset: Amazon's, or what the AWS SDK finds.
    #[serde(with = "optional")]
    pub endpoint: Option<String>,
    /// The key's name; unset: what the AWS SDK finds (profile, web identity, container, instance).
    #[serde(with = "optional")]
    pub access_key_id: Option<String>,
    /// The key.
    #[serde(with = "optional")]
    pub secret_access_key: Option<Secret>,
    /// What belongs to a key that is good for a while.
    #[serde(with = "optional")]
    pub session_token: Option<Secret>,
    /// Where the bucket's name is in a URL.
    pub path_style: PathStyle,
    /// How long the server may be silent.
    pub timeout_ms: u64,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: None,
            region: None,
            endpoint: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            path_style: PathStyle::Auto,
            timeout_ms: 10 * SECOND,
        }
    }
}

impl S3 {
    /// Returns whether the bucket's name is in the path: most servers other than Amazon's have one
    /// host name only.
    #[must_use]
    pub fn is_path_style(&self) -> bool {
        match self.path_style {
            PathStyle::Auto => self.endpoint.is_some(),
            PathStyle::On => true,
            PathStyle::Off => false,
        }
    }
}

/// Where a bucket's name is in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathStyle {
    /// In the path where an endpoint is set, else in the host's name.
    Auto,
    /// In the path.
    On,
    /// In the host's name.
    Off,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gcs {
    /// The bucket. Always set in a configuration in force whose driver this is.
    #[serde(with = "optional")]
    pub bucket: Option<String>,
    /// A service account's key: its JSON, or the path of a file that holds it; unset: the
    /// application default credentials (`GOOGLE_APPLICATION_CREDENTIALS`, workload identity, the
    /// metadata server).
    #[serde(with = "optional")]
    pub service_account_key: Option<Secret>,
    /// Another server, such as an emulator; without a key, requests are anonymous.
    #[serde(with = "optional")]
    pub endpoint: Option<String>,
    /// How long the server may be silent.
    pub timeout_ms: u64,
}

impl Default for Gcs {
    fn default() -> Self {
        Self { bucket: None, service_account_key: None, endpoint: None, timeout_ms: 10 * SECOND }
    }
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Azblob {
    /// The container. Always set in a configuration in force whose driver this is.
    #[serde(with = "optional")]
    pub container: Option<String>,
    /// Account, key or shared access signature, and endpoint, as the portal shows them.
    #[serde(with = "optional")]
    pub connection_string: Option<Secret>,
    /// The account, if there is no connection string: authenticated by workload identity or a
    /// managed identity.
    #[serde(with = "optional")]
    pub account: Option<String>,
    /// The account's server, where it is not `https://<account>.blob.core.windows.net`.
    #[serde(with = "optional")]
    pub endpoint: Option<String>,
    /// How long the server may be silent.
    pub timeout_ms: u64,
}

impl Default for Azblob {
    fn default() -> Self {
        Self {
            container: None,
            connection_string: None,
            account: None,
            endpoint: None,
            timeout_ms: 10 * SECOND,
        }
    }
}

/// Which kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageDriver {
    /// A folder.
    Filesystem,
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
}

impl StorageDriver {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azblob => "azblob",
        }
    }
}

choice!(StorageDriver, "filesystem, s3, gcs or azblob", [
    "filesystem" => Self::Filesystem, "s3" => Self::S3, "gcs" => Self::Gcs, "azblob" => Self::Azblob
]);
choice!(Digests, "auto, on or off", ["auto" => Self::Auto, "on" => Self::On, "off" => Self::Off]);
choice!(PathStyle, "auto, on or off", ["auto" => Self::Auto, "on" => Self::On, "off" => Self::Off]);

/// What clients download without this server in between.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downloads {
    /// Whether clients get URLs of the storage itself, where it has any.
    pub direct: bool,
    /// How long such a URL is good, in minutes.
    pub direct_url_minutes: u64,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { direct: false, direct_url_minutes: 10 }
    }
}
