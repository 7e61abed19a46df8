//! The statements about refusals, which differ from server to server.

use super::{fault::Fault, pool::Driver, tenant::TenantConnection};

/// Returns whether one of these marks is noted.
pub(super) async fn is_any_refused<D: RefusalStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    marks: &[String],
) -> Result<bool, Fault> {
    for mark in marks {
        if D::is_refused(db, mark).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The statements of a driver. They do what the methods of [`Index`](crate::Index) do, on one connection, for one
/// tenant.
pub(super) trait RefusalStatements: Driver {
    /// Forgets marks that were noted before `before_ms`, too.
    async fn note_refused(
        db: &mut TenantConnection<'_, Self::Connection>,
        marks: &[String],
        now_ms: u64,
        before_ms: u64,
    ) -> Result<(), Fault>;

    async fn is_refused(db: &mut TenantConnection<'_, Self::Connection>, mark: &str) -> Result<bool, Fault>;
}
