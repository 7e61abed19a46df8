//! A recount beside the first save in a new database.

use std::{thread, time::Duration};

use sqlx::{Connection as _, MySqlConnection, Row as _};

use super::{hold_entries, new_database, run};
use crate::{
    Area, Caps, Room,
    conformance::{Case, block_on},
};

/// Whether a call of the index waits for the table that the test holds.
async fn is_waiting(connection: &mut MySqlConnection) -> bool {
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
    sqlx::query(waiting).fetch_one(connection).await.unwrap().get::<i64, _>(0) > 0
}

/// While it counts, no sum changes, also where there is none yet.
#[test]
fn no_first_save_is_counted_during_a_recount() {
    let Some(database) = new_database() else { return };
    let case = Case::new(database.open());
    let upload = block_on(case.reserve(&case.key("k"), 1));
    let release = hold_entries(&database.url);
    thread::scope(|scope| {
        let recount = scope.spawn(|| block_on(case.index.recount()).unwrap());
        run(async {
            let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
            for _ in 0..3_000 {
                if is_waiting(&mut connection).await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the recount does not read the entries");
        });
        let save =
            scope.spawn(|| block_on(case.index.reserve_room(&upload.name, 7, &Caps::default())).unwrap());
        thread::sleep(Duration::from_millis(500));
        let is_early = save.is_finished();
        release();
        assert_eq!((recount.join().unwrap(), save.join().unwrap()), (0, Room::Reserved));
        assert!(!is_early, "it was counted between the rows and the sums");
    });
    assert_eq!(block_on(case.index.usage_of(&Area::Server)).unwrap(), 7);
    assert_eq!(block_on(case.index.recount()).unwrap(), 0);
}
