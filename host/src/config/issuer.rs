//! An issuer of tokens in the file: a text, or a table.

use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::optional;

/// An issuer of tokens. In the file a text, or a table with these keys.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IssuerConfig {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are; unset: by discovery.
    #[serde(with = "optional")]
    pub jwks_url: Option<String>,
    /// Its keys, in a file.
    #[serde(with = "optional")]
    pub jwks_file: Option<PathBuf>,
    /// Goes before the repository ids of its tokens: two platforms number their repositories alike.
    pub repository_prefix: String,
}

/// Parses a URL, if it is one that keys may be fetched from: `https`, or `http` to a loopback address, with a host, and
/// without user name and password.
#[must_use]
pub fn allowed_url(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    match uri.scheme_str()? {
        "https" => Some(uri),
        "http" if is_loopback(authority.host()) => Some(uri),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The table form of an issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerTable {
    issuer: String,
    #[serde(default, with = "optional")]
    jwks_url: Option<String>,
    #[serde(default, with = "optional")]
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    repository_prefix: String,
}

impl<'de> Deserialize<'de> for IssuerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(issuer) => Ok(Self { issuer, ..Self::default() }),
            table @ toml::Value::Table(_) => {
                let IssuerTable { issuer, jwks_url, jwks_file, repository_prefix } =
                    table.try_into().map_err(|e: toml::de::Error| de::Error::custom(e.message()))?;
                Ok(Self { issuer, jwks_url, jwks_file, repository_prefix })
            }
            other => Err(de::Error::custom(format!(
                "must be a URL in quotes or a table, not {}",
                other.type_str()
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
