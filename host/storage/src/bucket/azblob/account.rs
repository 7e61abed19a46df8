//! Whose container it is, and how that is proved.

use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::{StorageError, bucket::http::unavailable};

/// The account and key of the emulators, which everyone knows.
const DEVELOPMENT: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);
const DEVELOPMENT_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";
const PUBLIC_SUFFIX: &str = "core.windows.net";

/// What a container needs to know.
#[derive(Clone, Debug)]
pub struct AzblobSettings {
    /// The container.
    pub container: String,
    /// What all keys begin with; empty, or folders with a slash between them.
    pub prefix: String,
    /// The account.
    pub account: AzblobAccount,
    /// How long the server may be silent.
    pub timeout: Duration,
    /// Whose certificates are trusted.
    pub tls: rustls::ClientConfig,
    /// The proxies on the way.
    pub proxies: larder_common::Proxies,
}

/// An account, and how to prove that it may be used.
#[derive(Clone)]
pub enum AzblobAccount {
    /// As the portal shows it: account, key or shared access signature, endpoint.
    ConnectionString(String),
    /// By a workload identity (`AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`, as Kubernetes sets them)
    /// or the machine's managed identity.
    Identity {
        /// Its name.
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

/// An account as it was read.
pub(super) struct Account {
    /// Knows how to prove itself.
    pub(super) builder: MicrosoftAzureBuilder,
    pub(super) name: String,
    /// Where it is, without a credential.
    pub(super) place: String,
}

/// What is wrong with a connection string, without a word of it.
#[derive(Debug, thiserror::Error)]
#[error("storage.azblob.connection_string (STORAGE_AZBLOB_CONNECTION_STRING) {0}")]
struct BadConnectionString(&'static str);

/// The parts of a connection string.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Connection<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    pub(super) endpoint: Option<String>,
}

impl AzblobAccount {
    /// Reads what is configured.
    pub(super) fn read(&self) -> Result<Account, StorageError> {
        match self {
            Self::ConnectionString(text) => {
                let parsed = Connection::parse(text).and_then(|connection| connection.read());
                parsed.map_err(|problem| {
                    unavailable("reading the connection string", BadConnectionString(problem))
                })
            }
            Self::Identity { account, endpoint } => {
                let place =
                    endpoint.clone().unwrap_or_else(|| public_endpoint("https", account, PUBLIC_SUFFIX));
                // The library reads what Kubernetes and the machine say of identities.
                let builder = MicrosoftAzureBuilder::from_env().with_account(account);
                Ok(Account { builder: at(builder, &place), name: account.clone(), place })
            }
        }
    }
}

impl<'a> Connection<'a> {
    /// Reads `Name=value;Name=value`. Names that say nothing of blobs are passed over.
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

    /// The account, which an endpoint names where nothing else does.
    pub(super) fn account(&self) -> Option<&str> {
        let of_endpoint = || {
            let (_, rest) = self.endpoint.as_deref()?.split_once("://")?;
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            Some(if path.is_empty() { host.split('.').next()? } else { path })
        };
        self.account.or_else(of_endpoint).filter(|account| !account.is_empty())
    }

    fn read(&self) -> Result<Account, &'static str> {
        let place = self.endpoint.clone().ok_or("has neither AccountName nor BlobEndpoint")?;
        let account =
            self.account().ok_or("has neither AccountName nor a BlobEndpoint that names the account")?;
        let builder = at(MicrosoftAzureBuilder::new().with_account(account), &place);
        let builder = match (self.key, self.signature) {
            (Some(key), _) => builder.with_access_key(key),
            (None, Some(signature)) => builder.with_config(AzureConfigKey::SasKey, signature),
            (None, None) => return Err("has neither AccountKey nor SharedAccessSignature"),
        };
        Ok(Account { builder, name: account.to_owned(), place })
    }
}

fn at(builder: MicrosoftAzureBuilder, place: &str) -> MicrosoftAzureBuilder {
    builder.with_endpoint(place.to_owned()).with_allow_http(place.starts_with("http://"))
}

fn public_endpoint(scheme: &str, account: &str, suffix: &str) -> String {
    format!("{scheme}://{account}.blob.{suffix}")
}
