//! Rules in the shadow: asked what those in force are asked, off the path of any request. Their answers
//! change nothing. They are compared with those that hold, and what differs is counted.
//!
//! A question is handed over by a bounded channel, and left out when that is full. A thread answers,
//! with an instance, limits and a breaker of its own, and steps back when the machine is busy.

mod compare;
mod record;
mod status;

use std::{
    io,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Instant,
};

use arc_swap::ArcSwap;

pub(crate) use compare::{Answer, Question};
pub use status::{Difference, Example, ShadowStatus};

use crate::{asker::InForce, rules::Rules, types::Entry, types::Interface};
use record::Record;

/// Most questions that wait.
const WAITING: usize = 1024;
/// Most callers and entries in the questions that wait, pages included: some 16 MiB at the worst.
const WAITING_SUBJECTS: usize = 4096;
/// The thread's niceness: others go first.
const NICE: i32 = 15;

/// Rules in the shadow, and their thread, which ends when this is dropped.
pub(crate) struct Shadow {
    in_force: Arc<InForce>,
    questions: SyncSender<Job>,
    load: Arc<Load>,
    record: ArcSwap<Record>,
    percent: u8,
    seen: AtomicU64,
}

/// What is shared with the thread.
#[derive(Default)]
struct Load {
    /// Callers and entries in the questions that wait.
    subjects: AtomicUsize,
    is_over: AtomicBool,
}

/// A question that waits for the shadow.
struct Job {
    question: Question,
    active: Answer,
    record: Arc<Record>,
}

impl Shadow {
    /// Starts the thread. Of each hundred questions `percent` are asked.
    ///
    /// # Errors
    /// When the thread does not start.
    pub(crate) fn start(in_force: Arc<InForce>, percent: u8) -> io::Result<Self> {
        let (questions, asked) = sync_channel(WAITING);
        let load = Arc::<Load>::default();
        let (rules, of_thread) = (in_force.clone(), load.clone());
        let run = move || answer_all(&rules, &of_thread, &asked);
        thread::Builder::new().name("larder-shadow".to_owned()).spawn(run)?;
        let record = ArcSwap::from_pointee(Record::new());
        Ok(Self { in_force, questions, load, record, percent: percent.min(100), seen: AtomicU64::new(0) })
    }

    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.in_force.rules
    }

    /// Counts from nothing: what is compared with has changed.
    pub(crate) fn begin_anew(&self) {
        self.record.store(Arc::new(Record::new()));
    }

    pub(crate) fn status(&self) -> ShadowStatus {
        self.record.load().status(self.in_force.status(Instant::now()), self.percent)
    }

    /// Hands a question over with the answer that holds, unless it is not one of the sample, or too many
    /// wait.
    pub(crate) fn offer(&self, question: impl FnOnce() -> Question, active: impl FnOnce() -> Answer) {
        let record = self.record.load_full();
        if !self.is_in_sample() {
            record.left_out();
            return;
        }
        record.offered();
        let question = question();
        let subjects = question.subjects();
        let waiting = self.load.subjects.fetch_add(subjects, AcqRel);
        let is_full = waiting + subjects > WAITING_SUBJECTS;
        let job = Job { question, active: active(), record };
        let refused = if is_full { Some(job) } else { self.send(job) };
        if let Some(job) = refused {
            self.load.subjects.fetch_sub(subjects, AcqRel);
            job.record.dropped();
        }
    }

    fn send(&self, job: Job) -> Option<Job> {
        match self.questions.try_send(job) {
            Ok(()) => None,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Some(job),
        }
    }

    /// The questions of a sample are evenly spread.
    fn is_in_sample(&self) -> bool {
        let (percent, seen) = (u64::from(self.percent), self.seen.fetch_add(1, Relaxed));
        seen.wrapping_mul(percent) % 100 < percent
    }

    /// Asks for groups on the caller's thread.
    pub(crate) fn group(&self, entries: &[Entry]) -> Option<Vec<Option<String>>> {
        self.in_force.ask(id(&self.in_force), Interface::Retention, |session| session.group(entries)).ok()
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.load.is_over.store(true, Release);
    }
}

/// Tells its sessions from those of others.
fn id(in_force: &Arc<InForce>) -> usize {
    Arc::as_ptr(in_force).addr()
}

fn answer_all(rules: &Arc<InForce>, load: &Load, questions: &Receiver<Job>) {
    // Of this thread alone. Where it is not allowed the thread is like any other.
    let _ = rustix::process::setpriority_process(None, NICE);
    for Job { question, active, record } in questions {
        if load.is_over.load(Acquire) {
            return;
        }
        let answer = rules.ask(id(rules), question.interface(), |session| question.ask(session));
        record.compare(&question, &active, &answer.unwrap_or(Answer::Failed));
        load.subjects.fetch_sub(question.subjects(), AcqRel);
    }
}

#[cfg(test)]
mod tests;
