#![expect(clippy::unwrap_used, reason = "tests")]

use larder_common::causes::chain;
use tempfile::TempDir;

use super::*;
use crate::config::tenants::{TenantFiles, tests::server};

const GOOD: &str = "[tenant]\nhosts = [\"NAME.test\"]\n[auth]\nissuers = [\"https://issuer.test\"]\n";

/// Reads files, by name and section, and returns the storages and the faults.
fn read_all(server: &Settings, files: &[(&str, &str)]) -> (Vec<Option<Storage>>, Vec<String>) {
    let folder = TempDir::new().unwrap();
    for (name, section) in files {
        let text = GOOD.replace("NAME", name.split('.').next().unwrap()) + section;
        fs::write(folder.path().join(name), text).unwrap();
    }
    let TenantFiles { tenants, faults, .. } = TenantFiles::read(folder.path(), server).unwrap();
    let storages = tenants.into_iter().map(|tenant| tenant.own_storage).collect();
    (storages, faults.iter().map(|(_, fault)| chain(fault).to_string()).collect())
}

fn folder(path: &str) -> String {
    format!("[storage]\ndriver = \"filesystem\"\n[storage.filesystem]\npath = \"{path}\"\n")
}

fn s3(bucket: &str, prefix: &str) -> String {
    format!(
        "[storage]\ndriver = \"s3\"\nprefix = \"{prefix}\"\n[storage.s3]\nbucket = \"{bucket}\"\n\
         region = \"eu-central-1\"\naccess_key_id = \"id\"\nsecret_access_key = \"secret\"\n"
    )
}

#[test]
fn each_driver_is_read_with_what_is_common() {
    let server = server("[storage]\nbuffer_bytes = 33554432\n[storage.filesystem]\nreserve_bytes = 77777\n");
    let azure = "[storage]\ndriver = \"azblob\"\n[storage.azblob]\ncontainer = \"own\"\n\
                 connection_string = \"AccountName=a;AccountKey=a2V5\"\n";
    let gcs =
        "[storage]\ndriver = \"gcs\"\n[storage.gcs]\nbucket = \"gcs-own\"\nservice_account_key = \"{}\"\n";
    let emulator =
        "[storage]\ndriver = \"gcs\"\n[storage.gcs]\nbucket = \"emulated\"\nendpoint = \"http://gcs.test\"\n";
    let (s3, folder) = (s3("s3-own", ""), folder("/mnt/own"));
    let sections = [&folder, &s3, azure, gcs, emulator, ""];
    let files: Vec<_> =
        ["a.toml", "b.toml", "c.toml", "d.toml", "e.toml", "f.toml"].into_iter().zip(sections).collect();
    let (storages, faults) = read_all(&server, &files);
    assert_eq!((storages.len(), faults), (6, Vec::new()));
    assert!(storages[..5].iter().flatten().all(|storage| storage.buffer_bytes == 32 << 20));
    let reserves: Vec<_> =
        storages.iter().flatten().map(|storage| storage.filesystem.reserve_bytes).collect();
    assert_eq!(reserves, [77_777, 0, 0, 0, 0]);
    assert_eq!(storages[5], None);
}

#[test]
fn what_is_missing_is_not_the_servers() {
    // Not even where the server is in a bucket of the same service.
    let server = server(
        "[storage]\ndriver = \"s3\"\nprefix = \"theirs\"\n[storage.s3]\nbucket = \"servers\"\naccess_key_id = \"id\"\n\
         secret_access_key = \"secret\"\nendpoint = \"http://s3.test\"\n",
    );
    for (section, expected) in [
        ("[storage]\n", "storage.driver is not set"),
        ("[storage]\nprefix = \"own\"\n", "storage.driver is not set"),
        ("[storage]\ndriver = \"s3\"\n", "storage.driver is `s3`, but storage.s3.bucket is not set"),
        (
            "[storage]\ndriver = \"s3\"\n[storage.s3]\nbucket = \"own\"\n",
            "storage.s3.access_key_id is not set: a tenant",
        ),
        (
            "[storage]\ndriver = \"s3\"\n[storage.s3]\nbucket = \"own\"\naccess_key_id = \"id\"\n",
            "storage.s3.access_key_id is set, but storage.s3.secret_access_key is not",
        ),
        (
            "[storage]\ndriver = \"gcs\"\n[storage.gcs]\nbucket = \"own\"\n",
            "storage.gcs.service_account_key is not set",
        ),
        (
            "[storage]\ndriver = \"azblob\"\n[storage.azblob]\ncontainer = \"own\"\naccount = \"acme\"\n",
            "storage.azblob.connection_string is not set",
        ),
        ("[storage]\ndriver = \"filesystem\"\n", "storage.filesystem.path is not set"),
        (&folder("own"), "storage.filesystem.path must be an absolute path"),
        (&folder("/mnt/../etc"), "storage.filesystem.path must be an absolute path"),
        ("[storage]\ndriver = \"s3\"\nbuffer_bytes = 1\n", "storage.buffer_bytes is the same for all"),
        (
            &folder("/mnt/own").replace("[storage]\n", "[storage]\nprefix = \"x\"\n"),
            "set storage.driver = \"s3, gcs or azblob\" to use it",
        ),
        ("[storage]\ndriver = \"tape\"\n", "filesystem, s3, gcs or azblob"),
    ] {
        let (storages, faults) = read_all(&server, &[("a.toml", section)]);
        assert!(storages.is_empty(), "{section}");
        assert!(faults[0].contains(expected), "{section}: {}", faults[0]);
    }
}

#[test]
fn a_storage_is_one_tenants_alone_and_not_the_servers() {
    let data = TempDir::new().unwrap();
    let within = data.path().join("storage/tenants/b");
    let within = within.to_str().unwrap();
    let link = TempDir::new().unwrap();
    std::os::unix::fs::symlink(data.path(), link.path().join("link")).unwrap();
    let link = link.path().join("link/more");
    let on_disk = server(&format!("data = \"{}\"\n", data.path().display()));
    let in_bucket = server(
        "[storage]\ndriver = \"s3\"\nprefix = \"larder\"\n[storage.s3]\nbucket = \"shared\"\nregion = \"x\"\n",
    );
    let whole_bucket =
        server("[storage]\ndriver = \"s3\"\n[storage.s3]\nbucket = \"shared\"\nregion = \"x\"\n");
    let none = String::new();
    for (server, first, second, is_good) in [
        (&on_disk, &folder("/mnt/one"), &folder("/mnt/other"), true),
        (&on_disk, &none, &folder(within), false),
        (&on_disk, &none, &folder("/"), false),
        (&on_disk, &none, &folder(link.to_str().unwrap()), false),
        (&on_disk, &folder("/mnt/one"), &folder("/mnt/one/more"), false),
        (&on_disk, &folder("/mnt/one/more"), &folder("/mnt/one"), false),
        (&on_disk, &folder("/mnt/one"), &folder("/mnt/one-more"), true),
        (&in_bucket, &s3("shared", "a"), &s3("shared", "b"), true),
        (&in_bucket, &none, &s3("shared", "larder"), false),
        (&in_bucket, &none, &s3("shared", "larder/tenants/other"), false),
        (&in_bucket, &none, &s3("Shared", ""), false),
        (&in_bucket, &none, &s3("shared", "larder-2"), true),
        (&in_bucket, &s3("own", ""), &s3("own", "b"), false),
        (&whole_bucket, &none, &s3("shared", "b"), false),
        (&whole_bucket, &none, &s3("own", ""), true),
    ] {
        let (storages, faults) = read_all(server, &[("a.toml", first), ("b.toml", second)]);
        assert_eq!(
            (storages.len(), faults.is_empty()),
            (1 + usize::from(is_good), is_good),
            "{second}: {faults:?}"
        );
        assert!(is_good || faults[0].contains("the section storage says"), "{faults:?}");
    }
}

#[test]
fn a_storage_that_is_still_deleted_from_is_nobody_elses() {
    let server = server("");
    let (storages, faults) = read_all(&server, &[("a.removed", &s3("own", "")), ("b.toml", &s3("own", "b"))]);
    assert!(storages.is_empty());
    assert!(faults[0].contains("of the tenant a, which is being removed"), "{faults:?}");
}

#[test]
fn a_mark_without_the_section_needs_to_be_nothing_else() {
    let folder = TempDir::new().unwrap();
    let mark = folder.path().join("a.removed");
    for (text, expected) in [
        ("", Some(false)),
        ("nonsense", Some(false)),
        ("[tenant]\nunknown = 1\n", Some(false)),
        ("[storage]\ndriver = \"tape\"\n", None),
        ("nonsense\n[storage]\n", None),
        (&s3("own", ""), Some(true)),
    ] {
        fs::write(&mark, text).unwrap();
        let read = read(&mark, &server("")).map(|storage| storage.is_some());
        assert_eq!(read.ok(), expected, "{text}");
    }
}
