//! What calls cost in a database of a thousand entries and in one of a million, in one run.
//!
//! Not a test of the others: `cargo test … -- --ignored bench` with `LARDER_TEST_CACHE_MIB=2048` and the
//! servers of `tests/scripts/with-services.sh`, on a quiet machine. It fails where a call costs more than
//! 1.5 times as much CPU, or a list takes too long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

pub(crate) mod lists;
pub(crate) mod sums;

use std::sync::Arc;

use super::{
    EntryId, EntryUses, Index, LeastRecent, MatchKind, Probe, Trust, Within,
    conformance::{block_on, probe},
};

/// The repository, version and scopes of all entries: `main`, and `refs/pull/N/merge` for one in ten.
pub(crate) const REPOSITORY: &str = "1234567";
pub(crate) const SIZES: [u64; 2] = [1_000, 1_000_000];

/// Least cache of a database server in MiB: it holds both databases. The servers' default is 128.
pub(crate) const CACHE_MIB: u64 = 2_048;

/// Most that a call may cost in the large database, as a multiple of the small one.
const MOST: f64 = 1.5;
const ROUNDS: usize = 5;

/// A call, how often it is made in a round, and what it must return.
struct Call {
    name: &'static str,
    times: u32,
    make: fn(&dyn Index) -> usize,
    returns: usize,
}

fn least_recent(index: &dyn Index, within: &Within, trust: Option<Trust>) -> usize {
    block_on(index.least_recent(within, trust, None, 900)).unwrap().len()
}

fn find(index: &dyn Index, probes: &[Probe]) -> usize {
    usize::from(block_on(index.find(REPOSITORY, "v", probes, &[])).unwrap().is_some())
}

/// Reads victims as the evictor does, a page at a time: with what it shows the policy of each.
fn candidates(index: &dyn Index) -> usize {
    let page = LeastRecent { within: Within::Tenant, trust: None, after: None, limit: 250 };
    block_on(index.list_unused(&page, u64::MAX)).unwrap().entries.len()
}

const CALLS: [Call; 12] = [
    Call { name: "candidates of the evictor, 250", times: 20, make: candidates, returns: 250 },
    Call {
        name: "least_recent of the tenant, 900",
        times: 10,
        make: |index| least_recent(index, &Within::Tenant, None),
        returns: 900,
    },
    Call {
        name: "least_recent of the tenant, low, 100",
        times: 20,
        make: |index| {
            block_on(index.least_recent(&Within::Tenant, Some(Trust::Low), None, 100)).unwrap().len()
        },
        returns: 100,
    },
    Call {
        name: "least_recent of the repository, 900",
        times: 10,
        make: |index| least_recent(index, &Within::Repository(REPOSITORY.to_owned()), None),
        returns: 900,
    },
    Call {
        name: "least_recent of a scope, 900",
        times: 10,
        make: |index| {
            let (repository, scope) = (REPOSITORY.to_owned(), "main".to_owned());
            least_recent(index, &Within::Scope { repository, scope }, None)
        },
        returns: 900,
    },
    Call {
        name: "find, hit by key",
        times: 200,
        make: |index| find(index, &[probe("main", "Linux-0000555", MatchKind::Exact)]),
        returns: 1,
    },
    Call {
        name: "find, hit by a common prefix",
        times: 200,
        make: |index| find(index, &[probe("main", "linux-", MatchKind::Prefix)]),
        returns: 1,
    },
    Call {
        name: "find, hit by a rare prefix",
        times: 200,
        make: |index| find(index, &[probe("main", "linux-000055", MatchKind::Prefix)]),
        returns: 1,
    },
    Call {
        name: "find, miss",
        times: 200,
        make: |index| {
            let probes = ["linux-none", "windows-"].map(|key| probe("main", key, MatchKind::Prefix));
            find(index, &probes)
        },
        returns: 0,
    },
    Call {
        name: "find, in quarantine",
        times: 200,
        make: |index| find(index, &[probe("main", "Linux-0000777", MatchKind::Exact)]),
        returns: 0,
    },
    Call {
        name: "list_near",
        times: 200,
        make: |index| {
            block_on(index.list_near(REPOSITORY, "LINUX-0000555", MatchKind::Exact, 200)).unwrap().len()
        },
        returns: 1,
    },
    Call {
        name: "find_departed",
        times: 200,
        make: |index| {
            block_on(index.find_departed(REPOSITORY, "linux-0000555", MatchKind::Exact, 200)).unwrap().len()
        },
        returns: 1,
    },
];

/// Measures all calls in both databases in turn, and returns those that cost too much more in the large one. `cpu` returns the CPU time in seconds that was used so
/// far: that of the server, or of this thread.
pub(crate) fn compare(what: &str, indexes: [&Arc<dyn Index>; 2], cpu: impl Fn() -> f64) -> Vec<String> {
    for index in indexes {
        // One in a hundred of the thousand newest keys is in quarantine, and so is the one above.
        let ids: Vec<EntryId> = (0..10).map(|number| EntryId(number * 100 + 77)).collect();
        block_on(index.set_quarantined(&ids, Some(1))).unwrap();
        let page = block_on(index.list_entries(EntryId(776), 1)).unwrap();
        assert_eq!(page[0].slot.key, "Linux-0000777");
    }
    let mut worst = Vec::new();
    for call in &CALLS {
        let mut ratios: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| indexes.map(|index| cost_of(call, &**index, &cpu)))
            .map(|[small, large]| (small, large))
            .collect();
        ratios.sort_by(|one, other| (one.1 / one.0).total_cmp(&(other.1 / other.0)));
        let (small, large) = ratios[ROUNDS / 2];
        println!(
            "{what}: {:40} {:9.1} us {:9.1} us  x {:.2}",
            call.name,
            small * 1e6,
            large * 1e6,
            large / small
        );
        if large / small > MOST {
            worst.push(call.name.to_owned());
        }
    }
    worst
}

/// Returns the CPU time of one call.
fn cost_of(call: &Call, index: &dyn Index, cpu: &impl Fn() -> f64) -> f64 {
    assert_eq!((call.make)(index), call.returns, "{}", call.name);
    let make = || {
        let _ = (call.make)(index);
    };
    cost(call.times, make, cpu)
}

/// Returns the CPU time of one of many calls, of which `at_once` are made between two looks at the clock.
pub(crate) fn cost(at_once: u32, mut make: impl FnMut(), cpu: &impl Fn() -> f64) -> f64 {
    let (mut times, begin) = (0, cpu());
    loop {
        (0..at_once).for_each(|_| make());
        times += at_once;
        let used = cpu() - begin;
        if used > 0.1 {
            return used / f64::from(times);
        }
    }
}

/// Prints what it costs to record uses, in batches as they are written. Changes the order of last use.
/// `cpu` counts what writes, too.
pub(crate) fn record_uses(what: &str, indexes: [&Arc<dyn Index>; 2], cpu: impl Fn() -> f64) {
    const BATCH: u64 = 100;
    let mut at = 10_000_000;
    let [small, large] = [0, 1].map(|which| {
        let record = || {
            let uses: Vec<EntryUses> = (0..BATCH)
                .map(|number| (at + number) * 7919 % SIZES[which] + 1)
                .map(|id| EntryUses { id: EntryId(id), count: 1, last_used_ms: at })
                .collect();
            at += BATCH;
            block_on(indexes[which].touch_entries(&uses)).unwrap();
        };
        cost(20, record, &cpu) / BATCH as f64 * 1e6
    });
    println!("{what}: recording a use, in batches of {BATCH}: {small:.1} us {large:.1} us");
}
