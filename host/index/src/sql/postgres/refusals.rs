//! The statements about refusals.

use super::{
    Postgres,
    statements::{Db, execute},
};
use crate::sql::{fault::Fault, refusals::RefusalStatements, rows::integer};

const NOTE: &str = "INSERT INTO refusals (tenant, mark, refused_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (tenant, mark) DO UPDATE SET refused_ms = excluded.refused_ms";

pub(super) const FORGET_OLD: &str = "DELETE FROM refusals WHERE tenant = $1 AND refused_ms < $2";

const IS_NOTED: &str = "SELECT 1 FROM refusals WHERE tenant = $1 AND mark = $2";

impl RefusalStatements for Postgres {
    async fn note_refused(
        db: &mut Db<'_>,
        marks: &[String],
        now_ms: u64,
        before_ms: u64,
    ) -> Result<(), Fault> {
        for mark in marks {
            execute(db.connection, db.query(NOTE).bind(mark.as_bytes()).bind(integer(now_ms))).await?;
        }
        execute(db.connection, db.query(FORGET_OLD).bind(integer(before_ms))).await?;
        Ok(())
    }

    async fn is_refused(db: &mut Db<'_>, mark: &str) -> Result<bool, Fault> {
        let look = db.query(IS_NOTED).bind(mark.as_bytes());
        Ok(look.fetch_optional(&mut *db.connection).await?.is_some())
    }
}
