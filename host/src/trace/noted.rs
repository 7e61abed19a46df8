//! What the host learns of a request while the guest handles it, and the guest does not say.

use larder_common::event::Event;
use larder_index::{Entry, MatchKind, Probe, Slot, Trust};

/// What a request was about.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) slot: Option<Slot>,
    pub(crate) restore_keys: Vec<String>,
    pub(crate) trust: Option<Trust>,
    pub(crate) found: Option<Entry>,
}

impl Noted {
    /// Records what a look-up tries, and what it has found. The last call counts: those before it found
    /// what could not be used.
    pub(crate) fn looked_up(
        &mut self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        found: Option<&Entry>,
    ) {
        self.found = found.cloned();
        if self.slot.is_some() {
            return;
        }
        let mut keys: Vec<&str> = Vec::new();
        for probe in probes.iter().filter(|probe| probe.kind == MatchKind::Prefix) {
            if !keys.contains(&probe.key.as_str()) {
                keys.push(&probe.key);
            }
        }
        let Some((key, restore_keys)) = keys.split_first() else { return };
        self.restore_keys = restore_keys.iter().map(|key| (*key).to_owned()).collect();
        self.slot = Some(Slot {
            repository: repository.to_owned(),
            scope: String::new(),
            version: version.to_owned(),
            key: (*key).to_owned(),
        });
    }

    /// Records the slot of a save.
    pub(crate) fn reserved(&mut self, slot: &Slot, trust: Trust) {
        (self.slot, self.trust) = (Some(slot.clone()), Some(trust));
    }

    /// Adds what was recorded to the event of the request. Of what the guest says for the log there are
    /// beginnings; here is the whole.
    pub(crate) fn complete(&self, event: Event) -> Event {
        let Some(slot) = &self.slot else { return event };
        let found = self.found.as_ref().filter(|found| event.entry.is_none_or(|id| id == found.id.0));
        let found = found.filter(|_| event.outcome != "miss");
        let matched = found.map(|found| &found.slot.key).filter(|key| **key != slot.key);
        Event {
            scope: found.map(|found| &found.slot.scope).cloned().or(event.scope),
            key: Some(slot.key.clone()),
            version: Some(slot.version.clone()),
            restore_keys: self.restore_keys.clone(),
            matched_key: matched.cloned().or(event.matched_key),
            entry: found.map(|found| found.id.0).or(event.entry),
            size: found.map(|found| found.size_bytes),
            trust: self.trust.map(|trust| trust.word().to_owned()),
            ..event
        }
    }

    /// Records the entry that an upload became.
    pub(crate) fn made(&mut self, entry: &Entry) {
        (self.slot, self.found) = (Some(entry.slot.clone()), Some(entry.clone()));
    }
}
