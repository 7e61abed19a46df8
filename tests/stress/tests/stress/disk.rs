//! Full disks and slow disks.

use std::{
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use bytes::Bytes;
use larder_stress::{
    attack::{
        Crowd, Peer,
        http1::{Script, request},
    },
    client::{Client, block_url, content},
    healthy::Healthy,
    scale,
    server::{Server, Setup},
    siege::{Bounds, end_well, siege, turn},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const MIB: usize = 1 << 20;
const DISK_MIB: usize = 64;
const PIECE_BYTES: usize = 4 * MIB;
const PIECES: usize = DISK_MIB * MIB / PIECE_BYTES;
/// A slower refusal counts as an outage.
const REFUSED_IN: Duration = Duration::from_secs(2);
/// The longest time until the space of refused data is free again.
const FREED_IN: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// Errors that an operator should see.
const FULL: [&str; 4] = ["disk full", "is full", "no space left", "InsufficientStorage"];

/// Prints why a scenario is skipped. With `CI` set it fails instead.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn left_out(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "under CI nothing is left out: {why}");
    eprintln!("left out: {why}");
}

/// A file system in memory.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(mib: usize) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "larder"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, in case a process still uses it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// The ways to send bytes that never become an entry.
#[derive(Clone, Copy, Debug)]
enum Way {
    Blocks,
    Appends,
    Chunks,
}

/// Sends pieces until one is refused. Returns the refusal and how long it took.
async fn fill(client: &Client, key: &str, way: Way) -> (String, Duration) {
    let piece = |number: usize| content(number as u64, PIECE_BYTES);
    let url = match way {
        Way::Blocks | Way::Appends => client.create(key).await.unwrap(),
        Way::Chunks => client.reserve(key).await.unwrap().to_string(),
    };
    for number in 0..=PIECES {
        let begun = Instant::now();
        let sent = match way {
            Way::Blocks => client.put_block(&url, number, piece(number)).await,
            Way::Appends if number == 0 => client.append(&url, &[]).await,
            Way::Appends => client.put_piece(&url, piece(number)).await,
            Way::Chunks => client.patch(url.parse().unwrap(), number * PIECE_BYTES, piece(number)).await,
        };
        if let Err(error) = sent {
            return (format!("{error:#}"), begun.elapsed());
        }
    }
    panic!("{way:?}: {DISK_MIB} MiB were taken, and nothing was refused");
}

/// Retries a save until it succeeds.
async fn save_works_again(client: &Client, key: &str) {
    let deadline = Instant::now() + FREED_IN;
    for attempt in 0.. {
        let begun = Instant::now();
        let Err(error) = client.save(&format!("{key}-{attempt}"), content(attempt, MIB)).await else {
            return;
        };
        assert!(begun.elapsed() < REFUSED_IN, "{key}: refused only after {:?}: {error:#}", begun.elapsed());
        assert!(Instant::now() < deadline, "{key}: no save after {FREED_IN:?}: {error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Fault 13. A disk that is repeatedly filled by uploads that never become entries needs no
/// operator: reads continue, data that does not fit is refused at once, and its space is free for
/// the next upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_filled_twenty_times() {
    let _turn = turn().await;
    let Some(disk) = Tmpfs::mount(DISK_MIB) else { return left_out("no tmpfs can be mounted (not root)") };
    let mut server = Server::start(Setup { data: Some(disk.path().join("data")), ..Setup::default() });
    let (reader, filler) =
        (Client::new(&server, "1", RESPONSE_TIMEOUT), Client::new(&server, "2", RESPONSE_TIMEOUT));
    let kept = content(7, MIB);
    reader.save("kept", kept.clone()).await.unwrap();
    for round in 0..20 {
        let way = [Way::Blocks, Way::Appends, Way::Chunks][round % 3];
        let (refusal, after) = fill(&filler, &format!("fill-{round}"), way).await;
        assert!(refusal.contains("507"), "round {round}, {way:?}: {refusal}");
        assert!(after < REFUSED_IN, "round {round}, {way:?}: refused only after {after:?}");
        assert_eq!(reader.restore("kept").await.unwrap(), kept, "round {round}, {way:?}");
        if round % 5 == 0 {
            save_works_again(&reader, &format!("after-{round}")).await;
        }
    }
    save_works_again(&reader, "after").await;
    drop((reader, filler));
    end_well("a disk that is filled twenty times", &mut server, &FULL).await;
}

/// Fault 13. If entries fill the disk, nothing is lost: acknowledged entries can be read, also
/// after the server was killed and restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_of_entries() {
    let _turn = turn().await;
    let Some(disk) = Tmpfs::mount(DISK_MIB) else { return left_out("no tmpfs can be mounted (not root)") };
    let mut server = Server::start(Setup { data: Some(disk.path().join("data")), ..Setup::default() });
    let mut saved = 0;
    let client = Client::new(&server, "1", RESPONSE_TIMEOUT);
    let refusal = loop {
        match client.save(&format!("entry-{saved}"), content(saved, PIECE_BYTES)).await {
            Ok(()) => saved += 1,
            Err(error) => break format!("{error:#}"),
        }
        assert!(saved <= PIECES as u64, "more than fits was saved");
    };
    assert!(refusal.contains("507"), "{refusal}");
    assert!(saved > 5, "only {saved} entries of 4 MiB fit on {DISK_MIB} MiB");
    for again in 0..2 {
        let client = Client::new(&server, "1", RESPONSE_TIMEOUT);
        for number in 0..saved {
            let restored = client.restore(&format!("entry-{number}")).await.unwrap();
            assert!(restored == content(number, PIECE_BYTES), "entry {number} has other bytes");
        }
        let begun = Instant::now();
        let error = client.save(&format!("again-{again}"), content(0, 2 * PIECE_BYTES)).await.unwrap_err();
        assert!(begun.elapsed() < REFUSED_IN, "refused only after {:?}: {error:#}", begun.elapsed());
        assert!(format!("{error:#}").contains("507"), "{error:#}");
        server.kill();
        server.start_again();
    }
    end_well("a disk that is full of entries", &mut server, &FULL).await;
}

/// `strace` attached to a process until this is dropped.
struct Tracer(Child);

impl Tracer {
    /// Delays each system call of this name, in every thread of the process.
    fn hold_up(pid: u32, call: &str, delay: Duration) -> Self {
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:delay_enter={}", delay.as_micros()));
        let pid = pid.to_string();
        let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid];
        let tracer = Self(Command::new("strace").args(arguments).spawn().unwrap());
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        while !is_traced(&pid) {
            assert!(Instant::now() < deadline, "strace does not attach");
            std::thread::sleep(Duration::from_millis(10));
        }
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The process continues without it.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn is_traced(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.lines().any(|line| line == "TracerPid:\t0")
    })
}

/// Fault 11. File metadata is slow, as on NFS or a cold disk: `strace` delays each `newfstatat`.
/// Requests that do not need the disk are not delayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_with_slow_file_metadata() {
    const DELAY: Duration = Duration::from_secs(1);
    /// For requests that use no file. The first slow call may block its thread, because the delay
    /// is unknown before it.
    const PROMPT: Duration = Duration::from_millis(700);
    if Command::new("strace").arg("-V").output().is_err() {
        return left_out("strace is not there");
    }
    let _turn = turn().await;
    let mut server = Server::start(Setup::default().with("LARDER_THREADS", &1));
    let mut healthy = Healthy::new(&server).await.unwrap();
    let kept = Client::new(&server, "2", RESPONSE_TIMEOUT);
    kept.save("slow", Bytes::from_static(b"slow")).await.unwrap();
    let tracer = Tracer::hold_up(server.pid(), "newfstatat", DELAY);
    assert!(kept.lookup("slow", &[]).await.unwrap().is_some());
    let end = Instant::now() + scale::hold();
    let mut lookups = JoinSet::new();
    for _ in 0..8 {
        let client = Client::new(&server, "2", RESPONSE_TIMEOUT);
        lookups.spawn(async move {
            while Instant::now() < end {
                assert!(client.lookup("slow", &[]).await.unwrap().is_some());
            }
        });
    }
    let prompt = Client::new(&server, "3", RESPONSE_TIMEOUT);
    while Instant::now() < end {
        let begun = Instant::now();
        assert_eq!(prompt.send("GET", "/health", &[], "").await.unwrap().status, 200);
        assert!(begun.elapsed() < PROMPT, "/health took {:?}", begun.elapsed());
        assert!(prompt.lookup("absent", &[]).await.unwrap().is_none());
        assert!(begun.elapsed() < 2 * PROMPT, "a miss took {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while let Some(ended) = lookups.join_next().await {
        ended.unwrap();
    }
    healthy.round().await.unwrap();
    drop((healthy, tracer));
    end_well("a slow disk", &mut server, &[]).await;
}

/// Fault 13. Incomplete blocks leave no bytes behind that take space from later ones: 500 of them,
/// of 600 KiB each, repeatedly, until they exceed a disk of 1 GiB. That disk has room for all that
/// are in progress at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_break_off_take_no_space() {
    let mib = 1024;
    let Some(disk) = Tmpfs::mount(mib) else { return left_out("no tmpfs can be mounted (not root)") };
    let setup = Setup { data: Some(disk.path().join("data")), ..Setup::default() };
    siege("blocks that break off", setup, Bounds::default(), async |server| {
        let attacker = Client::new(server, "666", RESPONSE_TIMEOUT);
        let mut crowd = Crowd::against(server.address());
        let half = content(3, 600 << 10);
        for upload in 0..5 {
            let url = attacker.create(&format!("attack-{upload}")).await.unwrap();
            for number in 0..100 {
                let fields = format!("content-length: {}\r\n", 2 * half.len());
                let target = block_url(&url, number);
                let opening = request(server.address(), "PUT", &target, &fields, b"");
                Script::hasty(opening).then(half.clone()).join(&mut crowd, Peer::other(number));
            }
        }
        let needed = (mib * 1024).div_ceil(600);
        assert!(
            crowd.times(needed, 3 * RESPONSE_TIMEOUT).await >= needed,
            "less was sent than the disk takes"
        );
        crowd
    })
    .await;
}
