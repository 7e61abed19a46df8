//! Refusals that a client is not told, by the policy's marks.
//!
//! In memory, and where a limit is set in the database, too, because another server may get the next
//! call. Without a limit only a full disk refuses anything, and a folder has one server. So a server
//! that never refused anything does not look.

use std::collections::HashMap;

use larder_index::IndexError;
use parking_lot::Mutex;

use crate::tenant::Tenant;

/// Most marks in memory; each is of a job that was refused within a day.
const MAX_MARKS: usize = 10_000;
/// How long they stay, in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Marks of refusals, and when they were noted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    marks: Mutex<HashMap<String, u64>>,
}

impl Refusals {
    /// Notes marks.
    ///
    /// # Errors
    /// When the index fails; then they are noted in memory alone.
    pub(crate) async fn note(
        &self,
        tenant: &Tenant,
        marks: Vec<String>,
        now_ms: u64,
    ) -> Result<(), IndexError> {
        self.remember(&marks, now_ms);
        if tenant.capacity.is_none() {
            return Ok(());
        }
        match tenant.index.note_refused(&marks, now_ms).await {
            Err(IndexError::Unsupported(_)) => Ok(()),
            noted => noted,
        }
    }

    /// Returns whether one of these marks was noted within a day.
    ///
    /// # Errors
    /// When the index fails.
    pub(crate) async fn is_noted(&self, tenant: &Tenant, marks: &[String]) -> Result<bool, IndexError> {
        let is_known = {
            let known = self.marks.lock();
            marks.iter().any(|mark| known.contains_key(mark))
        };
        if is_known || tenant.capacity.is_none() {
            return Ok(is_known);
        }
        match tenant.index.was_refused(marks).await {
            Err(IndexError::Unsupported(_)) => Ok(false),
            noted => noted,
        }
    }

    fn remember(&self, marks: &[String], now_ms: u64) {
        let mut known = self.marks.lock();
        if known.len() + marks.len() > MAX_MARKS {
            known.retain(|_, at| now_ms.saturating_sub(*at) < DAY_MS);
        }
        if known.len() + marks.len() <= MAX_MARKS {
            known.extend(marks.iter().map(|mark| (mark.clone(), now_ms)));
        }
    }
}
