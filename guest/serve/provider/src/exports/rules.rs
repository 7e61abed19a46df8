//! `larder:cache/rules`: there are none here, so nothing is refused.

use super::Provider;
use crate::bindings::exports::larder::cache::{
    auth::Scope,
    index::{Entry, Error},
    rules::{Guest, Hit, Verdict},
    types::IncomingRequestBorrow,
};

impl Guest for Provider {
    async fn judge_hit(_request: IncomingRequestBorrow<'_>, _entry: Entry) -> Result<Hit, Error> {
        Ok(Hit::Accept)
    }

    async fn explain_hit(_scopes: Vec<Scope>, _entry: Entry) -> Result<Hit, Error> {
        Ok(Hit::Accept)
    }

    fn judge_save(
        _request: IncomingRequestBorrow<'_>,
        _key: String,
        _version: String,
        _size_bytes: Option<u64>,
    ) -> Verdict {
        Verdict::Accept(Vec::new())
    }
}
