//! The state of a slot, which is the name of the one file in its folder.
//!
//! Every change of a slot is one call: a rename of that file to a name that was never there before,
//! or its deletion. Both need the old name, so of concurrent changes one succeeds, and who acts on
//! an older state fails. The file's content is what never changes between reservation and deletion;
//! its time of modification is the last use.

use serde::{Deserialize, Serialize};

use crate::{
    bindings::exports::larder::cache::index::{Attachment, Entry, Slot, Upload},
    facts::Facts,
};

/// A state, as the file's name says it.
#[derive(Clone, Debug)]
pub(super) enum State {
    Upload { id: u64, created_ms: u64, revision: u64, attachment: Option<Attachment> },
    Entry { id: u64, created_ms: u64, attachment: Attachment },
}

/// The content of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) repository: String,
    pub(super) scope: String,
    pub(super) version: String,
    pub(super) key: String,
    pub(super) owner: String,
    /// The name of the upload, also when it has become an entry.
    pub(super) upload: String,
    /// What the saver's token says about its job; `None` in files that were written before there
    /// were facts. Nothing reads them yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) facts: Option<Facts>,
}

/// A slot that is not free.
#[derive(Clone, Debug)]
pub(super) struct Occupant {
    /// The slot's folder.
    pub(super) folder: String,
    pub(super) state: State,
    pub(super) origin: Origin,
    pub(super) modified_ms: u64,
}

/// Begins the name of an entry that a sweep is about to delete.
pub(super) const DYING: &str = "d.";

impl State {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Upload { id, created_ms, revision, attachment } => {
                let attached = attachment.as_ref().map(|a| format!(".{}.{:x}", a.object, a.size_bytes));
                format!("u.{id:08x}.{created_ms:x}.{revision:016x}{}", attached.unwrap_or_default())
            }
            Self::Entry { id, created_ms, attachment: Attachment { object, size_bytes } } => {
                format!("e.{id:014x}.{created_ms:x}.{object}.{size_bytes:x}")
            }
        }
    }

    /// Parses a name; `None` for one of another form.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        match *parts.as_slice() {
            ["u", id, created, revision] => Some(Self::Upload {
                id: number(id)?,
                created_ms: number(created)?,
                revision: number(revision)?,
                attachment: None,
            }),
            ["u", id, created, revision, object, size] => Some(Self::Upload {
                id: number(id)?,
                created_ms: number(created)?,
                revision: number(revision)?,
                attachment: Some(attachment(object, size)?),
            }),
            ["e", id, created, object, size] => Some(Self::Entry {
                id: number(id)?,
                created_ms: number(created)?,
                attachment: attachment(object, size)?,
            }),
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn attachment(object: &str, size: &str) -> Option<Attachment> {
    Some(Attachment { object: object.to_owned(), size_bytes: number(size)? })
}

impl Origin {
    fn slot(&self) -> Slot {
        Slot {
            repository: self.repository.clone(),
            scope: self.scope.clone(),
            version: self.version.clone(),
            key: self.key.clone(),
        }
    }
}

impl Occupant {
    /// The path of the file.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.folder, self.state.name())
    }

    /// Returns the entry, if it is one.
    pub(super) fn entry(&self) -> Option<Entry> {
        let State::Entry { id, created_ms, attachment } = &self.state else { return None };
        Some(Entry {
            id: *id,
            slot: self.origin.slot(),
            object: attachment.object.clone(),
            size_bytes: attachment.size_bytes,
            created_ms: *created_ms,
            last_used_ms: self.modified_ms.max(*created_ms),
            owner: Some(self.origin.owner.clone()),
        })
    }

    /// Returns the upload, if it is one. `activity_ms` is when bytes last arrived for it.
    pub(super) fn upload(&self, activity_ms: u64) -> Option<Upload> {
        let State::Upload { id, created_ms, revision: _, attachment } = &self.state else { return None };
        Some(Upload {
            id: *id,
            name: self.origin.upload.clone(),
            slot: self.origin.slot(),
            owner: self.origin.owner.clone(),
            created_ms: *created_ms,
            last_activity_ms: self.modified_ms.max(*created_ms).max(activity_ms),
            attachment: attachment.clone(),
        })
    }
}
