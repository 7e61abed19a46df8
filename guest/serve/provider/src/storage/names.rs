//! Names of objects and of staged files, and where they are.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Longest id of a block in bytes.
const MAX_ID_BYTES: usize = 256;
/// Longest id that is part of its file's name, in bytes. A longer one has a file of its own.
const MAX_NAMED_ID_BYTES: usize = 120;
/// Begins the digest that stands for a longer id. Not in the alphabet of the others.
const DIGEST: char = '~';

/// The list of an upload that was committed or discarded.
pub(crate) const LIST: &str = "list";
/// Marks a committed upload whose blocks are not listed any more.
pub(crate) const DISCARDED: &str = "discarded";

/// An object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectName {
    /// One file.
    Whole { upload: String, size_bytes: u64 },
    /// The blocks of an upload.
    Blocks { upload: String, size_bytes: u64 },
}

impl ObjectName {
    /// Parses a name; `None` for one that this storage never makes.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        match *parts.as_slice() {
            [kind, upload, random, size] if is_upload(upload) && is_hex(random) && is_hex(size) => {
                let (upload, size_bytes) = (upload.to_owned(), u64::from_str_radix(size, 16).ok()?);
                match kind {
                    "p" => Some(Self::Whole { upload, size_bytes }),
                    "m" => Some(Self::Blocks { upload, size_bytes }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The name of a new object.
    pub(crate) fn make(&self, random: u32) -> String {
        match self {
            Self::Whole { upload, size_bytes } => format!("p-{upload}-{random:08x}-{size_bytes:x}"),
            Self::Blocks { upload, size_bytes } => format!("m-{upload}-{random:08x}-{size_bytes:x}"),
        }
    }

    /// The upload that it was made of.
    pub(crate) fn upload(&self) -> &str {
        match self {
            Self::Whole { upload, .. } | Self::Blocks { upload, .. } => upload,
        }
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Returns whether a text has the form of an upload's name.
pub(crate) fn is_upload(text: &str) -> bool {
    text.len() == 32 && is_hex(text)
}

/// The path of a whole object, or of the list of one that is made of blocks.
pub(crate) fn object_path(name: &str, parsed: &ObjectName) -> String {
    match parsed {
        ObjectName::Whole { upload, .. } => format!("objects/{}/{name}", &upload[..2]),
        ObjectName::Blocks { upload, .. } => format!("{}/{name}", blocks_folder(upload)),
    }
}

/// The folder of an upload's staged files.
pub(crate) fn blocks_folder(upload: &str) -> String {
    format!("blocks/{}/{upload}", &upload[..2])
}

/// A complete block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockFile {
    /// When it was complete, in microseconds since 1970: of two with one id the later counts.
    pub(crate) completed_us: u64,
    pub(crate) random: u32,
    pub(crate) size_bytes: u64,
    /// The id, as it is part of the name.
    pub(crate) id: String,
}

impl BlockFile {
    pub(crate) fn name(&self) -> String {
        let Self { completed_us, random, size_bytes, id } = self;
        format!("b.{completed_us:014x}.{random:08x}.{size_bytes:x}.{id}")
    }

    /// Parses a name; `None` for a file that is no block.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("b.")?.splitn(4, '.');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (completed_us, random, size_bytes) = (number()?, number()?, number()?);
        Some(Self {
            completed_us,
            random: u32::try_from(random).ok()?,
            size_bytes,
            id: parts.next()?.to_owned(),
        })
    }
}

/// An id of a block as part of a name; `None` for one that is empty or too long.
pub(crate) fn encode_id(id: &str) -> Option<String> {
    match id.len() {
        1..=MAX_NAMED_ID_BYTES => Some(URL_SAFE_NO_PAD.encode(id)),
        _ if (1..=MAX_ID_BYTES).contains(&id.len()) => {
            Some(format!("{DIGEST}{}", hex::encode(Sha256::digest(id))))
        }
        _ => None,
    }
}

/// The file that has the text of an id that is too long for a name.
pub(crate) fn id_file(encoded: &str) -> Option<String> {
    encoded.strip_prefix(DIGEST).map(|digest| format!("i.{digest}"))
}

/// The text of an id that is part of a name.
pub(crate) fn decode_id(encoded: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// The name of a body under way, which counts for this many bytes.
pub(crate) fn body_name(counted_bytes: u64, random: u64) -> String {
    format!("t.{counted_bytes:x}.{random:016x}")
}

/// For how many bytes a body under way counts; `None` for another file.
pub(crate) fn counted_of_body(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("t.")?.split_once('.')?.0, 16).ok()
}

/// For how many bytes a file in `objects/` or in an upload's folder counts. The list that is an
/// object of blocks counts for none.
pub(crate) fn counted_bytes(name: &str) -> u64 {
    let whole = match ObjectName::parse(name) {
        Some(ObjectName::Whole { size_bytes, .. }) => Some(size_bytes),
        Some(ObjectName::Blocks { .. }) | None => None,
    };
    let block = || BlockFile::parse(name).map(|block| block.size_bytes);
    whole.or_else(block).or_else(|| counted_of_body(name)).unwrap_or(0)
}
