#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::mpsc,
    thread::{self, ThreadId},
};

use super::*;

/// Says which thread drops it.
struct Told(mpsc::Sender<ThreadId>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

async fn dropped_by(bytes: usize) -> ThreadId {
    let (sender, told) = mpsc::channel();
    release(Told(sender), bytes);
    tokio::task::spawn_blocking(move || told.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_large_instance_is_dropped_elsewhere() {
    let here = thread::current().id();
    assert_eq!(dropped_by(2 << 20).await, here);
    assert_ne!(dropped_by(64 << 20).await, here);
}
