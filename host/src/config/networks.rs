//! Addresses and networks: `#[serde(with = "networks")]`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Reads a list of addresses (`10.0.0.1`) and networks (`10.0.0.0/8`).
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| network(text.trim()).ok_or_else(|| D::Error::custom(wrong(text)))).collect()
}

pub(super) fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
}

fn wrong(text: &str) -> String {
    format!("has `{text}`; each must be an address such as 10.0.0.1 or a network such as 10.0.0.0/8")
}
