#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicU32;

use tokio::time::timeout;
use wasmtime::{Instance, Module};

use super::*;
use crate::engine::{SHARED_TICK, compiling_engine};

/// A module whose function `spin` never ends.
const SPIN: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x08\x01\x04spin\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";
/// Rounds of the runtime that a neighbour needs.
const ROUNDS: u32 = 60;

/// Returns how often a spin was interrupted while somebody else on its thread needed [`ROUNDS`] rounds.
async fn turns_beside(has_neighbours: bool) -> u32 {
    let engine = compiling_engine().unwrap();
    let mut store = Store::new(&engine, ());
    let turns = Arc::new(AtomicU32::new(0));
    let counted = turns.clone();
    limit_uninterrupted_run(&mut store, Duration::from_secs(60), has_neighbours, move || {
        counted.fetch_add(1, Relaxed);
    });
    let _ticker = Ticker::start(&engine, SHARED_TICK).unwrap();
    let module = Module::new(&engine, SPIN).unwrap();
    let instance = Instance::new_async(&mut store, &module, &[]).await.unwrap();
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let spins = TimedPoll::new(async move { spin.call_async(&mut store, ()).await }, None);
    let rounds = async {
        while turns.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        turns.load(Relaxed)
    };
    tokio::select! {
        turns = timeout(Duration::from_secs(50), rounds) => turns.unwrap(),
        ended = spins => unreachable!("{ended:?}"),
    }
}

#[tokio::test]
async fn the_rounds_of_a_neighbour_are_made_between_two_turns() {
    let turns = turns_beside(true).await;
    assert!(turns < ROUNDS / 2, "{turns} turns in {ROUNDS} rounds");
}

#[tokio::test]
async fn alone_it_goes_on_at_once() {
    let turns = turns_beside(false).await;
    assert!(turns >= ROUNDS / 2, "{turns} turns in {ROUNDS} rounds");
}
