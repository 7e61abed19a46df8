//! Traces on the disk: bounded, whole lines, and never waited for.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use larder_common::event::EventKind;

use super::*;

fn event(time_ms: u64) -> Arc<Event> {
    Arc::new(Event { tenant: "default".to_owned(), ..Event::new(EventKind::Lookup, time_ms) })
}

/// The times of the events in a file, each line of which is whole.
fn times(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap().time_ms).collect()
}

#[test]
fn full_files_are_exchanged_and_the_oldest_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let line = serde_json::to_vec(&*event(100)).unwrap().len() as u64 + 1;
    let files = TraceFiles::start(folder.path(), 10 * line, 2).unwrap();
    for time_ms in 100..200 {
        files.write(&event(time_ms));
        // So that no batch is larger than a file.
        files.flush();
    }
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["default.jsonl", "default.jsonl.1", "default.jsonl.2"]);
    let path = folder.path().join("default.jsonl");
    assert_eq!(times(&path), (190..200).collect::<Vec<_>>());
    assert_eq!(times(&folder.path().join("default.jsonl.2")), (170..180).collect::<Vec<_>>());
    assert_eq!(files.dropped(), 0);
}

#[test]
fn a_file_that_ends_within_a_line_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("default.jsonl"), "{\"time_ms\":1,").unwrap();
    let files = TraceFiles::start(folder.path(), 1 << 20, 1).unwrap();
    files.write(&event(7));
    files.flush();
    assert_eq!(times(&folder.path().join("default.jsonl")), [7]);
    assert!(folder.path().join("default.jsonl.1").exists());
}

#[test]
fn a_disk_that_takes_nothing_costs_events_and_no_wait() {
    let (files, _never_written) = TraceFiles::queue();
    for time_ms in 0..WAITING as u64 + 10 {
        files.write(&event(time_ms));
    }
    assert_eq!(files.dropped(), 10);
}

#[test]
fn a_directory_that_cannot_be_written_costs_events() {
    let folder = tempfile::tempdir().unwrap();
    let files = TraceFiles::start(folder.path(), 1 << 20, 1).unwrap();
    fs::create_dir(folder.path().join("default.jsonl")).unwrap();
    files.write(&event(7));
    files.flush();
    assert_eq!(files.dropped(), 1);
}
