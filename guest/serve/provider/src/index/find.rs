//! Look-ups.

use super::{Index, layout, slot_of_pointer};
use crate::{
    bindings::exports::larder::cache::index::{Entry, MatchKind, Probe},
    directory::{Directory, Result},
};

impl<D: Directory> Index<D> {
    /// Returns the match of the first probe that has one. See `wit/index.wit`.
    pub(crate) async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[u64],
    ) -> Result<Option<Entry>> {
        // The names of the place that was listed last: the probes of one scope follow each other.
        let mut listed: Option<(&str, Vec<(u64, String)>)> = None;
        for probe in probes {
            let found = match probe.kind {
                MatchKind::Exact => {
                    let slot = self.rule.slot_name_of(repository, &probe.scope, version, &probe.key);
                    self.occupant(&slot).await?.and_then(|found| found.entry())
                }
                MatchKind::Prefix => {
                    let place = match listed.take() {
                        Some((scope, names)) if scope == probe.scope => names,
                        _ => self.list_place(repository, &probe.scope, version).await?,
                    };
                    let found = self.newest(repository, version, probe, &place, skip).await?;
                    listed = Some((&probe.scope, place));
                    found
                }
            };
            if let Some(entry) = found.filter(|entry| !skip.contains(&entry.id)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The names of a place's entries, the newest first.
    async fn list_place(&self, repository: &str, scope: &str, version: &str) -> Result<Vec<(u64, String)>> {
        let names = self.directory.list(&layout::place_folder(repository, scope, version)).await?;
        let numbered = |name: String| Some((layout::parse_place_name(&name)?.0, name));
        let mut numbered: Vec<_> = names.into_iter().filter_map(numbered).collect();
        numbered.sort_unstable_by(|one, other| other.cmp(one));
        Ok(numbered)
    }

    /// The newest entry of a place whose key starts with the probe's.
    async fn newest(
        &self,
        repository: &str,
        version: &str,
        probe: &Probe,
        place: &[(u64, String)],
        skip: &[u64],
    ) -> Result<Option<Entry>> {
        let prefix = self.rule.compared(&probe.key);
        for (id, name) in place.iter().filter(|(id, _)| !skip.contains(id)) {
            let slot = match layout::parse_place_name(name) {
                Some((_, Some(key))) if key.starts_with(&prefix) => {
                    self.rule.slot_name_of(repository, &probe.scope, version, &key)
                }
                Some((_, None)) => {
                    let path = format!("{}/{name}", layout::place_folder(repository, &probe.scope, version));
                    match self.directory.read(&path).await?.and_then(|file| slot_of_pointer(file.bytes)) {
                        Some(slot) => slot,
                        None => continue,
                    }
                }
                _ => continue,
            };
            let found = self.occupant(&slot).await?.and_then(|found| found.entry());
            let matches =
                |entry: &Entry| entry.id == *id && self.rule.compared(&entry.slot.key).starts_with(&prefix);
            if let Some(entry) = found.filter(matches) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}
