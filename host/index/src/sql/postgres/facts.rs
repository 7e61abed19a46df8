//! The statements about facts, uses and names of repositories.

use super::{
    Postgres,
    statements::{Db, execute, fetch_all, fetch_optional, sorted},
};
use crate::{
    EntryDetails, EntryId, EntryUses, Facts, RepositoryName, UploadId,
    facts::{MAX_NAMESAKES, detail_columns, folded_name},
    sql::{
        facts::{self, FactStatements},
        fault::Fault,
        rows::{self, integer, limit},
    },
};

pub(super) const ENTRY_DETAILS: &str = concat!(
    "SELECT id, object, ",
    detail_columns!(),
    " FROM entries WHERE tenant || '' = $1 AND id = ANY ($2::bigint[])"
);

pub(super) const UPLOAD_FACTS: &str = "SELECT facts FROM uploads WHERE tenant || '' = $1 AND id = $2";

pub(super) const TOUCH_ENTRIES: &str = "UPDATE entries \
     SET uses = entries.uses + used.added, used_ms = greatest(entries.used_ms, used.at) \
     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS used (id, at, added) \
     WHERE entries.tenant || '' = $1 AND entries.id = used.id AND entries.used_ms <> used.at";

const NAME_REPOSITORIES: &str = "INSERT INTO repositories (tenant, repository, name, folded, named_ms) \
     SELECT $1::bytea, * FROM unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[]) \
     ON CONFLICT (tenant, repository) DO UPDATE \
     SET name = excluded.name, folded = excluded.folded, named_ms = excluded.named_ms \
     WHERE excluded.named_ms >= repositories.named_ms";

/// All but the latest. `$2` is their number less one.
pub(super) const FORGET_OLD_NAMES: &str = "DELETE FROM repositories \
     WHERE tenant = $1 AND (named_ms, repository) < (SELECT named_ms, repository FROM repositories \
       WHERE tenant = $1 ORDER BY named_ms DESC, repository DESC LIMIT 1 OFFSET $2)";

pub(super) const REPOSITORY_NAME: &str =
    "SELECT name FROM repositories WHERE tenant = $1 AND repository = $2";

pub(super) const NAMESAKES: &str = "SELECT repository FROM repositories \
     WHERE tenant = $1 AND folded = $2 ORDER BY named_ms DESC LIMIT $3";

impl FactStatements for Postgres {
    async fn entry_details(db: &mut Db<'_>, ids: &[EntryId]) -> Result<Vec<EntryDetails>, Fault> {
        let statement = db.query(ENTRY_DETAILS).bind(sorted(ids));
        fetch_all(db.connection, statement, facts::details).await
    }

    async fn upload_facts(db: &mut Db<'_>, id: UploadId) -> Result<Option<Facts>, Fault> {
        let statement = db.query(UPLOAD_FACTS).bind(integer(id.0));
        Ok(fetch_optional(db.connection, statement, |row| facts::facts(row, 0)).await?.flatten())
    }

    async fn touch_entries(db: &mut Db<'_>, uses: &[EntryUses]) -> Result<(), Fault> {
        let ids: Vec<i64> = uses.iter().map(|used| integer(used.id.0)).collect();
        let times: Vec<i64> = uses.iter().map(|used| integer(used.last_used_ms)).collect();
        let counts: Vec<i64> = uses.iter().map(|used| used.count.into()).collect();
        execute(db.connection, db.query(TOUCH_ENTRIES).bind(ids).bind(times).bind(counts)).await?;
        Ok(())
    }

    async fn name_repositories(db: &mut Db<'_>, names: &[RepositoryName], most: usize) -> Result<(), Fault> {
        let repositories: Vec<&[u8]> = names.iter().map(|name| name.repository.as_bytes()).collect();
        let texts: Vec<&[u8]> = names.iter().map(|name| name.name.as_bytes()).collect();
        let folded: Vec<Vec<u8>> = names.iter().map(|name| folded_name(&name.name).into_bytes()).collect();
        let times: Vec<i64> = names.iter().map(|name| integer(name.named_ms)).collect();
        let insert = db.query(NAME_REPOSITORIES).bind(repositories).bind(texts).bind(folded).bind(times);
        execute(db.connection, insert).await?;
        let forget = db.query(FORGET_OLD_NAMES).bind(limit(most.saturating_sub(1)));
        execute(db.connection, forget).await?;
        Ok(())
    }

    async fn repository_name(db: &mut Db<'_>, repository: &str) -> Result<Option<String>, Fault> {
        let statement = db.query(REPOSITORY_NAME).bind(repository.as_bytes());
        fetch_optional(db.connection, statement, |row| rows::text(row, 0)).await
    }

    async fn find_repositories(db: &mut Db<'_>, name: &str) -> Result<Vec<String>, Fault> {
        let folded = folded_name(name).into_bytes();
        let statement = db.query(NAMESAKES).bind(folded).bind(limit(MAX_NAMESAKES));
        fetch_all(db.connection, statement, |row| rows::text(row, 0)).await
    }
}
