//! What went wrong in a call of the database, and whether it is tried again.

use super::schema::OpenError;

/// What may be done again after the connection was lost in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// All of it: a read, or a change whose repeat has the same outcome and the same answer.
    Always,
    /// What was not committed yet: a transaction whose commit is marked by [`Fault::Commit`].
    BeforeCommit,
    /// Nothing: whether a statement took effect is not known, and its answer depends on it.
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
    /// There was no connection to be had.
    #[error("cannot connect to the database server")]
    Connect(#[source] sqlx::Error),
    /// The time was up.
    #[error("the database server did not answer in time")]
    TimedOut,
    /// Others were always faster.
    #[error("too many others change the same row")]
    Contended,
    /// The tables cannot be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The index is being closed.
    #[error("the database is closed")]
    Closed,
}

/// What an error means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server undid everything because of others: a deadlock.
    Undone,
    /// The connection is gone, or the server is going.
    Lost,
    /// It would fail again.
    Final,
}

impl Fault {
    /// Tells what this means, with the codes of this server.
    pub(super) fn kind(&self, codes: &Codes) -> Kind {
        match self {
            Self::Sql(error) | Self::Commit(error) | Self::Connect(error) => codes.kind(error),
            Self::TimedOut | Self::Contended | Self::Open(_) | Self::Closed => Kind::Final,
        }
    }

    /// Returns whether the server's disk is full, with the codes of this server.
    pub(super) fn is_full(&self, codes: &Codes) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) | Self::Commit(sqlx::Error::Database(error)) => {
                codes.full.contains(&&*(codes.code)(&**error))
            }
            _ => false,
        }
    }

    /// Returns whether a statement failed because there is such a row already.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Returns whether another attempt is right after the connection was lost.
    pub(super) fn may_repeat(&self, repeat: Repeat) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Sql(_) => repeat != Repeat::Never,
            Self::Commit(_) => repeat == Repeat::Always,
            Self::TimedOut | Self::Contended | Self::Open(_) | Self::Closed => false,
        }
    }
}

/// The codes by which a server tells what happened.
pub(crate) struct Codes {
    /// A deadlock, or a conflict of transactions: all was undone.
    pub(super) undone: &'static [&'static str],
    /// The server ends the connection, or takes none now.
    pub(super) lost: &'static [&'static str],
    /// There is no space for what is to be written.
    pub(super) full: &'static [&'static str],
    /// Reads the code of an error.
    pub(super) code: fn(&dyn sqlx::error::DatabaseError) -> String,
}

impl Codes {
    fn kind(&self, error: &sqlx::Error) -> Kind {
        match error {
            sqlx::Error::Database(error) => {
                let code = (self.code)(&**error);
                if self.undone.contains(&&*code) {
                    Kind::Undone
                } else if self.lost.contains(&&*code) {
                    Kind::Lost
                } else {
                    Kind::Final
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Kind::Lost,
            _ => Kind::Final,
        }
    }
}
