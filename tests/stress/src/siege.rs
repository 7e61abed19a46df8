//! Runs an attack with a healthy client beside it, and checks the server's resources during and
//! after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task::JoinHandle};

use crate::{
    healthy::Healthy,
    scale,
    server::{Server, Setup},
    usage::{self, Usage},
};

/// The most resident memory during an attack, in bytes.
pub const RESIDENT_BYTES: u64 = 128 << 20;
/// The longest time after an attack until resources are released.
const SETTLE: Duration = Duration::from_secs(40);
/// Resident memory that may remain, in bytes: pages of the policy's memory that were used once, and
/// the allocator's reserve.
const SETTLED_BYTES: u64 = 32 << 20;
/// Descriptors that may remain open: 16 files of recent uploads, and a few connections of the
/// healthy client and of the index's readers.
const SETTLED_DESCRIPTORS: usize = 16 + 8;
const LEAST_ROUNDS: usize = 3;
const CALM: Duration = Duration::from_millis(600);

/// One scenario at a time, because the figures are for one server on this machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other scenario is running.
pub async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The most open descriptors if the limit allows more: 1,024 connections, their files, and others.
const DESCRIPTORS: usize = 2_500;

/// The resource limits during an attack.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// The kernel's memory for TCP on this machine, in bytes: also that of the attackers, so there is no
    /// bound where they send what nobody reads.
    pub tcp: u64,
}

impl Bounds {
    /// What is usual.
    pub const DEFAULT: Self = Self { resident: RESIDENT_BYTES, descriptors: DESCRIPTORS, tcp: u64::MAX };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Starts a server, attacks it, and checks its promises. `attack` returns a value that sustains the
/// attack until it is dropped.
///
/// # Panics
/// If a promise is not kept.
pub async fn siege<Attack>(
    name: &str,
    setup: Setup,
    bounds: Bounds,
    attack: impl AsyncFnOnce(&Server) -> Attack,
) {
    let _turn = turn().await;
    let limit = scale::raise_descriptors();
    let most = setup.descriptors.unwrap_or(limit).min(bounds.descriptors);
    let mut server = Server::start(setup);
    let fallen = |server: &Server, what: &str, error: anyhow::Error| -> ! {
        panic!("{name}: {what}: {error:#}\n{:?}\n{}", Usage::of(server.pid()), server.log_tail())
    };
    let mut healthy = match Healthy::new(&server).await {
        Ok(healthy) => healthy,
        Err(error) => fallen(&server, "before the attack", error),
    };
    if let Err(error) = healthy.rounds(Duration::ZERO, LEAST_ROUNDS).await {
        fallen(&server, "before the attack", error);
    }
    let before = Usage::calm(server.pid(), CALM).await.expect("it runs");
    usage::forget_peak(server.pid()).expect("it runs");
    healthy.slowest = Duration::ZERO;
    let watch = Watch::begin(server.pid());

    let attack = attack(&server).await;
    let rounds = match healthy.rounds(scale::hold(), LEAST_ROUNDS).await {
        Ok(rounds) => rounds,
        Err(error) => fallen(&server, "during the attack", error),
    };
    let during = server.usage();
    let (descriptors, tcp) = watch.end();
    drop(attack);

    let (after, settled_in) = settle(&server, before).await;
    report(name, (before, during, descriptors, tcp, after), (rounds, healthy.slowest, settled_in));
    assert!(during.peak < bounds.resident, "{name}: {} MiB were resident", during.peak >> 20);
    assert!(descriptors < most, "{name}: {descriptors} descriptors were open, of {most}");
    assert!(tcp < bounds.tcp, "{name}: {} MiB of the kernel's memory", tcp >> 20);
    assert!(is_settled(before, after), "{name}: before {before:?}, {SETTLE:?} after {after:?}");
    if let Err(error) = healthy.rounds(Duration::ZERO, LEAST_ROUNDS).await {
        fallen(&server, "after the attack", error);
    }
    drop(healthy);
    end_well(name, &mut server, &[]).await;
}

/// Stops the server and checks that its log has no errors. Errors that contain one of `expected`
/// are allowed.
///
/// # Panics
/// If there is another error.
pub async fn end_well(name: &str, server: &mut Server, expected: &[&str]) {
    let status = server.stop().await;
    assert!(status.success(), "{name}: it ended with {status}:\n{}", server.log_tail());
    let log = server.log();
    let lines = log.lines().filter(|line| !expected.iter().any(|words| line.contains(words)));
    for bad in ["panicked", "Too many open files", " ERROR "] {
        let found = lines.clone().find(|line| line.contains(bad));
        assert_eq!(found, None, "{name}: in the log:\n{}", server.log_tail());
    }
}

fn is_settled(before: Usage, after: Usage) -> bool {
    after.descriptors <= before.descriptors + SETTLED_DESCRIPTORS
        && after.resident <= before.resident + SETTLED_BYTES
}

async fn settle(server: &Server, before: Usage) -> (Usage, Duration) {
    let begun = Instant::now();
    loop {
        let now = server.usage();
        if is_settled(before, now) || begun.elapsed() > SETTLE {
            return (now, begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the figures of a run, which the test harness shows where it is asked to"
)]
fn report(
    name: &str,
    usage: (Usage, Usage, usize, u64, Usage),
    (rounds, slowest, settled): (usize, Duration, Duration),
) {
    let (before, during, descriptors, tcp, after) = usage;
    let mib = |bytes: u64| bytes >> 20;
    eprintln!(
        "{name}: {rounds} healthy rounds, slowest step {} ms; resident {} → peak {} → {} MiB; descriptors {} → {} → {}; TCP {} MiB; settled in {} ms",
        slowest.as_millis(),
        mib(before.resident),
        mib(during.peak),
        mib(after.resident),
        before.descriptors,
        descriptors,
        after.descriptors,
        mib(tcp),
        settled.as_millis(),
    );
}

/// Records the peaks of open descriptors and of the kernel's memory for TCP until it is stopped.
struct Watch {
    descriptors: Arc<AtomicUsize>,
    tcp: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Watch {
    fn begin(pid: u32) -> Self {
        let (descriptors, tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let (seen, seen_tcp) = (descriptors.clone(), tcp.clone());
        let task = tokio::spawn(async move {
            while let Ok(usage) = Usage::of(pid) {
                seen.fetch_max(usage.descriptors, Relaxed);
                seen_tcp.fetch_max(usage::tcp_bytes().expect("the kernel says"), Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { descriptors, tcp, task }
    }

    fn end(self) -> (usize, u64) {
        self.task.abort();
        (self.descriptors.load(Relaxed), self.tcp.load(Relaxed))
    }
}
