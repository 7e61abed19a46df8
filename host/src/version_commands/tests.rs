//! What is read of a file.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use tempfile::TempDir;

use super::*;

#[test]
fn a_file_without_an_end_or_without_content_is_refused() {
    let error = |file: &Path| format!("{:#}", read(file).unwrap_err());
    assert_eq!(error(Path::new("/dev/zero")), "/dev/zero: cannot be read: it is larger than 64 MiB");
    assert_eq!(error(Path::new("/dev/null")), "/dev/null: is empty");
    let folder = TempDir::new().unwrap();
    assert!(error(folder.path()).contains(": cannot be read: "));
    let file = folder.path().join("cases.toml");
    fs::write(&file, [0xff]).unwrap();
    assert!(read_text(&file).is_err());
    assert_eq!(read(&file).unwrap(), (vec![0xff], "cases.toml".to_owned()));
}
