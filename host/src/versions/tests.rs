#![expect(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;

fn in_force(version: &Version, since_ms: u64) -> InForce {
    InForce { version: version.clone(), source: "chosen".to_owned(), since_ms }
}

#[test]
fn a_version_is_stored_chosen_and_read_back() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_policy(data.path());
    assert_eq!((versions.chosen().unwrap(), versions.history()), (None, vec![]));
    let one = versions.store(b"one", "one.wasm").unwrap();
    versions.choose(&one).unwrap();
    assert_eq!(versions.chosen().unwrap().as_ref(), Some(&one));
    assert_eq!(versions.read(&one).unwrap(), b"one");
    versions.choose_none().unwrap();
    versions.choose_none().unwrap();
    assert_eq!(versions.chosen().unwrap(), None);
}

#[test]
fn a_damaged_version_is_not_read_and_a_name_is_no_path() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_policy(data.path());
    let one = versions.store(b"one", "one").unwrap();
    fs::write(data.path().join("policies").join(&one.digest), "another").unwrap();
    assert!(versions.read(&one).is_err());
    fs::write(data.path().join("secret"), "s").unwrap();
    let outside = Version { digest: "../secret".to_owned(), name: String::new() };
    assert_eq!(versions.read(&outside).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn the_latest_versions_are_kept_and_older_ones_removed() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    let all: Vec<_> =
        (0..8_u8).map(|number| versions.store(&[number], &format!("{number}.js")).unwrap()).collect();
    versions.choose(&all[0]).unwrap();
    for (version, since_ms) in all.iter().zip(0..) {
        versions.record(in_force(version, since_ms)).unwrap();
    }
    let names: Vec<_> = versions.history().into_iter().map(|known| known.version.name).collect();
    assert_eq!(names, ["7.js", "6.js", "5.js", "4.js", "3.js"]);
    let readable: Vec<_> = all.iter().map(|version| versions.read(version).is_ok()).collect();
    // The chosen one stays, too.
    assert_eq!(readable, [true, false, false, true, true, true, true, true]);
    // What is in force again moves to the front; the same once more is nothing new.
    versions.record(in_force(&all[4], 100)).unwrap();
    versions.record(in_force(&all[4], 200)).unwrap();
    assert_eq!((versions.history().len(), versions.history()[0].since_ms), (5, 100));
}

#[test]
fn a_rejection_holds_until_the_version_is_chosen_again() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    let one = versions.store(b"one", "one.js").unwrap();
    assert_eq!(versions.rejection(&one), None);
    versions.reject(&one, "it trapped").unwrap();
    assert_eq!(versions.rejection(&one).as_deref(), Some("it trapped"));
    versions.choose(&one).unwrap();
    assert_eq!(versions.rejection(&one), None);
}
