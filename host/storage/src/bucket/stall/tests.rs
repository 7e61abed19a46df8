#![allow(clippy::unwrap_used)]

use std::future::pending;

use http_body_util::BodyExt;
use larder_common::causes::chain;
use tokio::time::timeout;

use super::*;

const SHORT: StallTimeouts =
    StallTimeouts { idle: Duration::from_millis(50), response: Duration::from_millis(200) };

fn content(length: u64, chunks: &[&'static str]) -> Content {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
    Content { length, chunks: stream::iter(chunks).boxed() }
}

/// Reads a body like a service, and returns the result of the detector.
async fn taken(content: Content) -> Result<Bytes, String> {
    let stall = StallDetector::new(SHORT);
    let collected = stall.run("send", UploadBody::new(content, &stall).collect()).await;
    Ok(collected.map_err(|error| error.to_string())?.unwrap().to_bytes())
}

#[tokio::test]
async fn a_body_has_exactly_the_bytes_that_were_announced() {
    assert_eq!(taken(content(0, &[])).await.unwrap(), "");
    assert_eq!(taken(content(5, &["he", "", "llo", ""])).await.unwrap(), "hello");
    assert_eq!(taken(content(6, &["he", "llo"])).await.unwrap_err(), "the body ended early");
    assert_eq!(taken(content(4, &["he", "llo"])).await.unwrap_err(), "the body is longer than announced");
    assert_eq!(
        taken(content(5, &["he", "llo", "!"])).await.unwrap_err(),
        "the body is longer than announced"
    );
}

#[tokio::test]
async fn the_end_is_kept_back_until_it_is_certain_that_nothing_follows() {
    let stall = StallDetector::new(SHORT);
    let open =
        Content { chunks: content(0, &["he", "llo"]).chunks.chain(stream::pending()).boxed(), length: 5 };
    let mut body = UploadBody::new(open, &stall);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "he");
    assert!(timeout(Duration::from_millis(50), body.frame()).await.is_err(), "the last chunk came");
    assert!(!body.is_end_stream());
}

#[tokio::test]
async fn what_the_bytes_lack_goes_before_what_the_service_says() {
    let stall = StallDetector::new(SHORT);
    let mut body = UploadBody::new(content(9, &["short"]), &stall);
    let request = async {
        while let Some(Ok(_)) = body.frame().await {}
        Err::<(), _>("connection lost")
    };
    assert_eq!(stall.run("send", request).await.unwrap_err().to_string(), "the body ended early");
}

#[tokio::test]
async fn a_service_that_takes_nothing_is_given_up() {
    let stall = StallDetector::new(SHORT);
    let mut body = UploadBody::new(content(10, &["hello", "hello"]), &stall);
    let request = async {
        body.frame().await;
        pending::<()>().await;
    };
    let message = stall.run("send", request).await.unwrap_err();
    assert_eq!(chain(&message), "storage unavailable: send: no response within 50 ms");
}

#[tokio::test]
async fn a_service_that_has_all_may_take_longer_to_answer() {
    let stall = StallDetector::new(SHORT);
    let answering = |after| {
        let body = UploadBody::new(content(5, &["hello"]), &stall);
        async move { (body.collect().await.unwrap(), tokio::time::sleep(Duration::from_millis(after)).await) }
    };
    stall.run("send", answering(100)).await.unwrap();
    let message = stall.run("send", answering(60_000)).await.unwrap_err();
    assert_eq!(chain(&message), "storage unavailable: send: no response within 200 ms");
}

#[tokio::test]
async fn a_slow_client_is_not_the_services_fault() {
    let stall = StallDetector::new(SHORT);
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(Bytes::from_static(b"late"))
    });
    let mut body = UploadBody::new(
        Content { length: 8, chunks: late.chain(content(0, &["more"]).chunks).boxed() },
        &stall,
    );
    let request = async {
        body.frame().await.unwrap().unwrap();
        pending::<()>().await;
    };
    let begun = Instant::now();
    // Only the stall after the pause counts.
    stall.run("send", request).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
}
