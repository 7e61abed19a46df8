//! A real Prometheus scrapes a server that works, and every query of the dashboard and of the alerts is
//! asked of it: a metric that is renamed, a label that is gone, or a query that is wrong fails here.
//! `promtool` checks names and rules. Both are of Debian's package `prometheus` (`tests/scripts/need.sh`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use larder::{
    Larder,
    metrics::{
        BuildInfo, Health, InForce, Keys, Metrics, PolicyFault, Pool, Settings, Snapshot, Source, routes,
    },
};
use larder_tests::{BRANCH, Job, TestServer, tenants::eventually, test_config_of_file, token, token_with};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// Longest wait for Prometheus.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str = "the key of an administrator";
/// Nobody of the load may save with these.
const ONLY_READ: &str = include_str!("../../examples/rules/pull-requests-read.js");

/// Whether a tool is there. Under CI it must be.
fn has(tool: &str) -> bool {
    let found =
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{tool} is not there: under CI it must be");
    if !found {
        eprintln!("skipped: there is no {tool}");
    }
    found
}

fn examples(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/grafana").join(file)
}

/// A Prometheus that scrapes the targets each second. Killed when dropped.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn start(targets: [SocketAddr; 2]) -> Self {
        let data = TempDir::new().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [ {:?} ]\n\
             scrape_configs: [ {{ job_name: larder, static_configs: [ {{ targets: {:?} }} ] }} ]\n",
            examples("alerts.yml").canonicalize().unwrap(),
            targets.map(|target| target.to_string()),
        );
        fs::write(&config, text).unwrap();
        // Free a moment ago; nothing else of this test asks for one.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address, _data: data }
    }

    /// Asks it; `None` while it does not answer.
    async fn ask(&self, server: &TestServer, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.address);
        let answer = server.try_get(&url).await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The samples of a query.
    async fn query(&self, server: &TestServer, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.ask(server, &format!("/api/v1/query?query={encoded}")).await.expect("an answer");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Waits until it has scraped the server so many times.
    async fn scraped(&self, server: &TestServer, times: u64) {
        let scraped = async {
            loop {
                if self.ask(server, "/-/ready").await.is_some() || self.is_up(server).await {
                    let count = "count_over_time(larder_build_info[1h])";
                    let samples = self.query(server, count).await;
                    let seen =
                        samples.first().and_then(|sample| sample["value"][1].as_str()?.parse::<u64>().ok());
                    if seen.is_some_and(|seen| seen >= times) {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, scraped).await.expect("Prometheus scrapes the server");
    }

    async fn is_up(&self, server: &TestServer) -> bool {
        self.ask(server, "/api/v1/query?query=up").await.is_some_and(|answer| answer["status"] == "success")
    }
}

/// The queries of the dashboard, with its variables filled in.
fn dashboard_queries() -> BTreeSet<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(examples("larder-dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    queries.map(|query| query.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

/// The server, with the upstream that it forwards to, and its metrics on a port of their own.
async fn serve() -> (TestServer, SocketAddr) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data = TempDir::new().unwrap();
    let text = format!(
        "[server]\nshutdown_ms = 1000\n[upstream]\nurl = \"http://{}\"\n[capacity]\nmax_bytes = 100000000\n\
         [management]\nkey = \"{KEY}\"\n",
        upstream.local_addr().unwrap()
    );
    tokio::spawn(async move { axum::serve(upstream, axum::Router::new()).await.unwrap() });
    let mut config = test_config_of_file(data.path(), &text);
    config.settings.upstream.url = Some(text.split('"').nth(1).unwrap().to_owned());
    config.settings.management.listen = Some(([127, 0, 0, 1], 0).into());
    let larder = Box::pin(Larder::builder(config).build()).await.unwrap();
    let address = larder.management_address().unwrap();
    (TestServer::around(larder, data), address)
}

/// Asks the management API.
async fn manage(server: &TestServer, method: &str, path: &str, body: &str) -> Value {
    let url = format!("http://{}/api/v1/{path}", server.management_address().unwrap());
    let answer = server.send(method, &url, &[("x-api-key", KEY)], body.to_owned()).await;
    assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text());
    answer.json()
}

/// What the server of this test has no reason to say: it has no certificate, issuer, database server or tenants, and
/// each of its exchanges succeeds.
struct Elsewhere(AtomicU64);

#[async_trait]
impl Source for Elsewhere {
    async fn snapshot(&self) -> Snapshot {
        let refused = self.0.load(Relaxed);
        Snapshot {
            pool: Some(Pool { size: 8, waiting: 3 }),
            certificates: vec![("default".to_owned(), 1_000_000_000)],
            keys: vec![Keys {
                issuer: "https://issuer.example".to_owned(),
                age_seconds: Some(60.0),
                fetched: refused,
                failed: 0,
            }],
            tenants: Some((2, 1)),
            in_force: vec![InForce { of: "rules", swaps: vec![("refused", refused)], ..InForce::default() }],
            ..Snapshot::default()
        }
    }
}

/// The metrics of another server, which count what nobody does here.
struct Replica {
    metrics: Arc<Metrics>,
    source: Arc<Elsewhere>,
    address: SocketAddr,
}

impl Replica {
    async fn serve() -> Self {
        let metrics = Metrics::new(&Settings::default(), &BuildInfo::default());
        let source = Arc::new(Elsewhere(AtomicU64::new(0)));
        let asked: Arc<dyn Source> = source.clone();
        metrics.set_source(&asked);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = routes(metrics.clone(), Arc::new(Health::default()));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { metrics, source, address }
    }

    fn count(&self) {
        self.source.0.fetch_add(1, Relaxed);
        self.metrics.count_scrubbed("damaged");
        self.metrics.count_ghost(2, 1000);
        self.metrics.count_evicted(1000);
        self.metrics.count_swept(1, 1, 1000);
        self.metrics.count_export("traces", false);
        self.metrics.count_dropped_spans(1);
        self.metrics.count_policy_fault(PolicyFault::Timeout);
        self.metrics.count_policy_interruption();
    }
}

/// Begins an upload whose bytes do not come.
async fn begin_upload(server: &TestServer) -> TcpStream {
    let url = Job::new(server).create("linux-reserved").await;
    let target = url.strip_prefix(&server.base).unwrap();
    let mut stream = TcpStream::connect(server.base.rsplit_once("//").unwrap().1).await.unwrap();
    let head = format!(
        "PUT {target}&comp=block&blockid=MDAwMQ== HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Makes everything that a healthy server counts happen once: hits, misses, saves, evictions, refusals.
async fn load(server: &TestServer, round: usize) {
    let job = Job::with_token(server, &token_with("1", &json!({ "repository": "octo/hello" })));
    let key = format!("linux-cargo-{round}");
    job.look_up(&key, &[]).await;
    job.save(&key, &[7; 9_000]).await;
    job.restore(&key).await;
    job.look_up("linux-cargo-none", &["linux-cargo-"]).await;
    job.call_about("CreateCacheEntry", &key, json!({})).await;
    Job::with_token(server, &token("1", &[(BRANCH, 1)])).call_about("CreateCacheEntry", "k", json!({})).await;
    server
        .send("POST", "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry", &[], "{}")
        .await;
    server.get("/some/other/service").await;
    // The content of an entry is lost: the next look-up finds it stale.
    let lost = format!("linux-lost-{round}");
    job.save(&lost, &[1; 100]).await;
    let objects = server.data.path().join("storage/objects");
    if let Some(file) = newest_file(&objects) {
        fs::remove_file(file).unwrap();
    }
    job.look_up(&lost, &[]).await;
    // One that is never finished, and one that takes the place of the lost one.
    job.create(&format!("linux-open-{round}")).await;
    job.save(&lost, &[1; 100]).await;
    // What the rules in the shadow would decide otherwise: of each token once.
    let scopes =
        json!([{ "Scope": "refs/pull/7/merge", "Permission": 3 }, { "Scope": BRANCH, "Permission": 1 }]);
    let pull_request = token_with("1", &json!({ "ac": scopes.to_string(), "run_id": round.to_string() }));
    Job::with_token(server, &pull_request).look_up("k", &[]).await;
    manage(server, "DELETE", &format!("entries?key={key}"), "").await;
    manage(server, "POST", "sweep", "").await;
    manage(server, "POST", "scrub", "{}").await;
    eventually(async || manage(server, "GET", "scrub", "").await["running"] == false).await;
}

fn newest_file(folder: &std::path::Path) -> Option<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.into_iter().max_by_key(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_dashboard_and_alerts_is_answered_by_a_prometheus() {
    if !has("prometheus") {
        return;
    }
    let (server, target) = serve().await;
    let replica = Replica::serve().await;
    let prometheus = Prometheus::start([target, replica.address]);
    let _open = begin_upload(&server).await;
    // A series that begins with its first count has a rate once it has a second one.
    load(&server, 0).await;
    replica.count();
    prometheus.scraped(&server, 2).await;
    manage(
        &server,
        "POST",
        "rules/use?name=none-at-night.js",
        "export const access = { admit: () => ({ tag: 'default' }) }",
    )
    .await;
    manage(&server, "POST", "rules/shadow?name=pull-requests-read.js", ONLY_READ).await;
    // As long as a busy machine takes: it ends once all have data.
    let until = Instant::now() + 2 * PATIENCE;
    let mut round = 0;
    let empty = loop {
        round += 1;
        load(&server, round).await;
        replica.count();
        let empty = without_data(&prometheus, &server).await;
        if empty.is_empty() || Instant::now() > until {
            break empty;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(empty.is_empty(), "without data, or 0: {empty:#?}");
    let rules = prometheus.ask(&server, "/api/v1/rules").await.unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 10, "{rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        prometheus.query(&server, rule["query"].as_str().unwrap()).await;
    }
    // What happened here often enough is noticed.
    let pending: Vec<_> = rules.iter().filter(|rule| rule["state"] != "inactive").collect();
    let names: Vec<_> = pending.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    let noticed = [
        "LarderStaleEntries",
        "LarderPolicyFaults",
        "LarderCertificateExpires",
        "LarderDamagedObjects",
        "LarderExchangeFailed",
        "LarderDatabaseCallsWait",
        "LarderExportsFail",
    ];
    assert!(noticed.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(!names.contains(&"LarderDown") && !names.contains(&"LarderNoSweep"), "{names:?}");
}

/// The queries of the dashboard that have no data, or 0.
async fn without_data(prometheus: &Prometheus, server: &TestServer) -> Vec<String> {
    let mut empty = Vec::new();
    for query in dashboard_queries() {
        let samples = prometheus.query(server, &query).await;
        let has_data = samples.iter().any(|sample| {
            let value = sample["value"][1].as_str().unwrap();
            value != "NaN" && value.parse::<f64>().unwrap() != 0.0
        });
        if !has_data && !QUIET.iter().any(|(part, _)| query.contains(part)) {
            empty.push(query);
        }
    }
    empty
}

/// What a healthy server under light load does not do, so that 0 is right.
const QUIET: [(&str, &str); 5] = [
    (r#"code=~"5.."#, "nothing fails"),
    (r#"result="error"#, "the same"),
    ("larder_http_requests_in_flight{", "there are none between two requests"),
    ("larder_refused_total", "nobody is refused"),
    ("larder_connections_evicted_total", "no connection is closed for another"),
];

/// Metrics that no panel and no alert has, and why.
const NOT_SHOWN: [(&str, &str); 4] = [
    ("cache_", "the known server's names, of what is shown under this one's"),
    ("process_start_time_seconds", "as larder_start_time_seconds"),
    ("process_threads", "they are as many as configured"),
    ("process_virtual_memory_bytes", "each guest reserves gigabytes of it"),
];

/// A metric that is added gets a panel, or a reason.
#[test]
fn each_metric_of_the_list_has_a_panel_or_an_alert() {
    let shown = ["larder-dashboard.json", "alerts.yml"]
        .map(|file| fs::read_to_string(examples(file)).unwrap())
        .concat();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = shown.split(|c| !is_word(c)).collect();
    let list = fs::read_to_string(examples("METRICS.md")).unwrap();
    let listed = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_shown = |name: &str| {
        ["", "_bucket", "_sum"].iter().any(|suffix| words.contains(format!("{name}{suffix}").as_str()))
    };
    let hidden: Vec<_> = listed
        .filter(|name| !is_shown(name) && !NOT_SHOWN.iter().any(|(part, _)| name.starts_with(part)))
        .collect();
    assert!(hidden.is_empty(), "neither in a panel nor in an alert: {hidden:?}");
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_metrics_and_rules() {
    if !has("promtool") {
        return;
    }
    let (server, _) = serve().await;
    load(&server, 0).await;
    let text = server.metrics().scrape().await;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    let rules =
        Command::new("promtool").args(["check", "rules"]).arg(examples("alerts.yml")).output().unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
}
