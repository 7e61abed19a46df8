//! In which order the entries of a tier are offered to the guest, to make room: least recently used
//! first, or as the operator's rules rank them.
//!
//! Only the order is the rules'. Which tiers there are, and what of them may go, is not: the guest is
//! asked about each page as ever.
//!
//! A ranked tier is read and ranked again for each request for room and each pass over it, up to 10,000
//! rows each time: uses, saves and deletions in between change what a rank is made of.

use std::{sync::Arc, vec};

use larder_index::{Detailed, Entry, EntryId, IndexError, LeastRecent, with_details};
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
    order: Order,
}

enum Order {
    /// After this one, in the order of the last use.
    LastUse(Option<(u64, EntryId)>),
    /// These are left.
    Ranked(vec::IntoIter<Entry>),
}

impl<'a> Offered<'a> {
    /// Where rules rank, all that may be offered is read, and ranked, before the first page. If they
    /// fail, what counts is the last use.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn of(tenant: &'a Arc<Tenant>, tier: &'a Tier) -> Result<Self, IndexError> {
        let mut offered = Self { tenant, tier, pages: 0, order: Order::LastUse(None) };
        if tenant.rules.ranks() {
            let ranked = offered.ranked().await?;
            offered.pages = 0;
            offered.order = ranked.map_or(Order::LastUse(None), |entries| Order::Ranked(entries.into_iter()));
        }
        Ok(offered)
    }

    /// Returns the next page; `None` after the last one.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Detailed>>, IndexError> {
        if self.pages == MAX_PAGES {
            return Ok(None);
        }
        self.pages += 1;
        let page = match &mut self.order {
            Order::Ranked(entries) => {
                let page = entries.take(PAGE).collect();
                with_details(&*self.tenant.index, page).await?
            }
            Order::LastUse(after) => {
                let page = read_page(self.tenant, self.tier, *after).await?;
                *after = page.last().map(place);
                if page.len() < PAGE {
                    self.pages = MAX_PAGES;
                }
                page
            }
        };
        Ok(Some(page).filter(|page| !page.is_empty()))
    }

    /// Returns all entries that may be offered, those with the highest score first, and among equals
    /// those that were not used for longest. `None` if the rules fail.
    async fn ranked(&mut self) -> Result<Option<Vec<Entry>>, IndexError> {
        let mut scored: Vec<(f64, Entry)> = Vec::new();
        loop {
            let mut known = Vec::new();
            for _ in 0..ASKED_PAGES {
                known.extend(self.next().await?.unwrap_or_default());
            }
            if known.is_empty() {
                break;
            }
            let now_ms = self.tenant.clock.now_ms();
            let shown: Vec<_> =
                known.iter().map(|(entry, details)| seen_by_rules(entry, details, now_ms)).collect();
            match self.tenant.rules.rank(&shown) {
                Ok(scores) => {
                    scored.extend(scores.into_iter().zip(known.into_iter().map(|(entry, _)| entry)));
                }
                Err(failure) => {
                    log(&failure);
                    return Ok(None);
                }
            }
        }
        // Stable: they come in the order of the last use.
        scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        Ok(Some(scored.into_iter().map(|(_, entry)| entry).collect()))
    }
}

/// Returns a page of a tier in the order of the last use, from behind this place on.
pub(super) async fn read_page(
    tenant: &Tenant,
    Tier { within, trust }: &Tier,
    after: Option<(u64, EntryId)>,
) -> Result<Vec<Detailed>, IndexError> {
    let page = LeastRecent { within: within.clone(), trust: *trust, after, limit: PAGE };
    tenant.index.least_recent_details(&page).await
}

/// Where the next page begins.
pub(super) fn place((last, _): &Detailed) -> (u64, EntryId) {
    (last.last_used_ms, last.id)
}

fn log(failure: &Failure) {
    let (kind, error) = (failure.kind.name(), failure.text.as_str());
    tracing::error!(kind, error, "the rules of retention failed; what was not used for longest makes room");
}
