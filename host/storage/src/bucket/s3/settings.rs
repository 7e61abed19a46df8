//! The settings of the driver.

use std::{fmt, path::PathBuf, time::Duration};

use larder_common::Proxies;

/// The bucket, and how to reach it.
#[derive(Clone)]
pub struct S3Settings {
    /// The name of the bucket.
    pub bucket: String,
    /// Prefix of all keys; empty, or ends with a slash.
    pub prefix: String,
    /// The region. Default: from the environment or the profile, else `us-east-1` if there is an
    /// endpoint.
    pub region: Option<String>,
    /// The URL of a service other than Amazon's.
    pub endpoint: Option<String>,
    /// Put the bucket's name into the path instead of the host name, as other services often need.
    pub path_style: bool,
    /// The access key id. Default: the SDK's chain of environment, profile, web identity, and the
    /// metadata of the instance or task.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    pub secret_access_key: Option<String>,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    /// PEM file of certificates that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The configured proxies.
    pub proxies: Proxies,
    /// Timeout of opening a connection.
    pub connect_timeout: Duration,
    /// Longest time without a byte from the service: before the head of a response, if the request
    /// has no large body, and between two chunks. Such a request takes at most twice that, with all
    /// attempts.
    pub idle_timeout: Duration,
    /// The same for a request with a large body, counted from its start. Must be enough for 10 MiB.
    pub read_timeout: Duration,
    /// Timeout of such a request up to the head of its response, with all attempts.
    pub attempt_timeout: Duration,
    /// Most attempts of a request.
    pub attempts: u32,
}

impl S3Settings {
    /// Default settings for a bucket of Amazon's.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            path_style: false,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            ca_file: None,
            proxies: Proxies::default(),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            attempt_timeout: Duration::from_secs(120),
            attempts: 4,
        }
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("path_style", &self.path_style)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &self.secret_access_key.as_ref().map(|_| "…"))
            .field("session_token", &self.session_token.as_ref().map(|_| "…"))
            .field("ca_file", &self.ca_file)
            .field("proxies", &self.proxies)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("attempts", &self.attempts)
            .finish()
    }
}
