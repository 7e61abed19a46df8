//! Opening a database.

use std::{sync::Barrier, thread};

use super::{Database, OtherRule, messages};
use crate::{
    KeyRule,
    conformance::{Case, block_on},
};

pub(in crate::sql) fn a_new_database_may_be_opened_concurrently(database: &Database) {
    const MANY: usize = 16;
    let start = Barrier::new(MANY);
    thread::scope(|scope| {
        for _ in 0..MANY {
            scope.spawn(|| {
                start.wait();
                block_on(Case::new(database.open()).entry("k"));
            });
        }
    });
}

pub(in crate::sql) fn data_survives_reopening(database: &Database) {
    let case = Case::new(database.open());
    let (entry, upload) = block_on(async {
        let upload = case.reserve(&case.key("upload"), 1).await;
        (case.entry("k").await, upload)
    });
    drop(case);
    let index = database.open();
    block_on(async {
        assert_eq!(index.get_entry(entry.id).await.unwrap(), Some(entry));
        assert_eq!(index.get_upload(&upload.name).await.unwrap(), Some(upload));
    });
}

pub(in crate::sql) fn a_database_of_a_newer_version_is_refused(database: &Database) {
    drop(database.open());
    database.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, '1', 0)",
    );
    let error = database.try_open(KeyRule::AnyCase).err().expect("a refusal");
    let messages = messages(&error);
    assert!(messages.contains("newer version of larder"), "{messages}");
    assert!(messages.contains("99"), "{messages}");
}

pub(in crate::sql) fn a_missing_server_is_an_error(database: &Database) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (before, _) = database.url.split_once('@').unwrap();
    let url = format!("{before}@{closed}/larder");
    let limits = super::ClientLimits { call: std::time::Duration::from_millis(500), ..super::LIMITS };
    let started = std::time::Instant::now();
    let error = (database.open)(&url, limits, KeyRule::AnyCase, OtherRule::Refuse).err().expect("a refusal");
    assert!(messages(&error).contains("cannot connect"), "{}", messages(&error));
    assert!(started.elapsed().as_secs() < 5);
}

/// The server that is there first sets the rule. Another one is refused and changes nothing, until an
/// operator who has stopped all others lets it rewrite the rows.
pub(in crate::sql) fn servers_that_compare_keys_differently_do_not_share_a_database(database: &Database) {
    for (own, other, expected) in
        [(KeyRule::AnyCase, KeyRule::Bytes, "= false"), (KeyRule::Bytes, KeyRule::AnyCase, "= true")]
    {
        let case = Case::new(database.rewrite_for(own));
        block_on(case.entry("Linux-Deps"));
        let found = || block_on(case.exact("linux-deps"));
        let before = found();
        assert_eq!(before.is_some(), own == KeyRule::AnyCase);
        let refused = database.try_open(other).err().expect("a refusal");
        let messages = messages(&refused);
        assert!(messages.contains(&format!("database.case_sensitive_keys {expected}")), "{messages}");
        assert!(messages.contains("--rewrite-keys"), "{messages}");
        assert_eq!(found(), before);
        drop(database.open_for(own));
    }
}

pub(in crate::sql) fn of_servers_that_start_at_once_on_a_new_database_one_sets_the_rule(database: &Database) {
    const MANY: usize = 8;
    let start = Barrier::new(MANY);
    let opened: Vec<KeyRule> = thread::scope(|scope| {
        let servers: Vec<_> = (0..MANY)
            .map(|number| {
                let start = &start;
                scope.spawn(move || {
                    let rule = if number % 2 == 0 { KeyRule::AnyCase } else { KeyRule::Bytes };
                    start.wait();
                    database.try_open(rule).is_ok().then_some(rule)
                })
            })
            .collect();
        servers.into_iter().filter_map(|server| server.join().unwrap()).collect()
    });
    assert_eq!(opened.len(), MANY / 2, "{opened:?}");
    assert!(opened.iter().all(|rule| *rule == opened[0]), "{opened:?}");
}
