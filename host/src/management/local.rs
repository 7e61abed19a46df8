//! The management API without a server: over its data, in this process.

use std::sync::Arc;

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt as _;
use larder_management::{MasterKey, NewKey};
use tower_service::Service as _;

use super::{Managed, Versioning};
use crate::{config::Config, engine::PolicyInForce, error::StartError, scrub::Scrubs, setup};

/// The management API over the data of a server, which may run. What needs the running server is
/// refused.
pub struct LocalManagement {
    router: Router,
    key: String,
}

impl LocalManagement {
    /// Opens what the configuration of the server says. The database gets the tables of this program's
    /// version, if it does not have them yet: use that of the server.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let Some((policy, tenant)) = Box::pin(setup::beside(&config, None)).await? else {
            return Err(StartError::Thread(std::io::ErrorKind::NotFound.into()));
        };
        let no_random = || StartError::Thread(std::io::Error::other("the system has no random numbers"));
        let NewKey { key, .. } = NewKey::random().ok_or_else(no_random)?;
        let managed = Managed {
            policy: PolicyInForce::new(policy),
            tenant,
            registry: None,
            versions: Versioning::new(&config, None),
            config,
            scrubs: Scrubs::default(),
            live: None,
        };
        let router = larder_management::router(Arc::new(managed), Some(MasterKey::new(&key)));
        Ok(Self { router, key })
    }

    /// The same, and makes the data folder, the database and the storage's folder where they are missing: for
    /// what is done before the first start.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open_fresh(config: Config) -> Result<Self, StartError> {
        Box::pin(setup::make_if_missing(&config)).await?;
        Self::open(config).await
    }

    /// Asks the API, as an administrator.
    ///
    /// # Errors
    /// When the target is no path.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), http::Error> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Body::from(body))?;
        let Ok(response) = self.router.clone().call(request).await;
        let status = response.status();
        // From memory: it cannot break off.
        let body =
            response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok((status, body))
    }
}
