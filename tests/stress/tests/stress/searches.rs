//! One client's slow searches beside other clients' saves.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use larder_stress::{
    client::Client,
    server::{Server, Setup},
    siege::{Bounds, siege},
};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;
use tokio::task::JoinSet;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
const ROWS: usize = 200_000;
const SEARCHERS: usize = 64;
const SEED: &str = "seed-000000";

/// Copies an entry's row with many other keys. The older half has the prefix that is searched for
/// and the newer half does not, so a search for the newest one is longest from both ends.
fn multiply(database: &Path, rows: usize) {
    let mut connection = Connection::open(database).unwrap();
    let columns: Vec<String> = {
        let mut info = connection.prepare("SELECT name FROM pragma_table_info('entries')").unwrap();
        info.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let names = columns.join(", ");
    let seed: Vec<Value> = connection
        .query_row(&format!("SELECT {names} FROM entries"), [], |row| {
            (0..columns.len()).map(|column| row.get(column)).collect()
        })
        .unwrap();
    let places = vec!["?"; columns.len()].join(", ");
    let transaction = connection.transaction().unwrap();
    let mut insert =
        transaction.prepare(&format!("INSERT INTO entries ({names}) VALUES ({places})")).unwrap();
    for number in 1..rows {
        let prefix = if number < rows / 2 { "seed" } else { "other" };
        let key = format!("{prefix}-{number:06}");
        let row = columns.iter().zip(&seed).map(|(column, value)| match value {
            _ if column == "id" => Value::Null,
            Value::Blob(bytes) if bytes == SEED.as_bytes() => Value::Blob(key.clone().into_bytes()),
            Value::Text(text) if text == SEED => Value::Text(key.clone()),
            other => other.clone(),
        });
        insert.execute(rusqlite::params_from_iter(row)).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
}

/// Fault 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_prefix_searches_of_one_caller() {
    let folder = TempDir::new().unwrap();
    let setup = Setup { data: Some(folder.path().join("data")), ..Setup::default() };
    let mut first = Server::start(setup.clone());
    Client::new(&first, "666", RESPONSE_TIMEOUT).save(SEED, Bytes::from_static(b"seed")).await.unwrap();
    assert!(first.stop().await.success());
    multiply(&folder.path().join("data/larder.db"), ROWS);
    // The index's readers have a cache of 8 MiB each.
    siege("slow prefix searches", setup, Bounds::default(), async |server| {
        let mut searches = JoinSet::new();
        for number in 0..SEARCHERS {
            let client = Client::new(server, "666", RESPONSE_TIMEOUT);
            searches.spawn(async move {
                loop {
                    // Refused or found: the next one follows.
                    let _ =
                        client.lookup(&format!("absent-{number}"), &["seed-", "other-zz", "seed-09"]).await;
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        searches
    })
    .await;
}
