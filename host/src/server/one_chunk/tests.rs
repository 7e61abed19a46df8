//! The next chunk comes when nothing of the last one is held.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::noop_waker;

use super::OneChunk;

#[test]
fn the_next_chunk_waits_for_the_last_slice_of_this_one() {
    let chunks = OneChunk::default();
    let waker = noop_waker();
    let cx = Context::from_waker(&waker);
    assert_eq!(chunks.poll_sent(&cx), Poll::Ready(()));
    let mut sent = chunks.send(Bytes::from_static(b"chunk"));
    let slice = sent.split_to(2);
    assert_eq!((&*slice, &*sent), (&b"ch"[..], &b"unk"[..]));
    drop(sent);
    assert_eq!(chunks.poll_sent(&cx), Poll::Pending);
    drop(slice);
    assert_eq!(chunks.poll_sent(&cx), Poll::Ready(()));
}

#[tokio::test]
async fn who_waits_is_woken() {
    let chunks = OneChunk::default();
    let sent = chunks.send(Bytes::from_static(b"chunk"));
    let waiting = std::future::poll_fn(|cx| chunks.poll_sent(cx));
    let drop_it = async {
        tokio::task::yield_now().await;
        drop(sent);
    };
    tokio::join!(waiting, drop_it);
}
