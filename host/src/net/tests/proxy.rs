//! Fault 24: proxies on the way out, for keys of issuers and the upstream.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request, uri::Scheme};
use http_body_util::BodyExt;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    message::RequestBody,
    net::{Fetch, Forwarder, HttpFetch, Proxies, Upstream, client_config},
    testing::proxy::{AUTHORIZATION, TestProxy, answering},
};

/// The authority of the certificate in `leaf.pem`, which is for `issuer.test` until the year 2120.
const CA: &[u8] = include_bytes!("ca.pem");

/// A server for `https://issuer.test`, which answers one request.
fn issuer() -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("leaf.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    });
    address
}

fn tls() -> rustls::ClientConfig {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CA).unwrap();
    client_config(Some(file.path())).unwrap()
}

fn through(proxy: &TestProxy, no: &str) -> Proxies {
    Proxies::new(Some(proxy.url()), Some(proxy.url()), no)
}

/// Fault 24: keys come through a tunnel, which the password opens; nobody but the proxy knows where
/// the host is.
#[tokio::test]
async fn keys_are_fetched_through_a_tunnel() {
    let proxy = TestProxy::before(issuer()).await;
    let fetch = HttpFetch::new(tls(), &through(&proxy, ""));
    assert_eq!(fetch.get("https://issuer.test/keys").await.unwrap(), "{}");
    let heads = proxy.heads();
    assert!(heads.len() == 1 && heads[0].starts_with("connect issuer.test:443 http/1.1"), "{heads:?}");
    assert!(heads[0].contains(AUTHORIZATION), "{heads:?}");
}

/// Fault 24.
#[tokio::test]
async fn hosts_that_are_asked_directly_and_this_machine_pass_by_the_proxy() {
    let server = answering("{}").await;
    let proxy = TestProxy::before(server).await;
    let fetch = HttpFetch::new(tls(), &through(&proxy, "issuer.test, 10.0.0.0/8"));
    // Its name is known to nobody.
    assert!(fetch.get("https://issuer.test/keys").await.is_err());
    assert_eq!(fetch.get(&format!("http://{server}/keys")).await.unwrap(), "{}");
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

fn forwarder(authority: &str, proxies: Proxies) -> Forwarder {
    Forwarder::new(Upstream {
        scheme: Scheme::HTTP,
        authority: authority.parse().unwrap(),
        connect_timeout: Duration::from_secs(5),
        tls: Arc::new(tls()),
        proxies,
    })
}

/// Fault 24: a plain upstream is asked with its whole URL, and the password stands in each request.
#[tokio::test]
async fn requests_are_forwarded_through_the_proxy() {
    let proxy = TestProxy::before(answering("from upstream").await).await;
    let forwarder = forwarder("results.test", through(&proxy, ""));
    for path in ["/artifacts?a=b", "/logs"] {
        let head = Request::builder().method(Method::POST).uri(path).header("authorization", "Bearer t");
        let (head, ()) = head.body(()).unwrap().into_parts();
        let answer = forwarder.forward(&head, RequestBody::full("body".into())).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "from upstream");
    }
    let heads = proxy.heads();
    assert!(heads[0].starts_with("post http://results.test/artifacts?a=b http/1.1"), "{heads:?}");
    assert!(heads.len() == 2 && heads.iter().all(|head| head.contains(AUTHORIZATION)), "{heads:?}");
}

/// Fault 24: what is said of proxies has no password.
#[test]
fn passwords_of_proxies_are_not_shown() {
    let url = |text: &str| Some(text.to_owned());
    let proxies =
        Proxies::new(url("http://user:hush@proxy.test:3128"), url("https://user:hush@other.test"), "");
    let shown = proxies.describe().unwrap();
    assert_eq!(shown, "http through http://proxy.test:3128, https through https://other.test");
    assert!(!format!("{proxies:?}").contains("hush"));
    assert_eq!(Proxies::default().describe(), None);
    // Without a scheme http is meant.
    let bare = Proxies::new(None, url("proxy.test:3128"), "");
    assert_eq!(bare.describe().unwrap(), "https through http://proxy.test:3128");
}
