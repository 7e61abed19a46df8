//! What the driver has to be told.

use std::{fmt, path::PathBuf, time::Duration};

use larder_common::Proxies;

/// Where the bucket is, and how to reach it.
#[derive(Clone)]
pub struct S3Settings {
    /// The name of the bucket.
    pub bucket: String,
    /// Goes before each key; ends with a slash, or is empty.
    pub prefix: String,
    /// The region; unset: what the environment or the profile says, else `us-east-1` where there is an endpoint.
    pub region: Option<String>,
    /// The origin of a service that is not Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's name stands in the path instead of the host name; other services often need that.
    pub path_style: bool,
    /// The access key, with its secret; unset: found as the SDK does, from environment, profile, web identity or the
    /// metadata of the instance or task.
    pub access_key_id: Option<String>,
    /// Its secret.
    pub secret_access_key: Option<String>,
    /// What belongs to a key that is good for a while.
    pub session_token: Option<String>,
    /// Certificates in PEM form that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxies on the way.
    pub proxies: Proxies,
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// How long the service may be silent: to the head of an answer, where nothing large is sent, and then between any two
    /// chunks of it. Such a request takes at most twice that, with all its attempts.
    pub silence: Duration,
    /// The same, from the start of a request that sends a part. Must be enough for 10 MiB.
    pub read_timeout: Duration,
    /// How long such a request may take to the head of its answer, with all its attempts.
    pub attempt_timeout: Duration,
    /// How often a request is sent at most.
    pub attempts: u32,
}

impl S3Settings {
    /// Settings for a bucket of Amazon's, with defaults for everything else.
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
            silence: Duration::from_secs(10),
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
            .field("silence", &self.silence)
            .field("read_timeout", &self.read_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("attempts", &self.attempts)
            .finish()
    }
}
