//! A storage and an index whose calls are measured.

mod catalogue;
mod index;
mod storage;

use larder_index::IndexError;
use larder_storage::StorageError;

pub use self::{
    index::{MeasuredIndex, removal_reason},
    storage::MeasuredStorage,
};
use crate::calls::{CallResult, Judged};

impl<T> Judged for Result<T, StorageError> {
    fn result(&self) -> CallResult {
        match self {
            Ok(_) => CallResult::Ok,
            Err(StorageError::NotFound) => CallResult::NotFound,
            Err(StorageError::NoSpace | StorageError::TooLarge | StorageError::Invalid(_)) => {
                CallResult::Refused
            }
            Err(StorageError::Unavailable { .. }) => CallResult::Error,
        }
    }
}

impl<T> Judged for Result<T, IndexError> {
    fn result(&self) -> CallResult {
        match self {
            Ok(_) => CallResult::Ok,
            Err(IndexError::NoSpace { .. } | IndexError::Unsupported(_)) => CallResult::Refused,
            Err(IndexError::Unavailable { .. }) => CallResult::Error,
        }
    }
}

/// Writes methods that pass a call on and measure it, and the numbers and names of the calls.
macro_rules! measured {
    (
        impl $trait:ident for $type:ident, $error:ty, own { $($own:item)* },
        $(also [$($other:ident = $other_name:literal),+],)?
        $(fn $name:ident(&self $(, $argument:ident: $of:ty)* $(,)?) -> $returned:ty;)+
    ) => {
        /// The numbers of the calls.
        #[expect(non_camel_case_types, reason = "the names of the methods")]
        #[derive(Clone, Copy)]
        enum Call { $($name,)+ $($($other,)+)? }

        /// The names of the calls, each at its number.
        const CALLS: &[&str] = &[$(stringify!($name),)+ $($($other_name,)+)?];

        #[async_trait]
        impl $trait for $type {
            $($own)*
            $(
                async fn $name(&self $(, $argument: $of)*) -> Result<$returned, $error> {
                    let called = self.inner.$name($($argument),*);
                    self.meters.measure(Call::$name as usize, called).await
                }
            )+
        }
    };
}
use measured;

#[cfg(test)]
mod tests;
