//! A trace, step by step.

use std::collections::HashMap;

use larder_common::event::EventKind;
use larder_index::{Facts, Slot, Trust};
use larder_rules::{Admission, Interface};
use tokio::task::LocalSet;

use super::{
    Contender, LabError, Options, Outcome,
    lookup::{Wanted, caller},
    outcome::SERIES,
    shelf::Shelf,
    stage::Stage,
    trace::{Action, Job, Step, Trace},
};
use crate::{auth::Scope, config::Config};

/// Most jobs whose scopes are remembered.
const MAX_JOBS: usize = 100_000;

/// A replay under way.
pub(super) struct Replay {
    pub(super) stage: Stage,
    pub(super) outcome: Outcome,
    pub(super) size_bytes: u64,
    /// Of a preset: the order, what is stored, and how long each entry is.
    pub(super) shelf: Option<Box<dyn Shelf>>,
    pub(super) used: u64,
    pub(super) sizes: HashMap<u64, u64>,
    /// What the rules have left of a job's scopes; `None`: they refused it.
    admitted: HashMap<Job, Option<Vec<Scope>>>,
}

/// Replays a trace. `config` says how long entries stay, and how long a URL is good; its limits of capacity
/// do not count. The index is a temporary database: 64 MiB of it are in memory, the rest in a file in the
/// system's folder for temporary files.
///
/// # Errors
/// [`LabError`].
pub fn replay(
    config: &Config,
    trace: &Trace,
    contender: &Contender,
    options: &Options,
) -> Result<Outcome, LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let played = LocalSet::new().block_on(&runtime, async {
        let mut replay = Box::pin(Replay::begin(config, trace, contender, options)).await?;
        Box::pin(replay.play(trace)).await?;
        Ok(replay.outcome)
    });
    runtime.shutdown_background();
    played
}

impl Replay {
    async fn begin(
        config: &Config,
        trace: &Trace,
        contender: &Contender,
        options: &Options,
    ) -> Result<Self, LabError> {
        let size_bytes = options.size_bytes;
        let built_in = Some((size_bytes, options.compiled.as_deref()));
        let (rules, built_in, shelf) = match contender {
            Contender::BuiltIn => (None, built_in, None),
            Contender::Rules(rules) => (Some(rules.clone()), built_in, None),
            Contender::Preset(preset) => (None, None, Some(preset.shelf(size_bytes))),
        };
        let stage = Box::pin(Stage::open(config, trace.from_ms, rules, built_in)).await?;
        let outcome = Outcome::new(contender.name());
        let (sizes, admitted) = (HashMap::new(), HashMap::new());
        Ok(Self { stage, outcome, size_bytes, shelf, used: 0, sizes, admitted })
    }

    async fn play(&mut self, trace: &Trace) -> Result<(), LabError> {
        for seed in &trace.seeds {
            let trust = Trust::of(None, &seed.slot.scope);
            self.store(&seed.slot, seed.size, &Facts::default(), trust).await?;
        }
        // What did not fit before the trace is not counted.
        self.stage.tenant.trace.take_kept();
        self.outcome = Outcome::new(&self.outcome.name);
        let length_ms = (trace.to_ms - trace.from_ms).max(1);
        for step in &trace.steps {
            self.stage.advance(step.at_ms).await?;
            let since_ms = u128::from(step.at_ms - trace.from_ms);
            let part = since_ms * SERIES as u128 / u128::from(length_ms);
            self.play_step(step, usize::try_from(part).unwrap_or(SERIES)).await?;
        }
        self.count_deletions();
        let asked = self.stage.tenant.rules.status();
        let interfaces = asked.iter().flat_map(|asked| &asked.interfaces);
        self.outcome.rule_failures = interfaces.map(|of| of.failed + of.rested).sum();
        Ok(())
    }

    async fn play_step(&mut self, step: &Step, part: usize) -> Result<(), LabError> {
        let job: &Job = &step.job;
        let scopes = self.scopes_of(job);
        match &*step.what {
            Action::Save { slot, size, trust } => self.save(job, &scopes, slot, *size, *trust).await,
            Action::LookUp { version, key, restore_keys, found } => {
                let wanted = Wanted { job, scopes: &scopes, version, key, restore_keys };
                let is_found = self.look_up(wanted, part).await?;
                // The job had no reason to save what it had found. Now it has.
                match (is_found, found, job.scopes.iter().find(|scope| scope.write)) {
                    (false, Some(size), Some(scope)) => {
                        let slot = Slot {
                            repository: job.repository.clone(),
                            scope: scope.name.clone(),
                            version: version.clone(),
                            key: key.clone(),
                        };
                        let trust = Trust::of(None, &slot.scope);
                        self.save(job, &scopes, &slot, *size, trust).await
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Returns whether the key itself was found.
    async fn look_up(&mut self, wanted: Wanted<'_>, part: usize) -> Result<bool, LabError> {
        let of_key = (wanted.job.repository.as_str(), wanted.key);
        match self.find(wanted).await? {
            Ok(entry) => {
                let is_exact = entry.slot.key.eq_ignore_ascii_case(wanted.key);
                if let Some(shelf) = &mut self.shelf {
                    shelf.hit(entry.id.0);
                }
                self.outcome.count_lookup(part, of_key, Some((entry.size_bytes, is_exact)));
                Ok(is_exact)
            }
            Err(cause) => {
                self.outcome.count_lookup(part, of_key, None);
                self.outcome.count_miss(&cause);
                Ok(false)
            }
        }
    }

    /// What the rules leave of a job's scopes: asked once for each job, as for its token.
    fn scopes_of(&mut self, job: &Job) -> Vec<Scope> {
        let rules = self.stage.tenant.rules.clone();
        if !rules.answers(Interface::Access) {
            return job.scopes.clone();
        }
        if let Some(known) = self.admitted.get(job) {
            return known.clone().unwrap_or_default();
        }
        let admitted = match rules.admit(&caller(job, &job.scopes)) {
            Ok(Admission::Default) => Some(job.scopes.clone()),
            Ok(Admission::Scopes(scopes)) => Some(scopes.into_iter().map(of_rules).collect()),
            Ok(Admission::Deny(_)) | Err(_) => None,
        };
        if self.admitted.len() < MAX_JOBS {
            self.admitted.insert(job.clone(), admitted.clone());
        }
        admitted.unwrap_or_default()
    }

    /// Counts what evictor and sweep have deleted.
    pub(super) fn count_deletions(&mut self) {
        for event in self.stage.tenant.trace.take_kept() {
            let bytes = event.size.unwrap_or_default();
            match event.kind {
                EventKind::Evict => self.outcome.count_deletion(bytes, true),
                EventKind::Delete => self.outcome.count_deletion(bytes, false),
                _ => {}
            }
        }
    }
}

fn of_rules(scope: larder_rules::Scope) -> Scope {
    Scope { name: scope.name, read: scope.read, write: scope.write }
}
