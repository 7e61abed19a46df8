#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::testing::SmallDisk;

/// Fault 13.
#[test]
fn the_ballast_takes_space_until_it_is_given_up() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let database = disk.path().join("larder.db");
    let pressure = DiskPressure::beside(&database);
    pressure.make_ballast();
    let ballast = disk.path().join("larder.db.reserve");
    assert!(fs::metadata(&ballast).unwrap().blocks() * 512 >= BALLAST_BYTES);
    let hog = disk.path().join("hog");
    let mut size: usize = 16 << 20;
    while fs::write(&hog, vec![0; size]).is_err() {
        size -= 1 << 16;
    }
    assert!(pressure.drop_ballast());
    assert!(!pressure.drop_ballast(), "there is one only");
    fs::write(disk.path().join("log"), vec![0; 6 << 20]).unwrap();
    pressure.make_ballast();
    assert!(!ballast.exists(), "there is no room for it");
    fs::remove_file(hog).unwrap();
    pressure.make_ballast();
    assert_eq!(fs::metadata(&ballast).unwrap().len(), BALLAST_BYTES);
}

#[tokio::test]
async fn what_was_reported_before_anyone_waited_is_met() {
    let pressure = DiskPressure::new();
    pressure.report();
    pressure.report();
    pressure.wait().await;
    assert!(!pressure.drop_ballast());
    let again = tokio::time::timeout(Duration::from_millis(1), pressure.wait()).await;
    assert!(again.is_err(), "it was reported once as far as the janitor is concerned");
}
