#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use larder_testing::certificates::{Authority, Pair, openssl};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

fn files(pair: &Pair) -> TlsFiles {
    TlsFiles {
        section: "server.tls".to_owned(),
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        client_ca: None,
        is_client_optional: false,
        is_http1_only: false,
    }
}

fn with_clients(pair: &Pair, ca: PathBuf, is_client_optional: bool) -> TlsFiles {
    TlsFiles { client_ca: Some(ca), is_client_optional, ..files(pair) }
}

fn client(authority: &Authority, own: Option<&Pair>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.certificate()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_file(&own.certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(&own.key).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// What a client sees of a handshake: the certificate's serial, and the protocol.
type Seen = (Vec<u8>, Option<String>);

/// Connects, exchanges a byte, and returns what the client sees; `None` if either end refuses.
async fn connect(tls: &Arc<ServerTls>, config: Arc<ClientConfig>, host: &'static str) -> Option<Seen> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let tls = tls.clone();
    let server = tokio::spawn(async move {
        let mut stream = accept(far, |_| tls.config()).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.shutdown().await
    });
    let seen = async {
        let name = host.try_into().unwrap();
        let mut stream = TlsConnector::from(config).connect(name, near).await.ok()?;
        stream.write_u8(7).await.ok()?;
        // Only now it is known whether the server took the client's certificate.
        (stream.read_u8().await.ok()? == 7).then_some(())?;
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates()?.first()?.to_vec();
        let protocol = session.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        Some((certificate, protocol))
    }
    .await;
    let served = server.await.unwrap();
    seen.filter(|_| served.is_ok())
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_file(&pair.certificate).unwrap().to_vec()
}

#[tokio::test]
async fn http_2_is_preferred_and_http_1_is_spoken() {
    let authority = Authority::new();
    let pair = authority.issue("server", "cache.test");
    let tls = ServerTls::load(files(&pair)).unwrap();
    for (offered, agreed) in
        [(&["http/1.1", "h2"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let seen = connect(&tls, client(&authority, None, offered), "cache.test").await.unwrap();
        assert_eq!(seen, (der(&pair), agreed.map(str::to_owned)), "{offered:?}");
    }
    assert_eq!(connect(&tls, client(&authority, None, &["gopher"]), "cache.test").await, None);
    assert_eq!(connect(&tls, client(&Authority::new(), None, &[]), "cache.test").await, None);
}

#[tokio::test]
async fn client_certificates_are_required_or_optional() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pair = authority.issue("server", "cache.test");
    let (known, unknown) = (authority.issue("client", "runner"), stranger.issue("client", "runner"));
    let load =
        |is_optional| ServerTls::load(with_clients(&pair, authority.certificate(), is_optional)).unwrap();
    for (is_optional, without) in [(false, false), (true, true)] {
        let tls = load(is_optional);
        let ask = |own| connect(&tls, client(&authority, own, &[]), "cache.test");
        assert!(ask(Some(&known)).await.is_some());
        assert!(ask(Some(&unknown)).await.is_none(), "a wrong one is refused in either case");
        assert_eq!(ask(None).await.is_some(), without, "{is_optional}");
    }
}

#[tokio::test]
async fn what_changes_counts_for_the_next_handshake_and_a_fault_changes_nothing() {
    let authority = Authority::new();
    let pair = authority.issue("server", "cache.test");
    let first = der(&pair);
    let tls = ServerTls::load(files(&pair)).unwrap();
    let seen = || async { connect(&tls, client(&authority, None, &[]), "cache.test").await.unwrap().0 };
    assert_eq!(seen().await, first);
    // The certificate alone, then no certificate at all, then nothing.
    let other = authority.issue("other", "cache.test");
    let old_key = fs::read(&pair.key).unwrap();
    fs::copy(&other.certificate, &pair.certificate).unwrap();
    tls.look();
    assert_eq!(seen().await, first, "its key has not come yet");
    fs::write(&pair.certificate, "what is no certificate").unwrap();
    tls.look();
    assert_eq!(seen().await, first);
    fs::remove_file(&pair.certificate).unwrap();
    tls.look();
    assert_eq!(seen().await, first);
    fs::copy(&other.certificate, &pair.certificate).unwrap();
    fs::copy(&other.key, &pair.key).unwrap();
    assert_ne!(fs::read(&pair.key).unwrap(), old_key);
    assert_eq!(seen().await, first, "nobody has looked");
    tls.look();
    assert_eq!(seen().await, der(&other));
}

#[tokio::test]
async fn a_watch_looks_by_itself_and_ends() {
    let authority = Authority::new();
    let pair = authority.issue("server", "cache.test");
    let tls = ServerTls::load(files(&pair)).unwrap();
    let watch = Watch::start(vec![tls.clone()]).unwrap();
    authority.issue("server", "cache.test");
    let new = der(&pair);
    let mut seen = Vec::new();
    for _ in 0..100 {
        seen = connect(&tls, client(&authority, None, &[]), "cache.test").await.unwrap().0;
        if seen == new {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, new);
    drop(watch);
    assert_eq!(Arc::strong_count(&tls), 1, "the thread has ended");
}

#[test]
fn faults_name_the_setting_and_the_file() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (pair, other) = (authority.issue("server", "cache.test"), authority.issue("other", "cache.test"));
    let (missing, text) = (folder.path().join("missing.pem"), folder.path().join("text.pem"));
    fs::write(&text, "no PEM").unwrap();
    let encrypted = folder.path().join("encrypted.key");
    let key = pair.key.to_str().unwrap();
    openssl(&["pkcs8", "-topk8", "-in", key, "-passout", "pass:hush", "-out", encrypted.to_str().unwrap()]);
    let good = files(&pair);
    let cases = [
        (
            TlsFiles { certificate: missing.clone(), ..good.clone() },
            "server.tls.certificate: cannot read",
            &missing,
        ),
        (TlsFiles { certificate: text.clone(), ..good.clone() }, "server.tls.certificate: ", &text),
        (TlsFiles { certificate: pair.key.clone(), ..good.clone() }, "holds no certificate", &pair.key),
        (TlsFiles { key: missing.clone(), ..good.clone() }, "server.tls.key: cannot read", &missing),
        (TlsFiles { key: text.clone(), ..good.clone() }, "server.tls.key: ", &text),
        (
            TlsFiles { key: encrypted.clone(), ..good.clone() },
            "holds no private key without a password",
            &encrypted,
        ),
        (TlsFiles { key: other.key.clone(), ..good.clone() }, "server.tls.key: the key in ", &other.key),
        (
            TlsFiles { client_ca: Some(missing.clone()), ..good.clone() },
            "server.tls.client_ca: cannot read",
            &missing,
        ),
        (TlsFiles { client_ca: Some(text.clone()), ..good.clone() }, "server.tls.client_ca: ", &text),
    ];
    for (files, part, path) in cases {
        let fault = ServerTls::load(files).unwrap_err().to_string();
        assert!(fault.contains(part) && fault.contains(path.to_str().unwrap()), "{part}: {fault}");
    }
    ServerTls::load(good).unwrap();
}

#[test]
fn the_end_of_a_certificate_is_known() {
    let authority = Authority::new();
    let pair = authority.issue("server", "cache.test");
    let certificate = pair.certificate.to_str().unwrap();
    let end = openssl(&["x509", "-in", certificate, "-noout", "-enddate", "-dateopt", "iso_8601"]);
    let end = humantime::parse_rfc3339_weak(end.trim().strip_prefix("notAfter=").unwrap()).unwrap();
    let end_s = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(ServerTls::load(files(&pair)).unwrap().not_after_s(), Some(end_s));
    // After 2050 the time has another form.
    let folder = tempfile::tempdir().unwrap();
    let far = Pair { certificate: folder.path().join("far.pem"), key: folder.path().join("far.key") };
    openssl(&[
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-days",
        "36500",
        "-subj",
        "/CN=far",
        "-keyout",
        far.key.to_str().unwrap(),
        "-out",
        far.certificate.to_str().unwrap(),
    ]);
    let not_after_s = ServerTls::load(files(&far)).unwrap().not_after_s().unwrap();
    assert!((4_000_000_000..8_000_000_000).contains(&not_after_s), "{not_after_s}");
}

#[tokio::test]
async fn the_caller_chooses_by_the_name_that_the_client_asks_for() {
    let authority = Authority::new();
    let pair = authority.issue("server", "cache.test");
    let tls = ServerTls::load(files(&pair)).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let mut asked = None;
        let accepted = accept(far, |host| {
            asked = host.map(str::to_owned);
            tls.config()
        })
        .await;
        accepted.map(|_| asked)
    });
    let connector = TlsConnector::from(client(&authority, None, &[]));
    let _stream = connector.connect("CACHE.test".try_into().unwrap(), near).await.unwrap();
    assert_eq!(server.await.unwrap().unwrap().as_deref(), Some("cache.test"));
}
