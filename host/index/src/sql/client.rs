//! The thread that talks to the database server.
//!
//! Called by the drivers. A connection belongs to the runtime that opened it, and the server has a runtime for each core,
//! which come and go; so all connections live on one thread with a runtime of its own, and calls are sent there. A call
//! that was sent is finished, also when nobody waits for its answer any more. Knows no statement.

use std::{rc::Rc, thread};

use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
    time::{Instant, timeout},
};

use super::{
    Bounds,
    fault::{Fault, Repeat},
    pool::{Driver, Pool},
};
use crate::{IndexError, no_space, unavailable};

type Job<D> = Box<dyn FnOnce(Rc<Pool<D>>) -> LocalBoxFuture<'static, ()> + Send>;

/// The way to the thread. When it is dropped, calls under way are finished and the connections closed.
pub(super) struct Client<D: Driver> {
    jobs: Option<mpsc::UnboundedSender<Job<D>>>,
    thread: Option<thread::JoinHandle<()>>,
    bounds: Bounds,
}

impl<D: Driver> Client<D> {
    /// Starts the thread. Connects to nothing yet.
    pub(super) fn start(driver: D, bounds: Bounds) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let thread = thread::Builder::new().name("index-client".to_owned()).spawn(move || {
            let pool = Rc::new(Pool::new(driver, bounds));
            LocalSet::new().block_on(&runtime, serve(pool, queue, bounds));
            runtime.shutdown_background();
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), bounds })
    }

    /// Makes a call, within the bound of one.
    pub(super) async fn call<T, F>(
        &self,
        context: &'static str,
        repeat: Repeat,
        op: F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        let deadline = Instant::now() + self.bounds.call;
        self.call_until(context, repeat, deadline, op).await
    }

    /// Makes a search, within the bound of a call.
    pub(super) async fn search<T, F>(&self, context: &'static str, op: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        let deadline = Instant::now() + self.bounds.call;
        self.run(context, async move |pool| pool.search(deadline, &op).await).await
    }

    /// Makes a call, within this bound.
    pub(super) async fn call_until<T, F>(
        &self,
        context: &'static str,
        repeat: Repeat,
        deadline: Instant,
        op: F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut D::Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.run(context, async move |pool| pool.call(repeat, deadline, &op).await).await
    }

    /// Sends this to the thread, and waits for its answer.
    async fn run<T, F>(&self, context: &'static str, work: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFnOnce(Rc<Pool<D>>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job<D> = Box::new(move |pool| {
            async move {
                let outcome = work(pool).await;
                // The caller may have gone away; what was changed stands.
                let _ = reply.send(outcome);
            }
            .boxed_local()
        });
        let closed = || unavailable(context, Fault::Closed);
        self.jobs.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(|fault| match fault.is_full(&D::CODES) {
            true => no_space(context, fault),
            false => unavailable(context, fault),
        })
    }
}

impl<D: Driver> Drop for Client<D> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It failed only if it panicked, and then everyone who waited has been told.
            let _ = thread.join();
        }
    }
}

async fn serve<D: Driver>(pool: Rc<Pool<D>>, mut queue: mpsc::UnboundedReceiver<Job<D>>, bounds: Bounds) {
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
    // Each call has its bound; what lasts longer is cut.
    let _ = timeout(bounds.call, finish).await;
}
