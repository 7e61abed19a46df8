//! A proxy in front of a server that simulates outages: it hangs, closes connections and loses
//! responses.

use std::{net::SocketAddr, thread};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    sync::watch,
};

use super::run;

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Forwards everything.
    Open,
    /// Accepts connections and forwards nothing.
    Paused,
    /// Forwards requests, but no responses.
    Deaf,
    /// Closes every connection.
    Down,
}

/// The proxy. It runs until the process of the test ends.
pub(super) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Starts a proxy in front of the server of this URL.
    pub(super) fn start(url: &str) -> Self {
        let target = host_of(url).to_owned();
        let (mode, watched) = watch::channel(Mode::Open);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || run(serve(listener, target, watched)));
        Self { address, mode }
    }

    /// Returns the server's URL through the proxy.
    pub(super) fn url(&self, url: &str) -> String {
        url.replace(host_of(url), &self.address.to_string())
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// Host and port.
fn host_of(url: &str) -> &str {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split_once('/').unwrap().0
}

async fn serve(listener: std::net::TcpListener, target: String, mode: watch::Receiver<Mode>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if *mode.borrow() == Mode::Down {
            continue;
        }
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pass(from_client, to_server, mode.clone(), |mode| mode != Mode::Paused));
        tokio::spawn(pass(from_server, to_client, mode.clone(), |mode| mode == Mode::Open));
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    open: fn(Mode) -> bool,
) {
    let mut buffer = vec![0; 65_536];
    let mut down = mode.clone();
    let passing = async {
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let passes = mode.wait_for(|mode| open(*mode)).await.is_ok();
            if !passes || to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    select! {
        () = passing => {}
        _ = down.wait_for(|mode| *mode == Mode::Down) => {}
    }
}
