//! Starts scrubs, tells how far they are, and stops them: one at a time for each tenant, on a thread of its
//! own, so that no job waits for it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use larder_common::TenantName;
use larder_index::Within;
use larder_management::{Fault, ScrubStatus};
use parking_lot::Mutex;

use super::{Plan, scrub, text};
use crate::tenant::Tenant;

/// Threads for what blocks.
const BLOCKING_THREADS: usize = 4;

/// The scrubs of all tenants. Stops them when it is dropped.
#[derive(Default)]
pub(crate) struct Scrubs(Mutex<HashMap<TenantName, Arc<TenantScrub>>>);

/// The scrub of a tenant that is under way, or the last one.
#[derive(Default)]
pub(crate) struct TenantScrub(Mutex<Arc<Run>>);

/// A scrub.
#[derive(Default)]
pub(super) struct Run {
    status: Mutex<ScrubStatus>,
    is_stopped: AtomicBool,
}

impl Scrubs {
    /// Those of a tenant.
    pub(crate) fn of(&self, name: &TenantName) -> Arc<TenantScrub> {
        Arc::clone(self.0.lock().entry(name.clone()).or_default())
    }
}

impl Drop for Scrubs {
    fn drop(&mut self) {
        self.0.lock().values().for_each(|scrub| scrub.stop());
    }
}

impl TenantScrub {
    pub(crate) fn status(&self) -> ScrubStatus {
        self.0.lock().status()
    }

    /// Asks the scrub under way to stop.
    pub(crate) fn stop(&self) {
        self.0.lock().stop();
    }

    /// Starts a scrub. Returns `false` if one is under way.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(&self, tenant: &Arc<Tenant>, plan: Plan) -> Result<bool, Fault> {
        let mut current = self.0.lock();
        if current.status.lock().running {
            return Ok(false);
        }
        let status = ScrubStatus {
            running: true,
            started_ms: Some(tenant.clock.now_ms()),
            repair: plan.repair,
            last_entry: plan.after,
            ..ScrubStatus::default()
        };
        let run = Arc::new(Run { status: Mutex::new(status), is_stopped: AtomicBool::new(false) });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| Fault::Unavailable(error.to_string()))?;
        let (tenant, own) = (Arc::clone(tenant), Arc::clone(&run));
        let started = std::thread::Builder::new().name("larder-scrub".to_owned()).spawn(move || {
            runtime.block_on(own.perform(&tenant, &plan));
            runtime.shutdown_background();
        });
        started.map_err(|error| Fault::Unavailable(error.to_string()))?;
        *current = run;
        Ok(true)
    }
}

impl Run {
    pub(super) fn status(&self) -> ScrubStatus {
        self.status.lock().clone()
    }

    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Relaxed)
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.status.lock());
    }

    pub(super) async fn perform(&self, tenant: &Arc<Tenant>, plan: &Plan) {
        let entries = tenant.index.count_entries(&Within::Tenant).await.ok();
        self.note(|status| status.entries = entries);
        let scrubbed = scrub(tenant, plan, self).await;
        let ended_ms = tenant.clock.now_ms();
        self.note(|status| {
            status.complete = matches!(scrubbed, Ok(true));
            status.error = scrubbed.as_ref().err().map(text);
            status.ended_ms = Some(ended_ms);
            status.running = false;
        });
        let status = self.status();
        tenant.metrics.count_scrub(status.complete, ended_ms);
        let ScrubStatus {
            complete, checked, bytes, bad, repaired, unreadable, unrecorded, last_entry, ..
        } = status;
        tracing::info!(
            complete,
            checked,
            bytes,
            bad,
            repaired,
            unreadable,
            unrecorded,
            last_entry,
            "scrub ended"
        );
    }
}
