//! The thread that writes.
//!
//! Called by the driver. SQLite lets one write at a time, so the changes stand in a queue, and the thread commits all that
//! are waiting as one transaction: under load a commit is shared by many. Nobody is answered before the commit. Knows no
//! statement.

use std::{sync::Arc, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    anchor::Anchor,
    fault::is_full,
    watch::{Loss, Watch},
};
use crate::{IndexError, no_space, unavailable};

/// Changes that may wait; who comes then waits to be let in.
const QUEUE: usize = 1_024;

/// Most changes in one transaction.
const GROUP: usize = 256;

/// The queue and its thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. The connections become its own: one to write, one to hold the readers' state.
    pub(super) fn start(conn: Connection, anchor: Connection, watch: Arc<Watch>) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn(move || serve(conn, Anchor::new(anchor), &watch, jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Makes a change and returns its outcome once it is committed.
    ///
    /// A change may be run more than once, each time from the state before it. It is made also when the caller does not
    /// wait for it any more.
    pub(super) async fn write<T, F>(&self, context: &'static str, change: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let stopped = || unavailable(context, Stopped);
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Change { context, change, outcome: None, reply });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is in the queue.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It failed only if it panicked, and then everyone who waited has been told.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the writer has stopped")]
struct Stopped;

/// The failure of a transaction, for each change that was in it.
#[derive(Clone, Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// What was committed is in a file that nobody will find.
    #[error(transparent)]
    Lost(Loss),
}

impl Failure {
    fn of(self, context: &'static str) -> IndexError {
        let full = matches!(&self, Self::Sqlite(error) if is_full(&**error));
        if full { no_space(context, self) } else { unavailable(context, self) }
    }
}

trait Job: Send {
    /// Makes the change and keeps the outcome.
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()>;

    /// Tells the caller: the outcome, or why the transaction failed.
    fn answer(self: Box<Self>, failure: Option<Failure>);
}

struct Change<T, F> {
    context: &'static str,
    change: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, IndexError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.outcome = Some((self.change)(conn)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<Failure>) {
        let answer = match (failure, self.outcome) {
            (Some(failure), _) => Err(failure.of(self.context)),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(unavailable(self.context, Stopped)),
        };
        // The caller may have gone away; the change stands.
        let _ = self.reply.send(answer);
    }
}

fn serve(mut conn: Connection, mut anchor: Anchor, watch: &Watch, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut jobs = Vec::with_capacity(GROUP);
    while queue.blocking_recv_many(&mut jobs, GROUP) > 0 {
        if let Some(loss) = watch.known() {
            answer(jobs.drain(..), Some(&Failure::Lost(loss)));
            continue;
        }
        anchor.release();
        run_group(&mut conn, watch, &mut jobs);
        anchor.hold();
    }
    // The connection that is closed last tidies up, and only the writer's can.
    drop(anchor);
}

/// Runs the jobs as one transaction; where one of them fails, each as its own, so that it fails alone.
fn run_group(conn: &mut Connection, watch: &Watch, jobs: &mut Vec<Box<dyn Job>>) {
    match in_transaction(conn, jobs) {
        Ok(()) => answer(jobs.drain(..), watch.look().map(Failure::Lost).as_ref()),
        Err(Stage::Job(_)) if jobs.len() > 1 => {
            for job in jobs.drain(..) {
                run_group(conn, watch, &mut vec![job]);
            }
        }
        Err(Stage::Job(error) | Stage::Transaction(error)) => {
            answer(jobs.drain(..), Some(&Failure::Sqlite(Arc::new(error))));
        }
    }
}

fn answer(jobs: impl Iterator<Item = Box<dyn Job>>, failure: Option<&Failure>) {
    for job in jobs {
        job.answer(failure.cloned());
    }
}

/// What failed.
enum Stage {
    /// The beginning or the commit.
    Transaction(rusqlite::Error),
    /// One of the jobs.
    Job(rusqlite::Error),
}

/// Either all is committed, or nothing has changed: a transaction that is dropped is rolled back.
fn in_transaction(conn: &mut Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), Stage> {
    // Immediate: a transaction that begins by reading could not wait for another process that writes.
    let transaction =
        conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Stage::Transaction)?;
    for job in jobs {
        job.run(&transaction).map_err(Stage::Job)?;
    }
    transaction.commit().map_err(Stage::Transaction)
}
