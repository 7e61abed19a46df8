#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::net::UnixStream;

use super::*;

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn in_mode(text: &str) -> SocketMode {
    toml::Value::String(text.to_owned()).try_into().unwrap()
}

#[test]
fn the_file_has_the_mode() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["600", "660", "0666"] {
        let path = folder.path().join(mode);
        let _socket = listen(&path, in_mode(mode)).unwrap();
        assert_eq!(format!("{:o}", mode_of(&path)), mode.trim_start_matches('0'));
    }
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larder.sock");
    let first = listen(&path, SocketMode::default()).unwrap();
    let refused = listen(&path, SocketMode::default()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();
    // As after a crash: the file stays.
    drop(first);
    assert!(path.exists() && UnixStream::connect(&path).is_err());
    let _second = listen(&path, SocketMode::default()).unwrap();
    UnixStream::connect(&path).unwrap();
}

/// A backlog that is full does not answer: it is no dead socket, and nobody waits for it.
#[test]
fn a_busy_socket_is_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larder.sock");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let connected = client.connect(&SockAddr::unix(&path).unwrap());
            (client, connected.is_err())
        })
        .collect();
    assert!(clients.iter().any(|(_, is_full)| *is_full));
    assert_eq!(listen(&path, SocketMode::default()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "content").unwrap();
    assert!(listen(&path, SocketMode::default()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
    assert!(listen(&folder.path().join("missing/larder.sock"), SocketMode::default()).is_err());
}

#[test]
fn only_its_own_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larder.sock");
    let first = listen(&path, SocketMode::default()).unwrap();
    let file = SocketFile::of(&path).unwrap();
    drop(first);
    let _second = listen(&path, SocketMode::default()).unwrap();
    file.remove();
    assert!(path.exists(), "another process has it by now");
    SocketFile::of(&path).unwrap().remove();
    assert!(!path.exists());
}
