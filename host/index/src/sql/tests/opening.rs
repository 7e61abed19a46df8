//! Opening a database.

use std::{sync::Barrier, thread};

use super::{Database, messages};
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
    let error = (database.open)(&database.url, super::LIMITS, KeyRule::AnyCase).err().expect("a refusal");
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
    let error = (database.open)(&url, limits, KeyRule::AnyCase).err().expect("a refusal");
    assert!(messages(&error).contains("cannot connect"), "{}", messages(&error));
    assert!(started.elapsed().as_secs() < 5);
}
