//! Malicious clients. They are bounded in number and in time: dropping a [`Crowd`] ends all of its
//! attackers.

pub mod http1;
pub mod http2;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// Connections that are opened at once, few enough for the listener's queue in the kernel.
const OPENING: usize = 256;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait until an attack counts as established, even if the server keeps some attackers
/// out.
const IN_PLACE: Duration = Duration::from_secs(15);
/// Pause before a disconnected attacker reconnects: ten thousand of them reconnect two thousand
/// times a second.
const RETURN: Duration = Duration::from_secs(5);

/// The source address of an attacker. The healthy client's is [`Peer::NEIGHBOUR`].
#[derive(Clone, Copy)]
pub struct Peer(u8);

impl Peer {
    /// The healthy client's address, as if behind the same router.
    pub const NEIGHBOUR: Self = Self(1);

    /// Returns one of several loopback addresses.
    #[must_use]
    pub fn other(number: usize) -> Self {
        Self(u8::try_from(2 + number % 200).unwrap_or(2))
    }

    async fn connect(self, server: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((IpAddr::from(Ipv4Addr::new(127, 0, 0, self.0)), 0)))?;
        timeout(CONNECT_LIMIT, socket.connect(server)).await?
    }
}

/// A group of attackers. Dropping it ends the attack.
pub struct Crowd {
    server: SocketAddr,
    tasks: JoinSet<()>,
    size: usize,
    opening: Arc<Semaphore>,
    in_place: Arc<AtomicUsize>,
}

/// An attacker's share of its crowd.
#[derive(Clone)]
pub struct Member {
    server: SocketAddr,
    peer: Peer,
    opening: Arc<Semaphore>,
    in_place: Arc<AtomicUsize>,
}

impl Crowd {
    /// Makes an empty crowd.
    #[must_use]
    pub fn against(server: SocketAddr) -> Self {
        Self {
            server,
            tasks: JoinSet::new(),
            size: 0,
            opening: Arc::new(Semaphore::new(OPENING)),
            in_place: Arc::default(),
        }
    }

    /// Adds an attacker, which reconnects whenever it is disconnected.
    pub fn add<Attempt>(&mut self, peer: Peer, attempt: impl Fn(Member) -> Attempt + Send + 'static)
    where
        Attempt: Future<Output = io::Result<()>> + Send + 'static,
    {
        let member = Member {
            server: self.server,
            peer,
            opening: self.opening.clone(),
            in_place: self.in_place.clone(),
        };
        self.size += 1;
        self.tasks.spawn(async move {
            loop {
                // Being disconnected is expected.
                let _ = attempt(member.clone()).await;
                tokio::time::sleep(RETURN).await;
            }
        });
    }

    /// Waits until all attackers have reached their goal once, within a limit, because some may be
    /// kept out. Returns how many have.
    pub async fn in_place(&self) -> usize {
        self.times(self.size, IN_PLACE).await
    }

    /// Waits up to `limit` until the crowd has reached its goal this many times in total. Returns
    /// how many times it has.
    pub async fn times(&self, count: usize, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        while self.in_place.load(Relaxed) < count && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.in_place.load(Relaxed)
    }
}

impl Member {
    async fn connect(&self) -> io::Result<TcpStream> {
        let _turn = self.opening.acquire().await;
        self.peer.connect(self.server).await
    }

    fn is_in_place(&self) {
        self.in_place.fetch_add(1, Relaxed);
    }
}

/// A service that accepts connections and never responds.
pub struct BlackHole {
    /// Its origin.
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl BlackHole {
    /// Starts one.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { url, task }
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.task.abort();
    }
}
