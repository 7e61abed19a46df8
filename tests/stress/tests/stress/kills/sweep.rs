//! The sweep of what kills left behind. It runs ten minutes after a start and spares what is
//! younger than an hour.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use larder_stress::server::{Server, Setup};
use rusqlite::Connection;

/// How much everything is backdated.
const AGE: Duration = Duration::from_secs(3 * 60 * 60);
/// The first full sweep, and some time for it.
const SWEPT_IN: Duration = Duration::from_secs(10 * 60 + 60);

/// Backdates all data of an ended server by three hours, starts the server, and waits until a sweep
/// has removed what no entry refers to. Returns the number of removed files.
///
/// # Panics
/// If it does not, or if it removes more.
pub(super) async fn sweep(data: &Path) -> usize {
    let before = stored(data);
    make_older(data, &before);
    let setup = Setup { data: Some(data.to_owned()), ..Setup::default() };
    let mut server = Server::start(setup.with("ORPHANED_STORAGE_GRACE_PERIOD_HOURS", &1));
    let deadline = Instant::now() + SWEPT_IN;
    let wanted = entries(data);
    loop {
        let names: BTreeSet<String> = stored(data).iter().map(|file| name(file)).collect();
        let lost = wanted.difference(&names).next();
        assert_eq!(lost, None, "the sweep removed the content of an entry");
        if names == wanted {
            break;
        }
        let left = names.difference(&wanted).next();
        assert!(Instant::now() < deadline, "{left:?} and others are left after {SWEPT_IN:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(server.stop().await.success(), "{}", server.log_tail());
    before.len() - wanted.len()
}

/// Returns the files of objects and of staged blocks.
fn stored(data: &Path) -> Vec<PathBuf> {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            // A file that is removed meanwhile is neither.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => files(&entry.path(), found),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["objects", "uploads"] {
        files(&data.join("storage").join(folder), &mut found);
    }
    found
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// Returns the objects of entries.
fn entries(data: &Path) -> BTreeSet<String> {
    let connection = Connection::open(data.join("larder.db")).unwrap();
    let mut objects = connection.prepare("SELECT object FROM entries").unwrap();
    objects.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Backdates files and the rows of uploads; entries stay as they are.
fn make_older(data: &Path, files: &[PathBuf]) {
    for file in files {
        let file = fs::File::options().append(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - AGE).unwrap();
    }
    let connection = Connection::open(data.join("larder.db")).unwrap();
    let older = "UPDATE uploads SET created_ms = created_ms - ?1, active_ms = active_ms - ?1";
    connection.execute(older, [i64::try_from(AGE.as_millis()).unwrap()]).unwrap();
}
