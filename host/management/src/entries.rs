//! What all surfaces do with entries.

use larder_index::{
    Entry, EntryId, EntryOrder, MatchKind, Probe,
    catalogue::{Browsed, EntryFilter, browse},
};

use crate::{
    access::Session,
    audit::{self, Counted},
    problem::Problem,
};

/// Entries that are deleted between two looks at the list.
const PAGE: usize = 500;

/// Most entries before the page that is asked for by its number.
const MAX_OFFSET: usize = 1_000_000;

impl Session {
    /// Returns an entry, also one in quarantine.
    pub(crate) async fn entry(&self, id: EntryId) -> Result<Entry, Problem> {
        let before = EntryId(id.0.saturating_sub(1));
        let page = if id.0 == 0 { Vec::new() } else { self.tenant.index().list_entries(before, 1).await? };
        let found = page.into_iter().next().filter(|entry| entry.id == id);
        found.ok_or_else(|| Problem::not_found("Cache entry not found"))
    }

    /// Returns the page of this number, from 0.
    pub(crate) async fn numbered_page(
        &self,
        filter: &EntryFilter,
        order: (EntryOrder, bool),
        page: usize,
        size: usize,
    ) -> Result<Vec<Entry>, Problem> {
        let mut rest = page.saturating_mul(size);
        if rest > MAX_OFFSET {
            return Err(Problem::bad_request("the page is too far behind; use a filter"));
        }
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < size {
            let Browsed { entries, next } =
                browse(self.tenant.index(), filter, order, after, rest + size - found.len()).await?;
            let skipped = rest.min(entries.len());
            rest -= skipped;
            found.extend(entries.into_iter().skip(skipped));
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.truncate(size);
        Ok(found)
    }

    /// Returns all that a filter selects, in the order of creation.
    pub(crate) async fn all(&self, filter: &EntryFilter) -> Result<Vec<Entry>, Problem> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let order = (EntryOrder::Created, false);
            let Browsed { entries, next } = browse(self.tenant.index(), filter, order, after, PAGE).await?;
            all.extend(entries);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Deletes an entry. Returns whether it was there.
    pub(crate) async fn delete(&self, entry: Entry) -> Result<bool, Problem> {
        let session = self.clone();
        audit::to_the_end(async move {
            let existed = session.tenant.delete_entry(&entry).await?;
            if existed {
                session.log("delete", &format!("entry {}", entry.id.0), 1);
            }
            Ok(existed)
        })
        .await
    }

    /// Deletes all that a filter selects, and returns it.
    pub(crate) async fn delete_all(&self, filter: EntryFilter) -> Result<Vec<Entry>, Problem> {
        let session = self.clone();
        audit::to_the_end(async move {
            let mut deleted = Vec::new();
            let mut counted = Counted::new(&session, "delete", described(&filter));
            for entry in session.all(&filter).await? {
                if session.tenant.delete_entry(&entry).await? {
                    counted.add();
                    deleted.push(entry);
                }
            }
            Ok(deleted)
        })
        .await
    }

    /// Returns the id of the repository that is called so now, or the text itself if it is no name.
    pub(crate) async fn repository_id(&self, name: &str) -> Result<Option<String>, Problem> {
        if !name.contains('/') {
            return Ok(Some(name.to_owned()));
        }
        // A name that was given up and taken by another repository is the later one's.
        Ok(self.tenant.index().find_repositories(name).await?.into_iter().next())
    }

    /// Returns what a lookup would find, and which key matched: 0 the primary one.
    pub(crate) async fn match_keys(
        &self,
        (repository, version): (&str, &str),
        scopes: &[String],
        keys: &[String],
    ) -> Result<Option<(Entry, MatchKind, usize)>, Problem> {
        let index = self.tenant.index();
        for scope in scopes {
            for (number, key) in keys.iter().enumerate() {
                for kind in [MatchKind::Exact, MatchKind::Prefix] {
                    let probe = Probe { scope: scope.clone(), key: key.clone(), kind };
                    if let Some(entry) = index.find(repository, version, &[probe], &[]).await? {
                        return Ok(Some((entry, kind, number)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// A filter for the audit log.
fn described(filter: &EntryFilter) -> String {
    let EntryFilter { repository, scope, version, key, key_prefix, never_used: _ } = filter;
    let parts = [
        ("repository", repository),
        ("scope", scope),
        ("version", version),
        ("key", key),
        ("key_prefix", key_prefix),
    ];
    let given = parts.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_deref()?)));
    let text = given.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "all entries".to_owned() } else { format!("entries with {text}") }
}
