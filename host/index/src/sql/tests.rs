//! Tests that are the same for both drivers, each in a new database on the server of the test run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(super) mod counted;
pub(super) mod departure;
pub(super) mod full;
pub(super) mod last_release;
pub(super) mod long_searches;
pub(super) mod opening;
pub(super) mod outage;
pub(super) mod prefix;
mod proxy;
pub(super) mod replicas;

use std::{sync::Arc, time::Duration};

use super::{ClientLimits, ConnectionSettings, OtherRule};
use crate::{Index, IndexError, KeyRule};

/// Few connections, so that callers wait for each other, and a timeout for a busy machine.
pub(super) const LIMITS: ClientLimits = ClientLimits { connections: 6, call: Duration::from_secs(60) };

/// Opens an index on a database.
type Open = fn(&str, ClientLimits, KeyRule, OtherRule) -> Result<Arc<dyn Index>, IndexError>;

/// A new database for one test.
pub(super) struct Database {
    pub(super) url: String,
    /// Opens an index on it.
    pub(super) open: Open,
    /// Runs statements on it.
    pub(super) execute: fn(&str, String),
    /// Makes reservations fail as they do on a full disk.
    pub(super) fill_the_disk: &'static [&'static str],
    /// Makes the tables and rows of the release before keys were compared in any case.
    pub(super) make_old: fn(&str),
    /// Makes the tables of so many migrations, with the same rows.
    pub(super) make_schema: fn(&str, usize),
    /// Number of migrations.
    pub(super) migrations: usize,
    /// Makes another database.
    pub(super) another: fn() -> Option<Database>,
    /// A reservation and a finalize as the release before tenants made them, for the key
    /// `by-the-release-before`.
    pub(super) of_release_before: &'static [&'static str],
    /// Locks the entries until the returned function is called.
    pub(super) hold_entries: fn(&str) -> Box<dyn FnOnce()>,
    /// Inserts entries.
    pub(super) fill: fn(&str, &Filling<'_>),
}

/// Entries to insert into the scope `main` and version `v`.
pub(super) struct Filling<'a> {
    pub(super) repository: &'a str,
    pub(super) count: u64,
    /// Prefix of the keys in the older half; the rest is the number in seven digits.
    pub(super) older: &'a str,
    pub(super) newer: &'a str,
}

impl Database {
    pub(super) fn open(&self) -> Arc<dyn Index> {
        self.open_for(KeyRule::AnyCase)
    }

    /// As a server with this setting starts.
    pub(super) fn try_open(&self, rule: KeyRule) -> Result<Arc<dyn Index>, IndexError> {
        (self.open)(&self.url, LIMITS, rule, OtherRule::Refuse)
    }

    pub(super) fn open_for(&self, rule: KeyRule) -> Arc<dyn Index> {
        self.try_open(rule).unwrap_or_else(|error| panic!("{}", messages(&error)))
    }

    /// The same, for a database of another rule.
    pub(super) fn rewrite_for(&self, rule: KeyRule) -> Arc<dyn Index> {
        let opened = (self.open)(&self.url, LIMITS, rule, OtherRule::Rewrite);
        opened.unwrap_or_else(|error| panic!("{}", messages(&error)))
    }

    pub(super) fn execute(&self, sql: &str) {
        (self.execute)(&self.url, sql.to_owned());
    }
}

/// Makes tests from the shared ones. The calling module has `new_database()`, which returns a
/// [`Database`], or `None` if there is no server.
macro_rules! shared {
    ($($module:ident { $($case:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                if let Some(database) = super::new_database() {
                    $crate::sql::tests::$module::$case(&database);
                }
            })*
        })*
    };
}
pub(super) use shared;

/// Makes tests from all shared ones.
macro_rules! all_shared {
    () => {
        $crate::sql::tests::shared! {
            opening {
                a_new_database_may_be_opened_concurrently
                data_survives_reopening
                a_database_of_a_newer_version_is_refused
                a_missing_server_is_an_error
                servers_that_compare_keys_differently_do_not_share_a_database
                of_servers_that_start_at_once_on_a_new_database_one_sets_the_rule
            }
            counted {
                the_server_counts_all_tenants
                the_cap_of_the_server_holds_for_all_tenants
                wrong_sums_are_found_and_made_right
                a_rewrite_counts_again
                sums_are_those_of_the_model
                the_cap_holds_for_all_replicas
            }
            departure {
                the_earliest_are_forgotten_but_not_what_may_be_stored
                an_entry_in_quarantine_keeps_its_slot_when_it_is_rewritten
                concurrent_deletions_are_recorded_once
            }
            full {
                a_full_disk_is_not_an_outage
            }
            last_release {
                is_brought_to_any_case
                is_unchanged_for_bytes
                can_be_changed_and_changed_back
                an_interrupted_rewrite_is_completed
                many_rows_are_rewritten_in_pages
                is_all_of_the_default_tenant
                without_facts_it_serves_all_that_it_has
                may_be_opened_concurrently
                statements_of_the_release_before_work_on
                of_each_tenant_the_newest_stays
            }
            long_searches {
                searches_never_have_all_connections
            }
            prefix {
                a_prefix_is_found_behind_many_newer_entries
                a_long_prefix_is_compared_to_its_end
            }
            replicas {
                never_both_reserve
                never_both_finalize
                a_touch_here_and_a_deletion_there_do_not_both_win
                runtimes_come_and_go
                an_abandoned_call_is_completed
            }
            outage {
                a_lost_connection_is_replaced
                a_server_that_hangs_is_an_error_in_time_and_works_when_it_wakes
                a_server_that_is_gone_is_an_error_and_works_when_it_is_back
                a_lost_response_is_an_error_and_the_change_stands
                a_reservation_whose_response_was_lost_is_found_again
            }
        }
    };
}
pub(super) use all_shared;

/// Runs the first statement on a new connection, and the last one when the returned function is
/// called.
pub(super) fn until_called<C: sqlx::Connection>(
    url: &str,
    [first, last]: [&'static str; 2],
) -> Box<dyn FnOnce()>
where
    for<'c> &'c mut C: sqlx::Executor<'c, Database = C::Database>,
{
    let url = url.to_owned();
    let (held, holds) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        run(async {
            let mut connection = C::connect(&url).await.unwrap();
            sqlx::raw_sql(first).execute(&mut connection).await.unwrap();
            held.send(()).unwrap();
            let _ = released.recv();
            sqlx::raw_sql(last).execute(&mut connection).await.unwrap();
        });
    });
    holds.recv().unwrap();
    Box::new(move || {
        drop(release);
        thread.join().unwrap();
    })
}

pub(super) fn server(url: &str) -> ConnectionSettings {
    ConnectionSettings { url: Some(url.to_owned()), ..ConnectionSettings::default() }
}

/// Returns the URL with another database.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (before, _) = url.rsplit_once('/').unwrap();
    format!("{before}/{database}")
}

/// Runs a future that needs timers and sockets.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns the messages of an error and its causes, the outermost first.
pub(super) fn messages(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", messages(source)),
        None => error.to_string(),
    }
}
