//! The protocol as one table of promises. They run natively against the policy with an in-memory
//! host, through the built component in the real server, through the service that other programs
//! mount, against a tenant among a hundred, and composed with a provider and an edge under a stock
//! `wasmtime serve`. With the feature `running-server` they also run against the server at `LARDER_TEST_URL`, which accepts tokens signed with
//! `LARDER_TEST_HS256_SECRET`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]

#[path = "protocol/append.rs"]
mod append;
#[path = "protocol/blobs.rs"]
mod blobs;
#[path = "protocol/calls.rs"]
mod calls;
#[path = "protocol/checklist.rs"]
mod checklist;
#[path = "protocol/downloads.rs"]
mod downloads;
#[path = "protocol/matching.rs"]
mod matching;
#[path = "protocol/session.rs"]
mod session;
#[path = "protocol/targets.rs"]
mod targets;
#[path = "protocol/version1.rs"]
mod version1;

/// Runs a promise against every target.
macro_rules! promises {
    ($($module:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        mod natively {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::native())).await;
            })+)+
        }
        mod through_the_component {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::server().await)).await;
            })+)+
        }
        mod through_the_service {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::mounted().await)).await;
            })+)+
        }
        mod as_one_of_many_tenants {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::tenant().await)).await;
            })+)+
        }
        mod under_wasmtime_serve {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::stock())).await;
            })+)+
        }
        mod under_wasmtime_serve_with_an_instance_for_each_request {
            $($(#[tokio::test] async fn $name() {
                let target = crate::targets::stock_with_fresh_instances();
                crate::$module::$name(&crate::session::Session::new(target)).await;
            })+)+
        }
        #[cfg(feature = "running-server")]
        mod against_a_running_server {
            $($(#[tokio::test] async fn $name() {
                crate::$module::$name(&crate::session::Session::new(crate::targets::running())).await;
            })+)+
        }
    };
}

promises! {
    calls:
        a_miss_is_200_with_ok_false,
        what_is_saved_is_found_in_json,
        what_is_saved_is_found_in_protobuf,
        a_key_that_exists_is_refused_with_409,
        of_many_who_create_at_once_one_gets_the_upload,
        a_retry_of_a_create_gets_the_same_upload_and_nobody_else_does,
        a_finalize_of_somebody_elses_upload_is_refused,
        finalize_is_idempotent_and_checks_the_size,
        bad_calls_are_400_in_json,
        unknown_calls_are_bad_routes_in_json,
        a_token_without_write_scope_is_refused_as_each_client_understands;
    blobs:
        the_order_comes_from_the_list_alone,
        a_listed_block_that_is_missing_is_refused_and_nothing_changes,
        all_three_tags_count_and_white_space_does_not,
        an_empty_blob_and_an_empty_list_are_entries,
        a_whole_blob_that_is_sent_again_replaces_the_first,
        a_list_that_is_sent_again_changes_nothing,
        bad_lists_and_block_ids_are_400_in_xml,
        urls_prove_themselves;
    downloads:
        ranges_are_answered_exactly,
        the_azure_range_wins,
        a_head_has_the_fields_of_a_get,
        conditions_are_kept,
        nothing_is_compressed_or_chunked;
    matching:
        exact_comes_before_prefix_and_the_newest_prefix_wins,
        own_scope_comes_before_better_match_in_another,
        scopes_and_repositories_are_isolated,
        keys_are_compared_byte_for_byte_but_for_their_case,
        versions_must_be_equal;
    version1:
        checklist_27_pieces_come_in_parallel_and_in_any_order,
        checklist_28_a_miss_is_204_and_what_exists_is_409_with_a_type_key,
        checklist_29_the_list_for_debugging_is_answered,
        checklist_36_denials_begin_with_the_words_that_clients_look_for,
        pieces_that_do_not_make_the_whole_are_refused,
        an_upload_is_of_its_repository_and_scope,
        a_list_of_keys_is_a_lookup_under_either_name,
        a_version_may_be_left_out,
        of_many_who_reserve_at_once_one_gets_the_upload,
        a_retry_of_a_reservation_has_a_number_of_its_own,
        it_is_found_behind_any_path;
    append:
        checklist_32_what_is_appended_is_the_content_sealed_or_not,
        an_append_that_is_sent_twice_is_refused_or_right;
    checklist:
        checklist_01_the_api_is_at_the_origins_root,
        checklist_02_every_status_of_a_call_has_a_json_body,
        checklist_03_protobuf_in_is_protobuf_out_with_exact_types,
        checklist_04_and_05_snake_case_out_any_case_in_and_ids_as_text,
        checklist_06_a_miss_is_ok_false_and_what_exists_is_409,
        checklist_07_the_matched_key_is_the_stored_one,
        checklist_09_and_10_a_blob_put_is_201_with_a_request_id,
        checklist_11_ids_of_every_clients_kind_and_order_from_the_list,
        checklist_12_all_three_tags_are_accepted,
        checklist_13_resent_blocks_replace,
        checklist_15_and_16_a_whole_blob_may_be_large_or_empty,
        checklist_17_and_37_an_upload_url_suits_every_client,
        checklist_18_and_35_signatures_stand_any_order_and_a_token,
        checklist_19_both_ranges_are_known_open_ended_too,
        checklist_20_downloads_have_a_length_and_no_encoding,
        checklist_21_head_and_get_have_an_etag,
        checklist_23_what_is_permanent_is_a_4xx,
        checklist_24_finalize_is_idempotent_and_checks_the_size,
        checklist_25_of_concurrent_creates_one_wins_and_a_retry_gets_the_same_upload,
        checklist_33_what_is_no_upstreams_is_answered_here,
        checklist_30_keys_and_versions_are_opaque,
        checklist_31_the_newest_with_a_prefix_wins_however_fast_they_come;
}
