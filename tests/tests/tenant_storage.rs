//! Tenants with a storage of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use larder_testing::service;
use larder_tests::{
    TenantServer,
    tenants::{self, eventually},
};
use tempfile::TempDir;

/// The section of a folder.
fn folder(path: &Path) -> String {
    format!("[storage]\ndriver = \"filesystem\"\n[storage.filesystem]\npath = \"{}\"\n", path.display())
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// A server whose tenant `acme` has this folder; `umbrella` is in the server's storage.
async fn server(own: &Path) -> TenantServer {
    let data = TempDir::new().unwrap();
    tenants::write(data.path(), "acme", &folder(own));
    tenants::write(data.path(), "umbrella", "");
    TenantServer::start_on(data, &[]).await
}

fn of_server(server: &TenantServer, tenant: &str) -> Vec<PathBuf> {
    files(&server.server.data.path().join("storage/tenants").join(tenant))
}

#[tokio::test]
async fn objects_are_in_the_tenants_own_folder_and_only_they() {
    let own = TempDir::new().unwrap();
    let server = server(own.path()).await;
    for tenant in ["acme", "umbrella"] {
        server.job(tenant).save("key", tenant.as_bytes()).await;
    }
    assert_eq!(files(&own.path().join("tenants/acme/objects")).len(), 1);
    assert!(of_server(&server, "acme").is_empty());
    assert!(!of_server(&server, "umbrella").is_empty() && !own.path().join("tenants/umbrella").exists());
    // A change of other settings leaves it open, and as it is.
    server.write("acme", &format!("{}[retention]\nunused_days = 7\n", folder(own.path())));
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.job("acme").save("more", b"more").await;
    let server = TenantServer::start_on(server.server.stop(), &[]).await;
    for tenant in ["acme", "umbrella"] {
        assert_eq!(server.job(tenant).restore("key").await, tenant);
    }
    assert_eq!(server.job("acme").restore("more").await, "more");
}

/// What is in the one storage is a miss while the file says the other.
#[tokio::test]
async fn after_a_change_of_the_storage_entries_are_misses_and_saved_anew() {
    let own = TempDir::new().unwrap();
    let server = server(own.path()).await;
    let job = server.job("acme");
    job.save("key", b"in the folder").await;
    for (round, (section, content)) in
        [(String::new(), "in the server's"), (folder(own.path()), "in the folder again")]
            .into_iter()
            .enumerate()
    {
        server.write("acme", &section);
        eventually(async || job.look_up("key", &[]).await["ok"] == false).await;
        job.save("key", content.as_bytes()).await;
        assert_eq!(job.restore("key").await, content);
        // What is in the storage of before stays there.
        let there = files(&own.path().join("tenants/acme/objects")).len();
        let here = files(&server.server.data.path().join("storage/tenants/acme/objects")).len();
        assert_eq!((there, here), (1 + round, 1), "{content}");
    }
}

#[tokio::test]
async fn a_removed_tenant_leaves_nothing_in_its_own_folder() {
    let own = TempDir::new().unwrap();
    let server = server(own.path()).await;
    server.job("umbrella").save("key", b"stays").await;
    server.job("acme").save("key", &[7; 100_000]).await;
    let url = server.job("acme").create("begun").await;
    let block = format!("{url}&comp=block&blockid=AAAA");
    assert_eq!(server.job("acme").send("PUT", &block, &[], "block").await.status, StatusCode::CREATED);
    assert!(!files(&own.path().join("tenants/acme/uploads")).is_empty());
    let mark = server.file("acme").with_extension("removed");
    fs::rename(server.file("acme"), &mark).unwrap();
    eventually(async || !mark.exists()).await;
    assert!(!own.path().join("tenants/acme").exists());
    server.write("acme", &folder(own.path()));
    server.until_served("acme").await;
    assert_eq!(server.job("acme").look_up("key", &[]).await["ok"], false);
    server.job("acme").save("begun", b"anew").await;
    assert_eq!(server.job("umbrella").restore("key").await, "stays");
}

/// Nothing is deleted while nobody knows where it is.
#[tokio::test]
async fn a_removed_tenant_whose_storage_is_not_known_waits() {
    let own = TempDir::new().unwrap();
    let server = server(own.path()).await;
    server.job("acme").save("key", b"content").await;
    let mark = server.file("acme").with_extension("removed");
    fs::rename(server.file("acme"), &mark).unwrap();
    let good = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, good.replace("filesystem", "floppy")).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(mark.exists() && !files(&own.path().join("tenants/acme/objects")).is_empty());
    fs::write(&mark, good).unwrap();
    eventually(async || !mark.exists()).await;
    assert!(!own.path().join("tenants/acme").exists());
}

#[tokio::test]
async fn objects_are_in_the_tenants_own_bucket_and_only_they() {
    let Some(endpoint) = service("LARDER_TEST_S3_ENDPOINT") else { return };
    let of = |name| service(name).expect("the other variables, too");
    let prefix = format!("own-{}", std::process::id());
    let section = format!(
        "[storage]\ndriver = \"s3\"\nprefix = \"{prefix}\"\n[storage.s3]\nendpoint = \"{endpoint}\"\nbucket = \"{}\"\n\
         access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        of("LARDER_TEST_S3_BUCKET"),
        of("LARDER_TEST_S3_ACCESS_KEY"),
        of("LARDER_TEST_S3_SECRET_KEY"),
    );
    let data = TempDir::new().unwrap();
    tenants::write(data.path(), "acme", &section);
    tenants::write(data.path(), "umbrella", "");
    let server = TenantServer::start_on(data, &[]).await;
    let content = vec![7; 3_000_000];
    server.job("acme").save("key", &content).await;
    server.job("umbrella").save("key", b"of umbrella").await;
    assert!(of_server(&server, "acme").is_empty() && !of_server(&server, "umbrella").is_empty());
    let server = TenantServer::start_on(server.server.stop(), &[]).await;
    assert_eq!(server.job("acme").restore("key").await, content);
    assert_eq!(server.job("umbrella").restore("key").await, "of umbrella");
    // Keys that the bucket refuses are the tenant's trouble alone.
    server.write("acme", &section.replace("secret_access_key = \"", "secret_access_key = \"wrong"));
    let is_refused = async || {
        let found =
            server.job("acme").call_about("GetCacheEntryDownloadURL", "key", serde_json::json!({})).await;
        found.status == StatusCode::SERVICE_UNAVAILABLE
    };
    eventually(is_refused).await;
    assert_eq!(server.job("umbrella").restore("key").await, "of umbrella");
    server.write("acme", &section);
    eventually(async || !is_refused().await).await;
    assert_eq!(server.job("acme").restore("key").await, content);
    let mark = server.file("acme").with_extension("removed");
    fs::rename(server.file("acme"), &mark).unwrap();
    eventually(async || !mark.exists()).await;
    server.write("acme", &section);
    server.until_served("acme").await;
    assert_eq!(server.job("acme").look_up("key", &[]).await["ok"], false);
}
