//! The handle of an index, and how it makes its calls.

use std::{path::Path, sync::Arc};

use larder_common::TenantName;
use rusqlite::Connection;

use super::{
    FIND, SqliteIndex,
    database::Database,
    fault::index_error,
    find::{self, Search, SearchOutcome},
    ledger,
    tenant::TenantConnection,
};
use crate::{Entry, EntryId, IndexError, KeyRule, Probe};

/// Steps that a search may take on the thread that serves requests: about a millisecond.
const MAX_INLINE_STEPS: u64 = 2_000;

impl SqliteIndex {
    pub(super) fn start(
        path: &Path,
        rule: KeyRule,
        conn: Connection,
        others: [Connection; 2],
    ) -> std::io::Result<Self> {
        let database = Database::start(path, rule, conn, others)?;
        Ok(Self::of(Arc::new(database), TenantName::default()))
    }

    pub(super) fn of(database: Arc<Database>, tenant: TenantName) -> Self {
        let max_inline_steps = if database.is_scratch() { u64::MAX } else { MAX_INLINE_STEPS };
        Self { database, tenant, max_inline_steps }
    }

    pub(super) fn read<T>(
        &self,
        context: &'static str,
        query: impl FnOnce(TenantConnection<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        self.database.read(context, |conn| query(TenantConnection::new(conn, &self.tenant)))
    }

    pub(super) async fn write<T, F>(&self, context: &'static str, mut change: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: FnMut(TenantConnection<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let tenant = self.tenant.clone();
        let change = move |conn: &Connection| change(TenantConnection::new(conn, &tenant));
        self.database.writer.write(context, change).await
    }

    /// Asked at the first request of each tenant, of which hardly any changes it.
    pub(super) async fn count_apart(&self, apart: bool) -> Result<(), IndexError> {
        const CONTEXT: &str = "counting a tenant";
        if self.read(CONTEXT, ledger::is_apart)? == apart {
            return Ok(());
        }
        self.write(CONTEXT, move |conn| ledger::set_counted_apart(conn, apart)).await
    }

    /// Repeats a long search on a thread for blocking work.
    pub(super) async fn find_in_background(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: Vec<EntryId>,
    ) -> Result<Option<Entry>, IndexError> {
        let (readers, rule) = (Arc::clone(&self.database.readers), self.database.rule);
        let (repository, version) = (repository.to_owned(), version.to_owned());
        let (probes, tenant) = (probes.to_vec(), self.tenant.clone());
        let search = move || {
            readers.read(|conn| {
                let search =
                    Search { rule, repository: &repository, version: &version, probes: &probes, skip: &skip };
                find::find(TenantConnection::new(conn, &tenant), &search, u64::MAX)
            })
        };
        let outcome = self
            .database
            .long_searches
            .run(search)
            .await
            .map_err(|source| IndexError::Unavailable { context: FIND, source })?;
        match outcome.map_err(|error| index_error(FIND, error))? {
            SearchOutcome::Done(found) => Ok(found),
            // Cannot happen with `u64::MAX` steps.
            SearchOutcome::OutOfSteps => Ok(None),
        }
    }
}
