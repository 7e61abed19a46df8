//! The client that must not notice anything.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::{
    client::{Client, content},
    server::Server,
};

/// The longest wait for each answer: what a person would not call an outage. A bound on function, not a measurement.
const PATIENCE: Duration = Duration::from_secs(5);
const SAVED_BYTES: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(100);
const REPOSITORY: &str = "77";
const KEPT: &str = "healthy-kept";

/// A repository with an entry, to which a job comes again and again.
pub struct Healthy<'a> {
    server: &'a Server,
    /// Keeps its connection from round to round.
    steady: Client,
    rounds: u64,
    /// The longest that a step took.
    pub slowest: Duration,
}

impl<'a> Healthy<'a> {
    /// Saves the entry that is restored from then on.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub async fn new(server: &'a Server) -> anyhow::Result<Self> {
        let steady = Client::new(server, REPOSITORY, PATIENCE);
        steady.save(KEPT, content(0, SAVED_BYTES)).await?;
        Ok(Self { server, steady, rounds: 0, slowest: Duration::ZERO })
    }

    /// Looks up and restores what was saved, and saves more; on a connection of its own, every other time on the one that it keeps.
    ///
    /// # Errors
    /// When a step fails or takes too long.
    pub async fn round(&mut self) -> anyhow::Result<()> {
        self.rounds += 1;
        let number = self.rounds;
        let fresh = Client::new(self.server, REPOSITORY, PATIENCE);
        let client = if number.is_multiple_of(2) { &self.steady } else { &fresh };
        let mut slowest = self.slowest;
        let begun = Instant::now();
        ensure!(client.lookup(KEPT, &[]).await?.is_some(), "the entry is not found");
        slowest = slowest.max(begun.elapsed());
        let key = format!("healthy-{number}");
        let begun = Instant::now();
        client.save(&key, content(number, SAVED_BYTES)).await?;
        slowest = slowest.max(begun.elapsed());
        for (key, seed) in [(KEPT, 0), (&key, number)] {
            let begun = Instant::now();
            ensure!(client.restore(key).await? == content(seed, SAVED_BYTES), "{key} has other bytes");
            slowest = slowest.max(begun.elapsed());
        }
        self.slowest = slowest;
        Ok(())
    }

    /// Goes on for so long, and at least so many rounds. Returns how many there were.
    ///
    /// # Errors
    /// At the first step that fails.
    pub async fn rounds(&mut self, wait: Duration, least: usize) -> anyhow::Result<usize> {
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < wait || count < least {
            self.round().await?;
            count += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(count)
    }
}
