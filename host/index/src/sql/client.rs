//! The thread with the connections to the database server.
//!
//! A connection belongs to the runtime that opened it, and the server has one runtime per core,
//! which come and go. So all connections live on one thread with its own runtime, and calls are
//! sent there. A call that was sent is completed even if the caller is gone.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
    time::{Instant, timeout},
};

use super::{
    ClientLimits,
    fault::{Fault, RetrySafety},
    pool::{Driver, Pool, PoolUse},
};
use crate::{IndexError, catalogue::Connections, no_space, unavailable};

type ClientJob<D> = Box<dyn FnOnce(Rc<Pool<D>>) -> LocalBoxFuture<'static, ()> + Send>;

/// Sends calls to the thread. Dropping it completes the calls in progress and closes the
/// connections.
pub(super) struct Client<D: Driver> {
    jobs: Option<mpsc::UnboundedSender<ClientJob<D>>>,
    thread: Option<thread::JoinHandle<()>>,
    limits: ClientLimits,
    pool_use: Arc<PoolUse>,
}

impl<D: Driver> Client<D> {
    /// Starts the thread, without connecting yet.
    pub(super) fn start(driver: D, limits: ClientLimits) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let pool_use = Arc::new(PoolUse::default());
        let of_pool = pool_use.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let thread = thread::Builder::new().name("index-client".to_owned()).spawn(move || {
            let pool = Rc::new(Pool::new(driver, limits, of_pool));
            LocalSet::new().block_on(&runtime, serve(pool, queue, limits));
            runtime.shutdown_background();
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), limits, pool_use })
    }

    /// Returns the connections.
    pub(super) fn connections(&self) -> Connections {
        let PoolUse { open, waiting } = &*self.pool_use;
        Connections { open: open.load(Relaxed), waiting: waiting.load(Relaxed) }
    }

    /// Makes a call within [`ClientLimits::call`].
    pub(super) async fn call<T, F>(
        &self,
        context: &'static str,
        safety: RetrySafety,
        op: F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        let deadline = Instant::now() + self.limits.call;
        self.call_until(context, safety, deadline, op).await
    }

    /// Makes a search within [`ClientLimits::call`].
    pub(super) async fn search<T, F>(&self, context: &'static str, op: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        let deadline = Instant::now() + self.limits.call;
        self.run(context, async move |pool| pool.search(deadline, &op).await).await
    }

    /// Makes a call that ends by `deadline`.
    pub(super) async fn call_until<T, F>(
        &self,
        context: &'static str,
        safety: RetrySafety,
        deadline: Instant,
        op: F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.run(context, async move |pool| pool.call(safety, deadline, &op).await).await
    }

    /// Runs `work` on the thread and waits for its outcome.
    async fn run<T, F>(&self, context: &'static str, work: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFnOnce(Rc<Pool<D>>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let job: ClientJob<D> = Box::new(move |pool| {
            async move {
                let outcome = work(pool).await;
                // The caller may be gone. The change stands.
                let _ = reply.send(outcome);
            }
            .boxed_local()
        });
        let closed = || unavailable(context, Fault::Closed);
        self.jobs.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?.map_err(|fault| match fault.is_full(&D::CODES) {
            true => no_space(context, fault),
            false => unavailable(context, fault),
        })
    }
}

impl<D: Driver> Drop for Client<D> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, and then every waiting caller got an error.
            let _ = thread.join();
        }
    }
}

async fn serve<D: Driver>(
    pool: Rc<Pool<D>>,
    mut queue: mpsc::UnboundedReceiver<ClientJob<D>>,
    limits: ClientLimits,
) {
    let mut calls = JoinSet::new();
    loop {
        select! {
            job = queue.recv() => match job {
                Some(job) => drop(calls.spawn_local(job(Rc::clone(&pool)))),
                None => break,
            },
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
        }
    }
    let finish = async {
        while calls.join_next().await.is_some() {}
        pool.close().await;
    };
    // Every call has this bound. What takes longer is dropped.
    let _ = timeout(limits.call, finish).await;
}
