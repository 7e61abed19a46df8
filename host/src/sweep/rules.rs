//! What the operator's rules want of entries. Where they fail the guest decides alone.

use larder_index::{Entry, EntryDetails, Trust};
use larder_rules::{Asker, Failure, Interface, Member, RetentionVerdict, number};

use super::survey::{Places, Survey};
use crate::{
    retention::{Candidate, Wish},
    tenant::Tenant,
};

/// The rules, during one sweep.
pub(super) struct RetentionRules {
    asker: Asker,
    now_ms: u64,
    /// A failure was logged. The others of a sweep are most likely the same.
    has_failed: bool,
}

impl RetentionRules {
    pub(super) fn of(tenant: &Tenant, now_ms: u64) -> Self {
        Self { asker: tenant.rules.clone(), now_ms, has_failed: false }
    }

    pub(super) fn are_asked(&self) -> bool {
        self.asker.is_asked(Interface::Retention)
    }

    /// Asks for the groups of a page.
    pub(super) fn group(&mut self, known: &[(Entry, EntryDetails)], survey: &mut Survey) {
        let question: Vec<_> = known.iter().map(|(entry, details)| self.shown(entry, details)).collect();
        match self.asker.group(&question) {
            Ok(groups) => {
                let named = known.iter().zip(&groups);
                survey.add_rule_groups(
                    named.filter_map(|((entry, _), group)| Some((entry, group.as_deref()?))),
                );
            }
            Err(failure) => self.log(&failure),
        }
        // Those in the shadow count in groups of their own. In this thread, which no request waits for.
        if let Some(groups) = self.asker.shadow_group(&question) {
            let named = known.iter().zip(&groups);
            survey
                .add_shadow_groups(named.filter_map(|((entry, _), group)| Some((entry, group.as_deref()?))));
        }
    }

    /// Adds what the rules want to the candidates of a page. `of_shadow` are the places in the groups of
    /// the rules in the shadow.
    pub(super) fn wish(&mut self, candidates: &mut [Candidate], places: &Places, of_shadow: &Places) {
        if !self.are_asked() || candidates.is_empty() {
            return;
        }
        let member = |candidate: &Candidate| Member {
            entry: self.shown(&candidate.entry, &candidate.details),
            place: places.newer(candidate.entry.id),
        };
        let question: Vec<Member> = candidates.iter().map(member).collect();
        let in_shadow = |at: usize| of_shadow.newer(candidates.get(at)?.entry.id);
        match self.asker.judge(&question, in_shadow) {
            Ok(verdicts) => {
                for (candidate, verdict) in candidates.iter_mut().zip(verdicts) {
                    candidate.wish = match verdict {
                        RetentionVerdict::Default => None,
                        RetentionVerdict::Keep => Some(Wish::Keep),
                        RetentionVerdict::Remove(rule) => Some(Wish::Remove(rule)),
                    };
                }
            }
            Err(failure) => self.log(&failure),
        }
    }

    fn shown(&self, entry: &Entry, details: &EntryDetails) -> larder_rules::Entry {
        let seconds_since = |ms: u64| number(self.now_ms.saturating_sub(ms) / 1000);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let slot = &entry.slot;
        larder_rules::Entry {
            repository: slot.repository.clone(),
            scope: slot.scope.clone(),
            version: slot.version.clone(),
            key: slot.key.clone(),
            size_kib: number(entry.size_bytes.div_ceil(1024)),
            age_s: seconds_since(entry.created_ms),
            idle_s: seconds_since(entry.last_used_ms.max(entry.created_ms)),
            uses: details.uses.map(number),
            trust: match Trust::of(details.trust, &slot.scope) {
                Trust::Low => larder_rules::Trust::Low,
                Trust::Full => larder_rules::Trust::Full,
            },
            provenance: details.facts.iter().flat_map(larder_index::Facts::iter).map(owned).collect(),
        }
    }

    fn log(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let (kind, error) = (failure.kind.name(), failure.text.as_str());
            tracing::error!(kind, error, "the rules of retention failed; the policy decides alone");
        }
    }
}
