//! The one place where a driver's error becomes an error of the world. Details go to the log, not to the component.
#![allow(unreachable_pub, reason = "the generated bindings name these types")]

use wasmtime::component::ResourceTableError;

use super::bindings::larder::cache::{auth, http, index, storage};
use crate::{
    auth::TokenError,
    causes::chain,
    index::IndexError,
    message::{Full, ReadError},
    net::ForwardError,
    storage::{SourceError, StorageError},
};

/// How a host call fails. `?` makes it of a driver's error, of an error of the world, and of a fault.
pub enum CallError<E> {
    /// The component gets an error of its world.
    World(E),
    /// The component broke a rule of the border, and its instance ends.
    Fault(wasmtime::Error),
}

/// How a call of `auth` fails.
pub type AuthCallError = CallError<auth::Error>;
/// How a call of `index` fails.
pub type IndexCallError = CallError<index::Error>;
/// How a call of `http` fails.
pub type HttpCallError = CallError<http::Error>;
/// How a call of `storage` fails.
pub type StorageCallError = CallError<storage::Error>;

impl<E> CallError<E> {
    /// What the bindings want: the world's error, or a fault as an error of wasmtime.
    pub(super) fn into_world(self) -> wasmtime::Result<E> {
        match self {
            Self::World(error) => Ok(error),
            Self::Fault(fault) => Err(fault),
        }
    }
}

/// An error of a driver, or of the world, that a host call may end with. Its conversion logs what the component is not told.
pub trait Reported: Into<Self::World> {
    /// The error of the world.
    type World;
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

/// A handle that the component does not have.
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
            StorageError::Invalid(why) => Self::Invalid(why),
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
                tracing::warn!(error = %chain(&source), "upstream unavailable");
                Self::Unavailable("the upstream service cannot be reached".to_owned())
            }
            ForwardError::Body => Self::CutShort,
            ForwardError::Target(source) => {
                tracing::warn!(error = %chain(&source), "a request that cannot be forwarded");
                Self::Unavailable("the request's target cannot be forwarded".to_owned())
            }
        }
    }
}

impl From<ReadError> for http::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(SourceError::CutShort) => Self::CutShort,
            ReadError::Source(SourceError::TooLarge) => Self::TooLarge,
            ReadError::Full(Full) => Self::Busy,
        }
    }
}
