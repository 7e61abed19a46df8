//! The state of each tenant whose storage is in use.
//!
//! There is at most one for each name: what it remembers of uploads would be wrong if another one
//! changed them.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use larder_common::TenantName;
use parking_lot::Mutex;

use crate::StorageError;

/// The error for a storage that is not that of `default`.
pub(crate) fn not_of_default() -> StorageError {
    StorageError::Invalid("the storage of a tenant gives no access to those of others".to_owned())
}

/// The error of [`Storage::forget_tenant`](crate::Storage::forget_tenant) for the tenant `default`.
pub(crate) fn not_for_default() -> StorageError {
    StorageError::Invalid("the tenant `default` cannot be removed".to_owned())
}

/// A state, and what its calls hold until they end, which may be later than its last handle.
struct Known<S> {
    state: Weak<S>,
    calls: Weak<()>,
}

/// The states that are in use.
pub(crate) struct TenantStates<S> {
    known: Mutex<HashMap<TenantName, Known<S>>>,
}

impl<S> Default for TenantStates<S> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

impl<S> std::fmt::Debug for TenantStates<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantStates").field("known", &self.known.lock().len()).finish()
    }
}

impl<S> TenantStates<S> {
    /// Returns the state of a tenant, and makes it if it is not in use. `make` returns with it what
    /// its calls hold. A state that is made again while calls of the earlier one still run is
    /// [`StorageError::Unavailable`].
    pub(crate) fn get(
        self: &Arc<Self>,
        name: &TenantName,
        make: impl FnOnce(Registration<S>) -> (Arc<S>, Weak<()>),
    ) -> Result<Arc<S>, StorageError> {
        let mut known = self.known.lock();
        if let Some(Known { state, calls }) = known.get(name) {
            if let Some(state) = state.upgrade() {
                return Ok(state);
            }
            if calls.strong_count() > 0 {
                let why = "calls of an earlier handle of this tenant have not ended yet";
                return Err(StorageError::unavailable("opening the storage of a tenant", why));
            }
        }
        let (state, calls) = make(Registration { states: Arc::clone(self), name: name.clone() });
        known.insert(name.clone(), Known { state: Arc::downgrade(&state), calls });
        Ok(state)
    }
}

/// Held by a state, and dropped with it.
#[derive(Debug)]
pub(crate) struct Registration<S> {
    states: Arc<TenantStates<S>>,
    name: TenantName,
}

impl<S> Registration<S> {
    /// The tenant.
    pub(crate) fn name(&self) -> &TenantName {
        &self.name
    }
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        let mut known = self.states.known.lock();
        let is_unused = |known: &Known<S>| known.state.strong_count() + known.calls.strong_count() == 0;
        // It may have been made again. With calls that run on it stays, so that it is not made yet.
        if known.get(&self.name).is_some_and(is_unused) {
            known.remove(&self.name);
        }
    }
}
