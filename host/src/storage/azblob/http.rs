//! The library's HTTP, done by a client of each thread.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use std::sync::Arc;

use crate::storage::{
    StorageError,
    outgoing::{PerThread, http_client},
};

/// Gives the library clients that trust what this server trusts.
#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<PerThread<reqwest::Client>>);

impl Connector {
    pub(super) fn new(tls: rustls::ClientConfig) -> Result<Self, StorageError> {
        Ok(Self(Arc::new(PerThread::new(move || http_client(&tls))?)))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = self.0.get().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        client.call(request).await
    }
}
