//! In which order the entries of a tier are offered to the guest, to make room: least recently used
//! first, or as the operator's rules rank them.
//!
//! Only the order is the rules'. Which tiers there are, and what of them may go, is not: the guest is
//! asked about each page as ever.
//!
//! A ranked tier is read and ranked again for each request for room and each pass over it, up to 10,000
//! rows each time: uses, saves and deletions in between change what a rank is made of. What is in use may not go,
//! and is not ranked.

use std::{sync::Arc, vec};

use larder_index::{Detailed, EntryId, IndexError, LeastRecent, UnusedPage};
use larder_rules::Failure;

use super::evictor::{MAX_PAGES, PAGE};
use crate::{
    retention::{Tier, seen_by_rules},
    tenant::Tenant,
};

/// Pages of entries that the rules are asked about at once: 1,000.
const ASKED_PAGES: usize = 4;

/// The entries of a tier, in pages: up to [`MAX_PAGES`] of those that were not used for longest.
pub(super) struct Offered<'a> {
    tenant: &'a Arc<Tenant>,
    tier: &'a Tier,
    pages: usize,
    is_at_end: bool,
    order: Order,
}

enum Order {
    /// After this one, in the order of the last use.
    LastUse(Option<(u64, EntryId)>),
    /// These are left.
    Ranked(vec::IntoIter<Detailed>),
}

impl<'a> Offered<'a> {
    /// Where rules rank, all that may be offered is read, and ranked, before the first page. If they
    /// fail, what counts is the last use.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn of(tenant: &'a Arc<Tenant>, tier: &'a Tier) -> Result<Self, IndexError> {
        let by_last_use = || Self { tenant, tier, pages: 0, is_at_end: false, order: Order::LastUse(None) };
        let mut offered = by_last_use();
        if !tenant.rules.ranks() {
            return Ok(offered);
        }
        match offered.ranked().await? {
            Some(entries) => Ok(Self { pages: 0, order: Order::Ranked(entries.into_iter()), ..offered }),
            None => Ok(by_last_use()),
        }
    }

    /// Returns whether there is nothing in the tier beyond what was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Returns what of the next page may go; `None` after the last one.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Detailed>>, IndexError> {
        if self.pages == MAX_PAGES {
            return Ok(None);
        }
        self.pages += 1;
        match &mut self.order {
            Order::Ranked(entries) => {
                let page: Vec<_> = entries.take(PAGE).collect();
                if page.is_empty() {
                    return Ok(None);
                }
                // Used since they were ranked.
                let now_ms = self.tenant.clock.now_ms();
                Ok(Some(page.into_iter().filter(|listed| may_go(self.tenant, listed, now_ms)).collect()))
            }
            Order::LastUse(after) => {
                let page = read_page(self.tenant, self.tier, *after).await?;
                *after = page.next;
                if after.is_none() {
                    self.pages = MAX_PAGES;
                    self.is_at_end = true;
                }
                Ok(Some(page.entries))
            }
        }
    }

    /// Returns all entries that may be offered, those with the highest score first, and among equals
    /// those that were not used for longest. `None` if the rules fail.
    async fn ranked(&mut self) -> Result<Option<Vec<Detailed>>, IndexError> {
        let mut scored: Vec<(f64, Detailed)> = Vec::new();
        while self.pages < MAX_PAGES {
            let now_ms = self.tenant.clock.now_ms();
            let mut known = Vec::new();
            for _ in 0..ASKED_PAGES {
                known.extend(self.next().await?.unwrap_or_default());
            }
            if known.is_empty() {
                continue;
            }
            let shown: Vec<_> =
                known.iter().map(|(entry, details)| seen_by_rules(entry, details, now_ms)).collect();
            match self.tenant.rules.rank(&shown) {
                Ok(scores) => {
                    scored.extend(scores.into_iter().zip(known));
                }
                Err(failure) => {
                    log(&failure);
                    return Ok(None);
                }
            }
        }
        // Stable: they come in the order of the last use.
        scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        Ok(Some(scored.into_iter().map(|(_, listed)| listed).collect()))
    }
}

/// Returns whether an entry may be offered: nobody reads it, or could with a URL that he has.
fn may_go(tenant: &Tenant, (entry, details): &Detailed, now_ms: u64) -> bool {
    let has_url = details.uses != Some(0) && now_ms < entry.last_used_ms.saturating_add(url_ms(tenant));
    !has_url && !tenant.usage.has_buffered_use(entry.id)
}

/// The life of a URL that a use was given.
fn url_ms(tenant: &Tenant) -> u64 {
    tenant.settings.download_url_ms.max(tenant.settings.direct_url_ms.unwrap_or(0))
}

/// Returns what may be offered of a page of a tier in the order of the last use, from behind this place on.
pub(super) async fn read_page(
    tenant: &Tenant,
    Tier { within, trust }: &Tier,
    after: Option<(u64, EntryId)>,
) -> Result<UnusedPage, IndexError> {
    let page = LeastRecent { within: within.clone(), trust: *trust, after, limit: PAGE };
    let now_ms = tenant.clock.now_ms();
    let used_after_ms = now_ms.saturating_sub(url_ms(tenant));
    let mut page = tenant.index.list_unused(&page, used_after_ms).await?;
    page.entries.retain(|listed| may_go(tenant, listed, now_ms));
    Ok(page)
}

fn log(failure: &Failure) {
    let (kind, error) = (failure.kind.name(), failure.text.as_str());
    tracing::error!(kind, error, "the rules of retention failed; what was not used for longest makes room");
}
