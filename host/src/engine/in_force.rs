//! The policy that is in force, which can be exchanged while calls are in flight.
//!
//! An exchange replaces one pointer for each thread. A thread starts a guest of the new policy, has it
//! make a call, and only then gives it new calls. Dropping the old guest lets its calls finish.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::timeout,
};

use super::{Guest, InstanceLimits, Policy};
use crate::tenant::Tenant;

/// Longest wait for all threads at an exchange. A thread whose guest computes is late.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// A policy that can be exchanged. Cloned, it is the same one.
#[derive(Clone)]
pub(crate) struct PolicyInForce {
    current: Arc<watch::Sender<Current>>,
    /// Those of a tenant; `None`: those of the policy.
    limits: Option<InstanceLimits>,
    /// How many tenants have rules of their own that decide about requests.
    ruled: Arc<AtomicUsize>,
}

/// Counts a tenant whose rules decide about requests, until it is dropped.
pub(crate) struct RuledTenant(Arc<AtomicUsize>);

impl Drop for RuledTenant {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone)]
struct Current {
    policy: Policy,
    /// Grows by one with each exchange.
    number: u64,
    /// Who is told whether a thread has taken it.
    taken: Option<mpsc::UnboundedSender<bool>>,
}

/// Some threads could not start the new policy. They keep the earlier one.
#[derive(Debug, thiserror::Error)]
#[error("the component does not start on every thread")]
pub(crate) struct NotTaken;

impl PolicyInForce {
    pub(crate) fn new(policy: Policy) -> Self {
        let current = Current { policy, number: 0, taken: None };
        Self { current: Arc::new(watch::Sender::new(current)), limits: None, ruled: Arc::default() }
    }

    /// The same policy, also after an exchange, within other limits.
    pub(crate) fn with_limits(&self, limits: InstanceLimits) -> Self {
        Self { limits: Some(limits), ..self.clone() }
    }

    /// Returns the policy in force.
    pub(crate) fn current(&self) -> Policy {
        let policy = self.current.borrow().policy.clone();
        match self.limits {
            Some(limits) => policy.with_limits(limits),
            None => policy,
        }
    }

    /// Counts a tenant whose rules decide about requests.
    pub(crate) fn add_ruled(&self) -> RuledTenant {
        self.ruled.fetch_add(1, Relaxed);
        RuledTenant(self.ruled.clone())
    }

    /// Returns whether a tenant beside `default` has rules that decide about requests.
    pub(crate) fn has_ruled(&self) -> bool {
        self.ruled.load(Relaxed) > 0
    }

    /// Returns a number that is another one after an exchange.
    pub(crate) fn number(&self) -> u64 {
        self.current.borrow().number
    }

    /// Puts another policy in force, and waits until each thread has taken it.
    ///
    /// # Errors
    /// [`NotTaken`] when a thread keeps the earlier one.
    pub(crate) async fn exchange(&self, policy: Policy) -> Result<(), NotTaken> {
        let (taken, mut answers) = mpsc::unbounded_channel();
        let mut threads = 0;
        self.current.send_modify(|current| {
            threads = self.current.receiver_count();
            *current = Current { policy, number: current.number + 1, taken: Some(taken) };
        });
        let all = async {
            for _ in 0..threads {
                if answers.recv().await != Some(true) {
                    return Err(NotTaken);
                }
            }
            Ok(())
        };
        timeout(TAKEN_WITHIN, all).await.unwrap_or(Err(NotTaken))
    }
}

/// The guest of one thread that follows the policy in force.
pub(crate) struct CurrentGuest {
    guest: Mutex<Arc<Guest>>,
}

impl CurrentGuest {
    /// Starts a guest on this thread, inside its `LocalSet`.
    pub(crate) fn start(in_force: &PolicyInForce, tenant: &Arc<Tenant>) -> Arc<Self> {
        let mut changes = in_force.current.subscribe();
        let policy = changes.borrow_and_update().policy.clone();
        let this = Arc::new(Self { guest: Mutex::new(Arc::new(policy.start(tenant))) });
        tokio::task::spawn_local(this.clone().follow(changes, tenant.clone()));
        this
    }

    /// Returns the guest for new calls.
    pub(crate) fn get(&self) -> Arc<Guest> {
        self.guest.lock().clone()
    }

    async fn follow(self: Arc<Self>, mut changes: watch::Receiver<Current>, tenant: Arc<Tenant>) {
        while changes.changed().await.is_ok() {
            let Current { policy, taken, .. } = changes.borrow_and_update().clone();
            let guest = policy.start(&tenant);
            drop(policy);
            let is_warm = guest.warm_up().await.is_ok();
            if is_warm {
                *self.guest.lock() = Arc::new(guest);
            }
            let _ = taken.map(|taken| taken.send(is_warm));
        }
    }
}

/// How often the instances of one policy have failed, on all threads.
#[derive(Default)]
pub(super) struct FaultCount {
    count: AtomicU32,
    changed: Notify,
}

impl FaultCount {
    pub(super) fn add(&self) {
        self.count.fetch_add(1, Relaxed);
        self.changed.notify_one();
    }

    /// Waits until there are as many. One caller at a time.
    pub(super) async fn reaches(&self, count: u32) {
        while self.count.load(Relaxed) < count {
            self.changed.notified().await;
        }
    }
}
