//! The list of metrics for operators (`examples/grafana/METRICS.md`): each one is there, has its type, and is not zero
//! after a server did what makes it count; and there is none that the list does not have.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use larder_testing::certificates::Authority;
use larder_tests::{
    BRANCH, HOSTILE_POLICY, Job, TestServer, issued_token, tenants, tenants::eventually, tls::client_config,
    token, token_with,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const KEY: &str = "the key of an administrator";
const LIST: &str = include_str!("../../examples/grafana/METRICS.md");
const ISSUER: &str = "https://issuer.example";
const MIB: usize = 1 << 20;

/// What the server of this test has no reason to count, and where it is counted instead.
const ZERO: [(&str, &str); 5] = [
    ("larder_refused_total", "nobody is refused: connections.rs and limits.rs fill the limits"),
    ("larder_connections_evicted_total", "no connection is closed for another: connections.rs"),
    (
        "larder_policy_slice_interruptions_total",
        "nothing computes for long, unless the machine is busy: limits.rs",
    ),
    ("larder_database_pool_size", "SQLite is no server: the conformance of the index looks at the pools"),
    ("larder_database_pool_waiting", "the same, and nobody waits"),
];

/// The metrics of the list, with their types.
fn listed() -> BTreeMap<String, String> {
    let rows = LIST.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").expect("a name and a type");
        (name.to_owned(), rest.split(' ').next().unwrap().to_owned())
    })
    .collect()
}

/// The families of a text of metrics, with their types; and those that have a value other than 0.
fn scraped(text: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let types: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let counted = samples.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        // A histogram has counted something if its number is not 0: what it observed may be.
        let family = name.strip_suffix("_count").filter(|family| types.contains_key(*family)).unwrap_or(name);
        (value.parse::<f64>().ok()? != 0.0).then(|| family.to_owned())
    });
    let counted = counted.collect();
    (types, counted)
}

/// What the server forwards to, where the keys of the issuer are.
async fn upstream() -> String {
    let modulus = URL_SAFE_NO_PAD.encode([0xC1; 256]);
    let keys = json!({ "keys": [{ "kty": "RSA", "kid": "1", "alg": "RS256", "n": modulus, "e": "AQAB" }] });
    let keys = axum::routing::get(async move || axum::Json(keys));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/jwks", keys);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn start(data: TempDir, authority: &Authority) -> TestServer {
    let upstream = upstream().await;
    let pair = authority.issue("server", "127.0.0.1");
    tenants::write(data.path(), "acme", "");
    let text = format!(
        "[server]\nshutdown_ms = 1000\n[capacity]\nmax_bytes = {}\n[metrics]\ncompat = \"falcon\"\n[tenants]\nhosts = [\"127.0.0.1\"]\n\
         [auth]\nissuers = [{{ issuer = \"{ISSUER}\", jwks_url = \"{upstream}/jwks\", repository_prefix = \"o:\" }}]\n\
         hs256_repository_prefix = \"s:\"\n",
        32 * MIB
    );
    fs::write(data.path().join("larder.toml"), text).unwrap();
    let tenants = data.path().join("tenants.d");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key, tenants) = (path(&pair.certificate), path(&pair.key), path(&tenants));
    let variables = [
        ("MANAGEMENT_API_KEY", KEY),
        ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0"),
        ("LARDER_TENANTS_DIR", &tenants),
        ("LARDER_TLS_CERTIFICATE", &certificate),
        ("LARDER_TLS_KEY", &key),
        ("DEFAULT_ACTIONS_RESULTS_URL", &upstream),
        // A collector that takes nothing.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &upstream),
    ];
    let server = TestServer::start_on(data, &variables).await;
    server.over_tls(client_config(Some(authority), None))
}

/// Asks the management API.
async fn manage(server: &TestServer, method: &str, path: &str, body: impl Into<bytes::Bytes>) -> Value {
    let url = format!("http://{}/api/v1/{path}", server.management_address().unwrap());
    let answer = server.send(method, &url, &[("x-api-key", KEY)], body).await;
    assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text());
    answer.json()
}

/// Removes the object that was stored last.
fn lose(server: &TestServer) -> PathBuf {
    let mut files = Vec::new();
    for shard in fs::read_dir(server.data.path().join("storage/objects")).unwrap().flatten() {
        files.extend(fs::read_dir(shard.path()).unwrap().flatten().map(|file| file.path()));
    }
    let stored = |file: &PathBuf| fs::metadata(file).and_then(|metadata| metadata.modified()).unwrap();
    let newest = files.into_iter().max_by_key(stored).unwrap();
    fs::remove_file(&newest).unwrap();
    newest
}

fn named(server: &TestServer) -> Job<'_> {
    Job::with_token(server, &token_with("1", &json!({ "repository": "octo/hello" })))
}

/// Saves more than fits: the first makes room for the last.
async fn fill(server: &TestServer) {
    for key in ["linux-cargo-1", "linux-cargo-2", "linux-cargo-3"] {
        named(server).save(key, &vec![7; 12 * MIB]).await;
    }
}

/// Hits, misses, evictions, refusals, and what nobody finishes.
async fn jobs(server: &TestServer) {
    let job = named(server);
    // What was evicted before the server started: how much is stored is read then.
    assert_eq!(job.look_up("linux-cargo-1", &[]).await["ok"], false);
    job.save("linux-cargo-4", &vec![7; 12 * MIB]).await;
    job.restore("linux-cargo-3").await;
    job.call_about("CreateCacheEntry", "linux-cargo-3", json!({})).await;
    job.save("linux-lost", b"content").await;
    lose(server);
    job.look_up("linux-lost", &[]).await;
    Job::with_token(server, &token("1", &[(BRANCH, 1)])).call_about("CreateCacheEntry", "k", json!({})).await;
    // The keys of its issuer are fetched, and do not fit.
    let issued = issued_token(b"none of its keys", ISSUER, "1");
    let head = json!({ "alg": "RS256", "kid": "1", "typ": "JWT" }).to_string();
    let parts = [URL_SAFE_NO_PAD.encode(head), issued.split('.').nth(1).unwrap().to_owned()];
    let forged = format!("{}.{}", parts.join("."), URL_SAFE_NO_PAD.encode([7; 256]));
    assert_eq!(Job::with_token(server, &forged).probe().await, 401);
    let create = "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";
    server.send("POST", create, &[], "{}").await;
    server.get("/some/other/service").await;
    Job::at(server, &tenants::host_of("acme"), &tenants::secret_of("acme")).look_up("k", &[]).await;
}

/// A sweep that finds an entry without its object, and an object without an entry; a scrub.
async fn upkeep(server: &TestServer) {
    let job = Job::new(server);
    job.save("swept", b"what is lost").await;
    let lost = lose(server);
    let name = lost.file_name().unwrap().to_str().unwrap();
    let (start, last) = name.split_at(name.len() - 1);
    let orphan = lost.with_file_name(format!("{start}{}", if last == "0" { "1" } else { "0" }));
    fs::write(&orphan, b"nobody's").unwrap();
    let old = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    fs::File::options().write(true).open(&orphan).unwrap().set_modified(old).unwrap();
    manage(server, "POST", "sweep", "").await;
    manage(server, "POST", "scrub", "{}").await;
    eventually(async || manage(server, "GET", "scrub", "").await["running"] == false).await;
}

/// Rules in the shadow that would decide otherwise.
async fn shadow(server: &TestServer) {
    let active = "export const access = { admit: () => ({ tag: 'default' }) }";
    manage(server, "POST", "rules/use?name=all.js", active).await;
    let rules = include_str!("../../examples/rules/pull-requests-read.js");
    manage(server, "POST", "rules/shadow?name=pull-requests-read.js", rules).await;
    let pull_request = token("1", &[("refs/pull/7/merge", 3), (BRANCH, 1)]);
    Job::with_token(server, &pull_request).look_up("k", &[]).await;
    eventually(async || manage(server, "GET", "rules", "").await["shadow"]["differ"] != json!(0)).await;
}

/// Begins an upload whose bytes do not come.
async fn begin_upload(server: &TestServer, authority: &Authority) -> TlsStream<TcpStream> {
    let url = named(server).create("linux-open").await;
    let target = url.strip_prefix(&server.base).unwrap();
    let stream = TcpStream::connect(server.base.rsplit_once("//").unwrap().1).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client_config(Some(authority), None)));
    let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let head = format!(
        "PUT {target}&comp=block&blockid=MDAwMQ== HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_of_the_list_counts_and_there_is_no_other() {
    let authority = Authority::new();
    let server = start(TempDir::new().unwrap(), &authority).await;
    fill(&server).await;
    let server = start(server.stop(), &authority).await;
    jobs(&server).await;
    upkeep(&server).await;
    shadow(&server).await;
    let _open = begin_upload(&server, &authority).await;
    eventually(async || server.larder().connections().requests >= 1).await;
    // A policy that fails. What is under way goes on with the one before.
    server.larder().exchange_policy(HOSTILE_POLICY.to_vec()).await.unwrap();
    server.get("/trap").await;
    let metrics = format!("http://{}/metrics", server.management_address().unwrap());
    let mut text = String::new();
    // The room of the open upload is reserved soon after its head is read, and spans are sent every few seconds.
    eventually(async || {
        server.get(&metrics).await.text().clone_into(&mut text);
        !["larder_uploads_reserved_bytes 0", "larder_otlp_dropped_spans_total 0"]
            .iter()
            .any(|zero| text.contains(zero))
    })
    .await;
    let (found, counted) = scraped(&text);
    let listed = listed();
    let is_expected = |name: &str| ZERO.iter().any(|(zero, _)| *zero == name);
    let missing: Vec<_> =
        listed.keys().filter(|name| !found.contains_key(*name) && !is_expected(name)).collect();
    let unlisted: Vec<_> = found.keys().filter(|name| !listed.contains_key(*name)).collect();
    let zero: Vec<_> = listed.keys().filter(|name| !counted.contains(*name) && !is_expected(name)).collect();
    let others: Vec<_> =
        found.iter().filter(|(name, kind)| listed.get(*name).is_some_and(|listed| listed != *kind)).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty() && zero.is_empty() && others.is_empty(),
        "not there: {missing:?}\nnot in the list: {unlisted:?}\nzero: {zero:?}\nof another type: {others:?}\n{text}"
    );
}
