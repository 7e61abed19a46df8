//! A number that instances share, without locks: the name of the one file in a folder.
//!
//! It changes by renaming that file to a name that was never there: of concurrent changes one
//! succeeds, and the others repeat with the number that they find then.

use crate::directory::{self, ATTEMPTS, Directory, FileError, Renamed, Result};

/// How often an empty listing is repeated before it counts: one beside a rename may be empty.
const LISTINGS: usize = 4;

/// A shared number.
pub(crate) struct Register<'a, D> {
    directory: &'a D,
    folder: &'static str,
    random: fn() -> u64,
}

/// The number as it was read: who replaces it needs it.
pub(crate) struct Reading {
    pub(crate) number: u64,
    name: String,
}

impl<'a, D: Directory> Register<'a, D> {
    pub(crate) fn new(directory: &'a D, folder: &'static str, random: fn() -> u64) -> Self {
        Self { directory, folder, random }
    }

    /// Returns the number, or `None` if there is none yet.
    pub(crate) async fn read(&self) -> Result<Option<Reading>> {
        for _ in 0..LISTINGS {
            let parse = |name: String| {
                let number = u64::from_str_radix(name.split_once('.')?.0, 16).ok()?;
                Some(Reading { number, name })
            };
            let found = self.directory.list(self.folder).await?.into_iter().find_map(parse);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Makes the number, unless somebody else has.
    pub(crate) async fn begin(&self, number: u64) -> Result<()> {
        let private = format!("tmp/{:016x}", (self.random)());
        let file = format!("{private}/{}", self.name(number));
        directory::create(self.directory, &file, b"").await?;
        if self.directory.rename(&private, self.folder).await? != Renamed::Done {
            self.directory.unlink(&file).await?;
            self.directory.remove_folder(&private).await?;
        }
        Ok(())
    }

    /// Replaces the number that was read. Returns `false` if somebody else has since.
    pub(crate) async fn replace(&self, reading: &Reading, number: u64) -> Result<bool> {
        let (from, to) = (format!("{}/{}", self.folder, reading.name), self.name(number));
        Ok(self.directory.rename(&from, &format!("{}/{to}", self.folder)).await? == Renamed::Done)
    }

    /// Forgets the number.
    pub(crate) async fn clear(&self) -> Result<()> {
        for name in self.directory.list(self.folder).await? {
            self.directory.unlink(&format!("{}/{name}", self.folder)).await?;
        }
        Ok(())
    }

    /// Replaces the number by what `next` makes of it (`None` where there is none yet), and returns
    /// that.
    pub(crate) async fn update(&self, next: impl Fn(Option<u64>) -> u64) -> Result<u64> {
        for _ in 0..ATTEMPTS {
            match self.read().await? {
                Some(reading) => {
                    let number = next(Some(reading.number));
                    if self.replace(&reading, number).await? {
                        return Ok(number);
                    }
                }
                None => self.begin(next(None)).await?,
            }
        }
        Err(FileError::Failed(format!("{} changes all the time", self.folder)))
    }

    fn name(&self, number: u64) -> String {
        format!("{number:x}.{:016x}", (self.random)())
    }
}
