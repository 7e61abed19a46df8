//! Revocation: what somebody saved is deleted, or held back.

use larder_index::{Cause, Departure, Entry, EntryDetails, EntryId, IndexError, SavedBy, Upload, UploadId};
pub use larder_management::{Action, Revocation, RevokedEntry};

use crate::{
    beside::Beside,
    ending::{Ending, PAGE},
};

/// Rows of entries that are looked at in one step.
const LOOKED_AT: usize = 1_000;

fn revoked(entry: &Entry, details: &EntryDetails) -> RevokedEntry {
    let slot = entry.slot.clone();
    RevokedEntry {
        id: entry.id.0,
        repository: slot.repository,
        scope: slot.scope,
        version: slot.version,
        key: slot.key,
        size_bytes: entry.size_bytes,
        created_ms: entry.created_ms,
        uses: details.uses,
        quarantined: details.quarantined_ms.is_some(),
    }
}

impl Beside {
    /// Revokes what `by` selects. A running server follows at once: rows go first, and objects after
    /// them. Who still runs may save again, so stop the run before.
    ///
    /// # Errors
    /// When the index fails. What was done until then stands, and a repetition does the rest.
    pub async fn revoke(
        &self,
        by: &SavedBy,
        action: Action,
        dry_run: bool,
    ) -> Result<Revocation, IndexError> {
        let tenant = self.tenant();
        let ending = Ending::of(tenant);
        revoke(ending, by, action, dry_run, tenant.clock.now_ms()).await
    }
}

pub(crate) async fn revoke(
    ending: Ending<'_>,
    by: &SavedBy,
    action: Action,
    dry_run: bool,
    now_ms: u64,
) -> Result<Revocation, IndexError> {
    let mut done = Revocation { action, dry_run, entries: Vec::new(), uploads: 0, unknown: 0 };
    if action != Action::Release {
        // First: an upload that becomes an entry meanwhile is found with the entries.
        done.uploads = revoke_uploads(ending, by, dry_run).await?;
    }
    let mut after = EntryId(0);
    loop {
        let page = ending.index.find_saved(by, after, LOOKED_AT).await?;
        done.unknown += page.unknown as u64;
        let wanted = |details: &EntryDetails| match action {
            Action::Delete => true,
            Action::Quarantine => details.quarantined_ms.is_none(),
            Action::Release => details.quarantined_ms.is_some(),
        };
        let chosen: Vec<_> = page.found.into_iter().filter(|(_, details)| wanted(details)).collect();
        if !dry_run {
            apply(ending, &chosen, action, now_ms).await?;
        }
        done.entries.extend(chosen.iter().map(|(entry, details)| revoked(entry, details)));
        match page.next {
            Some(next) => after = next,
            None => return Ok(done),
        }
    }
}

async fn apply(
    ending: Ending<'_>,
    chosen: &[(Entry, EntryDetails)],
    action: Action,
    now_ms: u64,
) -> Result<(), IndexError> {
    let ids: Vec<EntryId> = chosen.iter().map(|(entry, _)| entry.id).collect();
    match action {
        Action::Delete => {
            // Held back at once: deleting takes longer.
            ending.index.set_quarantined(&ids, Some(now_ms)).await?;
            let departure = Departure { cause: Cause::Revoked, at_ms: now_ms };
            for (entry, _) in chosen {
                ending.entry(entry, &departure).await?;
            }
        }
        Action::Quarantine => drop(ending.index.set_quarantined(&ids, Some(now_ms)).await?),
        Action::Release => drop(ending.index.set_quarantined(&ids, None).await?),
    }
    Ok(())
}

/// Returns how many there were.
async fn revoke_uploads(ending: Ending<'_>, by: &SavedBy, dry_run: bool) -> Result<u64, IndexError> {
    let (mut found, mut after) = (0, UploadId(0));
    loop {
        let page: Vec<Upload> = ending.index.list_uploads(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.id;
        for upload in &page {
            let facts = ending.index.upload_facts(upload.id).await?;
            if by.selects(&upload.slot, facts.as_ref(), upload.created_ms) != Some(true) {
                continue;
            }
            let is_there = dry_run || ending.upload(upload).await?;
            found += u64::from(is_there);
        }
    }
}

#[cfg(test)]
mod tests;
