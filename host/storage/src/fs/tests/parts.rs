//! The modules that need no storage.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    sync::Arc,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::Temporary;
use crate::{
    BlockId, StorageError, UploadName,
    conformance::{pattern, whole},
    extents::Extent,
    fs::{
        budget::Budget,
        errors,
        journal::{self, CommitRecord},
        layout::{Kind, ObjectPath, upload_of},
        sys, writer,
    },
};

/// A device that is always full.
struct Full(Arc<File>);

impl writer::WriteTarget for Full {
    fn file(&self) -> Result<Arc<File>, StorageError> {
        Ok(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_full_disk_is_no_space() {
    let full = Arc::new(Full(Arc::new(File::options().write(true).open("/dev/full").unwrap())));
    let (fixture, budget) = (Temporary::new(), Budget::new(1 << 20));
    let disk = &fixture.fs().disk;
    for length in [1, 65_536, 65_537, 5_000_000] {
        let mut claim = disk.claim(Some(length as u64)).await.unwrap();
        let source = whole(&pattern(length, 1));
        let result = writer::write(disk, &full, 0, source, &budget.transfer(), &mut claim).await;
        assert!(matches!(result, Err(StorageError::NoSpace)), "{result:?}");
    }
    assert_eq!(budget.held_bytes(), 0);
}

#[test]
fn quotas_are_no_space_and_other_errors_are_not() {
    for code in [28, 122] {
        assert!(matches!(errors::failed("x")(io::Error::from_raw_os_error(code)), StorageError::NoSpace));
    }
    for code in [5, 13, 24, 30] {
        let error = errors::failed("x")(io::Error::from_raw_os_error(code));
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    }
}

#[test]
fn many_tiny_chunks_are_written_in_order() {
    let mut file = tempfile::tempfile().unwrap();
    let bytes = pattern(5000, 1);
    let chunks: Vec<Bytes> = bytes.chunks(1).map(Bytes::copy_from_slice).collect();
    sys::write_all_at(&file, &chunks, 3).unwrap();
    let mut read = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut read).unwrap();
    assert_eq!(read, [&[0, 0, 0], &bytes[..]].concat());
}

#[test]
fn copies_are_exact_and_a_short_source_is_an_error() {
    let mut from = tempfile::tempfile().unwrap();
    let bytes = pattern(200_000, 1);
    from.write_all(&bytes).unwrap();
    let mut to = tempfile::tempfile().unwrap();
    sys::copy(&from, &to, 5, 200_000).unwrap();
    let mut read = Vec::new();
    to.rewind().unwrap();
    to.read_to_end(&mut read).unwrap();
    assert!(read == [&[0; 5], &bytes[..]].concat());
    assert!(sys::copy(&from, &to, 0, 200_001).is_err());
}

#[test]
fn only_our_names_are_paths() {
    let hex = "00112233445566778899aabbccddeeff";
    let path = ObjectPath::parse(&format!("s-{hex}")).unwrap();
    assert_eq!(path.as_str(), format!("00/s-{hex}"));
    assert_eq!((path.shard(), path.hex(), path.kind), ("00", hex, Kind::Segmented));
    assert_eq!(path.name().as_str(), format!("s-{hex}"));
    let random = "0123456789abcdef";
    let upload = UploadName::parse(hex).unwrap();
    let made = ObjectPath::parse(&format!("p-{hex}-{random}")).unwrap();
    assert_eq!((made.as_str(), made.kind), (&*format!("00/p-{hex}-{random}"), Kind::Plain));
    assert!(made.is_of(&upload) && !path.is_of(&upload));
    assert!(!made.is_of(&UploadName::parse("f".repeat(32)).unwrap()));
    for name in ["", "0", &random[1..], "0123456789abcdeF", "0123456789abcdef0"] {
        assert_eq!(ObjectPath::parse(&format!("p-{hex}-{name}")), None, "{name}");
    }
    let upper = format!("p-{}", hex.to_uppercase());
    let long = format!("p-{hex}0");
    for name in ["", "p", "p-", hex, "p-../../../../../../../etc/passwd", "ä-", &upper, &long, &long[..33]] {
        assert_eq!(ObjectPath::parse(name), None, "{name}");
    }
    assert_eq!(upload_of(&format!("{hex}.data")).unwrap().as_str(), hex);
    for file in [hex, "x.data", &format!("{hex}.spool-1"), &format!("{hex}.data.bak"), ".", ".."] {
        assert_eq!(upload_of(file), None, "{file}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_journal_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(journal::parse(&bytes, "boot"), None);
        let mut after = journal::opened("boot");
        let start = after.len() as u64;
        after.extend_from_slice(&bytes);
        let journal = journal::parse(&after, "boot").unwrap();
        prop_assert_eq!((journal.blocks.len(), journal.end), (0, start));
    }
}

#[test]
fn journals_say_what_was_written() {
    let blocks = [("a", 0, 5), ("b\0../", 5, 0), ("a", 5, u64::MAX - 5)];
    let mut bytes = journal::opened("boot");
    for (id, offset, length) in blocks {
        bytes.extend(journal::block(&BlockId::parse(id).unwrap(), Extent { offset, length }, None));
    }
    let commit = CommitRecord {
        object: ObjectPath::of_upload(Kind::Plain, &UploadName::parse("0".repeat(32)).unwrap()).unwrap(),
        size_bytes: 10,
        list: vec![2, 1, 1],
    };
    bytes.extend(journal::committed(&commit));
    let journal = journal::parse(&bytes, "boot").unwrap();
    let read: Vec<_> =
        journal.blocks.iter().map(|b| (b.id.as_str(), b.extent.offset, b.extent.length)).collect();
    assert_eq!(read, blocks);
    assert_eq!(journal.committed, Some(commit));
    assert_eq!(journal.end, bytes.len() as u64);
    assert_eq!(journal::parse(&bytes, "another boot"), None);
}
