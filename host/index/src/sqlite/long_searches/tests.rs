#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{LongSearches, MAX_LONG_SEARCHES};

/// A gate that blocks its callers until it is opened, and counts them.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock();
        self.opened.wait_while(&mut open, |open| !*open);
    }

    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

/// The runtime of a worker thread.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(16).enable_time().build().unwrap()
}

/// Fault 12.
#[test]
fn other_work_proceeds_beside_many_long_searches() {
    let (long_searches, gate) = (Arc::new(LongSearches::new()), Arc::new(Gate::default()));
    runtime().block_on(async {
        let searches: Vec<_> = (0..64)
            .map(|_| {
                let (long_searches, gate) = (Arc::clone(&long_searches), Arc::clone(&gate));
                tokio::spawn(async move { long_searches.run(move || gate.pass()).await.unwrap() })
            })
            .collect();
        // A save of another client, 16 times in a row, so that it meets every thread that runs no
        // search.
        for _ in 0..16 {
            let save = tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(|| ()));
            save.await.expect("a thread is free").unwrap();
        }
        assert!(gate.inside.load(Ordering::SeqCst) <= MAX_LONG_SEARCHES);
        gate.open();
        for search in searches {
            search.await.unwrap();
        }
        assert_eq!(gate.inside.load(Ordering::SeqCst), 64);
    });
}

#[test]
fn long_searches_run_in_order_and_a_cancelled_one_never_runs() {
    let (long_searches, rest, last) =
        (Arc::new(LongSearches::new()), Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (say, said) = mpsc::channel();
    runtime().block_on(async {
        // All permits are taken, and only one of them is released.
        let hold = |gate: &Arc<Gate>| {
            let (long_searches, gate) = (Arc::clone(&long_searches), Arc::clone(gate));
            tokio::spawn(async move { long_searches.run(move || gate.pass()).await.unwrap() })
        };
        let held: Vec<_> = (1..MAX_LONG_SEARCHES).map(|_| hold(&rest)).chain([hold(&last)]).collect();
        let mut waiting = Vec::new();
        for number in 0..10 {
            let (long_searches, say) = (Arc::clone(&long_searches), say.clone());
            let search = async move { long_searches.run(move || say.send(number).unwrap()).await.unwrap() };
            waiting.push(tokio::spawn(search));
            tokio::task::yield_now().await;
        }
        waiting.remove(3).abort();
        tokio::task::yield_now().await;
        last.open();
        for search in waiting {
            search.await.unwrap();
        }
        rest.open();
        for search in held {
            search.await.unwrap();
        }
    });
    assert_eq!(said.try_iter().collect::<Vec<i32>>(), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}
