//! Storing a blob or a block while its bytes come, with one request.
//!
//! The library sends what is in memory only, so the request is made here; the library signs it.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, header::CONTENT_LENGTH};
use object_store::{
    azure::AzureAuthorizer,
    client::{HttpRequest, HttpRequestBody},
};
use reqwest::{Body, Response, StatusCode, Url};

use super::{AzblobBucket, failure};
use crate::storage::{
    Content, StorageError,
    outgoing::unavailable,
    sending::{Sending, Watch},
};

/// Where the service says in a word what is wrong.
const ERROR_CODE: &str = "x-ms-error-code";

/// What the service answers instead of storing the bytes.
#[derive(Debug, thiserror::Error)]
#[error("the service answered {status} {code}")]
struct Refused {
    status: StatusCode,
    code: String,
}

impl AzblobBucket {
    /// Stores a blob.
    pub(super) async fn send_blob(&self, key: &str, content: Content) -> Result<(), StorageError> {
        let request = Request::put(self.url(key)?.as_str()).header("x-ms-blob-type", "BlockBlob");
        self.send_body("storing an object", request, content).await
    }

    /// Stages a block under an id of as many bytes as the library's; returns the id.
    pub(super) async fn send_block(&self, key: &str, content: Content) -> Result<String, StorageError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut url = self.url(key)?;
        url.query_pairs_mut()
            .append_pair("comp", "block")
            .append_pair("blockid", &BASE64_STANDARD.encode(&id));
        self.send_body("storing a block", Request::put(url.as_str()), content).await?;
        Ok(id)
    }

    fn url(&self, key: &str) -> Result<Url, StorageError> {
        let bad = |why: &str| unavailable("finding the container's address", why.to_owned());
        let mut url = Url::parse(&self.place).map_err(|error| bad(&error.to_string()))?;
        let path = self.path(key)?;
        let mut segments = url.path_segments_mut().map_err(|()| bad("it has no path"))?;
        segments
            .pop_if_empty()
            .push(&self.container)
            .extend(path.parts().map(|part| part.as_ref().to_owned()));
        drop(segments);
        Ok(url)
    }

    async fn send_body(
        &self,
        context: &'static str,
        request: http::request::Builder,
        content: Content,
    ) -> Result<(), StorageError> {
        let request = request.header(CONTENT_LENGTH, content.length).body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| unavailable(context, error))?;
        self.sign(&mut request).await.map_err(|error| failure(context, error))?;
        let (head, _) = request.into_parts();
        let watch = Watch::new(self.patience.sending());
        let body = Body::wrap(Sending::new(content, &watch));
        let sent = self.http.put(head.uri.to_string()).headers(head.headers).body(body).send();
        let answer =
            watch.over(context, sent).await?.map_err(|error| unavailable(context, error.without_url()))?;
        accepted(&answer).map_err(|refused| unavailable(context, refused))
    }

    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let credential = self.store.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(request)
    }
}

fn accepted(answer: &Response) -> Result<(), Refused> {
    if answer.status().is_success() {
        return Ok(());
    }
    let code = answer.headers().get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default();
    Err(Refused { status: answer.status(), code: code.to_owned() })
}
