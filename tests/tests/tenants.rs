//! Several tenants in one server: whose a request is, and that no tenant reaches what is another's.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{fs, path::Path, time::Duration};

use http::StatusCode;
use larder_tests::{
    HOSTILE_POLICY, Job, TenantServer,
    tenants::{self, eventually, free_address, host_of, secret_of},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A public key whose private one nobody here has.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

#[tokio::test]
async fn two_tenants_have_the_same_key_and_their_own_bytes() {
    let server = TenantServer::start(&["acme", "umbrella"], &[]).await;
    let (acme, umbrella) = (server.job("acme"), server.job("umbrella"));
    acme.save("key", b"of acme").await;
    assert_eq!(umbrella.look_up("key", &["k"]).await["ok"], false);
    umbrella.save("key", b"of umbrella").await;
    assert_eq!(acme.restore("key").await, "of acme");
    assert_eq!(umbrella.restore("key").await, "of umbrella");
    assert!(acme.url("key").await.starts_with("http://acme.test/"), "{}", acme.url("key").await);
}

#[tokio::test]
async fn a_host_of_nobody_is_a_404_in_json_and_its_health_is_the_servers() {
    let server = TenantServer::start(&["acme"], &[("LARDER_THREADS", "1")]).await;
    for host in ["nobody.test", "acme.test.evil", "xacme.test", "test", "127.0.0.1"] {
        let job = Job::at(&server.server, host, &secret_of("acme"));
        let found = job.call_about("GetCacheEntryDownloadURL", "key", json!({})).await;
        assert_eq!((found.status, found.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
        assert!(!found.header("x-ms-request-id").is_empty());
        let health = job.send("GET", "/health", &[], "").await;
        assert_eq!((health.status, health.text()), (StatusCode::OK, r#"{"status":"ok"}"#));
        assert_eq!(job.send("POST", "/health", &[], "").await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(server.server.tenant_instances(), Some(0), "a guest ran for nobody");
    for host in ["acme.test", "ACME.test", "acme.test:8080", "acme.test."] {
        let job = Job::at(&server.server, host, &secret_of("acme"));
        assert_eq!(job.look_up("key", &[]).await["ok"], false, "{host}");
    }
}

#[tokio::test]
async fn the_tenant_default_is_at_its_hosts_alone() {
    let data = TempDir::new().unwrap();
    fs::create_dir(data.path().join("tenants.d")).unwrap();
    fs::write(data.path().join("larder.toml"), "[tenants]\nhosts = [\"main.test\"]\n").unwrap();
    tenants::write(data.path(), "acme", "");
    let server = TenantServer::start_on(data, &[]).await;
    let main = Job::at(&server.server, "main.test", larder_tests::SECRET);
    main.save("key", b"of the server").await;
    assert_eq!(main.restore("key").await, "of the server");
    assert_eq!(server.job("acme").look_up("key", &[]).await["ok"], false);
    let elsewhere = Job::at(&server.server, "other.test", larder_tests::SECRET);
    assert_eq!(elsewhere.call("GetCacheEntryDownloadURL", "{}").await.status, StatusCode::NOT_FOUND);
}

/// A tenant whose clients cannot be told by their host: tokens choose it, and its URLs name it.
#[tokio::test]
async fn the_issuer_of_a_token_chooses_a_tenant() {
    let data = TempDir::new().unwrap();
    for name in ["acme", "umbrella"] {
        let file = format!(
            "[tenant]\nhosts = [\"{name}.test\"]\nby_issuer = true\n[auth]\nissuers = [{{ issuer = \"https://{name}.test\", jwks_file = \"{}\" }}]\n\
             hs256_secrets = [\"{}\"]\nhs256_repository_prefix = \"s:\"\n",
            data.path().join("keys.json").display(),
            secret_of(name),
        );
        fs::create_dir_all(data.path().join("tenants.d")).unwrap();
        fs::write(data.path().join(format!("tenants.d/{name}.toml")), file).unwrap();
    }
    fs::write(data.path().join("keys.json"), KEYS).unwrap();
    let server = TenantServer::start_on(data, &[]).await;
    let job = |issuer: &str, secret: &str| {
        let token = larder_tests::issued_token(secret.as_bytes(), issuer, "1");
        let mut job = Job::at(&server.server, "any.test", secret);
        job.bearer = format!("Bearer {token}");
        job
    };
    let acme = job("https://acme.test", &secret_of("acme"));
    let umbrella = job("https://umbrella.test", &secret_of("umbrella"));
    acme.save("key", b"of acme").await;
    let url = acme.url("key").await;
    assert!(url.starts_with("http://any.test/@acme/"), "{url}");
    assert_eq!(acme.restore("key").await, "of acme");
    assert_eq!(umbrella.look_up("key", &[]).await["ok"], false);
    // The issuer is only a claim: the tenant's own keys decide.
    let forged = job("https://acme.test", &secret_of("umbrella"));
    assert_eq!(forged.call_about("GetCacheEntryDownloadURL", "key", json!({})).await.status, 401);
    let unknown = job("https://nobody.test", &secret_of("acme"));
    assert_eq!(unknown.call_about("GetCacheEntryDownloadURL", "key", json!({})).await.status, 404);
    // At a host of the tenant the URL is good, too.
    let named = url.strip_prefix("http://any.test").unwrap();
    let own = Job::at(&server.server, "acme.test", &secret_of("acme"));
    assert_eq!(own.send("GET", named, &[], "").await.text(), "of acme");
    let other = Job::at(&server.server, "umbrella.test", &secret_of("umbrella"));
    assert!(other.send("GET", named, &[], "").await.status.is_client_error());
    // A URL of one tenant is nothing at the other.
    let elsewhere = url.replace("/@acme/", "/@umbrella/");
    assert!(umbrella.send("GET", &elsewhere, &[], "").await.status.is_client_error());
}

#[tokio::test]
async fn tenants_come_change_and_go_while_the_server_runs() {
    let server = TenantServer::start(&["acme"], &[]).await;
    server.job("acme").save("key", b"stays").await;
    server.write("umbrella", "");
    server.until("umbrella", "/", StatusCode::NOT_FOUND).await;
    server.until("umbrella", "/health", StatusCode::OK).await;
    let job = server.job("umbrella");
    server.until_served("umbrella").await;
    job.save("key", b"new").await;
    // A file with a fault changes nothing, for this tenant and for others.
    fs::write(server.file("umbrella"), "[tenant]\nhosts = 7\n").unwrap();
    fs::write(server.file("broken"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(job.restore("key").await, "new");
    assert_eq!(server.job("acme").restore("key").await, "stays");
    // Without its file it is not served; its entries stay.
    fs::remove_file(server.file("umbrella")).unwrap();
    eventually(async || job.probe().await == StatusCode::NOT_FOUND).await;
    server.write("umbrella", "");
    server.until_served("umbrella").await;
    assert_eq!(job.restore("key").await, "new");
}

#[tokio::test]
async fn a_removed_tenant_leaves_nothing_and_a_new_one_of_its_name_finds_nothing() {
    let server = TenantServer::start(&["acme", "umbrella"], &[]).await;
    for tenant in ["acme", "umbrella"] {
        server.job(tenant).save("key", &[7; 100_000]).await;
    }
    server.job("acme").create("begun").await;
    let mark = server.file("acme").with_extension("removed");
    fs::rename(server.file("acme"), &mark).unwrap();
    eventually(async || !mark.exists()).await;
    let of_tenant = server.server.data.path().join("storage/tenants/acme");
    assert!(!of_tenant.exists(), "its objects are still there");
    server.write("acme", "");
    server.until_served("acme").await;
    assert_eq!(server.job("acme").look_up("key", &[]).await["ok"], false);
    server.job("acme").save("begun", b"anew").await;
    assert_eq!(server.job("umbrella").restore("key").await.len(), 100_000);
}

/// Writes a component into the data directory, and returns the lines that choose it.
fn policy_lines(data: &Path, component: &[u8]) -> String {
    let file = data.join("policy.wasm");
    let draft = data.join("policy.wasm.draft");
    fs::write(&draft, component).unwrap();
    fs::rename(draft, &file).unwrap();
    format!("[policy]\ncomponent = \"{}\"\n", file.display())
}

/// A policy is replaced while requests are in flight: none fails.
#[tokio::test]
async fn a_policy_is_exchanged_under_load() {
    let server = TenantServer::start(&["acme"], &[]).await;
    let job = server.job("acme");
    job.save("key", &vec![1; 200_000]).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = async {
        let mut calls = 0;
        while !*stopped.borrow() {
            assert_eq!(job.restore("key").await.len(), 200_000);
            job.save(&format!("other-{calls}"), b"x").await;
            calls += 1;
        }
        calls
    };
    let exchange = async {
        let lines = policy_lines(server.server.data.path(), larder::BUILT_IN_POLICY);
        for round in 0..4 {
            let deadline = format!("deadline_ms = {}\n", 4000 + round);
            server.write("acme", &format!("{lines}{deadline}"));
            tokio::time::sleep(Duration::from_millis(2_500)).await;
        }
        // What is no component changes nothing.
        policy_lines(server.server.data.path(), b"no component");
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.send(true).unwrap();
    };
    let (calls, ()) = tokio::join!(load, exchange);
    assert!(calls > 20, "only {calls} calls");
    // And one that is another policy takes its place.
    policy_lines(server.server.data.path(), HOSTILE_POLICY);
    server.until("acme", "/fine", StatusCode::OK).await;
    assert_eq!(job.send("GET", "/fine", &[], "").await.text(), "fine");
}

/// Sends a request of which the body never comes. Returns once it is in flight: the policy asks for its body then.
async fn begin_upload(server: &TenantServer, tenant: &str) -> TcpStream {
    let mut stream = connect(server).await;
    let head = format!(
        "PUT /wait HTTP/1.1\r\nhost: {}\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
        host_of(tenant)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asks_for_body = [0; 25];
    timeout(Duration::from_secs(20), stream.read_exact(&mut asks_for_body)).await.unwrap().unwrap();
    assert_eq!(&asks_for_body, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn a_tenant_has_so_many_requests_in_flight_and_no_more() {
    let data = TempDir::new().unwrap();
    let lines = format!("{}deadline_ms = 1000\n", policy_lines(data.path(), HOSTILE_POLICY));
    let limit = format!("{lines}[tenant]\nhosts = [\"evil.test\"]\nmax_requests = 5\n");
    let tokens = format!("[auth]\nhs256_secrets = [\"{}\"]\n", secret_of("evil"));
    tenants::write_text(data.path(), "evil", &(limit + &tokens));
    tenants::write(data.path(), "acme", "");
    let server = TenantServer::start_on(data, &[("DISABLE_CLEANUP_JOBS", "true")]).await;
    let evil = server.job("evil");
    assert_eq!(evil.send("GET", "/fine", &[], "").await.text(), "fine");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(begin_upload(&server, "evil").await);
    }
    let refused = evil.send("GET", "/fine", &[], "").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    server.job("acme").save("key", b"healthy").await;
    assert_eq!(server.job("acme").restore("key").await, "healthy");
    drop(held);
    server.until("evil", "/fine", StatusCode::OK).await;
}

/// Each cost two attempts, and whatever they made the host do, as often as a client asked.
#[tokio::test]
async fn a_tenant_whose_policy_returns_invalid_responses_again_and_again_rests() {
    let data = TempDir::new().unwrap();
    tenants::write(data.path(), "evil", &policy_lines(data.path(), HOSTILE_POLICY));
    tenants::write(data.path(), "acme", "");
    let server = TenantServer::start_on(data, &[("DISABLE_CLEANUP_JOBS", "true")]).await;
    let evil = server.job("evil");
    let mut statuses = Vec::new();
    for _ in 0..50 {
        statuses.push(evil.send("GET", "/status", &[], "").await.status);
        if statuses.last() == Some(&StatusCode::SERVICE_UNAVAILABLE) {
            break;
        }
    }
    assert_eq!(statuses.first(), Some(&StatusCode::NOT_FOUND), "a single one is a miss");
    assert_eq!(statuses.last(), Some(&StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    server.job("acme").save("key", b"healthy").await;
    server.until("evil", "/fine", StatusCode::OK).await;
}

/// Its clients need no host name: whatever they call the server, they are this tenant's.
#[tokio::test]
async fn a_tenant_is_at_its_own_listener_at_any_host_but_those_of_others() {
    let (data, address) = (TempDir::new().unwrap(), free_address());
    tenants::write_section(data.path(), "acme", &format!("listen = [\"{address}\"]"));
    // The same IP address, at any other port.
    tenants::write_section(data.path(), "umbrella", "hosts = [\"umbrella.test\", \"127.0.0.1\"]");
    fs::write(data.path().join("larder.toml"), "[tenants]\nhosts = [\"main.test\"]\n").unwrap();
    let server = TenantServer::start_on(data, &[]).await;
    let at = |host: &str| Job::at(&server.server, host, &secret_of("acme")).through(address);
    let own = address.to_string();
    at(&own).save("key", b"of acme").await;
    let url = at(&own).url("key").await;
    assert!(url.starts_with(&format!("http://{own}/")) && !url.contains("/@"), "{url}");
    assert_eq!(at("any.test").restore("key").await, "of acme");
    for host in ["umbrella.test", "UMBRELLA.test:80", "127.0.0.1", "main.test"] {
        let refused = at(host).call_about("GetCacheEntryDownloadURL", "key", json!({})).await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (StatusCode::NOT_FOUND, Some("not_found"))
        );
        assert_eq!(at(host).send("GET", "/health", &[], "").await.status, StatusCode::OK);
    }
    // The listener of the server is at nobody's service, but for hosts.
    let elsewhere = Job::at(&server.server, "any.test", &secret_of("acme"));
    assert_eq!(elsewhere.probe().await, StatusCode::NOT_FOUND);
    assert_eq!(server.job("umbrella").look_up("key", &[]).await["ok"], false);
}

#[tokio::test]
async fn a_listener_comes_and_goes_with_its_tenants_file() {
    let server = TenantServer::start(&["acme"], &[]).await;
    let data = server.server.data.path();
    let listen = |address| format!("hosts = [\"acme.test\"]\nlisten = [\"{address}\"]");
    server.job("acme").save("key", b"of acme").await;
    // Somebody else's, for now: the tenant is served by its host.
    let occupant = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = occupant.local_addr().unwrap();
    tenants::write_section(data, "acme", &listen(first));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.job("acme").restore("key").await, "of acme");
    drop(occupant);
    let is_open = async |address| TcpStream::connect(address).await.is_ok();
    eventually(async || is_open(first).await).await;
    assert_eq!(server.job("acme").through(first).restore("key").await, "of acme");
    let second = free_address();
    tenants::write_section(data, "acme", &listen(second));
    eventually(async || is_open(second).await && !is_open(first).await).await;
    assert_eq!(server.job("acme").through(second).restore("key").await, "of acme");
    fs::remove_file(server.file("acme")).unwrap();
    eventually(async || !is_open(second).await).await;
    assert_eq!(server.job("acme").probe().await, StatusCode::NOT_FOUND);
}

/// Looks a key up on this connection, which stays open. Returns the status; `None` if it is closed.
async fn look_up_on(stream: &mut TcpStream, job: &Job<'_>, tenant: &str) -> Option<String> {
    let body = r#"{"key":"key","version":"v"}"#;
    let request = format!(
        "POST /twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL HTTP/1.1\r\nhost: {}\r\n\
         authorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        host_of(tenant),
        job.bearer,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = Vec::new();
    // A miss ends with this.
    while !response.ends_with(b"}") {
        let read =
            timeout(Duration::from_secs(20), stream.read_buf(&mut response)).await.expect("a response");
        if !read.is_ok_and(|count| count > 0) {
            return None;
        }
    }
    String::from_utf8_lossy(&response).split(' ').nth(1).map(str::to_owned)
}

async fn connect(server: &TenantServer) -> TcpStream {
    TcpStream::connect(server.server.base.strip_prefix("http://").unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_tenant_that_holds_connections_takes_the_places_of_nobody_else() {
    let data = TempDir::new().unwrap();
    let bounds =
        "[server]\nmax_connections = 8\nmax_connections_per_client = 8\nthreads = 1\nshutdown_ms = 1000\n";
    fs::write(data.path().join("larder.toml"), bounds).unwrap();
    for name in ["acme", "crowd"] {
        tenants::write(data.path(), name, "");
    }
    let server = TenantServer::start_on(data, &[("LARDER_THREADS", "1")]).await;
    let (acme, crowd) = (server.job("acme"), server.job("crowd"));
    // Idle for longer than any other: it would be the first to make room for them.
    let mut patient = connect(&server).await;
    assert_eq!(look_up_on(&mut patient, &acme, "acme").await.as_deref(), Some("200"));
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server).await;
        assert_eq!(look_up_on(&mut stream, &crowd, "crowd").await.as_deref(), Some("200"));
        held.push(stream);
    }
    assert_eq!(look_up_on(&mut patient, &acme, "acme").await.as_deref(), Some("200"));
    let mut open = 0;
    for stream in &mut held {
        open += usize::from(timeout(Duration::from_millis(100), stream.read_u8()).await.is_err());
    }
    assert!((1..=4).contains(&open), "{open} of half of 8 are open");
}

#[tokio::test]
async fn a_tenant_has_so_many_busy_connections_and_no_more() {
    let data = TempDir::new().unwrap();
    let lines = format!("{}deadline_ms = 1000\n", policy_lines(data.path(), HOSTILE_POLICY));
    let section = "[tenant]\nhosts = [\"evil.test\"]\nmax_connections = 3\n";
    let tokens = format!("[auth]\nhs256_secrets = [\"{}\"]\n", secret_of("evil"));
    tenants::write_text(data.path(), "evil", &format!("{lines}{section}{tokens}"));
    tenants::write(data.path(), "acme", "");
    let server = TenantServer::start_on(data, &[("DISABLE_CLEANUP_JOBS", "true")]).await;
    let evil = server.job("evil");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(begin_upload(&server, "evil").await);
    }
    let refused = evil.send("GET", "/fine", &[], "").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.text().contains("connections of this tenant"), "{}", refused.text());
    assert_eq!((refused.header("connection"), refused.header("retry-after")), ("close", "1"));
    server.job("acme").save("key", b"healthy").await;
    assert_eq!(server.job("acme").restore("key").await, "healthy");
    drop(held);
    server.until("evil", "/fine", StatusCode::OK).await;
}
