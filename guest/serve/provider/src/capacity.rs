//! The size cap: how many bytes are stored, among instances that share nothing but the directory.
//!
//! The sum is a [`Register`]. Bytes are counted before they are written and given back after they
//! are deleted, so a kill in between leaves the sum too high, never too low; the end of a sweep
//! counts again. Without a cap there is no sum.

use crate::{
    bindings::exports::larder::cache::storage::Error,
    directory::{ATTEMPTS, Directory, FileError},
    register::{Reading, Register},
    storage::{Outcome, names},
};

/// The folder of the sum.
const FOLDER: &str = "stored";

/// The cap, and the sum.
pub(crate) struct Capacity<D> {
    directory: D,
    max_bytes: Option<u64>,
    random: fn() -> u64,
}

impl<D: Directory> Capacity<D> {
    pub(crate) fn new(directory: D, max_bytes: Option<u64>, random: fn() -> u64) -> Self {
        Self { directory, max_bytes, random }
    }

    /// Prepares the sum: counts what is stored if there is none yet. Without a cap, forgets the sum,
    /// which would not be kept up.
    pub(crate) async fn prepare(&self) -> Outcome<()> {
        if self.max_bytes.is_some() {
            return self.sum().await.map(drop);
        }
        Ok(self.register().clear().await?)
    }

    /// Returns whether anything more may be stored.
    pub(crate) async fn has_room(&self) -> Outcome<bool> {
        let Some(max_bytes) = self.max_bytes else { return Ok(true) };
        Ok(self.sum().await?.number < max_bytes)
    }

    /// Fails if so many bytes more would be more than the cap.
    pub(crate) async fn check(&self, bytes: u64) -> Outcome<()> {
        let Some(max_bytes) = self.max_bytes else { return Ok(()) };
        let more = self.sum().await?.number.saturating_add(bytes);
        if more > max_bytes { Err(Error::NoSpace) } else { Ok(()) }
    }

    /// Counts bytes that are about to be written. Fails if there would be more than the cap.
    pub(crate) async fn take(&self, bytes: u64) -> Outcome<()> {
        let Some(max_bytes) = self.max_bytes else { return Ok(()) };
        for _ in 0..ATTEMPTS {
            let sum = self.sum().await?;
            let more = sum.number.saturating_add(bytes);
            if more > max_bytes {
                return Err(Error::NoSpace);
            }
            if self.replace(&sum, more).await? {
                return Ok(());
            }
        }
        Err(Error::Unavailable("too many bodies begin at once".to_owned()))
    }

    /// Counts bytes no more. If that fails they count until the next sweep.
    pub(crate) async fn give_back(&self, bytes: u64) {
        self.correct(bytes, 0).await;
    }

    /// Corrects what a body counts for, when its length is known.
    pub(crate) async fn correct(&self, counted: u64, bytes: u64) {
        if self.max_bytes.is_none() || counted == bytes {
            return;
        }
        for _ in 0..ATTEMPTS {
            let Ok(sum) = self.sum().await else { return };
            let corrected = sum.number.saturating_sub(counted).saturating_add(bytes);
            if !matches!(self.replace(&sum, corrected).await, Ok(false)) {
                return;
            }
        }
    }

    /// Counts again what is stored, and corrects the sum if nothing changed meanwhile.
    pub(crate) async fn recount(&self) -> Outcome<()> {
        if self.max_bytes.is_none() {
            return Ok(());
        }
        let sum = self.sum().await?;
        let counted = self.count().await?;
        if counted != sum.number {
            self.replace(&sum, counted).await?;
        }
        Ok(())
    }

    fn register(&self) -> Register<'_, D> {
        Register::new(&self.directory, FOLDER, self.random)
    }

    async fn replace(&self, sum: &Reading, bytes: u64) -> Outcome<bool> {
        Ok(self.register().replace(sum, bytes).await?)
    }

    async fn sum(&self) -> Outcome<Reading> {
        for _ in 0..ATTEMPTS {
            match self.register().read().await? {
                Some(sum) => return Ok(sum),
                None => self.register().begin(self.count().await?).await?,
            }
        }
        Err(FileError::Failed("the sum of stored bytes changes all the time".to_owned()).into())
    }

    /// The bytes of all objects, blocks and bodies under way, by their names.
    async fn count(&self) -> Outcome<u64> {
        let mut bytes = 0_u64;
        for folder in self.directory.list("objects").await? {
            for name in self.directory.list(&format!("objects/{folder}")).await? {
                bytes += names::counted_bytes(&name);
            }
        }
        for folder in self.directory.list("blocks").await? {
            for upload in self.directory.list(&format!("blocks/{folder}")).await? {
                for name in self.directory.list(&format!("blocks/{folder}/{upload}")).await? {
                    bytes += names::counted_bytes(&name);
                }
            }
        }
        Ok(bytes)
    }
}
