//! The HTTP client that the library uses: one that trusts what this server trusts.

use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector},
};

/// Gives the library that client.
#[derive(Clone, Debug)]
pub(super) struct Connector(reqwest::Client);

impl Connector {
    pub(super) fn new(http: reqwest::Client) -> Self {
        Self(http)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
