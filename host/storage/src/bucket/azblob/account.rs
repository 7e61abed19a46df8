//! The account of the container, and its credentials.

use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::{StorageError, bucket::http::unavailable};

/// The well-known account and key of the emulators.
const DEVELOPMENT: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);
const DEVELOPMENT_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";
const PUBLIC_SUFFIX: &str = "core.windows.net";

/// Settings of a container.
#[derive(Clone, Debug)]
pub struct AzblobSettings {
    /// The name of the container.
    pub container: String,
    /// Prefix of all keys; empty, or folders with a slash between them.
    pub prefix: String,
    /// The account.
    pub account: AzblobAccount,
    /// Longest time without a byte from the server.
    pub timeout: Duration,
    /// The trusted certificates.
    pub tls: rustls::ClientConfig,
    /// The configured proxies.
    pub proxies: larder_common::Proxies,
}

/// An account and its credentials.
#[derive(Clone)]
pub enum AzblobAccount {
    /// The connection string that the portal shows: account, key or shared access signature,
    /// endpoint.
    ConnectionString(String),
    /// A workload identity (`AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`,
    /// as Kubernetes sets them), or the machine's managed identity.
    Identity {
        /// The name of the account.
        account: String,
        /// Its server, if it is not `https://<account>.blob.core.windows.net`.
        endpoint: Option<String>,
    },
}

impl std::fmt::Debug for AzblobAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConnectionString(_) => f.write_str("ConnectionString(***)"),
            Self::Identity { account, endpoint } => write!(f, "Identity({account}, {endpoint:?})"),
        }
    }
}

/// A parsed account.
pub(super) struct Account {
    /// Has the credentials.
    pub(super) builder: MicrosoftAzureBuilder,
    pub(super) name: String,
    /// The URL of the service, without credentials.
    pub(super) service_url: String,
}

/// What is wrong with a connection string. It is not quoted, because it contains a key.
#[derive(Debug, thiserror::Error)]
#[error("storage.azblob.connection_string (STORAGE_AZBLOB_CONNECTION_STRING) {0}")]
struct BadConnectionString(&'static str);

/// The fields of a connection string.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionFields<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    pub(super) endpoint: Option<String>,
}

impl AzblobAccount {
    /// Reads the configured account.
    pub(super) fn read(&self) -> Result<Account, StorageError> {
        match self {
            Self::ConnectionString(text) => {
                let parsed = ConnectionFields::parse(text).and_then(|connection| connection.read());
                parsed.map_err(|problem| {
                    unavailable("reading the connection string", BadConnectionString(problem))
                })
            }
            Self::Identity { account, endpoint } => {
                let service_url =
                    endpoint.clone().unwrap_or_else(|| public_endpoint("https", account, PUBLIC_SUFFIX));
                // The library reads the variables of Kubernetes and the machine's identity.
                let builder = MicrosoftAzureBuilder::from_env().with_account(account);
                Ok(Account { builder: at(builder, &service_url), name: account.clone(), service_url })
            }
        }
    }
}

impl<'a> ConnectionFields<'a> {
    /// Parses `Name=value;Name=value`. Names that are not about blobs are ignored.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let mut found = Self::default();
        let (mut scheme, mut suffix) = ("https", PUBLIC_SUFFIX);
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("is not of the form Name=value;Name=value")?;
            match name.to_ascii_lowercase().as_str() {
                "accountname" => found.account = Some(value),
                "accountkey" => found.key = Some(value),
                "sharedaccesssignature" => found.signature = Some(value.trim_start_matches('?')),
                "blobendpoint" => found.endpoint = Some(value.trim_end_matches('/').to_owned()),
                "defaultendpointsprotocol" => scheme = value,
                "endpointsuffix" => suffix = value,
                "usedevelopmentstorage" if value.eq_ignore_ascii_case("true") => {
                    (found.account, found.key) = (Some(DEVELOPMENT.0), Some(DEVELOPMENT.1));
                    found.endpoint = Some(DEVELOPMENT_ENDPOINT.to_owned());
                }
                _ => {}
            }
        }
        if found.endpoint.is_none() {
            found.endpoint = found.account.map(|account| public_endpoint(scheme, account, suffix));
        }
        Ok(found)
    }

    /// The account, from its own field or the endpoint's host.
    pub(super) fn account(&self) -> Option<&str> {
        let of_endpoint = || {
            let (_, rest) = self.endpoint.as_deref()?.split_once("://")?;
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            Some(if path.is_empty() { host.split('.').next()? } else { path })
        };
        self.account.or_else(of_endpoint).filter(|account| !account.is_empty())
    }

    fn read(&self) -> Result<Account, &'static str> {
        let service_url = self.endpoint.clone().ok_or("has neither AccountName nor BlobEndpoint")?;
        let account =
            self.account().ok_or("has neither AccountName nor a BlobEndpoint that names the account")?;
        let builder = at(MicrosoftAzureBuilder::new().with_account(account), &service_url);
        let builder = match (self.key, self.signature) {
            (Some(key), _) => builder.with_access_key(key),
            (None, Some(signature)) => builder.with_config(AzureConfigKey::SasKey, signature),
            (None, None) => return Err("has neither AccountKey nor SharedAccessSignature"),
        };
        Ok(Account { builder, name: account.to_owned(), service_url })
    }
}

fn at(builder: MicrosoftAzureBuilder, service_url: &str) -> MicrosoftAzureBuilder {
    builder.with_endpoint(service_url.to_owned()).with_allow_http(service_url.starts_with("http://"))
}

fn public_endpoint(scheme: &str, account: &str, suffix: &str) -> String {
    format!("{scheme}://{account}.blob.{suffix}")
}
