//! The protocol, as one table of promises: run natively against the policy with a host in memory, through the built component
//! in the real server, and, with the feature `running-server`, against the server that `LARDER_TEST_URL` names, which takes
//! tokens signed with `LARDER_TEST_HS256_SECRET`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]

#[path = "protocol/blobs.rs"]
mod blobs;
#[path = "protocol/calls.rs"]
mod calls;
#[path = "protocol/downloads.rs"]
mod downloads;
#[path = "protocol/matching.rs"]
mod matching;
#[path = "protocol/session.rs"]
mod session;
#[path = "protocol/targets.rs"]
mod targets;

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
        a_reservation_is_given_again_to_its_owner_and_to_nobody_else,
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
        a_head_tells_what_a_get_would,
        conditions_are_kept,
        nothing_is_compressed_or_chunked;
    matching:
        exact_comes_before_prefix_and_the_newest_prefix_wins,
        own_scope_comes_before_better_match_in_another,
        scopes_and_repositories_are_isolated,
        keys_are_compared_byte_for_byte,
        versions_must_be_equal;
}
