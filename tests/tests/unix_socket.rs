//! Unix sockets in place of a port.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use larder::{Larder, config::ListenAddress};
use larder_tests::{Job, TestServer, test_config};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};

async fn start(data: &Path, socket: &Path) -> Result<Larder, larder::StartError> {
    let listen = format!("unix:{}", socket.display());
    let variables = [
        ("LARDER_LISTEN", listen.as_str()),
        ("LARDER_SOCKET_MODE", "600"),
        ("LARDER_MANAGEMENT_LISTEN", "off"),
    ];
    Box::pin(Larder::builder(test_config(data, &variables)).build()).await
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("larder.socket")
}

/// Forwards connections to a socket, for clients that know TCP alone.
async fn forward_to(socket: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    format!("http://{address}")
}

async fn curl(socket: &Path, args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--unix-socket", socket.to_str().unwrap()]).args(args);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test]
async fn a_job_saves_and_restores_by_a_unix_socket() {
    let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let socket = socket_in(&folder);
    let larder = start(data.path(), &socket).await.unwrap();
    assert_eq!(larder.listen_address(), Some(&ListenAddress::Unix(socket.clone())));
    assert_eq!(larder.address(), None);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let health = curl(&socket, &[version, "http://cache.test/health"]).await;
        assert_eq!(health, r#"{"status":"ok"}"#, "{version}");
    }
    let base = forward_to(socket.clone()).await;
    let server = TestServer::around_at(larder, data, base);
    let job = Job::new(&server);
    let content: Vec<u8> = (0_u32..2 * 1024 * 1024).flat_map(u32::to_le_bytes).collect();
    job.save("large", &content).await;
    let found = server.send("GET", &job.url("large").await, &[], "").await;
    assert!(found.body == content, "{:?}", found.status);
    server.stop();
    assert!(!socket.exists(), "it is removed at the end");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_ends_the_start() {
    let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let socket = socket_in(&folder);
    let other = UnixListener::bind(&socket).unwrap();
    let error = start(data.path(), &socket).await.err().unwrap();
    assert!(error.to_string().contains(&format!("cannot listen on unix:{}", socket.display())), "{error}");
    // As after a crash.
    drop(other);
    let larder = start(data.path(), &socket).await.unwrap();
    assert_eq!(curl(&socket, &["http://cache.test/health"]).await, r#"{"status":"ok"}"#);
    tokio::task::spawn_blocking(|| larder.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_has_the_same_socket() {
    let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let socket = socket_in(&folder);
    let first = start(data.path(), &socket).await.unwrap();
    let (path, data_path) = (socket.clone(), data.path().to_owned());
    let second = tokio::spawn(async move { start(&data_path, &path).await.unwrap() });
    // Until it has asked for the listener it waits for the directory.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    tokio::task::spawn_blocking(|| first.stop()).await.unwrap();
    assert!(socket.exists(), "the successor has it");
    assert_eq!(curl(&socket, &["http://cache.test/health"]).await, r#"{"status":"ok"}"#);
    let second = second.await.unwrap();
    tokio::task::spawn_blocking(|| second.stop()).await.unwrap();
    assert!(!socket.exists());
}
