//! Why an index call failed.

use std::error::Error;

/// Why an index call failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database failed or cannot be reached; a retry may succeed.
    #[error("database unavailable: {context}")]
    Unavailable {
        /// What was being done, such as `reserving a slot`.
        context: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The disk of the database is full. Reads work; changes fail until there is space.
    #[error("no space left for the database: {context}")]
    NoSpace {
        /// What was being done, such as `reserving a slot`.
        context: &'static str,
        /// The database's own error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// This index, or this handle of it, does not do that; retrying does not help.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// Wraps an error in [`IndexError::Unavailable`].
pub(crate) fn unavailable(context: &'static str, source: impl Error + Send + Sync + 'static) -> IndexError {
    IndexError::Unavailable { context, source: Box::new(source) }
}

/// Wraps an error in [`IndexError::NoSpace`].
pub(crate) fn no_space(context: &'static str, source: impl Error + Send + Sync + 'static) -> IndexError {
    IndexError::NoSpace { context, source: Box::new(source) }
}
