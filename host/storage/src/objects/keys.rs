//! The keys in the bucket. No other file knows their forms.
//!
//! | key | what |
//! |---|---|
//! | `identity` | the identity of the storage |
//! | `objects/<base>` | an object, or the data of a segmented one |
//! | `objects/<base>.s` | the manifest of a segmented object: the extents of its content |
//! | `objects/<base>.o` | marks data of a segmented object with another base |
//! | `uploads/<upload>/<session>-open` | an open session |
//! | `uploads/<upload>/<session>-m<number>` | a multipart upload of a session |
//! | `uploads/<upload>/<session>-r<time>` | a record of blocks |
//! | `uploads/<upload>/<session>-s<time>` | a spilled tail |
//! | `uploads/<upload>/plan` | the plan of the commit: from here on the upload is committed |
//! | `uploads/<upload>/plan-done` | the plan is done |
//!
//! Those of another tenant than `default` are in the folder `tenants/<tenant>/`, which `runtime` puts
//! before all of these.
//!
//! A *base* is the name of the upload and 16 random hexadecimal digits. The object's name is
//! `p-<base>` if its data is the content, `s-<base>` if it is segmented.

use crate::{ObjectName, StorageError, UploadName};

/// The identity of the storage.
pub(super) const IDENTITY: &str = "identity";
/// Prefix of objects.
pub(super) const OBJECTS: &str = "objects/";
/// Prefix of uploads.
pub(super) const UPLOADS: &str = "uploads/";

const RANDOM_DIGITS: usize = 16;
const UPLOAD_DIGITS: usize = 32;

/// Returns 16 random hexadecimal digits.
pub(super) fn random() -> Result<String, StorageError> {
    let mut bytes = [0_u8; RANDOM_DIGITS / 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| StorageError::unavailable("make a name", std::io::Error::from(error)))?;
    Ok(hex::encode(bytes))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of data in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Base(String);

impl Base {
    /// Makes a random one for an upload.
    pub(super) fn random(upload: &UploadName) -> Result<Self, StorageError> {
        Ok(Self(format!("{upload}-{}", random()?)))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (upload, random) = text.split_once('-')?;
        (is_hex(upload, UPLOAD_DIGITS) && is_hex(random, RANDOM_DIGITS)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn upload(&self) -> Option<UploadName> {
        UploadName::parse(self.0.get(..UPLOAD_DIGITS)?).ok()
    }

    pub(super) fn data(&self) -> String {
        format!("{OBJECTS}{}", self.0)
    }

    pub(super) fn manifest(&self) -> String {
        format!("{OBJECTS}{}.s", self.0)
    }

    pub(super) fn owned(&self) -> String {
        format!("{OBJECTS}{}.o", self.0)
    }
}

/// The kind of a key of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Data,
    Manifest,
    Owned,
}

/// Parses a key below [`OBJECTS`].
pub(super) fn parse_object_key(key: &str) -> Option<(Base, Role)> {
    let name = key.strip_prefix(OBJECTS)?;
    let (base, role) = match name.rsplit_once('.') {
        None => (name, Role::Data),
        Some((base, "s")) => (base, Role::Manifest),
        Some((base, "o")) => (base, Role::Owned),
        Some(_) => return None,
    };
    Some((Base::parse(base)?, role))
}

/// A parsed object name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Plain(Base),
    Segmented(Base),
}

impl Named {
    /// Parses a name; `None` if this driver did not make it.
    pub(super) fn parse(object: &ObjectName) -> Option<Self> {
        let (kind, base) = object.as_str().split_once('-')?;
        match kind {
            "p" => Some(Self::Plain(Base::parse(base)?)),
            "s" => Some(Self::Segmented(Base::parse(base)?)),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> Result<ObjectName, StorageError> {
        let text = match self {
            Self::Plain(base) => format!("p-{}", base.as_str()),
            Self::Segmented(base) => format!("s-{}", base.as_str()),
        };
        Ok(ObjectName::parse(text)?)
    }
}

/// Prefix of all keys of an upload.
pub(super) fn upload_prefix(upload: &UploadName) -> String {
    format!("{UPLOADS}{upload}/")
}

/// Prefix of the keys of an upload's multipart uploads.
pub(super) fn multipart_prefix(upload: &UploadName) -> String {
    format!("{OBJECTS}{upload}-")
}

/// Returns the upload of a key below [`UPLOADS`].
pub(super) fn upload_of(key: &str) -> Option<UploadName> {
    let (upload, _) = key.strip_prefix(UPLOADS)?.split_once('/')?;
    UploadName::parse(upload).ok()
}

/// The kind of a key of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UploadKey {
    Open { session: String },
    Multipart { session: String, number: u32 },
    Record { session: String, time: u64 },
    Spill,
    Plan,
    Done,
}

/// Returns the key of an open session.
pub(super) fn open_key(upload: &UploadName, session: &str) -> String {
    format!("{}{session}-open", upload_prefix(upload))
}

pub(super) fn multipart_key(upload: &UploadName, session: &str, number: u32) -> String {
    format!("{}{session}-m{number}", upload_prefix(upload))
}

pub(super) fn record_key(upload: &UploadName, session: &str, time: u64) -> String {
    format!("{}{session}-r{time:016x}", upload_prefix(upload))
}

pub(super) fn spill_key(upload: &UploadName, session: &str, time: u64) -> String {
    format!("{}{session}-s{time:016x}", upload_prefix(upload))
}

pub(super) fn plan_key(upload: &UploadName) -> String {
    format!("{}plan", upload_prefix(upload))
}

pub(super) fn done_key(upload: &UploadName) -> String {
    format!("{}plan-done", upload_prefix(upload))
}

/// Parses a key of an upload, without its prefix.
pub(super) fn parse_staged(name: &str) -> Option<UploadKey> {
    match name {
        "plan" => return Some(UploadKey::Plan),
        "plan-done" => return Some(UploadKey::Done),
        _ => {}
    }
    let (session, what) = name.split_once('-')?;
    if !is_hex(session, RANDOM_DIGITS) {
        return None;
    }
    let session = session.to_owned();
    if what == "open" {
        return Some(UploadKey::Open { session });
    }
    let (kind, number) = what.split_at_checked(1)?;
    match kind {
        "m" => Some(UploadKey::Multipart { session, number: number.parse().ok()? }),
        "r" => Some(UploadKey::Record { session, time: u64::from_str_radix(number, 16).ok()? }),
        "s" => Some(UploadKey::Spill),
        _ => None,
    }
}
