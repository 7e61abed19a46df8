//! What is known of the bytes of objects that were just stored.
//!
//! The storage knows it when an object is complete, and the index stores it with the upload that the object
//! is attached to. The component is in between, and digests are nothing that it needs.

use std::collections::{HashMap, VecDeque};

use larder_storage::{Digest, ObjectName, Stored};
use parking_lot::Mutex;

/// Most objects that are remembered: an object is attached right after it is stored.
const MOST: usize = 1_024;

/// The digests of objects until they are attached. What is forgotten is not recorded.
#[derive(Debug, Default)]
pub(crate) struct NewDigests(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    digests: HashMap<ObjectName, Digest>,
    /// In the order in which they came.
    order: VecDeque<ObjectName>,
}

impl NewDigests {
    /// Remembers what is known of an object.
    pub(crate) fn note(&self, stored: &Stored) {
        let Some(digest) = &stored.digest else { return };
        let mut remembered = self.0.lock();
        if remembered.digests.insert(stored.object.clone(), digest.clone()).is_none() {
            remembered.order.push_back(stored.object.clone());
        }
        if remembered.order.len() > MOST
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.digests.remove(&oldest);
        }
    }

    /// Returns what is known of an object. It stays: an attachment may be repeated.
    pub(crate) fn of(&self, object: &ObjectName) -> Option<Digest> {
        self.0.lock().digests.get(object).cloned()
    }
}
