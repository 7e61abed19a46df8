//! Few bodies are read on at a time, and none for long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{Drains, MOST_BYTES};
use crate::message::{BoxError, WireBody};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

fn body(chunks: impl Stream<Item = Bytes> + Send + 'static) -> WireBody {
    let frames = chunks.map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
    WireBody::Callers(BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// Bodies that are read now, and most that were at once.
#[derive(Clone, Default)]
struct Readers {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Readers {
    /// A body of one chunk, after which nothing comes.
    fn stalled(&self) -> WireBody {
        let readers = self.clone();
        let first = stream::once(async move {
            readers.most.fetch_max(readers.now.fetch_add(1, Relaxed) + 1, Relaxed);
            Bytes::from_static(b"x")
        });
        body(first.chain(stream::pending()))
    }
}

#[tokio::test]
async fn few_are_read_at_a_time_and_each_gets_its_turn() {
    let drains = Drains::new(3, LONG, SHORT);
    let readers = Readers::default();
    let all = (0..10).map(|_| async {
        drains.drain(readers.stalled()).await;
        readers.now.fetch_sub(1, Relaxed);
    });
    future::join_all(all).await;
    assert_eq!((readers.now.load(Relaxed), readers.most.load(Relaxed)), (0, 3));
    assert_eq!(drains.places.available_permits(), 3);
}

#[tokio::test]
async fn one_that_gets_no_turn_is_given_up() {
    let drains = Drains::new(0, SHORT, LONG);
    let readers = Readers::default();
    drains.drain(readers.stalled()).await;
    assert_eq!(readers.most.load(Relaxed), 0);
}

#[tokio::test]
async fn one_that_never_pauses_is_given_up() {
    let drains = Drains::new(1, 5 * SHORT, LONG);
    let drips = stream::repeat(Bytes::from_static(b"x")).then(|chunk| async {
        tokio::time::sleep(SHORT / 10).await;
        chunk
    });
    drains.drain(body(drips)).await;
    assert_eq!(drains.places.available_permits(), 1);
}

#[tokio::test]
async fn it_is_read_to_its_end_or_to_the_limit() {
    let drains = Drains::new(1, LONG, LONG);
    for (chunks, read) in [(10, 10), (100, 64)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let chunk = Bytes::from(vec![0; 1 << 20]);
        let whole = stream::iter(vec![chunk; chunks]).inspect(move |_| {
            counted.fetch_add(1, Relaxed);
        });
        drains.drain(body(whole)).await;
        assert_eq!(taken.load(Relaxed), read, "of {chunks}, at most {MOST_BYTES} bytes");
    }
}
