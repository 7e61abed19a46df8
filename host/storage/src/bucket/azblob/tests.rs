//! The promises of all buckets, against an emulator, and those of this driver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use larder_testing::service;

use super::{account::ConnectionFields, *};
use crate::{
    bucket::{
        conformance::{BucketFixture, bucket_conformance},
        http::tests::no_roots,
    },
    conformance::new_upload,
    objects::{ObjectSettings, tests::fixture::ObjectFixture},
};

fn settings(container: &str, prefix: &str, connection_string: &str) -> AzblobSettings {
    AzblobSettings {
        container: container.to_owned(),
        prefix: prefix.to_owned(),
        account: AzblobAccount::ConnectionString(connection_string.to_owned()),
        timeout: Duration::from_secs(10),
        tls: no_roots(),
        proxies: larder_common::Proxies::default(),
    }
}

/// A prefix in the container of all tests.
struct Emulator {
    connection_string: String,
    container: String,
}

impl Emulator {
    fn found() -> Option<Self> {
        let connection_string = service("LARDER_TEST_AZBLOB_CONNECTION_STRING")?;
        Some(Self { connection_string, container: service("LARDER_TEST_AZBLOB_CONTAINER")? })
    }

    fn open(&self, container: &str) -> AzblobBucket {
        AzblobBucket::connect(settings(container, "bucket-tests", &self.connection_string)).unwrap()
    }
}

impl BucketFixture for Emulator {
    fn bucket(&self) -> Arc<dyn Bucket> {
        Arc::new(self.open(&self.container))
    }

    fn missing(&self) -> Arc<dyn Bucket> {
        Arc::new(self.open("missing-bucket"))
    }

    fn keeps_multiparts(&self) -> bool {
        false
    }
}

bucket_conformance!(Emulator::found());

/// The whole storage, with a prefix for each test.
mod storage_on_it {
    use super::*;

    async fn fixture() -> Option<ObjectFixture> {
        let emulator = Emulator::found()?;
        let folder = format!("storage-tests/{}", new_upload());
        let server = settings(&emulator.container, &folder, &emulator.connection_string);
        let settings =
            ObjectSettings { spill_after: Duration::from_millis(200), ..ObjectSettings::new(64 << 20) };
        let connect = move || {
            let bucket = Arc::new(AzblobBucket::connect(server.clone()).unwrap()) as Arc<dyn Bucket>;
            async move { bucket }
        };
        Some(ObjectFixture::connecting(settings, connect).await)
    }

    crate::conformance::storage_conformance!(match fixture().await {
        Some(fixture) => fixture,
        None => return,
    });

    mod of_a_tenant {
        crate::conformance::short_storage_conformance!(match super::fixture().await {
            Some(fixture) => crate::conformance::OfATenant::new(fixture).await,
            None => return,
        });
    }

    mod of_tenants {
        crate::conformance::short_tenants_conformance!(match super::fixture().await {
            Some(fixture) => fixture,
            None => return,
        });
    }
}

#[tokio::test]
async fn a_signed_url_is_good_for_its_own_object_and_for_its_time() {
    let Some(emulator) = Emulator::found() else { return };
    let bucket = emulator.open(&emulator.container);
    let key = uuid::Uuid::new_v4().simple().to_string();
    bucket.put(&key, vec![Bytes::from_static(b"content")]).await.unwrap();
    let url = bucket.presign(&key, Duration::from_secs(600)).await.unwrap().unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "content");
    let other = url.replacen(&key, &key[1..], 1);
    assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
    let at = url.find("sig=").unwrap() + 4;
    let other_sign = if url[at..].starts_with('A') { "B" } else { "A" };
    let forged = format!("{}{other_sign}{}", &url[..at], &url[at + 1..]);
    assert_eq!(reqwest::get(&forged).await.unwrap().status(), 403);
    let expired = bucket.presign(&key, Duration::from_secs(1)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(reqwest::get(&expired).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_wrong_key_and_a_silent_server_are_told_as_such_and_tell_no_secret() {
    let Some(emulator) = Emulator::found() else { return };
    let wrong = emulator.connection_string.replace("Eby8vdM02x", "Eby8vdM02y");
    let refused = AzblobBucket::connect(settings(&emulator.container, "", &wrong)).unwrap();
    let error = refused.check().await.unwrap_err();
    assert!(!format!("{error:?}").contains("Eby8"), "{error:?}");
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service_url = format!("http://{}/devstoreaccount1", silent.local_addr().unwrap());
    let text = format!("AccountName=devstoreaccount1;AccountKey=aHVzaA==;BlobEndpoint={service_url}");
    let timeout = Duration::from_millis(200);
    let bucket = AzblobBucket::connect(AzblobSettings { timeout, ..settings("silent", "", &text) }).unwrap();
    let error = bucket.head("x").await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
}

#[test]
fn connection_strings_are_read_as_the_portal_writes_them() {
    let read = |text| ConnectionFields::parse(text).unwrap();
    let portal = read(
        "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a+b/c==;EndpointSuffix=core.windows.net",
    );
    assert_eq!((portal.account, portal.key), (Some("acc"), Some("a+b/c==")));
    assert_eq!(portal.endpoint.as_deref(), Some("https://acc.blob.core.windows.net"));
    let china = read("AccountName=acc;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn;");
    assert_eq!(china.endpoint.as_deref(), Some("https://acc.blob.core.chinacloudapi.cn"));
    let emulator = read("UseDevelopmentStorage=true");
    assert_eq!(emulator.account(), Some("devstoreaccount1"));
    assert_eq!(emulator.endpoint.as_deref(), Some("http://127.0.0.1:10000/devstoreaccount1"));
    let sas = read(
        "BlobEndpoint=https://acc.blob.core.windows.net/;QueueEndpoint=https://q;SharedAccessSignature=?sv=1&sig=a%3D",
    );
    assert_eq!((sas.account(), sas.signature), (Some("acc"), Some("sv=1&sig=a%3D")));
    let local = read("BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;SharedAccessSignature=sv=1");
    assert_eq!(local.account(), Some("devstoreaccount1"));
}

#[test]
fn a_bad_connection_string_is_told_without_its_secrets() {
    for (text, problem) in [
        ("hush", "form Name=value"),
        ("AccountKey=hush", "neither AccountName nor BlobEndpoint"),
        ("AccountName=acc;FileKey=hush", "neither AccountKey nor SharedAccessSignature"),
        ("AccountName=acc;AccountKey=hush!", ""),
    ] {
        let Err(error) = AzblobBucket::connect(settings("container", "", text)) else {
            panic!("{text} is accepted")
        };
        let message = format!("{error:?}");
        assert!(message.contains(problem) && !message.contains("hush"), "{message}");
    }
}

#[test]
fn settings_show_no_secret() {
    assert!(!format!("{:?}", settings("c", "", "AccountKey=hush")).contains("hush"));
}
