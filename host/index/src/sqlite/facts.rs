//! The statements about facts, and about names of repositories. No look-up of entries makes one.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Row, params, types::Type};

use super::{
    rows::{self, integer, text},
    tenant::TenantConnection,
};
use crate::{
    EntryDetails, EntryId, Facts, RepositoryName, UploadId,
    facts::{MAX_NAMESAKES, detail_columns, folded_name},
};

pub(super) const ENTRY_DETAILS: &str =
    concat!("SELECT id, object, ", detail_columns!(), " FROM entries WHERE tenant = ?1 AND id = ?2");

pub(super) const UPLOAD_FACTS: &str = "SELECT facts FROM uploads WHERE tenant = ?1 AND id = ?2";

pub(super) const REPOSITORY_NAME: &str =
    "SELECT name FROM repositories WHERE tenant = ?1 AND repository = ?2";

pub(super) const NAMESAKES: &str = "SELECT repository FROM repositories INDEXED BY repositories_by_name \
     WHERE tenant = ?1 AND folded = ?2 ORDER BY named_ms DESC LIMIT ?3";

const NAME_REPOSITORY: &str = "INSERT INTO repositories (tenant, repository, name, folded, named_ms) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (tenant, repository) DO UPDATE \
     SET name = excluded.name, folded = excluded.folded, named_ms = excluded.named_ms \
     WHERE excluded.named_ms >= repositories.named_ms";

/// All but the latest. `?2` is their number less one.
pub(super) const FORGET_OLD_NAMES: &str = "DELETE FROM repositories \
     WHERE tenant = ?1 AND (named_ms, repository) < (SELECT named_ms, repository \
       FROM repositories INDEXED BY repositories_by_age \
       WHERE tenant = ?1 ORDER BY named_ms DESC, repository DESC LIMIT 1 OFFSET ?2)";

/// See [`crate::Index::entry_details`].
pub(super) fn entry_details(
    conn: TenantConnection<'_>,
    ids: &[EntryId],
) -> rusqlite::Result<Vec<EntryDetails>> {
    // One statement needs none: rules ask about a single entry in each look-up.
    let _snapshot = if ids.len() > 1 { Some(conn.snapshot()?) } else { None };
    let mut statement = conn.prepare(ENTRY_DETAILS)?;
    let mut found = Vec::new();
    for id in ids.iter().collect::<BTreeSet<_>>() {
        found.extend(statement.query_one(params![conn.tenant(), integer(id.0)], details).optional()?);
    }
    Ok(found)
}

/// See [`crate::Index::upload_facts`].
pub(super) fn of_upload(conn: TenantConnection<'_>, id: UploadId) -> rusqlite::Result<Option<Facts>> {
    let mut statement = conn.prepare(UPLOAD_FACTS)?;
    let found = statement.query_one(params![conn.tenant(), integer(id.0)], |row| facts(row, 0));
    Ok(found.optional()?.flatten())
}

fn details(row: &Row<'_>) -> rusqlite::Result<EntryDetails> {
    details_at(row, 1, 2)
}

/// Reads details from the first column, the id, that of the object, and those from `first` on, which are those
/// of `detail_columns!`.
pub(super) fn details_at(row: &Row<'_>, object: usize, first: usize) -> rusqlite::Result<EntryDetails> {
    Ok(EntryDetails {
        id: EntryId(rows::number(row, 0)?),
        uses: rows::optional_number(row, first)?,
        facts: facts(row, first + 1)?,
        trust: rows::trust(row, first + 2)?,
        quarantined_ms: rows::optional_number(row, first + 3)?,
        digest: rows::digest(row, object, first + 4)?,
    })
}

fn facts(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Facts>> {
    let json =
        row.get_ref(column)?.as_str_or_null().map_err(|error| rows::invalid(column, Type::Text, error))?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(json).map(Some).map_err(|error| rows::invalid(column, Type::Text, error))
}

/// See [`crate::Index::name_repositories`].
pub(super) fn name_repositories(
    conn: TenantConnection<'_>,
    names: &[RepositoryName],
    most: usize,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(NAME_REPOSITORY)?;
    for RepositoryName { repository, name, named_ms } in names {
        let folded = folded_name(name);
        let (repository, name) = (repository.as_bytes(), name.as_bytes());
        statement.execute(params![conn.tenant(), repository, name, folded.as_bytes(), integer(*named_ms)])?;
    }
    let last = rows::limit(most.saturating_sub(1));
    conn.prepare(FORGET_OLD_NAMES)?.execute(params![conn.tenant(), last])?;
    Ok(())
}

/// See [`crate::Index::repository_name`].
pub(super) fn repository_name(
    conn: TenantConnection<'_>,
    repository: &str,
) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare(REPOSITORY_NAME)?;
    statement.query_one(params![conn.tenant(), repository.as_bytes()], |row| text(row, 0)).optional()
}

/// See [`crate::Index::find_repositories`].
pub(super) fn find_repositories(conn: TenantConnection<'_>, name: &str) -> rusqlite::Result<Vec<String>> {
    let (folded, limit) = (folded_name(name), rows::limit(MAX_NAMESAKES));
    conn.prepare(NAMESAKES)?
        .query_map(params![conn.tenant(), folded.as_bytes(), limit], |row| text(row, 0))?
        .collect()
}
