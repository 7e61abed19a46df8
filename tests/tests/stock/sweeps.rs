//! Sweeps on request.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use larder_tests::{StockOptions, StockServer};
use serde_json::Value;

use super::{
    client::{Client, pattern},
    directory, with,
};

const TOKEN: &str = "a token for sweeps only";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sets the times of all files back, and those in the names of a slot's states.
fn age(folder: &Path, by: Duration) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, by);
        }
        std::fs::File::open(&path).unwrap().set_modified(SystemTime::now() - by).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut parts: Vec<_> = name.split('.').map(str::to_owned).collect();
        if path.is_file() && ["u", "e"].contains(&parts[0].as_str()) && parts.len() >= 4 {
            let created_ms = u64::from_str_radix(&parts[2], 16).unwrap();
            parts[2] = format!("{:x}", created_ms - u64::try_from(by.as_millis()).unwrap());
            std::fs::rename(&path, path.with_file_name(parts.join("."))).unwrap();
        }
    }
}

/// Sweeps to the end, and returns the sums.
async fn sweep(client: &Client) -> Value {
    let bearer = format!("Bearer {TOKEN}");
    let (mut cursor, mut sums) =
        (String::new(), serde_json::json!({ "entries": 0, "uploads": 0, "orphans": 0 }));
    for _ in 0..100 {
        let target = format!("/_larder/sweep?cursor={cursor}");
        let response = client.send("POST", &target, &[("authorization", &bearer)], "").await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        let page = response.json();
        for sum in ["entries", "uploads", "orphans"] {
            sums[sum] = (sums[sum].as_u64().unwrap() + page[sum].as_u64().unwrap()).into();
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return sums,
        }
    }
    panic!("it does not end: {cursor}");
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_sweep_deletes_what_is_old_and_nothing_else() {
    let data = directory();
    let server = StockServer::start(data.path(), &with(&[("LARDER_SWEEP_TOKEN", TOKEN)]));
    let client = Client::of(&server);
    client.save("whole", &pattern(10_000, 1)).await;
    client.try_save("blocks", &pattern(10_000, 2), 3).await.unwrap();
    let abandoned = client.reserve("abandoned").await;
    assert_eq!(client.put_block(&abandoned, "a", b"bytes").await.unwrap().status.as_u16(), 201);
    // What a killed server leaves: a body under way, a pointer and a link to nothing, a private folder.
    let stray = "01234567";
    for (folder, name) in [
        ("blocks/01/0123456789abcdef0123456789abcdef", "t.5.0000000000000001"),
        ("objects/01", "p-0123456789abcdef0123456789abcdef-00000001-5"),
        ("uploads/01", stray),
        ("entries/000001", "00000100000001"),
        ("places/01/place", "00000100000001.YQ"),
        ("tmp/0123456789abcdef0123456789abcdef", "u.x"),
    ] {
        std::fs::create_dir_all(data.path().join(folder)).unwrap();
        std::fs::write(data.path().join(folder).join(name), "00".repeat(32)).unwrap();
    }
    assert_eq!(sweep(&client).await, serde_json::json!({ "entries": 0, "uploads": 0, "orphans": 0 }));
    age(data.path(), 2 * DAY);
    let sums = sweep(&client).await;
    assert_eq!((&sums["entries"], &sums["uploads"]), (&0.into(), &1.into()), "{sums}");
    assert!(sums["orphans"].as_u64().unwrap() >= 5, "{sums}");
    assert_eq!(client.restore("whole").await.unwrap(), pattern(10_000, 1));
    assert_eq!(client.restore("blocks").await.unwrap(), pattern(10_000, 2));
    // Unused for long, but for one that is used now.
    age(data.path(), 100 * DAY);
    assert!(client.restore("blocks").await.is_some());
    assert_eq!(sweep(&client).await["entries"], 1);
    assert!(client.restore("whole").await.is_none());
    assert_eq!(client.restore("blocks").await.unwrap(), pattern(10_000, 2));
    age(data.path(), 100 * DAY);
    assert_eq!(sweep(&client).await["entries"], 1);
    for folder in ["blocks", "objects", "uploads", "entries", "places", "slots", "tmp", "sweeps"] {
        assert_eq!(count(&data.path().join(folder)), 0, "{folder} has something left");
    }
}

#[tokio::test]
async fn a_sweep_needs_its_token_and_without_one_there_are_none() {
    let data = directory();
    let server = StockServer::start(data.path(), &with(&[("LARDER_SWEEP_TOKEN", TOKEN)]));
    let client = Client::of(&server);
    for headers in [&[][..], &[("authorization", "Bearer another token, as long")]] {
        assert_eq!(client.send("POST", "/_larder/sweep", headers, "").await.status.as_u16(), 401);
    }
    drop(server);
    let server = StockServer::start(data.path(), &StockOptions::default());
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let response = Client::of(&server).send("POST", "/_larder/sweep", &headers, "").await;
    assert_eq!(response.status.as_u16(), 404, "{}", response.text());
}
