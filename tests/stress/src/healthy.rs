//! The healthy client, which must not notice the attack.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

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
        let (client, whose) = if number.is_multiple_of(2) { (&self.steady, "kept") } else { (&fresh, "new") };
        let slowest = steps(client, number).await;
        self.slowest =
            self.slowest.max(slowest.with_context(|| format!("round {number}, on a {whose} connection"))?);
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

/// The steps of a round. Returns the longest duration of one.
async fn steps(client: &Client, number: u64) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    ensure!(client.lookup(KEPT, &[]).await.context("the look-up")?.is_some(), "the entry is not found");
    slowest = slowest.max(begun.elapsed());
    let key = format!("healthy-{number}");
    let begun = Instant::now();
    client.save(&key, content(number, SAVED_BYTES)).await.context("the save")?;
    slowest = slowest.max(begun.elapsed());
    for (key, seed) in [(KEPT, 0), (&key, number)] {
        let begun = Instant::now();
        let restored = client.restore(key).await.with_context(|| format!("the restore of {key}"))?;
        ensure!(restored == content(seed, SAVED_BYTES), "{key} has other bytes");
        slowest = slowest.max(begun.elapsed());
    }
    Ok(slowest)
}
