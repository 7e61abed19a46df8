//! Names of objects and uploads, and ids of blocks, checked when they are made.

use std::fmt;

/// The name of a stored object: 1 to 128 of `a-z`, `0-9` and `-`. Made by the driver, opaque to all
/// others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(pub(crate) String);

/// The name of an upload: 32 lower-case hexadecimal digits, made at random by the index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadName(pub(crate) String);

/// The id that a client gave a block. Opaque text of 1 to 256 bytes; never becomes part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub(crate) String);

/// A name or id of invalid form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {0}")]
pub struct InvalidName(pub &'static str);

impl ObjectName {
    /// Longest name in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Parses a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds anything but `a-z`, `0-9` and `-`.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let form = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(form) {
            Ok(Self(text))
        } else {
            Err(InvalidName("object name"))
        }
    }

    /// The upload that the object was made of, which the name contains after its first part. `None` for
    /// objects of releases that named them at random.
    #[must_use]
    pub fn upload(&self) -> Option<UploadName> {
        let (_, rest) = self.0.split_once('-')?;
        UploadName::parse(rest.split_once('-')?.0).ok()
    }
}

impl UploadName {
    /// Parses a name.
    ///
    /// # Errors
    /// When the text is not 32 lower-case hexadecimal digits.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let form = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(form) {
            Ok(Self(text))
        } else {
            Err(InvalidName("upload name"))
        }
    }
}

impl BlockId {
    /// Longest id in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Parses an id.
    ///
    /// # Errors
    /// When the text is empty or longer than [`Self::MAX_BYTES`].
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if (1..=Self::MAX_BYTES).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidName("block id"))
        }
    }
}

macro_rules! text_newtype {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text of it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text_newtype!(ObjectName, UploadName, BlockId);
