//! Turns for searches that take long.
//!
//! Such a search runs on a thread for blocking work, of which there are few, and others need them: to write blocks, for
//! example. So only some searches run at once, and the others wait for their turn, in the order in which they came. Knows no
//! query.

use std::{error::Error, sync::Arc};

use tokio::sync::Semaphore;

/// Searches at once, of all threads that serve. Each of these has sixteen threads for blocking work.
pub(super) const TURNS: usize = 4;

/// The turns.
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }

    /// Runs this aside when its turn comes. It keeps its turn until it ends, also when nobody waits for it any more; who gives
    /// up before has no turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let turn = Arc::clone(&self.0).acquire_owned().await?;
        let in_turn = move || {
            let _turn = turn;
            work()
        };
        Ok(tokio::task::spawn_blocking(in_turn).await?)
    }
}

#[cfg(test)]
mod tests;
