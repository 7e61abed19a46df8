//! A proxy between the driver and the server, which breaks connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
    accepting: JoinHandle<()>,
}

struct ProxyState {
    server: String,
    is_down: AtomicBool,
    /// Bytes of responses until connections break.
    budget: AtomicU64,
    broken: Notify,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub(super) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let (is_down, budget) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        let state = Arc::new(ProxyState { server, is_down, budget, broken: Notify::new() });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks all connections and accepts no new ones, or accepts them again.
    pub(super) fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Relaxed);
        self.state.broken.notify_waiters();
    }

    /// Breaks each connection after `bytes` of responses.
    pub(super) fn break_after(&self, bytes: u64) {
        self.state.budget.store(bytes, Relaxed);
    }
}

async fn accept(listener: TcpListener, state: Arc<ProxyState>) {
    while let Ok((client, _)) = listener.accept().await {
        if !state.is_down.load(Relaxed) {
            let state = state.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = state.broken.notified() => {}
                    _ = pass(client, &state) => {}
                }
            });
        }
    }
}

async fn pass(client: TcpStream, state: &ProxyState) -> std::io::Result<()> {
    let server = TcpStream::connect(&state.server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let answers = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let left = state.budget.load(Relaxed);
            let passed = read.min(usize::try_from(left).unwrap_or(usize::MAX));
            to_client.write_all(&buffer[..passed]).await?;
            if left < u64::MAX {
                state.budget.store(left - passed as u64, Relaxed);
            }
            if read == 0 || passed < read {
                return Ok(());
            }
        }
    };
    // Ends with either: both halves are closed then.
    tokio::select! {
        result = requests => result,
        result = answers => result,
    }
}
