//! The healthy client, which must not notice the attack.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::{
    client::{Client, content},
    server::Server,
};

/// The longest wait for a response. It separates service from outage and is not a measure of speed.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const SAVED_BYTES: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(100);
const REPOSITORY: &str = "77";
const KEPT: &str = "healthy-kept";

/// A job that repeatedly uses one repository with an entry.
pub struct Healthy<'a> {
    server: &'a Server,
    /// Keeps its connection between rounds.
    steady: Client,
    rounds: u64,
    /// The longest duration of a step.
    pub slowest: Duration,
}

impl<'a> Healthy<'a> {
    /// Saves the entry that later rounds restore.
    ///
    /// # Errors
    /// If it cannot be saved.
    pub async fn new(server: &'a Server) -> anyhow::Result<Self> {
        let steady = Client::new(server, REPOSITORY, RESPONSE_TIMEOUT);
        steady.save(KEPT, content(0, SAVED_BYTES)).await?;
        Ok(Self { server, steady, rounds: 0, slowest: Duration::ZERO })
    }

    /// Looks up and restores the saved entry, and saves another; in turn on a new connection and on
    /// the kept one.
    ///
    /// # Errors
    /// If a step fails or takes too long.
    pub async fn round(&mut self) -> anyhow::Result<()> {
        self.rounds += 1;
        let number = self.rounds;
        let fresh = Client::new(self.server, REPOSITORY, RESPONSE_TIMEOUT);
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

    /// Runs for this duration and for at least this many rounds. Returns the number of rounds.
    ///
    /// # Errors
    /// If a step fails.
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
