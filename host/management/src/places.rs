//! Places for streams, which keep a connection busy: few for each key, and few in all.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// Most streams of one key.
const OF_A_KEY: usize = 8;
/// Most streams in all: the listener has 64 connections.
const IN_ALL: usize = 32;

/// How many streams there are, by the names of keys.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<String, usize>>>);

/// A stream's place; given back when dropped.
pub(crate) struct Place {
    of: Places,
    key: String,
}

impl Places {
    /// Takes a place; `None` if there is none.
    pub(crate) fn take(&self, key: &str) -> Option<Place> {
        let mut taken = self.0.lock();
        if taken.values().sum::<usize>() >= IN_ALL || taken.get(key).is_some_and(|own| *own >= OF_A_KEY) {
            return None;
        }
        *taken.entry(key.to_owned()).or_default() += 1;
        Some(Place { of: self.clone(), key: key.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
