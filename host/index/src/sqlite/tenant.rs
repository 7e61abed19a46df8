//! A connection as one tenant may use it, and the list of tenants.

use larder_common::TenantName;
use rusqlite::{CachedStatement, Connection, types::Type};

use super::reader::ReadTransaction;

/// The first tenant after another one; null if there is none. One step in an index of each table.
pub(super) const NEXT: &str = "SELECT min(name) FROM (
    SELECT min(tenant) AS name FROM entries INDEXED BY entries_by_tenant WHERE tenant > ?1
    UNION ALL SELECT min(tenant) FROM uploads INDEXED BY uploads_by_tenant WHERE tenant > ?1
    UNION ALL SELECT min(tenant) FROM secrets WHERE tenant > ?1)";

/// A connection with the tenant whose rows it reads and changes. All statements of `find.rs`,
/// `queries.rs` and `changes.rs` run through one, and their parameter `?1` is [`Self::tenant`].
#[derive(Clone, Copy)]
pub(super) struct TenantConnection<'a> {
    connection: &'a Connection,
    tenant: &'a TenantName,
}

impl<'a> TenantConnection<'a> {
    pub(super) fn new(connection: &'a Connection, tenant: &'a TenantName) -> Self {
        Self { connection, tenant }
    }

    /// The tenant, as a parameter.
    pub(super) fn tenant(&self) -> &'a str {
        self.tenant.as_str()
    }

    /// Prepares a statement.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
        self.connection.prepare_cached(sql)
    }

    /// Begins a read transaction.
    pub(super) fn snapshot(&self) -> rusqlite::Result<ReadTransaction<'a>> {
        ReadTransaction::begin(self.connection)
    }
}

/// Returns the tenants that have rows. See [`crate::Index::list_tenants`].
pub(super) fn list(
    conn: &Connection,
    after: Option<&TenantName>,
    limit: usize,
) -> rusqlite::Result<Vec<TenantName>> {
    let _snapshot = ReadTransaction::begin(conn)?;
    let mut next = conn.prepare_cached(NEXT)?;
    let mut names = Vec::new();
    let mut after = after.map(TenantName::to_string).unwrap_or_default();
    while names.len() < limit {
        let Some(name) = next.query_one([&after], |row| row.get::<_, Option<String>>(0))? else { break };
        let invalid = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
        names.push(TenantName::parse(&name).map_err(invalid)?);
        after = name;
    }
    Ok(names)
}
