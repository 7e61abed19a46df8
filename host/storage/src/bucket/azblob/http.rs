//! The HTTP client for the library, which trusts this server's certificates.

use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector},
};

/// Gives the client to the library.
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
