//! The writer thread.
//!
//! SQLite allows one write at a time. Changes wait in a queue, and the thread commits all waiting
//! ones as one transaction, so that many share a commit under load. A caller gets its result after
//! the commit.

use std::{sync::Arc, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    fault::is_full,
    file_watch::{FileWatch, Loss},
    scratch::{self, OnlyConnection},
    snapshot_anchor::Anchor,
};
use crate::{IndexError, no_space, unavailable};

/// Changes in the queue. A caller that finds it full waits for a place.
const QUEUE_LENGTH: usize = 1_024;

/// Most changes in one transaction.
const MAX_GROUP: usize = 256;

/// Makes changes.
pub(super) struct Writer(Kind);

enum Kind {
    /// The queue of changes and the thread that commits them.
    Thread { queue: Option<mpsc::Sender<Box<dyn WriteJob>>>, thread: Option<thread::JoinHandle<()>> },
    /// The caller makes each by itself.
    AtOnce(OnlyConnection),
}

impl Writer {
    /// Starts the thread with a connection for writing and one for the [`Anchor`].
    pub(super) fn start(
        conn: Connection,
        anchor: Connection,
        watch: Arc<FileWatch>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_LENGTH);
        let thread = thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn(move || serve(conn, Anchor::new(anchor), &watch, jobs))?;
        Ok(Self(Kind::Thread { queue: Some(queue), thread: Some(thread) }))
    }

    /// Makes changes on the calling thread.
    pub(super) fn at_once(conn: OnlyConnection) -> Self {
        Self(Kind::AtOnce(conn))
    }

    /// Makes a change and returns its outcome after the commit.
    ///
    /// A change may run more than once, each time on the state before it. It is made even if the
    /// caller stops waiting.
    pub(super) async fn write<T, F>(&self, context: &'static str, change: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let stopped = || unavailable(context, Stopped);
        let queue = match &self.0 {
            Kind::Thread { queue, .. } => queue.as_ref().ok_or_else(stopped)?,
            Kind::AtOnce(conn) => {
                let failed = |error| GroupFailure::Sqlite(Arc::new(error)).into_index_error(context);
                return scratch::change(conn, change).map_err(failed);
            }
        };
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(QueuedChange { context, change, outcome: None, reply });
        queue.send(job).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Waits until the thread has completed the queue.
    fn drop(&mut self) {
        let Kind::Thread { queue, thread } = &mut self.0 else { return };
        *queue = None;
        if let Some(thread) = thread.take() {
            // An error means that the thread panicked, and then every waiting caller got an error.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the writer has stopped")]
struct Stopped;

/// Why a transaction failed. Every change in it gets a copy.
#[derive(Clone, Debug, thiserror::Error)]
enum GroupFailure {
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// The commit went to a file that is deleted, replaced or cut.
    #[error(transparent)]
    Lost(Loss),
}

impl GroupFailure {
    fn into_index_error(self, context: &'static str) -> IndexError {
        let full = matches!(&self, Self::Sqlite(error) if is_full(&**error));
        if full { no_space(context, self) } else { unavailable(context, self) }
    }
}

trait WriteJob: Send {
    /// Makes the change and stores the outcome.
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()>;

    /// Sends the caller the outcome, or the reason why the transaction failed.
    fn reply(self: Box<Self>, failure: Option<GroupFailure>);
}

struct QueuedChange<T, F> {
    context: &'static str,
    change: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, IndexError>>,
}

impl<T, F> WriteJob for QueuedChange<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.outcome = Some((self.change)(conn)?);
        Ok(())
    }

    fn reply(self: Box<Self>, failure: Option<GroupFailure>) {
        let outcome = match (failure, self.outcome) {
            (Some(failure), _) => Err(failure.into_index_error(self.context)),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(unavailable(self.context, Stopped)),
        };
        // The caller may be gone. The change stands.
        let _ = self.reply.send(outcome);
    }
}

fn serve(
    mut conn: Connection,
    mut anchor: Anchor,
    watch: &FileWatch,
    mut queue: mpsc::Receiver<Box<dyn WriteJob>>,
) {
    let mut jobs = Vec::with_capacity(MAX_GROUP);
    while queue.blocking_recv_many(&mut jobs, MAX_GROUP) > 0 {
        if let Some(loss) = watch.loss() {
            reply_all(jobs.drain(..), Some(&GroupFailure::Lost(loss)));
            continue;
        }
        anchor.release();
        run_group(&mut conn, watch, &mut jobs);
        anchor.hold();
    }
    // The connection that is closed last folds the log into the database, and only the writer's
    // can.
    drop(anchor);
}

/// Runs the jobs in one transaction. If one of them fails, runs each in its own, so that only that
/// one fails.
fn run_group(conn: &mut Connection, watch: &FileWatch, jobs: &mut Vec<Box<dyn WriteJob>>) {
    match in_transaction(conn, jobs) {
        Ok(()) => reply_all(jobs.drain(..), watch.check().map(GroupFailure::Lost).as_ref()),
        Err(FailedStage::Job(_)) if jobs.len() > 1 => {
            for job in jobs.drain(..) {
                run_group(conn, watch, &mut vec![job]);
            }
        }
        Err(FailedStage::Job(error) | FailedStage::Transaction(error)) => {
            reply_all(jobs.drain(..), Some(&GroupFailure::Sqlite(Arc::new(error))));
        }
    }
}

fn reply_all(jobs: impl Iterator<Item = Box<dyn WriteJob>>, failure: Option<&GroupFailure>) {
    for job in jobs {
        job.reply(failure.cloned());
    }
}

/// The step that failed.
enum FailedStage {
    /// Begin or commit.
    Transaction(rusqlite::Error),
    /// One of the jobs.
    Job(rusqlite::Error),
}

/// Commits all jobs, or changes nothing: a dropped transaction is rolled back.
fn in_transaction(conn: &mut Connection, jobs: &mut [Box<dyn WriteJob>]) -> Result<(), FailedStage> {
    // Immediate, because a transaction that begins with a read cannot wait for another process that
    // writes.
    let transaction =
        conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(FailedStage::Transaction)?;
    for job in jobs {
        job.run(&transaction).map_err(FailedStage::Job)?;
    }
    transaction.commit().map_err(FailedStage::Transaction)
}
