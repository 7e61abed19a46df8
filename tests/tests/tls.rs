//! HTTPS: certificates that change, clients with certificates, tenants with their own, and handshakes
//! that never end.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_testing::certificates::{Authority, Pair};
use larder_tests::{
    Job, RESPONSE_TIMEOUT, TestServer,
    tenants::{self, TenantServer, eventually, free_address},
    tls::client_config,
};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The name of the server's certificate.
const HOST: &str = "cache.test";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The variables of a server with this certificate, and others.
fn with<'a>(pair: &'a Pair, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let tls = [
        ("LARDER_TLS_CERTIFICATE", text(&pair.certificate)),
        ("LARDER_TLS_KEY", text(&pair.key)),
        ("LARDER_THREADS", "1"),
    ];
    tls.into_iter().chain(more.iter().copied()).collect()
}

fn address(server: &TestServer) -> SocketAddr {
    server.base.rsplit_once("//").unwrap().1.parse().unwrap()
}

/// Makes a handshake in which the client asks for this host.
async fn connect(to: SocketAddr, host: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    let name = host.to_owned().try_into().unwrap();
    timeout(RESPONSE_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name, stream)).await?
}

fn with_alpn(mut config: ClientConfig, protocol: &str) -> ClientConfig {
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}

/// Sends a request over HTTP/1.1, and returns status and body; an error where the server cuts.
async fn get(
    stream: TlsStream<TcpStream>,
    target: &str,
    fields: &[(&str, &str)],
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::get(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let exchange = async {
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    timeout(RESPONSE_TIMEOUT, exchange).await?
}

async fn health(to: SocketAddr, host: &str, config: ClientConfig) -> anyhow::Result<StatusCode> {
    let stream = connect(to, host, config).await?;
    Ok(get(stream, "/health", &[("host", host)]).await?.0)
}

/// The certificate that is served, in DER.
async fn served(to: SocketAddr, host: &str, authority: &Authority) -> Vec<u8> {
    let stream = connect(to, host, client_config(Some(authority), None)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_file(&pair.certificate).unwrap().to_vec()
}

/// More than all buffers on the way.
fn large() -> Vec<u8> {
    (0_u32..6 * 1024 * 1024).flat_map(u32::to_le_bytes).collect()
}

#[tokio::test]
async fn a_job_saves_and_restores_over_tls() {
    let authority = Authority::new();
    let pair = authority.issue("server", HOST);
    let server = TestServer::start(&with(&pair, &[])).await.over_tls(client_config(Some(&authority), None));
    let job = Job::new(&server);
    let content = large();
    job.save("large", &content).await;
    let url = job.url("large").await;
    assert!(url.starts_with(&server.base) && url.starts_with("https://"), "{url}");
    // By HTTP/2, which the client has negotiated; and by HTTP/1.1.
    let found = server.send("GET", &url, &[], "").await;
    assert!(found.status == StatusCode::OK && found.body == content);
    let target = url.strip_prefix(&server.base).unwrap();
    let config = with_alpn(client_config(Some(&authority), None), "http/1.1");
    let stream = connect(address(&server), HOST, config).await.unwrap();
    let host = server.base.strip_prefix("https://").unwrap();
    let (status, body) = get(stream, target, &[("host", host)]).await.unwrap();
    assert!(status == StatusCode::OK && body == content);
}

#[tokio::test]
async fn the_version_of_http_is_negotiated() {
    let authority = Authority::new();
    let pair = authority.issue("server", HOST);
    let server = TestServer::start(&with(&pair, &[])).await;
    let to = address(&server);
    let config = with_alpn(client_config(Some(&authority), None), "h2");
    let stream = connect(to, HOST, config).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://{HOST}/health")).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(health(to, HOST, client_config(Some(&authority), None)).await.unwrap(), StatusCode::OK);
    // Nobody is served whom the certificate is not for.
    assert!(health(to, "other.test", client_config(Some(&authority), None)).await.is_err());
}

/// What is no TLS gets an error in its own protocol.
#[tokio::test]
async fn plain_http_is_told_so() {
    let authority = Authority::new();
    let pair = authority.issue("server", HOST);
    let server = TestServer::start(&with(&pair, &[])).await;
    let found = server.get("/health").await;
    assert_eq!((found.status, found.json()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("malformed")));
    assert!(found.text().contains("https://"), "{}", found.text());
}

#[tokio::test]
async fn a_download_goes_on_while_the_certificate_changes() {
    let authority = Authority::new();
    let pair = authority.issue("server", HOST);
    let server = TestServer::start(&with(&pair, &[])).await.over_tls(client_config(Some(&authority), None));
    let job = Job::new(&server);
    let content = large();
    job.save("large", &content).await;
    let url = job.url("large").await;
    let (to, first) = (address(&server), der(&pair));
    assert_eq!(served(to, HOST, &authority).await, first);
    let ends = server.certificates();
    assert!(ends.len() == 1 && ends[0].tenant.is_none() && ends[0].not_after_s.is_some(), "{ends:?}");
    let mut stream = connect(to, HOST, client_config(Some(&authority), None)).await.unwrap();
    let target = url.strip_prefix(&server.base).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = vec![0; 64 * 1024];
    stream.read_exact(&mut got).await.unwrap();
    // A fault first: it changes nothing.
    fs::write(&pair.certificate, "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(served(to, HOST, &authority).await, first);
    authority.issue("server", HOST);
    let second = der(&pair);
    assert_ne!(first, second);
    eventually(async || served(to, HOST, &authority).await == second).await;
    timeout(RESPONSE_TIMEOUT, stream.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(got.ends_with(&content[content.len() - 1024 * 1024..]), "{} bytes", got.len());
    assert!(got.len() > content.len());
}

#[tokio::test]
async fn clients_need_a_certificate_where_they_are_asked_for_one() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pair = authority.issue("server", HOST);
    let (known, unknown) = (authority.issue("client", "runner"), stranger.issue("client", "runner"));
    let ca = authority.certificate();
    for (mode, without) in [("required", false), ("optional", true)] {
        let more = [("LARDER_TLS_CLIENT_CA", text(&ca)), ("LARDER_TLS_CLIENT_CERTIFICATES", mode)];
        let server = TestServer::start(&with(&pair, &more)).await;
        let ask = async |own: Option<&Pair>| {
            health(address(&server), HOST, client_config(Some(&authority), own)).await.ok()
        };
        assert_eq!(ask(Some(&known)).await, Some(StatusCode::OK), "{mode}");
        assert_eq!(ask(Some(&unknown)).await, None, "{mode}");
        assert_eq!(ask(None).await.is_some(), without, "{mode}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_end_the_start() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let (pair, other) = (authority.issue("server", HOST), authority.issue("other", HOST));
    fs::write(data.path().join("larder.toml"), "").unwrap();
    let missing = data.path().join("missing.pem");
    for (certificate, key, parts) in [
        (&missing, &pair.key, ["server.tls.certificate: cannot read", "missing.pem"]),
        (&pair.certificate, &missing, ["server.tls.key: cannot read", "missing.pem"]),
        (&pair.certificate, &other.key, ["server.tls.key: the key in", "other.key"]),
        (&pair.key, &pair.key, ["holds no certificate", "server.key"]),
    ] {
        let variables = [("LARDER_TLS_CERTIFICATE", text(certificate)), ("LARDER_TLS_KEY", text(key))];
        let error = TestServer::start_error(&data, &variables).await.to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

/// Handshakes that are never finished make room like connections without a request, and end in time.
#[tokio::test]
async fn half_open_handshakes_keep_no_one_out() {
    let authority = Authority::new();
    let pair = authority.issue("server", HOST);
    let data = TempDir::new().unwrap();
    let section = "[server]\nshutdown_ms = 1000\nmax_connections = 16\nmax_connections_per_client = 16\n\
                   header_timeout_ms = 3000\n";
    fs::write(data.path().join("larder.toml"), section).unwrap();
    let server = TestServer::start_on(data, &with(&pair, &[])).await;
    let to = address(&server);
    let mut half_open = Vec::new();
    for number in 0..64 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2 + number % 4], 0).into()).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        // A record of a handshake, of which the rest never comes.
        stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
        half_open.push(stream);
        if number % 16 == 15 {
            let config = client_config(Some(&authority), None);
            assert_eq!(health(to, HOST, config).await.unwrap(), StatusCode::OK);
        }
    }
    for stream in &mut half_open {
        let ended = timeout(RESPONSE_TIMEOUT, stream.read(&mut [0; 64])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "it is closed in time");
    }
}

/// The section of a tenant's certificate.
fn section(pair: &Pair, more: &str) -> String {
    format!(
        "[tenant.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{more}",
        text(&pair.certificate),
        text(&pair.key)
    )
}

#[tokio::test]
async fn tenants_have_certificates_by_host_and_by_listener() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (own, acme) = (authority.issue("server", HOST), authority.issue("acme", "acme.test"));
    let umbrella = authority.issue("umbrella", "umbrella.test");
    let data = TempDir::new().unwrap();
    let (at, plain) = (free_address(), free_address());
    tenants::write(data.path(), "acme", &section(&acme, ""));
    let ca = format!("client_ca = \"{}\"\n", text(&clients.certificate()));
    let listen = format!("[tenant]\nhosts = [\"umbrella.test\"]\nlisten = [\"{at}\"]\n");
    let secret = format!("[auth]\nhs256_secrets = [\"{}\"]\n", tenants::secret_of("umbrella"));
    let more = format!("{listen}{secret}{}", section(&umbrella, &ca));
    tenants::write_text(data.path(), "umbrella", &more);
    let third = format!(
        "[tenant]\nlisten = [\"{plain}\"]\n[auth]\nhs256_secrets = [\"{}\"]\n",
        tenants::secret_of("third")
    );
    tenants::write_text(data.path(), "third", &third);
    let server = TenantServer::start_on(data, &with(&own, &[])).await;
    let main = address(&server.server);
    for (to, host, pair) in [
        (main, HOST, &own),
        (main, "acme.test", &acme),
        (plain, HOST, &own),
        (at, "umbrella.test", &umbrella),
    ] {
        let config = if to == at {
            client_config(Some(&authority), Some(&clients.issue("client", "runner")))
        } else {
            client_config(Some(&authority), None)
        };
        let stream = connect(to, host, config).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(), der(pair), "{host} at {to}");
    }
    assert_eq!(server.server.certificates().len(), 3);
    // A client certificate of its own: by its name, and not behind the name of another tenant.
    let known = clients.issue("client", "runner");
    let ask = async |sni: &str, host: &str, own: Option<&Pair>| {
        let stream = connect(main, sni, client_config(Some(&authority), own)).await.ok()?;
        get(stream, "/nothing", &[("host", host)]).await.ok().map(|(status, _)| status)
    };
    assert_eq!(ask("umbrella.test", "umbrella.test", None).await, None);
    let with_certificate = ask("umbrella.test", "umbrella.test", Some(&known)).await;
    assert_ne!(with_certificate, Some(StatusCode::MISDIRECTED_REQUEST));
    assert!(with_certificate.is_some());
    assert_eq!(ask("acme.test", "umbrella.test", None).await, Some(StatusCode::MISDIRECTED_REQUEST));
    assert_eq!(ask(HOST, "umbrella.test", None).await, Some(StatusCode::MISDIRECTED_REQUEST));
    assert_ne!(ask(HOST, "acme.test", None).await, Some(StatusCode::MISDIRECTED_REQUEST));
    // It is read again like the tenant's file.
    authority.issue("acme", "acme.test");
    let new = der(&acme);
    eventually(async || served(main, "acme.test", &authority).await == new).await;
}

#[tokio::test]
async fn a_tenants_certificate_with_a_fault_is_the_tenants_fault() {
    let authority = Authority::new();
    let (own, acme) = (authority.issue("server", HOST), authority.issue("acme", "acme.test"));
    let data = TempDir::new().unwrap();
    let wrong = Pair { key: own.key.clone(), ..acme };
    tenants::write(data.path(), "acme", &section(&wrong, ""));
    let server = TenantServer::start_on(data, &with(&own, &[])).await;
    let to = address(&server.server);
    assert_eq!(server.server.certificates().len(), 1);
    assert_eq!(health(to, HOST, client_config(Some(&authority), None)).await.unwrap(), StatusCode::OK);
}
