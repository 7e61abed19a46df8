//! Bodies that come in tiny chunks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Temporary;
use crate::{
    Source,
    conformance::{Fixture, id, new_upload},
};

/// Chunks of each body.
const CHUNKS: u64 = 200;

/// A buffer that a connection has read into.
struct NetworkBuffer {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for NetworkBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for NetworkBuffer {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Relaxed);
    }
}

/// A body of which each byte comes in a buffer of its own. The counter is of the most that were alive at once.
fn dripping(length: Option<u64>) -> (Source, Arc<AtomicUsize>) {
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let chunks = stream::iter(0..CHUNKS).map(move |_| {
        let now = alive.fetch_add(1, Relaxed) + 1;
        seen.fetch_max(now, Relaxed);
        let buffer = NetworkBuffer { bytes: vec![b'x'; 8 << 10], alive: Arc::clone(&alive) };
        Ok(Bytes::from_owner(buffer).slice(..1))
    });
    (Source::new(length, chunks.boxed()), most)
}

/// Fault 9: what a slow body keeps in memory is counted, and is what it has sent.
#[tokio::test]
async fn tiny_chunks_keep_no_network_buffers() {
    let fixture = Temporary::new();
    let upload = new_upload();
    // Without a length, all of it, and the beginning of a long one.
    for length in [None, Some(CHUNKS), Some(8 << 20)] {
        let (whole, most) = dripping(length);
        let stored = fixture.storage().put(&new_upload(), whole).await;
        assert_eq!(stored.is_ok(), length != Some(8 << 20));
        assert!(most.load(Relaxed) <= 2, "{length:?}: {most:?} buffers");
        let (block, most) = dripping(length);
        let stored = fixture.storage().put_block(&upload, &id("block"), block).await;
        assert_eq!(stored.is_ok(), length != Some(8 << 20));
        assert!(most.load(Relaxed) <= 2, "{length:?}: {most:?} buffers of a block");
    }
}
