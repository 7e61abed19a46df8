//! A tenant for a replay: the real index, no content, and the clock of the trace.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use larder_common::{causes::chain, clock::Clock};
use larder_index::{Index, KeyRule, sqlite::SqliteIndex};
use larder_rules::Rules;

use super::{LabError, contents::Contents};
use crate::{
    BUILT_IN_POLICY,
    capacity::Evictor,
    config::Config,
    engine::{Engine, Guest, InstanceLimits, PolicyInForce, TICK},
    setup,
    sweep::Sweeper,
    tenant::Tenant,
    trace::Tracer,
};

/// Memory for pages of the index, in KiB. What is more goes to a temporary file.
const CACHE_KIB: u32 = 64 * 1024;
/// How often last uses are written, as in the server.
const FLUSH_MS: u64 = 10_000;
/// How often it is looked whether room should be made ahead of need, as in the server.
const LOOK_MS: u64 = 5_000;
/// When the first sweep is, and how often the others are.
const FIRST_SWEEP_MS: u64 = 10 * 60_000;
const SWEEP_MS: u64 = 24 * 60 * 60_000;
/// Most sweeps between two events.
const MAX_SWEEPS: u64 = 1000;

/// Where a trace is replayed.
pub(super) struct Stage {
    pub(super) tenant: Arc<Tenant>,
    pub(super) contents: Arc<Contents>,
    now: Arc<AtomicU64>,
    /// The built-in policy; `None` for a preset.
    pub(super) policy: Option<InForce>,
    next_flush_ms: u64,
    next_look_ms: u64,
    next_sweep_ms: u64,
}

/// The built-in policy in force.
pub(super) struct InForce {
    pub(super) evictor: Evictor,
    guest: Guest,
}

impl Stage {
    /// `max_bytes`: what the built-in policy may store; `None` for a preset, which counts itself. Must run
    /// inside a `LocalSet`.
    pub(super) async fn open(
        config: &Config,
        from_ms: u64,
        rules: Option<Arc<Rules>>,
        built_in: Option<(u64, Option<&Path>)>,
    ) -> Result<Self, LabError> {
        let rule =
            if config.settings.database.case_sensitive_keys { KeyRule::Bytes } else { KeyRule::AnyCase };
        let index: Arc<dyn Index> = Arc::new(SqliteIndex::scratch(rule, CACHE_KIB)?);
        let contents = Arc::new(Contents::default());
        let max_bytes = built_in.map_or(0, |(max_bytes, _)| max_bytes);
        let made = Box::pin(setup::replayed(config, contents.clone(), index, rules, max_bytes)).await?;
        let (clock, now) = Clock::manual(from_ms);
        let tenant = Arc::new(Tenant { clock, trace: Arc::new(Tracer::keeping()), ..made });
        let policy = match built_in {
            None => None,
            Some((_, compiled)) => {
                let policy =
                    Engine::start(TICK)?.load(BUILT_IN_POLICY, compiled, InstanceLimits::default())?;
                let guest = policy.start(&tenant);
                let evictor = Evictor::of(&PolicyInForce::new(policy), &tenant);
                evictor.map(|evictor| InForce { evictor, guest })
            }
        };
        let (next_flush_ms, next_look_ms) = (from_ms + FLUSH_MS, from_ms);
        let next_sweep_ms = from_ms.saturating_add(FIRST_SWEEP_MS);
        Ok(Self { tenant, contents, now, policy, next_flush_ms, next_look_ms, next_sweep_ms })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now.load(Relaxed)
    }

    /// Sets the clock on, and does what the server would have done meanwhile.
    pub(super) async fn advance(&mut self, to_ms: u64) -> Result<(), LabError> {
        self.next_sweep_ms = self.next_sweep_ms.max(to_ms.saturating_sub(MAX_SWEEPS * SWEEP_MS));
        while self.policy.is_some() && self.next_sweep_ms <= to_ms {
            self.now.store(self.next_sweep_ms, Relaxed);
            self.sweep().await?;
            self.next_sweep_ms += SWEEP_MS;
        }
        self.now.store(to_ms, Relaxed);
        if self.next_flush_ms <= to_ms {
            self.tenant.usage.flush(&self.tenant.index).await?;
            self.tenant.removals.flush(&*self.tenant.index).await?;
            self.next_flush_ms = to_ms.saturating_add(FLUSH_MS);
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<(), LabError> {
        let Some(InForce { guest, .. }) = &self.policy else { return Ok(()) };
        let grace_ms = SWEEP_MS;
        let swept = Sweeper::new(&self.tenant, guest, grace_ms).sweep_once(self.now_ms()).await;
        swept.map(drop).map_err(|error| LabError::Policy(chain(&error).to_string()))
    }

    /// Makes room ahead of need, if it is time.
    pub(super) async fn look_ahead(&mut self) -> Result<(), LabError> {
        let now_ms = self.now_ms();
        if let Some(InForce { evictor, .. }) = &self.policy
            && self.next_look_ms <= now_ms
        {
            self.next_look_ms = now_ms.saturating_add(LOOK_MS);
            let looked = evictor.look_ahead().await;
            looked.map_err(|error| LabError::Policy(chain(&error).to_string()))?;
        }
        Ok(())
    }
}
