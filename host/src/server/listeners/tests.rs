//! Listeners come and go with the tenants.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, TcpStream as Client};

use tokio::time::timeout;

use super::*;

/// Longest wait for a connection.
const SOON: Duration = Duration::from_secs(5);

fn anywhere() -> Socket {
    listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
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
    (Listeners::new(own, taken, None).unwrap(), address)
}

fn set(listeners: &mut Listeners, wanted: &[(SocketAddr, &str)]) {
    listeners.set(wanted.iter().map(|(address, of)| (*address, name(of))).collect(), |_, _| {});
}

async fn accepted(listeners: &Listeners) -> Option<TenantName> {
    timeout(SOON, listeners.accept()).await.unwrap().unwrap().2
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
    listeners.set(BTreeMap::from([(address, name("third"))]), |_, _| unreachable!());
    let _client = Client::connect(address).unwrap();
    assert_eq!(accepted(&listeners).await, Some(name("third")));
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_again() {
    let (mut listeners, _) = listeners(Vec::new());
    let (taken, free) = (anywhere(), free());
    let address = taken.local_addr().unwrap();
    set(&mut listeners, &[(address, "acme"), (free, "umbrella")]);
    assert_eq!((listeners.of_tenants.len(), listeners.missing.as_slice()), (1, [address].as_slice()));
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
