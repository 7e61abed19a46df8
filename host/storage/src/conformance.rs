//! The promises of all drivers, one test each.
//!
//! A driver's tests use `storage_conformance!(fixture)`, where the expression makes a [`Fixture`]
//! with an empty storage; it is evaluated anew for each test. They use it again with [`OfATenant`] of
//! that fixture, and `tenants_conformance!(fixture)`. A new promise of the trait gets a
//! function here, and its name in the list at the end of this file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod content;
mod digests;
mod erase;
mod identity;
mod listing;
mod tenants;
mod uploads;

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;

pub(crate) use self::{content::*, digests::*, erase::*, identity::*, listing::*, tenants::*, uploads::*};
use super::{BlockId, Content, ObjectName, Source, Storage, StorageError, UploadName};
pub(crate) use crate::testing::{
    announced, broken, chunked, id, ids, new_upload, pattern, stuck, unannounced, whole,
};

/// What is done to the bytes of an object.
pub(crate) type Change = fn(&mut Vec<u8>);

/// A driver under test.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// The storage; empty at first.
    fn storage(&self) -> &dyn Storage;

    /// Restarts the process that has the storage open, as far as the storage can tell.
    async fn restart(&mut self);

    /// Removes the last byte of an object, without the storage.
    async fn cut_short(&self, object: &ObjectName) {
        self.change_below("", object, |bytes| {
            bytes.pop();
        })
        .await;
    }

    /// Changes a bit of an object, in the same way.
    async fn flip(&self, object: &ObjectName) {
        self.change_below("", object, |bytes| bytes[0] ^= 1).await;
    }

    /// Changes the stored bytes of an object, below a folder of the storage: empty, or with a slash at its
    /// end.
    async fn change_below(&self, folder: &str, object: &ObjectName, change: Change);
}

/// All failures of a body of 100,000 bytes.
pub(crate) fn failing_sources() -> Vec<Source> {
    let bytes = pattern(100_000, 99);
    vec![
        broken(Some(100_000), &bytes[..0]),
        broken(Some(100_000), &bytes[..70_000]),
        broken(Some(100_000), &bytes),
        broken(None, &bytes[..70_000]),
        announced(100_000, &bytes[..99_999]),
        announced(99_999, &bytes),
        announced(0, &bytes[..1]),
        announced(1, &bytes[..0]),
    ]
}

pub(crate) async fn read(content: Content) -> Result<Vec<u8>, StorageError> {
    let length = content.length;
    let chunks: Vec<Bytes> = content.chunks.try_collect().await?;
    let bytes = chunks.concat();
    assert_eq!(bytes.len() as u64, length, "content ends where it said");
    Ok(bytes)
}

pub(crate) async fn read_range(
    storage: &dyn Storage,
    object: &ObjectName,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Vec<u8> {
    read(storage.open(object, size_bytes, range).await.unwrap()).await.unwrap()
}

/// Checks an object's content, with all methods.
pub(crate) async fn assert_content(storage: &dyn Storage, object: &ObjectName, expected: &[u8]) {
    let size_bytes = expected.len() as u64;
    assert_eq!(storage.stat(object).await.unwrap(), size_bytes);
    let actual = read_range(storage, object, size_bytes, None).await;
    assert!(actual == expected, "the content differs");
}

pub(crate) async fn put_block(storage: &dyn Storage, upload: &UploadName, block: &str, bytes: &[u8]) {
    assert_eq!(storage.put_block(upload, &id(block), whole(bytes)).await.unwrap(), bytes.len() as u64);
}

/// Makes an object of blocks that are sent in reverse order, with unlisted ones in between.
pub(crate) async fn scattered_object(storage: &dyn Storage, blocks: &[&[u8]]) -> ObjectName {
    let upload = new_upload();
    for (number, bytes) in blocks.iter().enumerate().rev() {
        put_block(storage, &upload, &format!("unused-{number}"), b"not this").await;
        put_block(storage, &upload, &number.to_string(), bytes).await;
    }
    let list: Vec<BlockId> = (0..blocks.len()).map(|number| id(&number.to_string())).collect();
    storage.commit(&upload, &list).await.unwrap().object
}

/// Fails a test that hangs; not one that is slow, on a busy machine or with an emulator that
/// searches all its objects.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), future).await.expect("it hangs")
}

pub(crate) fn assert_invalid<T: std::fmt::Debug>(result: Result<T, StorageError>) {
    assert!(matches!(result, Err(StorageError::Invalid(_))), "{result:?}");
}

pub(crate) fn assert_not_found<T>(result: Result<T, StorageError>) {
    assert!(matches!(result, Err(StorageError::NotFound)), "{:?}", result.err());
}

/// Makes a test of every promise on tenants. The fixture is that of the tenant `default`.
macro_rules! tenants_conformance {
    ($fixture:expr) => {
        $crate::conformance::short_tenants_conformance!($fixture);
        $crate::conformance::storage_conformance!($fixture; a_cursor_of_another_tenant_shows_nothing_of_it);
    };
}
pub(crate) use tenants_conformance;

/// Makes the tests of [`tenants_conformance!`] that need few objects. Emulators that search all their
/// objects for each call take minutes for a thousand.
macro_rules! short_tenants_conformance {
    ($fixture:expr) => {
        $crate::conformance::storage_conformance!($fixture;
            nothing_of_another_tenant_is_found,
            nothing_of_another_tenant_is_changed,
            an_upload_of_one_name_is_one_of_each_tenant,
            removing_all_that_is_listed_leaves_other_tenants_alone,
            each_tenant_has_its_own_identity,
            the_storage_of_a_tenant_returns_that_of_no_other,
            handles_of_a_tenant_share_its_uploads,
            a_tenant_is_forgotten_once_it_has_nothing,
            a_tenant_that_never_had_anything_is_forgotten,
            the_default_tenant_is_not_forgotten,
        );
    };
}
pub(crate) use short_tenants_conformance;

/// Makes a test of every promise.
macro_rules! storage_conformance {
    ($fixture:expr) => {
        $crate::conformance::short_storage_conformance!($fixture);
        $crate::conformance::storage_conformance!($fixture;
            listing_shows_every_object_once,
            listing_goes_on_while_objects_are_removed,
        );
    };
    ($fixture:expr; $($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            use $crate::conformance;
            conformance::bounded(conformance::$promise($fixture)).await;
        }
    )*};
}
pub(crate) use storage_conformance;

/// Makes the tests of [`storage_conformance!`] that need few objects.
macro_rules! short_storage_conformance {
    ($fixture:expr) => {
        $crate::conformance::storage_conformance!($fixture;
            put_stores_what_came,
            put_of_a_failing_source_stores_nothing,
            put_makes_an_object_of_its_own_each_time,
            put_leaves_the_blocks_alone,
            concurrent_puts_do_not_mix,
            stat_and_open_of_what_is_not_there_are_not_found,
            open_with_another_size_is_not_found,
            open_outside_of_the_object_is_invalid,
            ranges_are_exact_at_all_borders,
            content_comes_in_order_however_large,
            removed_objects_are_not_found,
            remove_is_harmless_when_repeated,
            remove_under_a_reader_never_ends_the_content_early,
            objects_that_were_cut_short_are_not_found,
            flush_takes_whatever_it_is_given,
            objects_survive_a_restart,
            order_comes_only_from_the_list,
            ids_may_stand_in_the_list_more_than_once,
            blocks_that_are_not_listed_do_not_count,
            unknown_ids_are_invalid_and_change_nothing,
            too_many_ids_are_invalid,
            resent_blocks_replace,
            broken_bodies_do_not_count,
            bodies_over_their_limit_are_too_large_and_do_not_count,
            broken_bodies_do_not_replace,
            abandoned_bodies_do_not_count,
            blocks_of_unknown_length_are_staged,
            empty_blocks_are_blocks,
            empty_lists_make_empty_objects,
            ids_are_opaque,
            concurrent_blocks_do_not_mix,
            concurrent_bodies_of_one_id_do_not_mix,
            uploads_do_not_mix,
            blocks_after_the_commit_are_invalid,
            bodies_under_way_at_the_commit_do_not_count,
            bodies_under_way_at_the_discard_are_not_lost_in_silence,
            commit_again_returns_the_same_object,
            commit_again_with_another_list_is_invalid,
            concurrent_commits_return_one_object,
            many_small_blocks_commit,
            blocks_tells_what_is_complete_until_the_discard,
            discard_forgets_the_blocks,
            discard_keeps_what_was_committed,
            discard_is_harmless_where_there_is_nothing,
            listing_refuses_a_foreign_cursor,
            listing_shows_uploads_until_they_are_discarded,
            a_time_that_was_set_is_listed,
            an_identity_is_given_once_and_kept,
            erasing_removes_all_that_an_upload_left,
            erasing_keeps_the_object_that_is_kept,
            an_upload_takes_bytes_again_after_it_was_erased,
            objects_are_listed_with_their_sizes,
            an_object_has_the_digest_of_its_bytes,
            an_object_of_blocks_has_the_digest_of_their_list,
            what_was_not_asked_to_record_has_no_digest,
            a_bit_that_flips_is_found,
        );
    };
}
pub(crate) use short_storage_conformance;
