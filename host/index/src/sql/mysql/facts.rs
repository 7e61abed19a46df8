//! The statements about facts, uses and names of repositories.

use super::{
    MySql,
    statements::{Db, execute, fetch_all, fetch_optional, json},
    texts::{
        ENTRY_DETAILS, FORGET_OLD_NAMES, NAME_REPOSITORY, NAMESAKES, REPOSITORY_NAME, TOUCH_ENTRIES,
        UPLOAD_FACTS,
    },
};
use crate::{
    EntryDetails, EntryId, EntryUses, Facts, RepositoryName, UploadId,
    facts::{MAX_NAMESAKES, folded_name},
    sql::{
        facts::{self, FactStatements},
        fault::Fault,
        rows::{self, integer, limit},
    },
};

impl FactStatements for MySql {
    async fn entry_details(db: &mut Db<'_>, ids: &[EntryId]) -> Result<Vec<EntryDetails>, Fault> {
        let ids: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), 0)).collect();
        let statement = sqlx::query(ENTRY_DETAILS).bind(json(&ids)?).bind(db.tenant());
        fetch_all(db.connection, statement, facts::details).await
    }

    async fn upload_facts(db: &mut Db<'_>, id: UploadId) -> Result<Option<Facts>, Fault> {
        let statement = db.query(UPLOAD_FACTS).bind(integer(id.0));
        Ok(fetch_optional(db.connection, statement, |row| facts::facts(row, 0)).await?.flatten())
    }

    async fn touch_entries(db: &mut Db<'_>, uses: &[EntryUses]) -> Result<(), Fault> {
        let uses: Vec<(i64, i64, u32)> =
            uses.iter().map(|used| (integer(used.id.0), integer(used.last_used_ms), used.count)).collect();
        execute(db.connection, sqlx::query(TOUCH_ENTRIES).bind(json(&uses)?).bind(db.tenant())).await?;
        Ok(())
    }

    async fn name_repositories(db: &mut Db<'_>, names: &[RepositoryName], most: usize) -> Result<(), Fault> {
        for RepositoryName { repository, name, named_ms } in names {
            let insert = db
                .query(NAME_REPOSITORY)
                .bind(repository.as_bytes())
                .bind(name.as_bytes())
                .bind(folded_name(name).into_bytes())
                .bind(integer(*named_ms));
            execute(db.connection, insert).await?;
        }
        let last = limit(most.saturating_sub(1));
        execute(db.connection, db.query(FORGET_OLD_NAMES).bind(db.tenant()).bind(last)).await?;
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
