//! Conformance tests: one for each promise of [`Index`](super::Index), run on every driver.
//!
//! A driver's tests call [`conformance!`] with a function that opens its database. Cases and test
//! runs may share a database: each case uses its own repository and reads nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(super) mod access_keys {
    pub(crate) use super::catalogue::{
        access_keys_are_not_a_tenants, an_access_key_is_kept_until_it_is_removed,
        lists_and_counts_are_each_tenants_own,
    };
}
pub(super) mod trimmed_history {
    pub(crate) use super::history::{history_is_each_tenants_own, the_oldest_hours_are_forgotten};
}
pub(super) mod bytes;
pub(super) mod catalogue;
pub(super) mod change;
pub(super) mod departed;
pub(super) mod digests;
pub(super) mod facts;
pub(super) mod history;
pub(super) mod keys;
pub(super) mod ledger;
pub(super) mod list;
pub(super) mod lookup;
pub(super) mod quarantine;
pub(super) mod race;
pub(super) mod refusals;
pub(super) mod sums;
pub(super) mod tenants;
pub(super) mod upload;
pub(super) mod whole_tenant;
pub(super) mod within;

use std::sync::Arc;

use larder_common::TenantName;
use larder_storage::ObjectName;

use super::{
    AttachOutcome, Attachment, Cause, Departure, Durability, Entry, EntryId, Index, MatchKind, Probe,
    Reservation, Slot, Upload, fresh_upload_name,
};

/// Makes a `#[test]` for each promise. `$open` returns something that derefs to a [`Case`] and
/// keeps its database alive, or `None` if there is no server; `$open_bytes` returns the same for
/// keys that are compared byte for byte. `$open_tenant` and `$open_tenant_bytes` return the same with
/// the index of a tenant ([`Case::of_a_tenant`]).
macro_rules! conformance {
    ($open:path, $open_bytes:path; $open_tenant:path, $open_tenant_bytes:path) => {
        $crate::conformance::promises!($open, $open_bytes);
        mod of_a_tenant {
            $crate::conformance::promises!($open_tenant, $open_tenant_bytes);
        }
        $crate::conformance::cases! { $open;
            access_keys {
                an_access_key_is_kept_until_it_is_removed
                access_keys_are_not_a_tenants
                lists_and_counts_are_each_tenants_own
            }
            tenants {
                a_slot_is_free_in_each_tenant
                nothing_of_another_tenant_is_found
                an_entry_of_an_upload_is_not_found_by_another_tenant
                nothing_of_another_tenant_is_changed
                a_batch_with_rows_of_several_tenants_changes_ones_own
                an_idle_upload_of_another_tenant_is_not_displaced
                tenants_with_similar_names_are_different
                lists_show_what_is_ones_own_from_any_number
                secrets_are_each_tenants_own
                the_index_of_a_tenant_returns_that_of_no_other
                a_tenant_is_forgotten_once_it_has_no_rows
                the_oldest_names_of_repositories_are_forgotten
                the_default_tenant_is_not_forgotten
                tenants_are_listed_while_they_have_something
            }
            sums {
                each_tenant_counts_its_own
                orphans_are_counted_for_the_tenant
            }
            trimmed_history {
                the_oldest_hours_are_forgotten
                history_is_each_tenants_own
            }
            whole_tenant {
                the_departed_are_each_tenants_own
                entries_of_all_repositories_are_listed_by_their_last_use
                the_earliest_departed_are_forgotten_once_nothing_is_stored
            }
        }
    };
}
pub(super) use conformance;

/// Makes the tests for [`conformance!`] that are the same for each tenant.
macro_rules! promises {
    ($open:path, $open_bytes:path) => {
        $crate::conformance::cases! { $open_bytes;
            bytes {
                keys_are_case_sensitive
                slots_that_differ_in_one_part_are_different
            }
        }
        $crate::conformance::cases! { $open;
            catalogue {
                entries_are_scanned_in_each_order_both_ways
                a_scan_starts_behind_any_place
                a_key_is_found_in_any_repository
                long_keys_are_found_in_any_repository
                entries_are_counted
                a_list_is_what_the_filter_selects_in_order
                connections_are_known_where_there_are_any
            }
            history {
                batches_add_up
                a_batch_of_history_that_is_repeated_counts_once
                sums_are_by_hour_repository_or_name
                history_has_texts_of_any_kind
            }
            refusals {
                a_refusal_is_found_by_any_of_its_marks
                refusals_are_forgotten_after_a_day
            }
            lookup {
                finds_the_entry_with_exactly_this_key
                finds_no_entry_in_another_repository_scope_or_version
                finds_nothing_without_probes
                the_first_probe_with_a_match_wins
                a_prefix_finds_the_entry_made_last_also_within_one_millisecond
                a_prefix_ignores_the_last_use
                an_entry_that_was_made_again_is_the_newest
                a_prefix_matches_the_whole_key_too
                an_empty_prefix_finds_the_newest_of_the_scope
                wildcards_are_literal
                keys_with_nul_bytes_are_whole
                keys_in_any_script_are_whole
                unicode_forms_are_not_unified
                the_end_of_a_prefix_range_is_where_the_prefix_ends
                trailing_spaces_count
                long_keys_are_told_apart_at_their_ends
                a_skipped_entry_is_absent_for_its_key
                a_skipped_entry_is_absent_for_a_prefix
                a_thousand_probes_and_a_thousand_skipped_are_a_search
                skipping_all_with_a_prefix_goes_on_to_the_next_probe
                a_prefix_among_many_others_is_found_from_either_side
                an_entry_is_returned_by_number
            }
            keys {
                keys_match_in_any_case_and_keep_their_own
                a_prefix_matches_in_any_case
                the_newest_with_a_prefix_is_found_whatever_its_case
                only_letters_of_ascii_have_a_case
                a_slot_is_reserved_in_any_case
                an_upload_is_found_in_any_case_and_becomes_an_entry_of_its_own
                long_keys_match_in_any_case
                scopes_versions_and_repositories_are_case_sensitive
            }
            upload {
                reserving_a_free_slot_makes_an_upload
                a_name_is_never_given_twice
                a_slot_with_an_entry_is_not_reserved
                a_slot_with_an_upload_is_not_reserved
                an_idle_upload_is_displaced
                activity_keeps_an_upload_from_being_displaced
                an_upload_from_the_future_is_displaced
                a_last_activity_from_the_future_is_replaced
                an_upload_is_no_entry
                an_untouched_upload_is_renewed
                attaching_replaces_and_names_the_other_object
                attaching_the_same_object_again_names_none
                attaching_to_a_missing_upload_is_gone
                attaching_notes_the_activity_which_never_goes_back
                finalizing_turns_the_upload_into_the_entry
                finalizing_twice_makes_one_entry
                an_entry_is_found_by_the_number_of_its_upload
                finalizing_without_the_attachment_changes_nothing
                finalizing_a_missing_upload_is_none
                entry_numbers_grow_and_are_never_used_again
                abandoning_frees_the_slot_once
                abandoning_idle_spares_an_active_upload
                touching_uploads_never_goes_back
                the_largest_numbers_are_no_error
            }
            change {
                deleting_an_entry_frees_the_slot_once
                an_entry_that_was_used_meanwhile_is_not_deleted_as_unused
                touching_entries_never_goes_back
                touching_an_entry_tells_whether_it_is_there
                a_last_use_from_the_future_is_capped
                touching_deleted_rows_is_harmless
                a_secret_is_the_first_that_was_stored
                secrets_may_be_any_bytes
            }
            departed {
                a_deletion_is_recorded_with_all_that_was_known
                each_cause_is_kept
                what_is_not_deleted_has_not_departed
                the_departed_are_found_by_key_in_any_place_the_latest_first
                long_texts_of_the_departed_are_told_apart
                a_departed_key_with_any_bytes_is_whole
            }
            quarantine {
                an_entry_in_quarantine_is_not_found_until_it_is_released
                what_is_in_quarantine_already_is_not_changed_again
                an_entry_in_quarantine_keeps_its_slot_and_can_be_deleted
                a_prefix_is_found_behind_many_in_quarantine
                an_entry_in_quarantine_is_in_every_list
            }
            within {
                entries_are_listed_by_their_last_use
                entries_are_listed_with_their_details
                long_scopes_are_told_apart
                a_key_is_found_in_any_place
                keys_with_a_prefix_are_found_in_any_place
                uploads_of_a_key_are_found_in_any_place
                uploads_of_a_scope_are_listed_in_pages
                what_somebody_saved_is_found_in_pages
            }
            facts {
                an_entry_has_the_facts_of_its_reservation
                who_displaces_an_upload_brings_new_facts
                no_facts_are_not_unknown_facts
                facts_are_whole_whatever_their_values
                details_are_those_of_entries_that_exist_in_order
                uses_add_up
                a_batch_that_is_repeated_counts_once
                an_entry_that_is_made_again_was_never_used
                of_the_names_of_a_repository_the_latest_counts
                repositories_are_found_by_their_name_in_any_case
                names_that_are_too_long_are_ignored
            }
            digests {
                an_entry_has_the_digest_of_its_attachment
                another_attachment_has_another_digest
                a_digest_is_recorded_for_the_object_that_it_is_of
            }
            list {
                entries_are_listed_by_number_in_pages
                deleting_while_paging_skips_no_entry
                uploads_are_listed_by_number_in_pages
                a_limit_of_zero_lists_nothing
                volatile_entries_are_listed_by_boot
                entries_marked_durable_are_not_volatile
                references_are_those_of_entries_and_uploads
                a_reference_is_never_missed_while_it_moves
                existing_uploads_are_those_that_exist
            }
            ledger {
                room_that_is_reserved_is_counted
                what_does_not_fit_changes_nothing
                an_entry_is_counted_by_its_size
                what_was_reserved_beyond_an_entry_leaves
                an_abandoned_upload_is_counted_until_it_has_left
                an_upload_that_reserved_nothing_leaves_nothing
                a_displaced_upload_is_counted_until_it_has_left
                an_object_that_is_replaced_is_counted_until_it_has_left
                an_object_that_is_attached_again_does_not_leave
                a_deleted_entry_is_counted_until_its_object_has_left
                what_leaves_is_listed_in_pages
                parts_are_listed_by_their_bytes
                a_scope_in_which_nothing_is_left_is_not_listed
                the_largest_reservations_are_no_error
                concurrent_reservations_stay_within_the_cap
            }
            race {
                concurrent_reservations_have_one_winner
                concurrent_displacements_have_one_winner
                concurrent_renewals_have_one_winner
                concurrent_finalizes_make_one_entry
                concurrent_secrets_are_the_same
                a_touch_and_a_deletion_of_the_unused_do_not_both_win
            }
        }
    };
}
pub(super) use promises;

/// Makes the tests for [`conformance!`].
macro_rules! cases {
    ($open:path; $($module:ident { $($case:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                let Some(opened) = $open() else { return };
                $crate::conformance::block_on(
                    $crate::conformance::$module::$case(&opened),
                );
            })*
        })*
    };
}
pub(super) use cases;

/// Runs a case or one of its threads to completion.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// An index, and the repository of one case in it.
pub(super) struct Case {
    /// May be shared with other cases.
    pub(super) index: Arc<dyn Index>,
    /// Used by this case only.
    pub(super) repository: String,
}

impl Case {
    pub(super) fn new(index: Arc<dyn Index>) -> Self {
        Self { index, repository: unique("repository") }
    }

    /// The same, in the index of a tenant of its own.
    pub(super) fn of_a_tenant(self) -> Self {
        let tenant = TenantName::parse(&unique("t")).unwrap();
        Self { index: self.index.tenant(&tenant).unwrap(), ..self }
    }

    pub(super) fn slot(&self, scope: &str, version: &str, key: &str) -> Slot {
        Slot {
            repository: self.repository.clone(),
            scope: scope.to_owned(),
            version: version.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Returns the slot of a key in the scope `main` and version `v`.
    pub(super) fn key(&self, key: &str) -> Slot {
        self.slot("main", "v", key)
    }

    /// Reserves a free slot.
    pub(super) async fn reserve(&self, slot: &Slot, now_ms: u64) -> Upload {
        match self
            .index
            .reserve(slot, "owner", &crate::NO_FACTS, crate::Trust::Full, now_ms, 0)
            .await
            .unwrap()
        {
            Reservation::Reserved(upload) => upload,
            other => panic!("the slot was taken: {other:?}"),
        }
    }

    /// Makes an entry in a free slot.
    pub(super) async fn entry_at(&self, slot: &Slot, durability: &Durability, now_ms: u64) -> Entry {
        let upload = self.reserve(slot, now_ms).await;
        let attachment = attachment(1);
        let attached = self.index.attach(upload.id, &attachment, None, now_ms).await;
        assert_eq!(attached.unwrap(), AttachOutcome::Attached(None));
        let made = self.index.finalize(upload.id, &attachment, durability, now_ms).await;
        made.unwrap().expect("the upload was there")
    }

    /// Makes an entry with this key.
    pub(super) async fn entry(&self, key: &str) -> Entry {
        self.entry_at(&self.key(key), &Durability::Durable, 1_000).await
    }

    /// Searches version `v` and returns the key found.
    pub(super) async fn find(&self, probes: &[Probe], skip: &[EntryId]) -> Option<String> {
        let found = self.index.find(&self.repository, "v", probes, skip).await;
        found.unwrap().map(|entry| entry.slot.key)
    }

    /// Returns the key of the entry with exactly this key.
    pub(super) async fn exact(&self, key: &str) -> Option<String> {
        self.find(&[exact(key)], &[]).await
    }

    /// Returns the key of the newest entry with this prefix.
    pub(super) async fn prefix(&self, key: &str) -> Option<String> {
        self.find(&[prefix(key)], &[]).await
    }
}

pub(super) fn exact(key: &str) -> Probe {
    probe("main", key, MatchKind::Exact)
}

pub(super) fn prefix(key: &str) -> Probe {
    probe("main", key, MatchKind::Prefix)
}

pub(super) fn probe(scope: &str, key: &str, kind: MatchKind) -> Probe {
    Probe { scope: scope.to_owned(), key: key.to_owned(), kind }
}

/// Why entries are deleted where that does not matter.
pub(crate) const DELETED: Departure = Departure { cause: Cause::Manual, at_ms: 9_000 };

/// Returns a text that no other case uses.
pub(super) fn unique(what: &str) -> String {
    format!("{what}-{}", fresh_upload_name().unwrap())
}

/// Returns the name of an object that no other case uses.
pub(super) fn object() -> ObjectName {
    ObjectName::parse(unique("object")).unwrap()
}

/// Returns an attachment with a new object of this size.
pub(super) fn attachment(size_bytes: u64) -> Attachment {
    Attachment { object: object(), size_bytes }
}
