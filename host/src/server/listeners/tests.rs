//! Listeners come and go with the tenants.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as Socket, TcpStream as Client},
    os::unix::net::UnixStream,
};

use tokio::time::timeout;

use super::*;

/// Longest wait for a connection.
const SOON: Duration = Duration::from_secs(5);

fn listen(address: SocketAddr) -> io::Result<Socket> {
    match ListenSocket::open(&address.into(), SocketMode::default())? {
        ListenSocket::Tcp(socket) => Ok(socket),
        ListenSocket::Unix(_) => unreachable!(),
    }
}

fn anywhere() -> Socket {
    listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn shared(socket: Socket) -> SharedListener {
    SharedListener { socket: ListenSocket::Tcp(socket), is_inherited: false }
}

/// An address that is free, as far as anybody can know.
fn free() -> SocketAddr {
    anywhere().local_addr().unwrap()
}

fn name(text: &str) -> TenantName {
    text.parse().unwrap()
}

fn listeners(taken: Vec<Socket>) -> (Listeners, SocketAddr) {
    let own = anywhere();
    let address = own.local_addr().unwrap();
    let taken = taken.into_iter().map(shared).collect();
    (Listeners::new(shared(own), taken, None, SocketMode::default()).unwrap(), address)
}

fn set(listeners: &mut Listeners, wanted: &[(SocketAddr, &str)]) {
    listeners.set(wanted.iter().map(|(address, of)| ((*address).into(), name(of))).collect(), |_, _| {});
}

async fn accepted(listeners: &Listeners) -> Option<TenantName> {
    timeout(SOON, listeners.accept()).await.unwrap().unwrap().1
}

#[tokio::test]
async fn each_connection_is_of_the_tenant_of_its_listener() {
    let (mut listeners, own) = listeners(Vec::new());
    let (first, second) = (free(), free());
    set(&mut listeners, &[(first, "acme"), (second, "umbrella")]);
    for (address, tenant) in [(second, Some("umbrella")), (own, None), (first, Some("acme"))] {
        let _client = Client::connect(address).unwrap();
        assert_eq!(accepted(&listeners).await.as_ref().map(TenantName::as_str), tenant);
    }
}

#[tokio::test]
async fn no_listener_waits_for_another_that_is_busy() {
    let (mut listeners, own) = listeners(Vec::new());
    let address = free();
    set(&mut listeners, &[(address, "acme")]);
    let _many: Vec<_> = (0..20).map(|_| Client::connect(own).unwrap()).collect();
    let _one = Client::connect(address).unwrap();
    let first = [accepted(&listeners).await, accepted(&listeners).await];
    assert!(first.contains(&Some(name("acme"))), "{first:?}");
}

#[tokio::test]
async fn what_closes_is_drained_and_its_address_is_free() {
    let (mut listeners, _) = listeners(Vec::new());
    let address = free();
    set(&mut listeners, &[(address, "acme")]);
    let _client = Client::connect(address).unwrap();
    let mut drained = Vec::new();
    listeners.set(BTreeMap::new(), |socket, of| drained.push((socket.accept().is_ok(), of.cloned())));
    assert_eq!(drained, [(true, Some(name("acme")))]);
    listen(address).unwrap();
    // Another tenant may have it then, and a change of hands closes nothing.
    set(&mut listeners, &[(address, "umbrella")]);
    listeners.set(BTreeMap::from([(address.into(), name("third"))]), |_, _| unreachable!());
    let _client = Client::connect(address).unwrap();
    assert_eq!(accepted(&listeners).await, Some(name("third")));
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_again() {
    let (mut listeners, _) = listeners(Vec::new());
    let (taken, free) = (anywhere(), free());
    let address = taken.local_addr().unwrap();
    set(&mut listeners, &[(address, "acme"), (free, "umbrella")]);
    assert_eq!((listeners.of_tenants.len(), listeners.missing.as_slice()), (1, [address.into()].as_slice()));
    assert!(listeners.retry_at.is_some());
    drop(taken);
    set(&mut listeners, &[(address, "acme"), (free, "umbrella")]);
    assert_eq!((listeners.of_tenants.len(), listeners.retry_at), (2, None));
}

#[tokio::test]
async fn the_predecessors_listener_is_used_while_it_still_has_it() {
    let theirs = anywhere();
    let address = theirs.local_addr().unwrap();
    let unwanted = anywhere();
    let (mut listeners, _) = listeners(vec![unwanted.try_clone().unwrap(), theirs.try_clone().unwrap()]);
    set(&mut listeners, &[(address, "acme")]);
    assert!(listeners.missing.is_empty() && listeners.taken.is_empty());
    drop(theirs);
    let _client = Client::connect(address).unwrap();
    assert_eq!(accepted(&listeners).await, Some(name("acme")));
}

#[tokio::test]
async fn there_are_so_many_listeners_and_no_more() {
    let (mut listeners, _) = listeners(Vec::new());
    let sockets: Vec<_> = (0..=MAX_TENANT_LISTENERS).map(|_| anywhere()).collect();
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    drop(sockets);
    let wanted: Vec<_> = addresses.iter().map(|address| (*address, "acme")).collect();
    set(&mut listeners, &wanted);
    assert_eq!((listeners.of_tenants.len(), listeners.missing.len()), (MAX_TENANT_LISTENERS, 1));
}

/// The file of a Unix socket is there as long as its listener.
#[tokio::test]
async fn a_unix_socket_comes_and_goes_with_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acme.sock");
    let (mut listeners, _) = listeners(Vec::new());
    let wanted = || BTreeMap::from([(ListenAddress::Unix(path.clone()), name("acme"))]);
    listeners.set(wanted(), |_, _| unreachable!());
    let _client = UnixStream::connect(&path).unwrap();
    let (connection, tenant) = timeout(SOON, listeners.accept()).await.unwrap().unwrap();
    assert!(connection.client.is_none());
    assert_eq!(tenant, Some(name("acme")));
    let _waits = UnixStream::connect(&path).unwrap();
    let mut drained = 0;
    listeners.set(BTreeMap::new(), |socket, _| drained += usize::from(socket.accept().is_ok()));
    assert_eq!(drained, 1);
    assert!(!path.exists());
    // Again, and now the whole server ends.
    listeners.set(wanted(), |_, _| unreachable!());
    assert!(path.exists());
    listeners.close(|_, _| {}).unwrap();
    assert!(!path.exists());
}

/// A supervisor's sockets are left to its next process, and their files are not removed.
#[tokio::test]
async fn what_a_supervisor_opened_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| {
        let address = ListenAddress::Unix(path.to_owned());
        ListenSocket::open(&address, SocketMode::default()).unwrap()
    };
    let paths = ["own.sock", "acme.sock", "mine.sock"].map(|name| folder.path().join(name));
    let inherited = |path| SharedListener { socket: open(path), is_inherited: true };
    let taken = vec![inherited(&paths[1])];
    let mut listeners = Listeners::new(inherited(&paths[0]), taken, None, SocketMode::default()).unwrap();
    let wanted = paths[1..].iter().map(|path| (ListenAddress::Unix(path.clone()), name("acme")));
    listeners.set(wanted.collect(), |_, _| unreachable!());
    let mut drained = 0;
    listeners.leave(|_, _| drained += 1);
    assert_eq!(drained, 1, "the one that this process opened");
    assert_eq!(paths.map(|path| path.exists()), [true, true, false]);
}
