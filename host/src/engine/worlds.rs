//! The versions of the cache world that components are taken of.
//!
//! The newest is that of `wit/`; `wit/<version>/` keeps an earlier one as it was. What an earlier one imports is what
//! the newest one offers, or a part of it, with the same types: so its imports are linked under the newest names.
//! Exports whose types have changed since have types of their own (`interfaces/v0_5.rs`).

use std::{borrow::Cow, fmt};

use crate::inspect::{Inspection, NotAComponent};

/// What the names of the interfaces begin with.
const PACKAGE: &str = "larder:cache";

/// A version of the cache world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// Without `rules`: components of it cannot ask the operator's.
    V0_5,
    /// The newest.
    V0_6,
}

impl World {
    /// All, the oldest first.
    const ALL: [Self; 2] = [Self::V0_5, Self::V0_6];
    /// The oldest.
    pub(crate) const OLDEST: Self = Self::V0_5;
    /// That of `wit/`.
    pub(crate) const NEWEST: Self = Self::V0_6;

    const fn version(self) -> &'static str {
        match self {
            Self::V0_5 => "0.5.0",
            Self::V0_6 => "0.6.0",
        }
    }

    /// Returns the one that a component is made for.
    ///
    /// # Errors
    /// The version of one that is not taken. A component that names none is tried as one of the newest.
    pub(super) fn of(inspected: &Inspection) -> Result<Self, String> {
        let Some(version) = inspected.version_of(PACKAGE) else { return Ok(Self::NEWEST) };
        let known = Self::ALL.into_iter().find(|world| world.version() == version);
        known.ok_or_else(|| version.to_owned())
    }

    /// Returns the name of an interface in this version.
    pub(super) fn interface(self, name: &str) -> String {
        format!("{PACKAGE}/{name}@{self}")
    }

    /// Gives the imports of a component of this version their newest names.
    ///
    /// # Errors
    /// When the component is damaged.
    pub(super) fn with_newest_imports<'a>(self, component: &'a [u8]) -> Result<Cow<'a, [u8]>, NotAComponent> {
        if self == Self::NEWEST {
            return Ok(component.into());
        }
        let end = format!("@{self}");
        let mut renamed = component.to_owned();
        for name in Inspection::import_names(component)? {
            if name.starts_with(&format!("{PACKAGE}/")) && name.ends_with(&end) {
                let after = name.as_ptr().addr() - component.as_ptr().addr() + name.len();
                // In place: all versions are equally long.
                renamed[after - self.version().len()..after]
                    .copy_from_slice(Self::NEWEST.version().as_bytes());
            }
        }
        Ok(renamed.into())
    }
}

/// So that one can stand in the place of another.
const _: () = assert!(World::OLDEST.version().len() == World::NEWEST.version().len());

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version())
    }
}

#[cfg(test)]
mod tests;
