//! The statements about refusals.

use super::{
    MySql,
    statements::{Db, execute},
};
use crate::sql::{fault::Fault, refusals::RefusalStatements, rows::integer};

const NOTE: &str = "INSERT INTO refusals (tenant, mark, refused_ms) VALUES (?, ?, ?) \
     ON DUPLICATE KEY UPDATE refused_ms = VALUES(refused_ms)";

pub(super) const FORGET_OLD: &str = "DELETE FROM refusals WHERE tenant = ? AND refused_ms < ?";

const IS_NOTED: &str = "SELECT 1 FROM refusals WHERE tenant = ? AND mark = ?";

impl RefusalStatements for MySql {
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
