//! What counting costs in a database of a thousand entries and in one of a million. See `bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::REPOSITORY;
use crate::{
    Caps, Cause, Departure, Durability, Entry, Index, Reservation, Room, Slot, Trust, Upload,
    conformance::{attachment, block_on},
};

const ROUNDS: usize = 3;

/// Calls of each kind in a round.
const TIMES: usize = 300;
const WARM_UP: usize = 50;

const CAPS: Caps =
    Caps { scope: Some(1 << 50), repository: Some(1 << 50), tenant: Some(1 << 50), server: Some(1 << 50) };

const KINDS: [&str; 6] = ["reserve", "reserve_room", "attach", "finalize", "delete_entry", "left_objects"];

/// CPU time of threads. What ended since it was seen counts on, so that the time never goes back.
#[derive(Default)]
pub(crate) struct CpuClock(RefCell<HashMap<PathBuf, f64>>);

impl CpuClock {
    /// Returns the CPU time of processes in seconds: nanoseconds are counted, where their `stat` has
    /// hundredths of a second.
    pub(crate) fn of(&self, pids: &[String]) -> f64 {
        let tasks =
            pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
        self.of_threads(tasks.flatten().map(|thread| thread.path()))
    }

    /// The same for some threads: folders in `/proc`.
    pub(crate) fn of_threads(&self, threads: impl Iterator<Item = PathBuf>) -> f64 {
        let mut seen = self.0.borrow_mut();
        for file in threads.map(|thread| thread.join("schedstat")) {
            // A thread may end meanwhile.
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some(ns) = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()) {
                seen.insert(file, ns / 1e9);
            }
        }
        seen.values().sum()
    }
}

/// CPU time of this process in seconds.
pub(crate) fn process_cpu() -> f64 {
    thread_local!(static CLOCK: CpuClock = CpuClock::default());
    CLOCK.with(|clock| clock.of(&["self".to_owned()]))
}

/// Prints CPU and time of each call in both databases.
pub(crate) fn compare(what: &str, indexes: [&Arc<dyn Index>; 2], cpu: impl Fn() -> f64) {
    for index in indexes {
        let begin = Instant::now();
        let wrong = block_on(index.recount()).unwrap();
        println!("{what}: recount, {wrong} sums made: {:?}", begin.elapsed());
        let begin = Instant::now();
        assert_eq!(block_on(index.recount()).unwrap(), 0);
        println!("{what}: recount again: {:?}", begin.elapsed());
    }
    let mut costs: [[Vec<(f64, f64)>; KINDS.len()]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (costs, index) in costs.iter_mut().zip(indexes) {
            for (costs, cost) in costs.iter_mut().zip(measure(&**index, &cpu)) {
                costs.push(cost);
            }
        }
    }
    for (kind, name) in KINDS.iter().enumerate() {
        let [small, large] = [0, 1].map(|at| {
            costs[at][kind].sort_by(|one: &(f64, f64), other| one.0.total_cmp(&other.0));
            costs[at][kind][ROUNDS / 2]
        });
        println!(
            "{what}: {name:14} cpu {:7.1} us {:7.1} us  x {:.2}   time {:7.1} us {:7.1} us",
            small.0,
            large.0,
            large.0 / small.0,
            small.1,
            large.1
        );
    }
}

fn reserve(index: &dyn Index, key: &str) -> Upload {
    let [repository, scope, version, key] = [REPOSITORY, "main", "v", key].map(str::to_owned);
    let slot = Slot { repository, scope, version, key };
    let reserve = index.reserve(&slot, "o", &crate::NO_FACTS, Trust::Full, 1, 0);
    let Ok(Reservation::Reserved(upload)) = block_on(reserve) else { panic!("not reserved") };
    upload
}

/// Returns CPU and time of each kind of call, in microseconds.
fn measure(index: &dyn Index, cpu: &impl Fn() -> f64) -> Vec<(f64, f64)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // The first calls after the other database was asked find its pages in the processor's caches.
    for number in 0..WARM_UP {
        let upload = reserve(index, &format!("warm-up-{number}"));
        assert!(block_on(index.abandon(upload.id)).unwrap());
    }
    let mut costs = Vec::new();
    let mut timed = |run: &mut dyn FnMut()| {
        let (cpu_begin, begin) = (cpu(), Instant::now());
        run();
        let per_call = 1e6 / TIMES as f64;
        costs.push(((cpu() - cpu_begin) * per_call, begin.elapsed().as_secs_f64() * per_call));
    };
    let departure = Departure { cause: Cause::Size, at_ms: 1 };
    let contents: Vec<_> = (0..TIMES).map(|_| attachment(1_000)).collect();
    let (mut uploads, mut entries): (Vec<Upload>, Vec<Entry>) = (Vec::new(), Vec::new());
    timed(&mut || {
        for _ in 0..TIMES {
            uploads.push(reserve(index, &format!("bench-{}", NUMBER.fetch_add(1, Relaxed))));
        }
    });
    timed(&mut || {
        for upload in &uploads {
            assert_eq!(block_on(index.reserve_room(&upload.name, 1_000, &CAPS)).unwrap(), Room::Reserved);
        }
    });
    timed(&mut || {
        for (upload, content) in uploads.iter().zip(&contents) {
            block_on(index.attach(upload.id, content, None, 1)).unwrap();
        }
    });
    timed(&mut || {
        for (upload, content) in uploads.iter().zip(&contents) {
            let made = index.finalize(upload.id, content, &Durability::Durable, 1);
            entries.push(block_on(made).unwrap().unwrap());
        }
    });
    timed(&mut || {
        for entry in &entries {
            assert!(block_on(index.delete_entry(entry.id, &departure)).unwrap());
        }
    });
    timed(&mut || {
        for entry in &entries {
            block_on(index.left_objects(std::slice::from_ref(&entry.object))).unwrap();
        }
    });
    costs
}
