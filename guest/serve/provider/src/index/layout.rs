//! Where the index has its files.
//!
//! `slots/` has the truth: a folder for each slot, with at most one file (see `state`). All else
//! leads there, is written before the truth and deleted after it, and is checked against it:
//! `uploads/` and `entries/` find the slot of a number, `places/` the entries of a repository,
//! scope and version, newest first.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::bindings::exports::larder::cache::index::Slot;

/// How keys are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// ASCII letters match in any case, as in GitHub's service.
    #[default]
    AnyCase,
    /// Byte for byte.
    Bytes,
}

/// Longest key that is part of a name in `places/`, in bytes. The entry of a longer one is read.
const MAX_NAMED_KEY_BYTES: usize = 150;
/// Stands for a longer key.
const UNNAMED: &str = "~";

impl KeyRule {
    /// Returns the form in which a key, or a prefix of one, is compared.
    pub(super) fn compared(self, key: &str) -> String {
        match self {
            Self::AnyCase => key.to_ascii_lowercase(),
            Self::Bytes => key.to_owned(),
        }
    }

    /// The name that the directory stores.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AnyCase => "any-case",
            Self::Bytes => "bytes",
        }
    }

    /// The name of a slot: a digest.
    pub(super) fn slot_name(self, slot: &Slot) -> String {
        self.slot_name_of(&slot.repository, &slot.scope, &slot.version, &slot.key)
    }

    pub(super) fn slot_name_of(self, repository: &str, scope: &str, version: &str, key: &str) -> String {
        digest(&[repository, scope, version, &self.compared(key)])
    }
}

/// A digest of texts: 64 hexadecimal digits.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

/// The folder of a slot.
pub(super) fn slot_folder(name: &str) -> String {
    format!("slots/{}/{name}", &name[..2])
}

/// The folder in `places/` of a repository, scope and version.
pub(super) fn place_folder(repository: &str, scope: &str, version: &str) -> String {
    let name = digest(&[repository, scope, version]);
    format!("places/{}/{name}", &name[..2])
}

/// The file that finds the slot of an upload, or of the entry that it became.
pub(super) fn upload_pointer(id: u64) -> String {
    let name = format!("{id:08x}");
    format!("uploads/{}/{name}", &name[..2])
}

/// The number of an upload is the beginning of its name: 32 bits, because the policy has 20 more in
/// the numbers of protocol version 1. A number that is taken is not taken again.
pub(super) fn upload_id(name: &str) -> Option<u64> {
    let form = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_name = name.len() == 32 && name.bytes().all(form);
    is_name.then(|| u64::from_str_radix(&name[..8], 16).ok()).flatten().filter(|id| *id > 0)
}

/// The file that finds the slot of an entry. A folder has the entries of 72 minutes.
pub(super) fn entry_pointer(id: u64) -> String {
    format!("{}/{id:014x}", entry_folder(id))
}

/// The folder of an entry's pointer.
pub(super) fn entry_folder(id: u64) -> String {
    format!("entries/{:06x}", id >> 32)
}

/// The name of an entry in `places/`; it sorts by number. `key` is in the compared form.
pub(super) fn place_name(id: u64, key: &str) -> String {
    if key.len() > MAX_NAMED_KEY_BYTES {
        return format!("{id:014x}.{UNNAMED}");
    }
    format!("{id:014x}.{}", URL_SAFE_NO_PAD.encode(key))
}

/// A name in `places/`: the number, and the key in the compared form if it is part of the name.
pub(super) fn parse_place_name(name: &str) -> Option<(u64, Option<String>)> {
    let (id, key) = name.split_once('.')?;
    let id = u64::from_str_radix(id, 16).ok()?;
    if key == UNNAMED {
        return Some((id, None));
    }
    let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
    Some((id, Some(key)))
}
