//! The connections to a server, and how a call is made on one of them.
//!
//! Called by `client.rs`, on its thread. Knows no statement.
//!
//! Not the library's own pool: that sends a question of its own after each use, waits without bound for the answer when the
//! server hangs, and cannot be told to use a fresh connection after a loss.

use std::{cell::RefCell, time::Duration};

use sqlx::Connection;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Bounds,
    fault::{Codes, Fault, Kind, Repeat},
};

/// A connection that was not used for so long is asked whether it is still there.
const TRUSTED: Duration = Duration::from_secs(1);
/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// A connection is closed at this age: after a failover its name may stand for another server.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Attempts where the server undoes a call because of others.
const ATTEMPTS: u32 = 20;
/// Longest pause between two of them grows by so much with each.
const PAUSE: Duration = Duration::from_millis(8);

/// What a server's kind decides.
#[async_trait::async_trait(?Send)]
pub(crate) trait Driver: Clone + Send + 'static {
    /// Its connections.
    type Connection: Connection + Send;
    /// Its codes.
    const CODES: Codes;

    /// Connects, without the bounds of a call.
    async fn connect_unbounded(&self) -> sqlx::Result<Self::Connection>;

    /// Keeps others from changing the tables, until the connection is closed.
    async fn lock(connection: &mut Self::Connection) -> sqlx::Result<()>;

    /// Connects, and makes the settings of the session.
    async fn connect(&self) -> sqlx::Result<Self::Connection>;
}

/// The connections.
pub(super) struct Pool<D: Driver> {
    driver: D,
    permits: Semaphore,
    /// Of these, as many as searches may have.
    searches: Semaphore,
    /// The last used on top.
    idle: RefCell<Vec<Idle<D::Connection>>>,
}

struct Idle<C> {
    connection: C,
    opened: Instant,
    since: Instant,
}

/// A connection in use.
struct Borrowed<'a, C> {
    connection: C,
    opened: Instant,
    _permit: SemaphorePermit<'a>,
}

impl<D: Driver> Pool<D> {
    pub(super) fn new(driver: D, bounds: Bounds) -> Self {
        let searches = (bounds.connections * 3 / 4).max(1);
        Self {
            driver,
            permits: Semaphore::new(bounds.connections),
            searches: Semaphore::new(searches),
            idle: RefCell::default(),
        }
    }

    /// Makes a search, when its turn comes. Searches may take long, and never have all connections: reservations and
    /// notes go on beside them.
    pub(super) async fn search<T>(
        &self,
        deadline: Instant,
        op: &impl AsyncFn(&mut D::Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let turn = timeout_at(deadline, self.searches.acquire()).await;
        let _turn = turn.map_err(|_| Fault::TimedOut)?.map_err(|_| Fault::Closed)?;
        self.call(Repeat::Always, deadline, op).await
    }

    /// Makes a call, and tries again what may be tried again, until the deadline.
    pub(super) async fn call<T>(
        &self,
        repeat: Repeat,
        deadline: Instant,
        op: &impl AsyncFn(&mut D::Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (mut undone, mut lost) = (0, false);
        loop {
            let fault = match timeout_at(deadline, self.attempt(op, lost)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) => fault,
                // With the attempt its connection was dropped.
                Err(_) => return Err(Fault::TimedOut),
            };
            match fault.kind(&D::CODES) {
                Kind::Undone if undone < ATTEMPTS => {
                    undone += 1;
                    sleep(random_part_of(PAUSE * undone)).await;
                }
                Kind::Lost if !lost && fault.may_repeat(repeat) => {
                    lost = true;
                    // The others are most likely lost as well.
                    self.idle.borrow_mut().clear();
                }
                Kind::Undone | Kind::Lost | Kind::Final => return Err(fault),
            }
        }
    }

    async fn attempt<T>(
        &self,
        op: &impl AsyncFn(&mut D::Connection) -> Result<T, Fault>,
        fresh: bool,
    ) -> Result<T, Fault> {
        let mut borrowed = self.borrow(fresh).await?;
        let outcome = op(&mut borrowed.connection).await;
        match &outcome {
            Ok(_) | Err(Fault::Contended) => self.release(borrowed),
            // A statement that fails leaves the connection as it was; any other failure may be the connection's own.
            Err(fault @ Fault::Sql(sqlx::Error::Database(_))) if fault.kind(&D::CODES) != Kind::Lost => {
                self.release(borrowed);
            }
            Err(_) => drop(borrowed),
        }
        outcome
    }

    async fn borrow(&self, fresh: bool) -> Result<Borrowed<'_, D::Connection>, Fault> {
        let permit = self.permits.acquire().await.map_err(|_| Fault::Closed)?;
        while let Some(mut idle) = self.pop() {
            let alive = !fresh
                && (idle.since.elapsed() < TRUSTED
                    || (idle.since.elapsed() < IDLE && idle.connection.ping().await.is_ok()));
            if alive {
                return Ok(Borrowed { connection: idle.connection, opened: idle.opened, _permit: permit });
            }
        }
        let connection = self.driver.connect().await.map_err(Fault::Connect)?;
        Ok(Borrowed { connection, opened: Instant::now(), _permit: permit })
    }

    fn pop(&self) -> Option<Idle<D::Connection>> {
        self.idle.borrow_mut().pop()
    }

    fn release(&self, borrowed: Borrowed<'_, D::Connection>) {
        let Borrowed { connection, opened, _permit } = borrowed;
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|other| now - other.since < IDLE);
        if opened.elapsed() < LIFETIME {
            idle.push(Idle { connection, opened, since: now });
        }
    }

    /// Says good-bye on the connections that are not in use.
    pub(super) async fn close(&self) {
        while let Some(idle) = self.pop() {
            // The server notices anyway.
            let _ = idle.connection.close().await;
        }
    }
}

/// A time between nothing and this: so that those who got in each other's way do not meet again.
fn random_part_of(longest: Duration) -> Duration {
    let mut random = [0; 2];
    // Where there is no chance to be had, the full time is as good as any.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    longest * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}
