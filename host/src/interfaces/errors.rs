//! Conversion of driver errors to errors of the world, for all interfaces. Details are logged, and
//! not passed to the component.
#![expect(unreachable_pub, reason = "the generated bindings name these types")]

use larder_common::causes::chain;
use larder_index::IndexError;
use larder_storage::{SourceError, StorageError};
use wasmtime::component::ResourceTableError;

use super::bindings::larder::cache::{auth, http, index, storage};
use crate::{
    auth::TokenError,
    message::{QuotaExceeded, ReadError},
    net::ForwardError,
};

/// The error of a host call. `?` converts a driver's error, an error of the world, and a fault to
/// it.
pub enum CallError<E> {
    /// Returned to the component.
    World(E),
    /// The component violated a contract of the world, and its instance ends.
    Fault(wasmtime::Error),
}

/// The error of a call of `auth`.
pub type AuthCallError = CallError<auth::Error>;
/// The error of a call of `index`.
pub type IndexCallError = CallError<index::Error>;
/// The error of a call of `http`.
pub type HttpCallError = CallError<http::Error>;
/// The error of a call of `storage`.
pub type StorageCallError = CallError<storage::Error>;

impl<E> CallError<E> {
    /// Converts to the form of the bindings: an error of the world, or a fault as an error of
    /// wasmtime.
    pub(super) fn into_world(self) -> wasmtime::Result<E> {
        match self {
            Self::World(error) => Ok(error),
            Self::Fault(fault) => Err(fault),
        }
    }
}

/// An error of a driver, or of the world, that a host call can fail with. The conversion logs the
/// details.
pub trait Reported: Into<Self::World> {
    /// The error of the world.
    type World: std::fmt::Debug;
}

macro_rules! reported {
    ($($error:ty => $world:ty),* $(,)?) => {$(
        impl Reported for $error {
            type World = $world;
        }
    )*};
}
reported! {
    TokenError => auth::Error,
    auth::Error => auth::Error,
    IndexError => index::Error,
    index::Error => index::Error,
    ForwardError => http::Error,
    ReadError => http::Error,
    http::Error => http::Error,
    StorageError => storage::Error,
    storage::Error => storage::Error,
}

impl<D: Reported> From<D> for CallError<D::World> {
    fn from(error: D) -> Self {
        Self::World(error.into())
    }
}

impl<E> From<wasmtime::Error> for CallError<E> {
    fn from(fault: wasmtime::Error) -> Self {
        Self::Fault(fault)
    }
}

/// A handle that the component does not own.
impl<E> From<ResourceTableError> for CallError<E> {
    fn from(fault: ResourceTableError) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<StorageError> for storage::Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::NoSpace => {
                tracing::error!("the storage is full");
                Self::NoSpace
            }
            StorageError::TooLarge => Self::TooLarge,
            StorageError::Invalid(reason) => Self::Invalid(reason),
            StorageError::Unavailable { context, source } => {
                tracing::error!(context, error = %chain(&*source), "storage unavailable");
                Self::Unavailable(context.to_owned())
            }
        }
    }
}

impl From<IndexError> for index::Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unavailable { context, source } => {
                tracing::error!(context, error = %chain(&*source), "database unavailable");
                Self::Unavailable(context.to_owned())
            }
            IndexError::NoSpace { context, source } => {
                tracing::error!(context, error = %chain(&*source), "the disk of the database is full");
                Self::NoSpace
            }
            IndexError::Unsupported(what) => Self::Unavailable(what.to_owned()),
        }
    }
}

impl From<TokenError> for auth::Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::Missing,
            TokenError::Malformed(reason) => Self::Malformed(reason),
            TokenError::Expired => Self::Expired,
            TokenError::NotYetValid => Self::NotYetValid,
            TokenError::BadSignature => Self::BadSignature,
            TokenError::UntrustedIssuer(issuer) => Self::UntrustedIssuer(issuer),
            TokenError::BadClaim(claim) => Self::BadClaim(claim),
            TokenError::NotAllowed(reason) => Self::NotAllowed(reason),
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
                tracing::warn!(error = %chain(&source), "upstream unavailable");
                Self::Unavailable("the upstream service cannot be reached".to_owned())
            }
            ForwardError::Body => Self::CutShort,
            ForwardError::Target(source) => {
                tracing::warn!(error = %chain(&source), "cannot forward the target of a request");
                Self::Unavailable("the request's target cannot be forwarded".to_owned())
            }
        }
    }
}

impl From<ReadError> for http::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(SourceError::CutShort | SourceError::NoRoom) => Self::CutShort,
            ReadError::Source(SourceError::TooLarge) => Self::TooLarge,
            ReadError::QuotaExceeded(QuotaExceeded) => Self::Busy,
        }
    }
}
