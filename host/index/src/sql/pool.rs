//! A pool of connections, with retries.
//!
//! Used on the client's thread only.
//!
//! The library's own pool is not used: it pings the server after each use, waits without a bound
//! for the response when the server hangs, and offers no way to request a new connection after a
//! loss.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::Connection;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};

use super::{
    ClientLimits,
    fault::{ErrorCodes, Fault, FaultKind, RetrySafety},
};

/// A connection that was idle for longer is pinged before use.
const PING_AFTER: Duration = Duration::from_secs(1);
/// A connection that was idle for longer is closed.
const MAX_IDLE: Duration = Duration::from_secs(5 * 60);
/// An older connection is closed, because after a failover the name may lead to another server.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// Retries of a call that the server rolls back because of others.
const MAX_RETRIES: u32 = 20;
/// The longest pause before a retry grows by this with each.
const BACKOFF_STEP: Duration = Duration::from_millis(8);

/// What differs between the kinds of servers.
#[async_trait::async_trait(?Send)]
pub(crate) trait Driver: Clone + Send + 'static {
    /// A connection to the server.
    type Connection: Connection + Send;
    /// The error codes of the server.
    const CODES: ErrorCodes;

    /// Connects without the session settings that bound a call.
    async fn connect_unbounded(&self) -> sqlx::Result<Self::Connection>;

    /// Takes the migration lock of the database. Closing the connection releases it.
    async fn lock(connection: &mut Self::Connection) -> sqlx::Result<()>;

    /// Connects and applies the session settings.
    async fn connect(&self) -> sqlx::Result<Self::Connection>;
}

/// How many connections there are, and how many calls wait for one, for who asks from other threads.
#[derive(Debug, Default)]
pub(super) struct PoolUse {
    pub(super) open: AtomicUsize,
    pub(super) waiting: AtomicUsize,
}

/// One of something, until it is dropped.
struct Counted(Arc<PoolUse>, fn(&PoolUse) -> &AtomicUsize);

impl Counted {
    fn one_of(pool_use: &Arc<PoolUse>, of: fn(&PoolUse) -> &AtomicUsize) -> Self {
        of(pool_use).fetch_add(1, Relaxed);
        Self(pool_use.clone(), of)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Relaxed);
    }
}

/// The connections.
pub(super) struct Pool<D: Driver> {
    driver: D,
    permits: Semaphore,
    /// How many of these searches may hold: three quarters.
    search_permits: Semaphore,
    /// The most recently used last.
    idle: RefCell<Vec<IdleConnection<D::Connection>>>,
    pool_use: Arc<PoolUse>,
}

struct IdleConnection<C> {
    connection: C,
    counted: Counted,
    opened: Instant,
    since: Instant,
}

/// A connection in use.
struct Borrowed<'a, C> {
    connection: C,
    counted: Counted,
    opened: Instant,
    _permit: SemaphorePermit<'a>,
}

impl<D: Driver> Pool<D> {
    pub(super) fn new(driver: D, limits: ClientLimits, pool_use: Arc<PoolUse>) -> Self {
        let search_permits = (limits.connections * 3 / 4).max(1);
        Self {
            driver,
            permits: Semaphore::new(limits.connections),
            search_permits: Semaphore::new(search_permits),
            idle: RefCell::default(),
            pool_use,
        }
    }

    /// Makes a search. Searches may take long, so they never hold all connections: reservations and
    /// touches proceed beside them.
    pub(super) async fn search<T>(
        &self,
        deadline: Instant,
        op: &impl AsyncFn(&mut D::Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let waiting = Counted::one_of(&self.pool_use, |of| &of.waiting);
        let turn = timeout_at(deadline, self.search_permits.acquire()).await;
        drop(waiting);
        let _turn = turn.map_err(|_| Fault::TimedOut)?.map_err(|_| Fault::Closed)?;
        self.call(RetrySafety::Always, deadline, op).await
    }

    /// Makes a call and retries it as far as `safety` allows, until the deadline.
    pub(super) async fn call<T>(
        &self,
        safety: RetrySafety,
        deadline: Instant,
        op: &impl AsyncFn(&mut D::Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (mut rolled_back, mut lost) = (0, false);
        loop {
            let fault = match timeout_at(deadline, self.attempt(op, lost)).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(fault)) => fault,
                // The attempt was dropped, and with it its connection.
                Err(_) => return Err(Fault::TimedOut),
            };
            match fault.kind(&D::CODES) {
                FaultKind::RolledBack if rolled_back < MAX_RETRIES => {
                    rolled_back += 1;
                    sleep(jitter(BACKOFF_STEP * rolled_back)).await;
                }
                FaultKind::ConnectionLost if !lost && fault.may_retry(safety) => {
                    lost = true;
                    // The idle ones are most likely lost, too.
                    self.idle.borrow_mut().clear();
                }
                FaultKind::RolledBack | FaultKind::ConnectionLost | FaultKind::Final => return Err(fault),
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
            // A failed statement leaves the connection usable. Any other failure may be the
            // connection's own.
            Err(fault @ Fault::Sql(sqlx::Error::Database(_)))
                if fault.kind(&D::CODES) != FaultKind::ConnectionLost =>
            {
                self.release(borrowed);
            }
            Err(_) => drop(borrowed),
        }
        outcome
    }

    async fn borrow(&self, fresh: bool) -> Result<Borrowed<'_, D::Connection>, Fault> {
        let waiting = Counted::one_of(&self.pool_use, |of| &of.waiting);
        let permit = self.permits.acquire().await.map_err(|_| Fault::Closed)?;
        drop(waiting);
        while let Some(mut idle) = self.pop() {
            let alive = !fresh
                && (idle.since.elapsed() < PING_AFTER
                    || (idle.since.elapsed() < MAX_IDLE && idle.connection.ping().await.is_ok()));
            if alive {
                let IdleConnection { connection, counted, opened, .. } = idle;
                return Ok(Borrowed { connection, counted, opened, _permit: permit });
            }
        }
        let connection = self.driver.connect().await.map_err(Fault::Connect)?;
        let counted = Counted::one_of(&self.pool_use, |of| &of.open);
        Ok(Borrowed { connection, counted, opened: Instant::now(), _permit: permit })
    }

    fn pop(&self) -> Option<IdleConnection<D::Connection>> {
        self.idle.borrow_mut().pop()
    }

    fn release(&self, borrowed: Borrowed<'_, D::Connection>) {
        let Borrowed { connection, counted, opened, _permit } = borrowed;
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|other| now - other.since < MAX_IDLE);
        if opened.elapsed() < MAX_AGE {
            idle.push(IdleConnection { connection, counted, opened, since: now });
        }
    }

    /// Closes the idle connections.
    pub(super) async fn close(&self) {
        while let Some(idle) = self.pop() {
            // The server notices a closed socket anyway.
            let _ = idle.connection.close().await;
        }
    }
}

/// Returns a random duration of up to `longest`, so that colliding calls do not collide again.
fn jitter(longest: Duration) -> Duration {
    let mut random = [0; 2];
    // Without random bytes the pause is zero, which is harmless.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    longest * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}
