//! Clients that mean harm. Each is bounded: in number, and in time, for to drop a [`Crowd`] ends all of it.

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

/// Connections that are being opened at once, so that the kernel's queue of the listener does not overflow.
const OPENING: usize = 256;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long until an attack counts as in place, even where the server keeps some of it out.
const IN_PLACE: Duration = Duration::from_secs(15);
/// Pause before somebody who was thrown out comes again: all of ten thousand come two thousand times a second.
const RETURN: Duration = Duration::from_secs(5);

/// Where an attacker comes from. The healthy client is [`Peer::NEIGHBOUR`].
#[derive(Clone, Copy)]
pub struct Peer(u8);

impl Peer {
    /// The healthy client's own address, as of somebody behind the same router.
    pub const NEIGHBOUR: Self = Self(1);

    /// One of several addresses of the loopback.
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

/// Attackers at work, until this is dropped.
pub struct Crowd {
    server: SocketAddr,
    tasks: JoinSet<()>,
    size: usize,
    opening: Arc<Semaphore>,
    in_place: Arc<AtomicUsize>,
}

/// What an attacker has of its crowd.
#[derive(Clone)]
pub struct Member {
    server: SocketAddr,
    peer: Peer,
    opening: Arc<Semaphore>,
    in_place: Arc<AtomicUsize>,
}

impl Crowd {
    /// Nobody yet.
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

    /// One more attacker, which comes again and again when it is thrown out.
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
                // To be thrown out is what it has to expect.
                let _ = attempt(member.clone()).await;
                tokio::time::sleep(RETURN).await;
            }
        });
    }

    /// Waits until all have done once what they came for, though not for ever: some may be kept out. Returns how many have.
    pub async fn in_place(&self) -> usize {
        self.times(self.size, IN_PLACE).await
    }

    /// Waits until what they came for was done so many times by all together, but no longer than `limit`. Returns how many times it
    /// was.
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

/// A service that takes connections and never answers.
pub struct BlackHole {
    /// Its origin.
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl BlackHole {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port to be had.
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
