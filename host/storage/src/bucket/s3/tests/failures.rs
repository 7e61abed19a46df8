//! Servers that refuse requests, and servers that fail.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{S3Settings, connect, proxy::Proxy, settings};
use crate::{
    Storage, StorageError,
    conformance::{assert_content, assert_not_found, id, ids, new_upload, pattern, read, whole},
    objects::{ObjectSettings, ObjectStorage},
};

async fn check(settings: &S3Settings) -> String {
    let error = connect(settings).await.unwrap().check().await.unwrap_err();
    let StorageError::Unavailable { source, .. } = &error else { panic!("{error:?}") };
    source.to_string()
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_told_at_the_start() {
    let Some(settings) = settings() else { return };
    connect(&settings).await.unwrap().check().await.unwrap();
    let missing = S3Settings { bucket: "no-such-bucket".to_owned(), ..settings.clone() };
    assert!(check(&missing).await.contains("`no-such-bucket` does not exist"), "{}", check(&missing).await);
    let wrong = S3Settings { secret_access_key: Some("wrong-secret".to_owned()), ..settings.clone() };
    let message = check(&wrong).await;
    assert!(message.contains("credentials") && !message.contains("wrong-secret"), "{message}");
    let nobody = S3Settings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..settings };
    let message = check(&nobody).await;
    assert!(message.contains("cannot be reached"), "{message}");
}

/// A server that allows a key to read, and nothing else.
async fn serve_for_reading(listener: TcpListener) {
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let is_whole = |request: &[u8]| {
            let end: &[u8] = if request.starts_with(b"HEAD ") { b"\r\n\r\n" } else { b"larder" };
            request.ends_with(end)
        };
        while !is_whole(&request) && connection.read_buf(&mut request).await.unwrap() > 0 {}
        let response = if request.starts_with(b"HEAD ") {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 63\r\nConnection: close\r\n\r\n\
             <Error><Code>AccessDenied</Code><Message>no</Message></Error>\r\n"
        };
        connection.write_all(response.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_bucket_that_may_not_be_written_to_is_told_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve_for_reading(listener));
    let settings = S3Settings {
        endpoint: Some(endpoint),
        path_style: true,
        access_key_id: Some("reader".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        ..S3Settings::new("bucket")
    };
    let message = check(&settings).await;
    assert!(message.contains("AccessDenied"), "{message}");
    server.abort();
}

#[tokio::test]
async fn wrong_credentials_are_never_a_miss() {
    let Some(settings) = settings() else { return };
    let wrong = S3Settings { secret_access_key: Some("wrong-secret".to_owned()), ..settings };
    let bucket = connect(&wrong).await.unwrap();
    for error in [
        bucket.head("objects/x").await.unwrap_err(),
        bucket.get("objects/x", 1, None).await.map(drop).unwrap_err(),
        bucket.put("objects/x", Vec::new()).await.unwrap_err(),
        bucket.begin("objects/x").await.map(drop).unwrap_err(),
        bucket.list("objects/", None).await.map(drop).unwrap_err(),
        bucket.remove(&["objects/x".to_owned(), "objects/y".to_owned()]).await.unwrap_err(),
    ] {
        let message = format!("{error:?}");
        assert!(
            matches!(error, StorageError::Unavailable { .. }) && !message.contains("wrong-secret"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_and_recovered_from() {
    let Some(settings) = settings() else { return };
    let proxy = Proxy::start(settings.endpoint.as_ref().unwrap()).await;
    let settings = S3Settings { endpoint: Some(proxy.endpoint()), ..settings };
    let bucket = connect(&settings).await.unwrap();
    let storage = ObjectStorage::open(bucket, &ObjectSettings::new(64 << 20)).unwrap();
    let upload = new_upload();
    let (large, small) = (pattern(6 << 20, 1), pattern(1000, 2));
    storage.put_block(&upload, &id("a"), whole(&large)).await.unwrap();
    storage.put_block(&upload, &id("b"), whole(&small)).await.unwrap();
    let whole_object = storage.put(&upload, whole(&large)).await.unwrap();

    proxy.set_down(true);
    let began = Instant::now();
    let error = storage.put_block(&upload, &id("c"), whole(&large)).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    let error = storage.commit(&upload, &ids(["a", "b"])).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    for error in [
        storage.stat(&whole_object.object).await.map(drop).unwrap_err(),
        storage.open(&whole_object.object, whole_object.size_bytes, None).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());

    proxy.set_down(false);
    storage.put_block(&upload, &id("c"), whole(&large)).await.unwrap();
    let stored = storage.commit(&upload, &ids(["a", "c", "b"])).await.unwrap();
    assert_content(&storage, &stored.object, &[&large[..], &large, &small].concat()).await;
    assert_content(&storage, &whole_object.object, &large).await;
}

#[tokio::test]
async fn content_that_breaks_off_is_an_error_and_never_an_end() {
    let Some(settings) = settings() else { return };
    let proxy = Proxy::start(settings.endpoint.as_ref().unwrap()).await;
    let bucket = connect(&S3Settings { endpoint: Some(proxy.endpoint()), ..settings }).await.unwrap();
    let bytes = pattern(3 << 20, 1);
    bucket.put("objects/x", vec![bytes.clone().into()]).await.unwrap();
    for after in [100_000, 1 << 20, 3 << 20] {
        proxy.break_after(after);
        let content = bucket.get("objects/x", bytes.len() as u64, None).await.unwrap();
        let error = read(content).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
        proxy.break_after(u64::MAX);
    }
    let content = bucket.get("objects/x", bytes.len() as u64, None).await.unwrap();
    assert!(read(content).await.unwrap() == bytes);
    assert_not_found(bucket.get("objects/x", 5, None).await.map(drop));
}
