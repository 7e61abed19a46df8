//! Promises about digests: what is known of the bytes of an object.

use larder_storage::{Digest, sha256};

use super::{Case, attachment, facts::details, object};
use crate::{Durability, EntryId, Upload};

fn digest(text: &str) -> Digest {
    Digest::Whole(sha256(text.as_bytes()))
}

/// Of several blocks, and as long as it may be.
fn long_digest() -> Digest {
    let block = |number: u64| (u64::MAX - number % 2, Some([0xab; 32]));
    Digest::of_blocks((0..larder_storage::MAX_RUNS as u64).map(block)).unwrap()
}

async fn attach(case: &Case, upload: &Upload, known: Option<&Digest>) -> crate::Attachment {
    let content = attachment(1);
    case.index.attach(upload.id, &content, known, 1_000).await.unwrap();
    content
}

async fn finalize(case: &Case, upload: &Upload, content: &crate::Attachment) -> EntryId {
    let made = case.index.finalize(upload.id, content, &Durability::Durable, 1_000).await.unwrap();
    made.expect("the upload was there").id
}

pub(crate) async fn an_entry_has_the_digest_of_its_attachment(case: &Case) {
    for (key, known) in [("a", Some(digest("bytes"))), ("b", None), ("c", Some(long_digest()))] {
        let upload = case.reserve(&case.key(key), 1_000).await;
        let content = attach(case, &upload, known.as_ref()).await;
        let entry = finalize(case, &upload, &content).await;
        assert_eq!(details(case, entry).await.digest, known, "{key}");
    }
}

pub(crate) async fn another_attachment_has_another_digest(case: &Case) {
    for (key, known) in [("a", Some(digest("later"))), ("b", None)] {
        let upload = case.reserve(&case.key(key), 1_000).await;
        attach(case, &upload, Some(&digest("earlier"))).await;
        let content = attach(case, &upload, known.as_ref()).await;
        let entry = finalize(case, &upload, &content).await;
        assert_eq!(details(case, entry).await.digest, known, "{key}");
    }
}

pub(crate) async fn a_digest_is_recorded_for_the_object_that_it_is_of(case: &Case) {
    let entry = case.entry("k").await;
    let other = case.entry("other").await;
    let known = digest("bytes");
    assert!(!case.index.record_digest(entry.id, &object(), &known).await.unwrap(), "another object");
    assert_eq!(details(case, entry.id).await.digest, None);
    for _ in 0..2 {
        assert!(case.index.record_digest(entry.id, &entry.object, &known).await.unwrap());
        assert_eq!(details(case, entry.id).await.digest, Some(known.clone()));
    }
    assert_eq!(details(case, other.id).await.digest, None);
    case.index.delete_entry(entry.id, &super::DELETED).await.unwrap();
    assert!(!case.index.record_digest(entry.id, &entry.object, &known).await.unwrap(), "it is gone");
}
