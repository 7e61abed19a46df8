//! The section `[management]`.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{ListenerTls, listen, optional, secret::Secret};

/// Where the management API listens where the configuration does not say.
pub const DEFAULT_MANAGEMENT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3001);

/// The value that stands for no listener.
const OFF: &str = "off";

/// The management API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Management {
    /// Address and port of its own listener; `off`: there is none.
    #[serde(serialize_with = "serialize", deserialize_with = "deserialize")]
    pub listen: Option<SocketAddr>,
    /// A key of an administrator of all tenants, besides those in the database. Where it is set, the main
    /// listener has the API, too.
    #[serde(with = "optional")]
    pub key: Option<Secret>,
    /// TLS of its own listener.
    pub tls: ListenerTls,
}

impl Default for Management {
    fn default() -> Self {
        Self { listen: Some(DEFAULT_MANAGEMENT_LISTEN), key: None, tls: ListenerTls::default() }
    }
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    match value.as_str().map(str::trim) {
        Some(OFF) => Ok(None),
        _ => listen::tcp_of_value(&value)
            .map(Some)
            .map_err(|error| D::Error::custom(format!("{error}, or off"))),
    }
}

fn serialize<S: Serializer>(value: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str(OFF),
    }
}
