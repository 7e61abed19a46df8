//! The one place where a driver's error becomes an error of the world. Details go to the log, not to the component.

use super::bindings::larder::cache::{auth, db, http, storage};
use crate::{auth::TokenError, index::IndexError, net::ForwardError, storage::StorageError};

impl From<StorageError> for storage::Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::NoSpace => {
                tracing::error!("the storage is full");
                Self::NoSpace
            }
            StorageError::Invalid(why) => Self::Invalid(why),
            StorageError::Unavailable { context, source } => {
                tracing::error!(context, error = %source, "storage unavailable");
                Self::Unavailable(context.to_owned())
            }
        }
    }
}

impl From<IndexError> for db::Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable { context, source } => {
                let cause = source.source().map(ToString::to_string);
                tracing::error!(context, error = %source, cause, "database unavailable");
                Self::Unavailable(context.to_owned())
            }
            IndexError::NoSpace { context, source } => {
                tracing::error!(context, error = %source, "the disk of the database is full");
                Self::NoSpace
            }
        }
    }
}

impl From<TokenError> for auth::Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::Missing,
            TokenError::Malformed(why) => Self::Malformed(why),
            TokenError::Expired => Self::Expired,
            TokenError::NotYetValid => Self::NotYetValid,
            TokenError::BadSignature => Self::BadSignature,
            TokenError::UntrustedIssuer(issuer) => Self::UntrustedIssuer(issuer),
            TokenError::BadClaim(claim) => Self::BadClaim(claim),
            TokenError::NotAllowed(why) => Self::NotAllowed(why),
            TokenError::Unavailable(why) => {
                tracing::error!(why, "cannot fetch the issuer's signing keys");
                Self::Unavailable(why)
            }
        }
    }
}

impl From<ForwardError> for http::Error {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::Unavailable(source) => {
                tracing::warn!(error = %source, "upstream unavailable");
                Self::Unavailable("the upstream service cannot be reached".to_owned())
            }
            ForwardError::Body => Self::CutShort,
            ForwardError::Target(source) => {
                tracing::warn!(error = %source, "a request that cannot be forwarded");
                Self::Unavailable("the request's target cannot be forwarded".to_owned())
            }
        }
    }
}
