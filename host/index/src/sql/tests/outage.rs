//! The server hangs, stops and returns; responses are lost.

use std::time::{Duration, Instant};

use super::{
    ClientLimits, Database, LIMITS, OtherRule,
    proxy::{Mode, Proxy},
};
use crate::{
    KeyRule, Reservation, UploadId,
    conformance::{Case, block_on},
};

const CALL: Duration = Duration::from_secs(1);

/// The longest that a call bounded by [`CALL`] may take on a busy machine.
const IN_TIME: Duration = Duration::from_secs(5);

/// Opens an index behind a proxy and uses all its connections once.
fn behind_proxy(database: &Database) -> (Proxy, Case) {
    let proxy = Proxy::start(&database.url);
    drop(database.open());
    let (url, limits) = (proxy.url(&database.url), ClientLimits { call: CALL, ..LIMITS });
    let index = (database.open)(&url, limits, KeyRule::AnyCase, OtherRule::Refuse).unwrap();
    let case = Case::new(index);
    block_on(case.entry("k"));
    std::thread::scope(|scope| {
        for _ in 0..LIMITS.connections {
            scope.spawn(|| block_on(case.exact("k")));
        }
    });
    (proxy, case)
}

fn fails_in_time(case: &Case) {
    let started = Instant::now();
    block_on(async {
        let slot = case.key("new");
        assert!(case.index.find_upload(&slot).await.is_err());
        assert!(case.index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.is_err());
        assert!(case.index.touch_entries(&[crate::EntryUses::once(crate::EntryId(1), 1)]).await.is_err());
    });
    assert!(started.elapsed() < 3 * IN_TIME, "{:?}", started.elapsed());
}

fn works(case: &Case) {
    assert_eq!(block_on(case.exact("k")).as_deref(), Some("k"));
    // An attempt during the outage may have reserved it.
    let reserved =
        block_on(case.index.reserve(&case.key("new"), "o", &crate::NO_FACTS, crate::Trust::Full, 9, 9))
            .unwrap();
    assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
}

pub(in crate::sql) fn a_lost_connection_is_replaced(database: &Database) {
    let (proxy, case) = behind_proxy(database);
    for round in 0..3 {
        proxy.set(Mode::Down);
        // Retries until the proxy has closed all connections.
        std::thread::sleep(Duration::from_millis(100));
        proxy.set(Mode::Open);
        assert_eq!(block_on(case.exact("k")).as_deref(), Some("k"));
        block_on(case.entry(&round.to_string()));
    }
}

pub(in crate::sql) fn a_server_that_hangs_is_an_error_in_time_and_works_when_it_wakes(database: &Database) {
    let (proxy, case) = behind_proxy(database);
    proxy.set(Mode::Paused);
    fails_in_time(&case);
    // More callers than connections, so that some wait for one.
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 * LIMITS.connections {
            scope.spawn(|| assert!(block_on(case.index.get_entry(crate::EntryId(1))).is_err()));
        }
    });
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    proxy.set(Mode::Open);
    works(&case);
}

pub(in crate::sql) fn a_server_that_is_gone_is_an_error_and_works_when_it_is_back(database: &Database) {
    let (proxy, case) = behind_proxy(database);
    proxy.set(Mode::Down);
    fails_in_time(&case);
    proxy.set(Mode::Open);
    works(&case);
}

pub(in crate::sql) fn a_lost_response_is_an_error_and_the_change_stands(database: &Database) {
    let (proxy, case) = behind_proxy(database);
    let upload = block_on(case.reserve(&case.key("u"), 1));
    // The connection that is used next has prepared the statement.
    assert!(!block_on(case.index.renew(UploadId(u64::MAX), 1, 2)).unwrap());
    proxy.set(Mode::Deaf);
    // Whether another call was faster cannot be known.
    assert!(block_on(case.index.renew(upload.id, 1, 2)).is_err());
    proxy.set(Mode::Open);
    let direct = database.open();
    let created_ms = || block_on(direct.get_upload_by_id(upload.id)).unwrap().unwrap().created_ms;
    wait_until(|| created_ms() == 2);
}

pub(in crate::sql) fn a_reservation_whose_response_was_lost_is_found_again(database: &Database) {
    let (proxy, case) = behind_proxy(database);
    let slot = case.key("u");
    let direct = database.open();
    let reserved = std::thread::scope(|scope| {
        let reserving = scope
            .spawn(|| block_on(case.index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0)));
        // Cuts the connection repeatedly until the call succeeds.
        while !reserving.is_finished() {
            proxy.set(Mode::Down);
            std::thread::sleep(Duration::from_millis(1));
            proxy.set(Mode::Open);
            std::thread::sleep(Duration::from_millis(3));
        }
        reserving.join().unwrap()
    });
    let stored = block_on(direct.find_upload(&slot)).unwrap();
    match reserved {
        Ok(reserved) => assert_eq!(stored.map(Reservation::Reserved), Some(reserved)),
        // A second loss is an error.
        Err(_) => assert!(stored.is_none_or(|upload| upload.owner == "o")),
    }
}

/// Waits until the condition is true.
fn wait_until(so: impl Fn() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < IN_TIME, "not within {IN_TIME:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
