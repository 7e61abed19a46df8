//! Limits of what may be stored: never exceeded, and what goes to keep them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::StatusCode;
use larder::index::{Area, Index, KeyRule, sqlite::SqliteIndex};
use larder_testing::{SmallDisk, service};
use larder_tests::{BRANCH, Job, TenantServer, TestServer, tenants, tenants::eventually, token};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: usize = 1 << 20;
const SAVES: usize = 200;
/// How many of them fit.
const FIT: usize = 20;

/// A server with these lines in its file.
async fn server(section: &str) -> TestServer {
    start_on(TempDir::new().unwrap(), section, &[]).await
}

async fn start_on(data: TempDir, section: &str, variables: &[(&str, &str)]) -> TestServer {
    let file = format!("[server]\nshutdown_ms = 1000\n{section}\n");
    fs::write(data.path().join("larder.toml"), file).unwrap();
    TestServer::start_on(data, variables).await
}

/// A job with another token than all others.
fn job_of<'a>(server: &'a TestServer, repository: &str, scopes: &[(&str, u8)]) -> Job<'a> {
    Job::with_token(server, &token(repository, scopes))
}

/// A job of a pull request, which may read the default branch.
fn pull_request<'a>(server: &'a TestServer, repository: &str) -> Job<'a> {
    job_of(server, repository, &[("refs/pull/7/merge", 3), (BRANCH, 1)])
}

async fn put(job: &Job<'_>, url: &str, size: usize) -> StatusCode {
    job.send("PUT", url, &[("x-ms-blob-type", "BlockBlob")], vec![7; size]).await.status
}

/// Saves an entry. Returns whether it was accepted; if not, the refusal was clean.
async fn save(job: &Job<'_>, key: &str, size: usize) -> bool {
    let created = job.call_about("CreateCacheEntry", key, json!({})).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.text());
    let created = created.json();
    if created["ok"] != true {
        assert!(created["message"].as_str().unwrap().contains("not saved"), "{created}");
        return false;
    }
    match put(job, created["signed_upload_url"].as_str().unwrap(), size).await {
        StatusCode::CREATED => {
            job.finalize(key, size).await;
            true
        }
        StatusCode::INSUFFICIENT_STORAGE => false,
        status => panic!("{status}"),
    }
}

async fn is_there(job: &Job<'_>, key: &str) -> bool {
    let found = job.look_up(key, &[]).await;
    found["ok"] == true && found["matched_key"] == key
}

/// All bytes below a folder.
fn stored(folder: &Path) -> u64 {
    let of = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => stored(&path),
        // A journal of an upload is no content.
        Ok(found) if path.extension().is_none_or(|end| end != "journal") => found.len(),
        _ => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| of(entry.path())).sum()
}

/// Looks at a folder all the time.
struct Sampler {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Sampler {
    fn start(data: PathBuf) -> Self {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (top, ends) = (most.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut samples = 0;
            while !ends.load(Relaxed) {
                top.fetch_max(objects(&data), Relaxed);
                samples += 1;
                thread::sleep(Duration::from_millis(1));
            }
            samples
        });
        Self { most, stop, thread }
    }

    /// Returns the most that was there, of how many looks.
    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        let samples = self.thread.join().unwrap();
        (self.most.load(Relaxed), samples)
    }
}

/// What the database counts, of a server that has stopped.
async fn counted(data: &Path, area: Area) -> u64 {
    let index = SqliteIndex::open(&data.join("larder.db"), KeyRule::AnyCase).unwrap();
    index.usage_of(&area).await.unwrap()
}

/// The objects' own bytes: in a folder identity and lock are beside them.
fn objects(data: &Path) -> u64 {
    stored(&data.join("storage/objects")) + stored(&data.join("storage/uploads"))
}

/// Many saves at once. Returns how many were accepted.
async fn storm(server: &TestServer, size: impl Fn(usize) -> usize + Copy) -> usize {
    let saves = stream::iter(0..SAVES).map(|number| async move {
        let job = Job::new(server);
        save(&job, &format!("storm-{number}-"), size(number)).await
    });
    saves.buffer_unordered(SAVES).filter(|saved| std::future::ready(*saved)).count().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_at_once_never_exceed_the_limit_where_nothing_may_go() {
    let limit = (FIT * MIB) as u64;
    let section = format!("[retention]\ndisable = true\n[capacity]\nmax_bytes = {limit}\nwait_ms = 1000\n");
    let server = server(&section).await;
    let sampler = Sampler::start(server.data.path().to_owned());
    let saved = storm(&server, |_| MIB).await;
    let (most, samples) = sampler.stop();
    assert!(most <= limit && samples > 10, "{most} of {limit} in {samples} looks");
    assert!((1..=FIT).contains(&saved), "{saved} fit");
    // Those that were refused have left nothing, and the room is there for others.
    let job = Job::new(&server);
    for number in saved..FIT {
        assert!(save(&job, &format!("later-{number}"), MIB).await, "{number}");
    }
    assert!(!save(&job, "one too many", MIB).await);
    let data = server.stop();
    assert_eq!(objects(data.path()), limit);
    assert_eq!(counted(data.path(), Area::Server).await, limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_at_once_never_exceed_the_limit_while_others_make_room() {
    let limit = (FIT * MIB) as u64;
    let server = server(&format!("[capacity]\nmax_bytes = {limit}\n")).await;
    let sampler = Sampler::start(server.data.path().to_owned());
    let saved = storm(&server, |number| MIB / 4 + number * 7919 % MIB).await;
    let (most, samples) = sampler.stop();
    assert!(most <= limit && samples > 10, "{most} of {limit} in {samples} looks");
    assert!(saved > FIT, "{saved} of {SAVES} saved: nothing was evicted");
    let text = server.metrics().render();
    for counter in [r#"larder_removed_entries_total{reason="size"} "#, "larder_evicted_bytes_total "] {
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix(counter))
            .map(|count| count.parse::<f64>().unwrap());
        assert!(count.is_some_and(|count| count > 0.0), "{counter} {count:?}");
    }
    // What is there is whole.
    let job = Job::new(&server);
    let mut there = 0;
    for number in 0..SAVES {
        let key = format!("storm-{number}-");
        if is_there(&job, &key).await {
            assert_eq!(job.restore(&key).await.len(), MIB / 4 + number * 7919 % MIB);
            there += 1;
        }
    }
    assert!(there > 0);
    let data = server.stop();
    assert_eq!(counted(data.path(), Area::Server).await, objects(data.path()));
}

#[tokio::test]
async fn a_body_that_cannot_fit_is_refused_before_its_first_byte() {
    let server = server("[capacity]\nmax_bytes = 10737418240\n").await;
    let job = Job::new(&server);
    let url = job.create("sparse").await;
    let target = url.strip_prefix(&server.base).unwrap();
    let mut connection = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nhost: x\r\nx-ms-blob-type: BlockBlob\r\ncontent-length: {}\r\n\r\n",
        40_u64 << 30
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(30), connection.read_exact(&mut answer));
    read.await.expect("an answer without a byte of the body").unwrap();
    assert_eq!(std::str::from_utf8(&answer).unwrap(), "HTTP/1.1 507");
    assert!(save(&job, "small", MIB).await);
}

#[tokio::test]
async fn blocks_and_bodies_without_a_length_are_counted() {
    let server = server("[retention]\ndisable = true\n[capacity]\nmax_bytes = 12582912\nwait_ms = 0\n").await;
    let job = Job::new(&server);
    let url = job.create("blocks").await;
    let mut taken = 0;
    for number in 0..16 {
        let block = format!("{url}&comp=block&blockid=MDAw{number:04}");
        match job.send("PUT", &block, &[], vec![1; MIB]).await.status {
            StatusCode::CREATED => taken += 1,
            status => {
                assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
                break;
            }
        }
    }
    assert_eq!(taken, 12);
    // The upload is gone, and its room free.
    assert!(save(&job, "after", 12 * MIB).await);
    let data = server.stop();
    assert_eq!((objects(data.path()), counted(data.path(), Area::Server).await), (12 << 20, 12 << 20));
}

#[tokio::test]
async fn a_pull_request_evicts_its_own_entries_and_none_of_the_default_branch() {
    let server = server("[capacity]\nrepository_max_bytes = 8388608\nevict_at_percent = 100\n").await;
    let (main, pull) = (Job::new(&server), pull_request(&server, "1"));
    for number in 0..6 {
        assert!(save(&main, &format!("main-{number}"), MIB).await);
    }
    for number in 0..6 {
        assert!(save(&pull, &format!("pull-{number}"), MIB).await, "{number}");
    }
    // Nothing of its own is as large.
    assert!(!save(&pull, "large", 3 * MIB).await);
    for number in 0..6 {
        assert!(is_there(&main, &format!("main-{number}")).await, "{number}");
    }
    let left = [is_there(&pull, "pull-0").await, is_there(&pull, "pull-5").await];
    assert!(!left[0], "the one that was used least recently");
}

#[tokio::test]
async fn the_default_branch_takes_the_room_of_pull_requests() {
    let server = server("[capacity]\nrepository_max_bytes = 8388608\nevict_at_percent = 100\n").await;
    let (main, pull) = (Job::new(&server), pull_request(&server, "1"));
    for number in 0..8 {
        assert!(save(&pull, &format!("pull-{number}"), MIB).await);
    }
    assert!(save(&main, "main", 4 * MIB).await);
    for number in 0..8 {
        assert_eq!(is_there(&pull, &format!("pull-{number}")).await, number >= 4, "{number}");
    }
}

/// A server whose rules rank, and its jobs of the default branch and of a pull request.
async fn server_that_ranks(rank: &str) -> TestServer {
    let data = TempDir::new().unwrap();
    let file = data.path().join("rules.js");
    fs::write(&file, format!("export const retention = {{ rank: (entries) => entries.map({rank}) }};"))
        .unwrap();
    let section = "[capacity]\nrepository_max_bytes = 8388608\nevict_at_percent = 100\n";
    start_on(data, section, &[("LARDER_RULES", file.to_str().unwrap())]).await
}

#[tokio::test]
async fn rules_say_what_goes_first_and_not_whose() {
    // Those of the default branch before all others, but `keep-…` last.
    let rank = "({ key, scope }) => key.startsWith('keep-') ? -1 : scope === 'refs/heads/main' ? 2 : 1";
    let server = server_that_ranks(rank).await;
    let (main, pull) = (Job::new(&server), pull_request(&server, "1"));
    for key in ["keep-0", "keep-1", "main-0", "main-1"] {
        assert!(save(&main, key, MIB).await, "{key}");
    }
    for key in ["keep-2", "pull-0", "pull-1", "pull-2"] {
        assert!(save(&pull, key, MIB).await, "{key}");
    }
    // A pull request has room of its own entries only, whatever rules say.
    assert!(save(&pull, "pull-3", MIB).await);
    for (key, stays) in
        [("keep-2", true), ("pull-0", false), ("pull-1", true), ("pull-2", true), ("pull-3", true)]
    {
        assert_eq!(is_there(&pull, key).await, stays, "{key}");
    }
    // A URL of this one was handed out.
    main.url("main-0").await;
    for number in 2..5 {
        assert!(save(&main, &format!("main-{number}"), MIB).await, "{number}");
    }
    for (key, stays) in
        [("keep-0", true), ("keep-1", true), ("main-0", true), ("main-1", false), ("main-4", true)]
    {
        assert_eq!(is_there(&main, key).await, stays, "{key}");
    }
}

#[tokio::test]
async fn rules_that_fail_to_rank_leave_the_order_of_the_last_use() {
    let server = server_that_ranks("() => { throw new Error('on purpose') }").await;
    let job = Job::new(&server);
    for number in 0..9 {
        assert!(save(&job, &format!("key-{number}"), MIB).await, "{number}");
    }
    assert!(!is_there(&job, "key-0").await && is_there(&job, "key-1").await);
}

#[tokio::test]
async fn limits_by_repository_and_share_of_a_scope() {
    let server = server(
        "[retention]\ndisable = true\n[capacity]\nrepository_max_bytes = 4194304\nscope_percent = 50\nwait_ms = 0\n\
         repositories = [{ repository = \"2\", max_bytes = 8388608 }]\n",
    )
    .await;
    for (repository, fit) in [("1", 2), ("2", 4)] {
        for (scope, job) in
            [Job::of(&server, repository), pull_request(&server, repository)].iter().enumerate()
        {
            for number in 0..fit {
                assert!(save(job, &format!("{scope}-{number}"), MIB).await, "{repository} {scope} {number}");
            }
            assert!(!save(job, &format!("{scope}-more"), MIB).await, "{repository} {scope}");
        }
    }
}

#[tokio::test]
async fn entries_are_deleted_ahead_of_need() {
    let server =
        server("[capacity]\nmax_bytes = 10485760\nevict_at_percent = 80\nevict_to_percent = 50\n").await;
    let job = Job::new(&server);
    for number in 0..9 {
        assert!(save(&job, &format!("key-{number}"), MIB).await);
    }
    // A look-up would be a use, and spare it.
    let data = server.data.path();
    eventually(async || objects(data) <= 5 << 20).await;
    assert!(!is_there(&job, "key-3").await);
    for number in 4..9 {
        assert!(is_there(&job, &format!("key-{number}")).await, "{number}");
    }
}

/// A file of somebody else on a disk.
struct OtherFile(PathBuf);

impl OtherFile {
    fn on(disk: &SmallDisk) -> Self {
        Self(disk.path().join("of-somebody-else"))
    }

    fn set(&self, mib: usize) {
        fs::write(&self.0, vec![1; mib * MIB]).unwrap();
    }

    fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// Bytes that are free on a disk.
fn free(disk: &Path) -> u64 {
    let df = std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(disk).output().unwrap();
    let text = String::from_utf8(df.stdout).unwrap();
    text.lines().last().unwrap().trim().parse().unwrap()
}

/// Saves entries under new names until one is accepted.
async fn saves_work_again(job: &Job<'_>, name: &str) {
    let attempts = AtomicU64::new(0);
    eventually(async || {
        let key = format!("{name}-{}", attempts.fetch_add(1, Relaxed));
        save_on_full_disk(job, &key).await
    })
    .await;
}

/// Saves an entry of a MiB. Returns whether it was accepted; if not, the refusal was clean, at whatever call.
async fn save_on_full_disk(job: &Job<'_>, key: &str) -> bool {
    let created = job.call_about("CreateCacheEntry", key, json!({})).await;
    if created.status == StatusCode::INSUFFICIENT_STORAGE {
        return false;
    }
    let created = created.json();
    if created["ok"] != true {
        assert!(created["message"].as_str().unwrap().contains("not saved"), "{created}");
        return false;
    }
    let put = put(job, created["signed_upload_url"].as_str().unwrap(), MIB).await;
    if put == StatusCode::INSUFFICIENT_STORAGE {
        return false;
    }
    assert_eq!(put, StatusCode::CREATED);
    job.finalize(key, MIB).await;
    true
}

/// Of the disk 48 MiB may be used. The database's own reserve takes 8 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_put_on_the_disk_is_taken_off_its_limit() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let section = "[storage.filesystem]\nreserve_bytes = 1048576\n\
        [capacity]\nmax_disk_percent = 30\nwait_ms = 1000\n";
    let server = start_on(TempDir::new_in(disk.path()).unwrap(), section, &[]).await;
    let (job, data, other) = (Job::new(&server), server.data.path(), OtherFile::on(&disk));
    for number in 0..20 {
        assert!(save(&job, &format!("key-{number}"), MIB).await, "{number}");
    }
    assert_eq!(objects(data), 20 << 20);
    // The saves are no reason to look any more: that is every 5 s.
    tokio::time::sleep(Duration::from_secs(6)).await;
    // Somebody else takes 24 MiB. Entries go without a request of anybody, the least recently used first.
    other.set(24);
    eventually(async || objects(data) <= 16 << 20).await;
    assert!(!is_there(&job, "key-0").await);
    assert!(is_there(&job, "key-19").await);
    let sampler = Sampler::start(data.to_owned());
    let saved = storm(&server, |_| MIB).await;
    let (most, samples) = sampler.stop();
    assert!(most <= 16 << 20 && samples > 10, "{most} in {samples} looks");
    assert!(saved > 0, "others made room");
    // Others have more than may be used: nothing stays but what was handed out, and saves are refused.
    other.set(60);
    eventually(async || objects(data) == 1 << 20).await;
    assert!(is_there(&job, "key-19").await);
    assert!(!save(&job, "refused", MIB).await);
    other.remove();
    saves_work_again(&job, "again").await;
    let data = server.stop();
    assert_eq!(counted(data.path(), Area::Server).await, objects(data.path()));
}

/// The disk has 64 MiB, of which 16 stay free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_space_that_is_to_stay_free_does() {
    const FLOOR: u64 = 16 << 20;
    let Some(disk) = SmallDisk::mount(64) else { return };
    let section = "[storage.filesystem]\nreserve_bytes = 16777216\n";
    let server = start_on(TempDir::new_in(disk.path()).unwrap(), section, &[]).await;
    let (job, other) = (Job::new(&server), OtherFile::on(&disk));
    assert!(save(&job, "kept", MIB).await);
    let room = usize::try_from((free(disk.path()) - FLOOR) >> 20).unwrap();
    other.set(room - 6);
    // The disk is measured every half second.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut saved = 0;
    while save_on_full_disk(&job, &format!("key-{saved}")).await {
        saved += 1;
        assert!(saved <= 6, "more than there is room for");
    }
    assert!(saved >= 3, "{saved}");
    // The database's log grows between two measurements.
    assert!(free(disk.path()) >= FLOOR - (1 << 20), "{}", free(disk.path()));
    assert_eq!(job.restore("kept").await.len(), MIB);
    other.remove();
    saves_work_again(&job, "again").await;
}

#[tokio::test]
async fn what_was_handed_out_stays_while_its_url_is_valid() {
    let server = server("[capacity]\nmax_bytes = 4194304\nevict_at_percent = 100\n").await;
    let job = Job::new(&server);
    for number in 0..4 {
        assert!(save(&job, &format!("key-{number}"), MIB).await);
    }
    let url = job.url("key-0").await;
    assert!(save(&job, "key-4", MIB).await);
    assert_eq!(job.send("GET", &url, &[], "").await.body.len(), MIB);
    assert!(!is_there(&job, "key-1").await);
}

#[tokio::test]
async fn the_quota_of_a_tenant_is_no_other_tenants_trouble() {
    let data = TempDir::new().unwrap();
    let file = |limit: &str| {
        format!(
            "[tenant]\nhosts = [\"acme.test\"]\n{limit}[auth]\nhs256_secrets = [\"{}\"]\n",
            tenants::secret_of("acme")
        )
    };
    tenants::write_text(data.path(), "acme", &file("max_bytes = 2097152\n"));
    tenants::write(data.path(), "umbrella", "");
    let server = TenantServer::start_on(data, &[]).await;
    let (acme, umbrella) = (server.job("acme"), server.job("umbrella"));
    for number in 0..4 {
        let key = format!("key-{number}");
        assert!(save(&acme, &key, MIB).await && save(&umbrella, &key, MIB).await);
    }
    assert!(!save(&acme, "large", 3 * MIB).await && save(&umbrella, "large", 3 * MIB).await);
    for number in 0..4 {
        let key = format!("key-{number}");
        assert!(is_there(&umbrella, &key).await && (number > 0 || !is_there(&acme, &key).await));
    }
    // Without the limit, from one moment to the next.
    server.write("acme", "");
    eventually(async || save(&acme, "large", 3 * MIB).await).await;
}

/// What is too much goes from the tenant that has most, by its own policy, although it saves nothing.
#[tokio::test]
async fn in_a_full_server_the_tenant_with_most_bytes_gives_way() {
    let data = TempDir::new().unwrap();
    let file = "[server]\nshutdown_ms = 1000\n[capacity]\nmax_bytes = 16777216\nevict_at_percent = 75\nevict_to_percent = 50\n";
    fs::write(data.path().join("larder.toml"), file).unwrap();
    for name in ["acme", "umbrella"] {
        tenants::write(data.path(), name, "");
    }
    let server = TenantServer::start_on(data, &[]).await;
    let (acme, umbrella) = (server.job("acme"), server.job("umbrella"));
    for number in 0..12 {
        assert!(save(&acme, &format!("key-{number}"), MIB).await);
    }
    assert!(save(&umbrella, "key", 2 * MIB).await);
    let folder = server.server.data.path().join("storage");
    let of = |name: &str| stored(&folder.join("tenants").join(name).join("objects"));
    eventually(async || of("acme") + of("umbrella") <= 8 << 20).await;
    assert_eq!((of("acme"), of("umbrella")), (6 << 20, 2 << 20));
    assert!(!is_there(&acme, "key-5").await && is_there(&acme, "key-6").await);
}

/// The calls of BuildKit's export, as its library makes them.
struct Export<'a> {
    job: Job<'a>,
}

impl Export<'_> {
    async fn call(&self, call: &str, key: &str, more: serde_json::Value) -> larder_tests::Response {
        let mut message = json!({ "key": key, "version": "v" });
        message.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let headers = [
            ("authorization", self.job.bearer.as_str()),
            ("content-type", "application/json"),
            ("user-agent", "buildkit/0.20"),
        ];
        let target = format!("/twirp/github.actions.results.api.v1.CacheService/{call}");
        self.job.send("POST", &target, &headers, message.to_string()).await
    }

    /// Saves a blob in blocks of 1 MiB. What the export would fail on is a panic.
    async fn save(&self, key: &str, blocks: usize) {
        let created = self.call("CreateCacheEntry", key, json!({})).await;
        if created.status == StatusCode::CONFLICT {
            assert!(created.text().contains("already_exists"), "{}", created.text());
            return;
        }
        assert_eq!(created.status, StatusCode::OK, "{}", created.text());
        let url = created.json()["signed_upload_url"].as_str().unwrap().to_owned();
        let agent = ("user-agent", "azsdk-go-azblob/v1.6.0 (go1.23.5; linux)");
        let mut list = String::new();
        for number in 0..blocks {
            let target = format!("{url}&comp=block&blockid=MDAw{number:04}");
            let put = self.job.send("PUT", &target, &[agent], vec![1; MIB]).await;
            assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
            assert!(!put.header("x-ms-request-id").is_empty());
            list.push_str(&format!("<Latest>MDAw{number:04}</Latest>"));
        }
        let list = format!("<BlockList>{list}</BlockList>");
        let listed = self.job.send("PUT", &format!("{url}&comp=blocklist"), &[agent], list).await;
        assert_eq!(listed.status, StatusCode::CREATED, "{}", listed.text());
        let size = json!({ "size_bytes": (blocks * MIB).to_string() });
        let finalized = self.call("FinalizeCacheEntryUpload", key, size).await;
        assert_eq!(finalized.status, StatusCode::OK, "{}", finalized.text());
        let finalized = finalized.json();
        let number: u64 = finalized["entry_id"].as_str().unwrap().parse().unwrap();
        assert!(finalized["ok"] == true && number > 0, "{finalized}");
    }
}

#[tokio::test]
async fn an_export_of_buildkit_does_not_fail_and_leaves_no_index_without_its_layers() {
    let server = server("[retention]\ndisable = true\n[capacity]\nmax_bytes = 12582912\nwait_ms = 0\n").await;
    let export = Export { job: Job::new(&server) };
    export.save("buildkit-blob-1-sha256:aa", 4).await;
    export.save("buildkit-blob-1-sha256:bb", 16).await;
    export.save("buildkit-blob-1-sha256:cc", 1).await;
    export.save("index-buildkit-1-00000000#1", 1).await;
    assert!(is_there(&export.job, "buildkit-blob-1-sha256:aa").await);
    for key in ["buildkit-blob-1-sha256:bb", "buildkit-blob-1-sha256:cc", "index-buildkit-1-00000000#1"] {
        assert!(!is_there(&export.job, key).await, "{key}");
    }
    // The next job has another token, and saves what fits.
    let next = Export { job: job_of(&server, "1", &[(BRANCH, 3), ("refs/tags/x", 1)]) };
    next.save("buildkit-blob-1-sha256:cc", 1).await;
    next.save("index-buildkit-1-00000000#1", 1).await;
    assert!(is_there(&next.job, "index-buildkit-1-00000000#1").await);
    let data = server.stop();
    assert_eq!((objects(data.path()), counted(data.path(), Area::Server).await), (6 << 20, 6 << 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_bucket_and_database_never_exceed_a_quota_together() {
    let (Some(endpoint), Some(database)) =
        (service("LARDER_TEST_S3_ENDPOINT"), service("LARDER_TEST_POSTGRES_URL"))
    else {
        return;
    };
    let of = |name| service(name).expect("the other variables, too");
    let (bucket, key, secret) =
        (of("LARDER_TEST_S3_BUCKET"), of("LARDER_TEST_S3_ACCESS_KEY"), of("LARDER_TEST_S3_SECRET_KEY"));
    let prefix = format!("capacity-{}", std::process::id());
    let variables = [
        ("STORAGE_DRIVER", "s3"),
        ("STORAGE_S3_BUCKET", bucket.as_str()),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", secret.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("LARDER_STORAGE_PREFIX", prefix.as_str()),
        ("DB_DRIVER", "postgres"),
        ("DB_POSTGRES_URL", database.as_str()),
    ];
    let limit = (FIT * MIB) as u64;
    let section =
        format!("[retention]\ndisable = true\n[capacity]\nrepository_max_bytes = {limit}\nwait_ms = 500\n");
    let first = start_on(TempDir::new().unwrap(), &section, &variables).await;
    let second = start_on(TempDir::new().unwrap(), &section, &variables).await;
    let repository = (1_000_000_000 + u64::from(std::process::id())).to_string();
    let servers = [&first, &second];
    let repository = &repository;
    let saves = stream::iter(0..SAVES).map(|number| async move {
        save(&Job::of(servers[number % 2], repository), &format!("storm-{number}-"), MIB).await
    });
    let saved = saves.buffer_unordered(64).filter(|saved| std::future::ready(*saved)).count().await;
    assert!((1..=FIT).contains(&saved), "{saved} fit");
    let job = Job::of(&second, repository);
    for number in saved..FIT {
        assert!(save(&job, &format!("later-{number}"), MIB).await, "{number}");
    }
    assert!(!save(&job, "one too many", MIB).await);
}
