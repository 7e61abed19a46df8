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
    assert!(all.iter().all(|version| versions.read(version).is_ok()), "what is new is spared");
    for version in &all {
        let file = fs::File::open(data.path().join("rules").join(&version.digest)).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
    }
    versions.record(in_force(&all[6], 100)).unwrap();
    versions.record(in_force(&all[7], 101)).unwrap();
    let names: Vec<_> = versions.history().into_iter().map(|known| known.version.name).collect();
    assert_eq!(names, ["7.js", "6.js", "5.js", "4.js", "3.js"]);
    let readable: Vec<_> = all.iter().map(|version| versions.read(version).is_ok()).collect();
    // The chosen one stays, too.
    assert_eq!(readable, [true, false, false, true, true, true, true, true]);
    // What is in force again moves to the front; the same once more is nothing new.
    versions.record(in_force(&all[4], 102)).unwrap();
    versions.record(in_force(&all[4], 200)).unwrap();
    assert_eq!((versions.history().len(), versions.history()[0].since_ms), (5, 102));
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

#[test]
fn a_damaged_choice_is_named_and_can_be_replaced() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    let one = versions.store(b"one", "one.js").unwrap();
    versions.choose(&one).unwrap();
    for damaged in ["", "{\"digest\":", "[]"] {
        fs::write(versions.choice_file(), damaged).unwrap();
        let error = versions.chosen().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: is damaged", versions.choice_file().display())), "{error}");
        let chooser = Chooser { data: data.path(), versions: versions.clone() };
        let (chosen, followed) = chooser.choose(b"two", "two.js", &()).unwrap();
        assert_eq!((versions.chosen().unwrap(), followed), (Some(chosen), Followed::AtNextStart));
    }
}

/// Chooses `mine` beside a server that runs, and meanwhile `theirs`. Returns what came of the first choice.
fn overtaken(meanwhile: impl FnOnce(&Versions, &Version)) -> (ChoiceError, Option<Version>, Version) {
    let data = TempDir::new().unwrap();
    let lock = File::create(data.path().join("larder.lock")).unwrap();
    lock.lock().unwrap();
    let versions = Versions::of_rules(data.path());
    let (mine, theirs) = (Version::of(b"mine", "mine.js"), versions.store(b"theirs", "theirs.js").unwrap());
    let error = std::thread::scope(|scope| {
        let chooser = Chooser { data: data.path(), versions: versions.clone() };
        let first = scope.spawn(move || chooser.choose(b"mine", "mine.js", &()).unwrap_err());
        while versions.chosen().unwrap().as_ref() != Some(&mine) {
            std::thread::yield_now();
        }
        versions.alone(|| versions.choose(&theirs)).unwrap();
        meanwhile(&versions, &mine);
        first.join().unwrap()
    });
    (error, versions.chosen().unwrap(), theirs)
}

#[test]
fn of_two_choices_at_once_the_later_one_holds_and_the_earlier_one_says_so() {
    let (error, chosen, theirs) = overtaken(|_, _| {});
    assert!(matches!(&error, ChoiceError::Overtaken { by, .. } if by.ends_with("theirs.js")), "{error}");
    assert_eq!(chosen, Some(theirs));
}

#[test]
fn a_damaged_history_is_named_and_what_it_named_stays() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    let all: Vec<_> = ["one", "two"].map(|name| versions.store(name.as_bytes(), name).unwrap()).into();
    for (at, version) in (1..).zip(&all) {
        versions.record(in_force(version, at)).unwrap();
    }
    let dir = data.path().join("rules");
    let file = dir.join("history.json");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let chooser = Chooser { data: data.path(), versions: versions.clone() };
    let error = larder_common::causes::chain(&chooser.roll_back(None, &()).unwrap_err()).to_string();
    assert!(error.contains(&format!("{}: is damaged", file.display())) && error.contains("`use`"), "{error}");
    assert_eq!(versions.chosen().unwrap(), None);
    let draft = dir.join(".half");
    fs::write(&draft, "half").unwrap();
    // Old enough to go.
    for file in all.iter().map(|version| dir.join(&version.digest)).chain([draft.clone()]) {
        File::options().write(true).open(file).unwrap().set_modified(UNIX_EPOCH).unwrap();
    }
    let three = Version::of(b"three", "three");
    for at in [3, 4] {
        versions.record(in_force(&three, at)).unwrap();
        versions.record(in_force(&Version::of(b"four", "four"), at)).unwrap();
    }
    assert_eq!(versions.read(&all[0]).unwrap(), b"one");
    assert!(!draft.exists(), "what was written half is nobody's");
    assert_eq!(fs::read(dir.join("history.json.damaged")).unwrap(), whole[..whole.len() / 2]);
    assert_eq!(versions.previous(None).unwrap().unwrap().version, three);
    // Once it is looked at, and removed, versions go as ever.
    fs::remove_file(dir.join("history.json.damaged")).unwrap();
    versions.record(in_force(&three, 5)).unwrap();
    assert!(versions.read(&all[0]).is_err());
}

#[test]
fn a_choice_that_the_server_refuses_does_not_undo_a_later_one() {
    let (_, chosen, theirs) = overtaken(|versions, mine| versions.reject(mine, "it does not load").unwrap());
    assert_eq!(chosen, Some(theirs));
}

#[test]
fn what_was_written_half_goes_and_what_is_chosen_again_is_spared() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    let [one, two] = [b"one", b"two"].map(|content| versions.store(content, "").unwrap());
    let dir = data.path().join("rules");
    let half = dir.join(format!(".{}.77", two.digest));
    fs::write(&half, "tw").unwrap();
    for file in [dir.join(&one.digest), dir.join(&two.digest), half.clone()] {
        File::options().write(true).open(file).unwrap().set_modified(UNIX_EPOCH).unwrap();
    }
    // Stored, and about to be chosen.
    assert_eq!(versions.store(b"two", "").unwrap(), two);
    versions.record(in_force(&Version::of(b"three", "three"), 1)).unwrap();
    assert!(!half.exists() && versions.read(&one).is_err());
    assert_eq!(versions.read(&two).unwrap(), b"two");
}

#[test]
fn two_that_choose_at_once_do_not_damage_the_choice() {
    let data = TempDir::new().unwrap();
    let versions = Versions::of_rules(data.path());
    std::thread::scope(|scope| {
        for name in ["a", "a name that is longer"] {
            let versions = &versions;
            scope.spawn(move || {
                for number in 0..100_u8 {
                    let version = versions.store(&[number], name).unwrap();
                    versions.choose(&version).unwrap();
                    assert!(versions.chosen().unwrap().is_some());
                }
            });
        }
    });
}
