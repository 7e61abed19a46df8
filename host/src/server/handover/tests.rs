//! Fault 2: the listener outlives the process.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    thread,
};

use super::{Offer, is_tied, take};
use crate::{
    config::{ListenAddress, SocketMode},
    descriptors::MAX_TENANT_LISTENERS,
    server::listen::ListenSocket,
};

fn open(address: &ListenAddress) -> std::io::Result<ListenSocket> {
    ListenSocket::open(address, SocketMode::default())
}

/// A listener in TCP.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    Ok(in_tcp(open(&address.into())?))
}

fn in_tcp(socket: ListenSocket) -> TcpListener {
    match socket {
        ListenSocket::Tcp(socket) => socket,
        ListenSocket::Unix(_) => unreachable!(),
    }
}

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Waits for the next one that asks.
fn give<L: AsFd>(offer: &Offer, listener: &L, of_tenants: &[TcpListener]) -> std::os::unix::net::UnixStream {
    offer.asked.set_nonblocking(false).unwrap();
    let (asker, _) = offer.asked.accept().unwrap();
    let of_tenants: Vec<_> = of_tenants.iter().map(AsFd::as_fd).collect();
    super::give(&asker, listener.as_fd(), &of_tenants).unwrap();
    asker
}

#[test]
fn a_successor_has_the_same_listener_and_the_connections_that_wait_in_it() {
    let long = "d".repeat(150);
    for name in ["data", long.as_str()] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join(name);
        std::fs::create_dir(&data).unwrap();
        let listener = listen(anywhere()).unwrap();
        let address = listener.local_addr().unwrap();
        let offer = Offer::open(&data).unwrap();
        let (taken, tie) = thread::scope(|scope| {
            let asker = scope.spawn(|| take(&data, &address.into()).unwrap());
            let tie = give(&offer, &listener, &[]);
            (asker.join().unwrap(), tie)
        });
        assert!(is_tied(&tie));
        let mut client = TcpStream::connect(address).unwrap();
        drop((listener, offer));
        let taken_listener = in_tcp(taken.listener);
        taken_listener.set_nonblocking(false).unwrap();
        let (mut served, _) = taken_listener.accept().unwrap();
        served.write_all(b"here").unwrap();
        drop(served);
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert_eq!(got, "here");
        drop(taken.tie);
        assert!(!is_tied(&tie));
    }
}

#[test]
fn a_successor_has_the_listeners_of_all_tenants() {
    let data = tempfile::tempdir().unwrap();
    let listener = listen(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    let of_tenants: Vec<_> = (0..MAX_TENANT_LISTENERS).map(|_| listen(anywhere()).unwrap()).collect();
    let addresses = |of: &[TcpListener]| of.iter().map(|of| of.local_addr().unwrap()).collect::<Vec<_>>();
    let given = addresses(&of_tenants);
    let offer = Offer::open(data.path()).unwrap();
    let taken = thread::scope(|scope| {
        let asker = scope.spawn(|| take(data.path(), &address.into()).unwrap());
        give(&offer, &listener, &of_tenants);
        asker.join().unwrap()
    });
    let taken: Vec<_> = taken.of_tenants.into_iter().map(in_tcp).collect();
    assert_eq!(addresses(&taken), given);
    drop(of_tenants);
    TcpStream::connect(given[MAX_TENANT_LISTENERS - 1]).unwrap();
}

#[test]
fn nothing_is_taken_from_nobody_or_for_another_address() {
    let data = tempfile::tempdir().unwrap();
    let listener = listen(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(take(data.path(), &address.into()).is_none());
    let offer = Offer::open(data.path()).unwrap();
    assert!(take(data.path(), &anywhere().into()).is_none());
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), address.port()));
    thread::scope(|scope| {
        let asker = scope.spawn(|| take(data.path(), &other.into()));
        give(&offer, &listener, &[]);
        assert!(asker.join().unwrap().is_none());
    });
    drop(offer);
    assert!(!data.path().join("larder.sock").exists());
}

/// Fault 17: the address is taken once.
#[test]
fn a_second_listener_on_the_address_is_refused() {
    let first = listen(anywhere()).unwrap();
    let second = listen(first.local_addr().unwrap());
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// A successor has a Unix socket, too, for the server or a tenant; its file stays.
#[test]
fn a_successor_has_unix_sockets() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("cache.sock");
    let address = ListenAddress::Unix(path.clone());
    let listener = open(&address).unwrap();
    let offer = Offer::open(data.path()).unwrap();
    let other = ListenAddress::Unix(data.path().join("other.sock"));
    let taken = thread::scope(|scope| {
        let asker = scope.spawn(|| take(data.path(), &address).unwrap());
        give(&offer, &listener, &[]);
        let taken = asker.join().unwrap();
        let asker = scope.spawn(|| take(data.path(), &other).is_none());
        give(&offer, &listener, &[]);
        assert!(asker.join().unwrap(), "of another address");
        taken
    });
    drop(listener);
    let mut client = UnixStream::connect(&path).unwrap();
    let ListenSocket::Unix(taken) = taken.listener else { unreachable!() };
    taken.set_nonblocking(false).unwrap();
    let (mut served, _) = UnixListener::accept(&taken).unwrap();
    served.write_all(b"here").unwrap();
    drop(served);
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "here");
}
