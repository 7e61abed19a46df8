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

/// The name of the tenant `default`, in the errors of [`Index::tenant`](crate::Index::tenant) and others.
pub(crate) const NOT_OF_DEFAULT: IndexError =
    IndexError::Unsupported("the index of a tenant gives no access to those of others");

/// The error of [`Index::forget_tenant`](crate::Index::forget_tenant) for the tenant `default`.
pub(crate) const NOT_FOR_DEFAULT: IndexError =
    IndexError::Unsupported("the tenant `default` cannot be removed");

/// How long a refusal is remembered at least, in milliseconds: longer than any job's token is valid.
pub(crate) const REFUSED_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// The error of the methods for refusals.
pub(crate) const NO_REFUSALS: IndexError = IndexError::Unsupported("this index does not note refusals");

/// The error of the methods that count.
pub(crate) const NOT_COUNTED: IndexError = IndexError::Unsupported("this index does not count bytes");

/// Wraps an error in [`IndexError::Unavailable`].
pub(crate) fn unavailable(context: &'static str, source: impl Error + Send + Sync + 'static) -> IndexError {
    IndexError::Unavailable { context, source: Box::new(source) }
}

/// Wraps an error in [`IndexError::NoSpace`].
pub(crate) fn no_space(context: &'static str, source: impl Error + Send + Sync + 'static) -> IndexError {
    IndexError::NoSpace { context, source: Box::new(source) }
}
