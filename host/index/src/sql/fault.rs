//! Errors of database calls, and whether they are retried.

use super::schema::SchemaError;

/// Whether a call may be retried after its connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetrySafety {
    /// A read, or a change that has the same outcome when it is repeated.
    Always,
    /// A transaction, as long as its commit was not sent: [`Fault::Commit`] marks a failed commit.
    BeforeCommit,
    /// A change whose outcome depends on whether the lost attempt took effect.
    Never,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// A statement failed, or the connection.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The commit failed, so that its outcome is not known.
    #[error("the commit was not confirmed")]
    Commit(#[source] sqlx::Error),
    /// No connection could be opened.
    #[error("cannot connect to the database server")]
    Connect(#[source] sqlx::Error),
    /// The call took too long.
    #[error("the database server did not respond in time")]
    TimedOut,
    /// Other calls were faster in every attempt.
    #[error("too many concurrent changes of the same row")]
    Contended,
    /// The tables could not be migrated.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The index is being closed.
    #[error("the database is closed")]
    Closed,
}

/// Decides whether a call is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The server rolled the transaction back because of another one, such as a deadlock.
    RolledBack,
    /// The connection is lost, or the server is shutting down.
    ConnectionLost,
    /// A retry would fail again.
    Final,
}

impl Fault {
    /// Classifies the error by the codes of this server.
    pub(super) fn kind(&self, codes: &ErrorCodes) -> FaultKind {
        match self {
            Self::Sql(error) | Self::Commit(error) | Self::Connect(error) => codes.kind(error),
            Self::TimedOut | Self::Contended | Self::Schema(_) | Self::Closed => FaultKind::Final,
        }
    }

    /// Returns whether the server's disk is full, by the codes of this server.
    pub(super) fn is_full(&self, codes: &ErrorCodes) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) | Self::Commit(sqlx::Error::Database(error)) => {
                codes.disk_full.contains(&&*(codes.code)(&**error))
            }
            _ => false,
        }
    }

    /// Returns whether a statement violated a unique key.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Returns whether the call may be retried after the connection was lost.
    pub(super) fn may_retry(&self, safety: RetrySafety) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Sql(_) => safety != RetrySafety::Never,
            Self::Commit(_) => safety == RetrySafety::Always,
            Self::TimedOut | Self::Contended | Self::Schema(_) | Self::Closed => false,
        }
    }
}

/// Error codes of a server.
pub(crate) struct ErrorCodes {
    /// A deadlock or a conflict: the transaction was rolled back.
    pub(super) rolled_back: &'static [&'static str],
    /// The server closes the connection or accepts none.
    pub(super) connection_lost: &'static [&'static str],
    /// The disk is full.
    pub(super) disk_full: &'static [&'static str],
    /// Returns the code of an error.
    pub(super) code: fn(&dyn sqlx::error::DatabaseError) -> String,
}

impl ErrorCodes {
    fn kind(&self, error: &sqlx::Error) -> FaultKind {
        match error {
            sqlx::Error::Database(error) => {
                let code = (self.code)(&**error);
                if self.rolled_back.contains(&&*code) {
                    FaultKind::RolledBack
                } else if self.connection_lost.contains(&&*code) {
                    FaultKind::ConnectionLost
                } else {
                    FaultKind::Final
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => FaultKind::ConnectionLost,
            _ => FaultKind::Final,
        }
    }
}
