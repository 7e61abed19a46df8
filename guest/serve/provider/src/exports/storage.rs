//! `larder:cache/storage`.

use super::{Provider, types::IncomingRequest, unavailable};
use crate::{
    bindings::exports::larder::cache::{
        log::Level,
        storage::{Block, Error, Guest, Stored},
        types::{ByteRange, IncomingRequestBorrow, Object},
    },
    instance::{instance, now_ms},
    storage::{Outcome, body::Body, invalid},
};

impl Guest for Provider {
    async fn stat(object: String) -> Outcome<u64> {
        logged("storage.stat", instance().storage.stat(&object).await)
    }

    async fn open(object: String, size_bytes: u64, range: Option<ByteRange>) -> Outcome<Object> {
        let (start, end) = range.map_or((0, size_bytes), |range| (range.start, range.end));
        assert!(start <= end && end <= size_bytes, "the policy opens a range outside of its object");
        let opened = instance().storage.open(&object, size_bytes, start, end).await;
        logged("storage.open", opened).map(Object::new)
    }

    async fn put(upload: String, request: IncomingRequestBorrow<'_>) -> Outcome<Stored> {
        let stored = instance().storage.put(&upload, body_of(&request)?).await;
        record_activity(&upload).await;
        logged("storage.put", stored)
    }

    /// Bodies are counted one by one. What certainly does not fit is refused at once.
    async fn reserve_room(_upload: String, size_bytes: u64) -> Outcome<()> {
        logged("storage.reserve-room", instance().storage.capacity().check(size_bytes).await)
    }

    async fn put_block(upload: String, block_id: String, request: IncomingRequestBorrow<'_>) -> Outcome<u64> {
        let staged = instance().storage.put_block(&upload, &block_id, body_of(&request)?).await;
        if staged.is_err() {
            record_activity(&upload).await;
        }
        logged("storage.put-block", staged)
    }

    async fn commit(upload: String, block_ids: Vec<String>) -> Outcome<Stored> {
        logged("storage.commit", instance().storage.commit(&upload, &block_ids).await)
    }

    async fn blocks(upload: String) -> Outcome<Vec<Block>> {
        logged("storage.blocks", instance().storage.blocks(&upload).await)
    }

    /// A directory has no URLs.
    async fn presign(_object: String, _size_bytes: u64, _lifetime_ms: u64) -> Outcome<Option<String>> {
        Ok(None)
    }

    async fn discard(upload: String) -> Outcome<()> {
        logged("storage.discard", instance().storage.discard(&upload).await)
    }

    async fn remove(object: String) -> Outcome<()> {
        logged("storage.remove", instance().storage.remove(&object).await)
    }
}

fn body_of(request: &IncomingRequestBorrow<'_>) -> Outcome<Body> {
    let body = request.get::<IncomingRequest>().take_body();
    body.ok_or_else(|| invalid("the body has been taken already"))
}

/// Bytes have arrived, and the file that says so has gone.
async fn record_activity(upload: &str) {
    let _ = instance().index.touch_upload(upload, now_ms()).await;
}

/// Logs a failure that is the operator's, and hides its details from the policy.
fn logged<T>(call: &str, outcome: Outcome<T>) -> Outcome<T> {
    outcome.map_err(|error| match error {
        Error::Unavailable(why) => Error::Unavailable(unavailable(call, &why)),
        Error::NoSpace => {
            super::log(Level::Error, "the storage is full");
            Error::NoSpace
        }
        Error::NotFound | Error::TooLarge | Error::Invalid(_) => error,
    })
}
