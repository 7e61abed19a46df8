//! Scrubs: the objects of entries are read back and compared with what was recorded of them.
//!
//! Entries are read in pages by number, one object at a time and from its first byte to its last, so memory
//! does not depend on how many or how large they are. Nothing is changed unless it is asked for; a scrub that
//! is broken off leaves all as it was, but for what it has repaired, and another one can go on behind the
//! entry that was looked at last.

mod check;
mod control;
mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use larder_common::causes::chain;
use larder_index::{Cause, Departure, Entry, EntryDetails, EntryId, IndexError, with_details};
use larder_management::BadEntry;
use larder_storage::Digest;

pub(crate) use self::control::{Scrubs, TenantScrub};
use self::{check::Finding, control::Run, pace::Pace};
use crate::{ending::Ending, tenant::Tenant};

/// Entries per page.
const PAGE: usize = 500;

/// Most bad entries that a status names.
const MAX_NAMED: usize = 100;

/// What is scrubbed, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Delete what is bad.
    pub(crate) repair: bool,
    /// Record digests that are not known.
    pub(crate) record: bool,
    /// Most bytes a second; `None`: any number.
    pub(crate) bytes_per_second: Option<u64>,
    /// Only these repositories; none: all.
    pub(crate) repositories: Vec<String>,
    /// Begin behind this entry.
    pub(crate) after: u64,
}

struct Scrubber<'a> {
    tenant: &'a Tenant,
    plan: &'a Plan,
    run: &'a Run,
    pace: Pace,
}

/// Looks at all entries that the plan selects. Returns whether it came to the end: it may be stopped.
///
/// # Errors
/// When the index fails. What the storage cannot read is counted.
async fn scrub(tenant: &Arc<Tenant>, plan: &Plan, run: &Run) -> Result<bool, IndexError> {
    let mut scrubber = Scrubber { tenant, plan, run, pace: Pace::new(plan.bytes_per_second) };
    let mut after = EntryId(plan.after);
    loop {
        let page = tenant.index.list_entries(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(true) };
        after = last.id;
        let selects = |entry: &Entry| {
            plan.repositories.is_empty() || plan.repositories.contains(&entry.slot.repository)
        };
        let selected = page.into_iter().filter(selects).collect();
        for (entry, details) in with_details(&*tenant.index, selected).await? {
            if run.is_stopped() {
                return Ok(false);
            }
            scrubber.look_at(&entry, &details).await?;
            run.note(|status| status.last_entry = entry.id.0);
        }
        run.note(|status| status.last_entry = after.0);
    }
}

impl Scrubber<'_> {
    async fn look_at(&mut self, entry: &Entry, details: &EntryDetails) -> Result<(), IndexError> {
        let mut finding = self.read(entry, details.digest.as_ref()).await;
        if finding.is_bad() {
            // What has become an entry's object never changes, so a second look finds the same, unless the
            // entry was deleted meanwhile, or the machine read wrong bytes.
            finding = self.read(entry, details.digest.as_ref()).await;
            if finding.is_bad() && !self.is_there(entry).await? {
                return Ok(());
            }
        }
        let metrics = &self.tenant.metrics;
        self.run.note(|status| status.checked += 1);
        match finding {
            Finding::Stopped => self.run.note(|status| status.checked -= 1),
            Finding::Good => metrics.count_scrubbed("good"),
            Finding::Unrecorded(digest) => {
                metrics.count_scrubbed("unrecorded");
                let recorded = match digest.filter(|_| self.plan.record) {
                    Some(digest) => self.tenant.index.record_digest(entry.id, &entry.object, &digest).await?,
                    None => false,
                };
                self.run.note(|status| {
                    status.unrecorded += 1;
                    status.recorded += u64::from(recorded);
                });
            }
            Finding::Unreadable(error) => {
                metrics.count_scrubbed("unreadable");
                tracing::warn!(entry = entry.id.0, object = %entry.object, error, "an object cannot be read; it may be good");
                self.run.note(|status| status.unreadable += 1);
            }
            Finding::Damaged => self.found_bad(entry, "damaged").await?,
            Finding::Lost => self.found_bad(entry, "lost").await?,
        }
        Ok(())
    }

    /// Makes a miss of a bad entry, if that was asked for: the row goes first, the object second.
    async fn found_bad(&self, entry: &Entry, problem: &'static str) -> Result<(), IndexError> {
        self.tenant.metrics.count_scrubbed(problem);
        let mut repaired = false;
        if self.plan.repair {
            let departure = Departure { cause: Cause::Stale, at_ms: self.tenant.clock.now_ms() };
            let ending = Ending::of(self.tenant);
            repaired = ending.entry(entry, &departure).await?;
        }
        let (key, repository) = (&entry.slot.key, &entry.slot.repository);
        tracing::error!(entry = entry.id.0, key, repository, object = %entry.object, repaired, "an object is {problem}");
        self.run.note(|status| {
            status.bad += 1;
            status.repaired += u64::from(repaired);
            if status.bad_entries.len() < MAX_NAMED {
                status.bad_entries.push(BadEntry {
                    id: entry.id.0,
                    repository: entry.slot.repository.clone(),
                    scope: entry.slot.scope.clone(),
                    key: entry.slot.key.clone(),
                    size_bytes: entry.size_bytes,
                    problem: problem.to_owned(),
                    repaired,
                });
            }
        });
        Ok(())
    }

    /// Returns whether the entry has not been deleted. One in quarantine is there.
    async fn is_there(&self, entry: &Entry) -> Result<bool, IndexError> {
        let before = EntryId(entry.id.0.saturating_sub(1));
        let found = self.tenant.index.list_entries(before, 1).await?;
        Ok(found.first().is_some_and(|found| found.id == entry.id && found.object == entry.object))
    }

    async fn read(&mut self, entry: &Entry, digest: Option<&Digest>) -> Finding {
        check::read(&*self.tenant.storage, entry, digest, self.plan.record, &mut self.pace, self.run).await
    }
}

/// The text of an error, for the status.
fn text(error: &IndexError) -> String {
    chain(error).to_string()
}
