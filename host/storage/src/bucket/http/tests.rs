#![allow(clippy::unwrap_used)]

use futures_util::{StreamExt, stream};

use super::*;
use crate::bucket::stall::TimedOut;

/// The received bytes, and whether they end with an error.
async fn read(length: u64, chunks: Vec<Result<Bytes, TimedOut>>) -> (Vec<u8>, bool) {
    let retry_policy = RetryPolicy { timeout: Duration::from_millis(50) };
    let mut content = retry_policy.content(length, stream::iter(chunks).chain(stream::empty()));
    let mut bytes = Vec::new();
    loop {
        match content.chunks.try_next().await {
            Ok(Some(chunk)) => bytes.extend(chunk),
            Ok(None) => return (bytes, false),
            Err(_) => {
                assert!(content.chunks.next().await.is_none(), "it goes on after an error");
                return (bytes, true);
            }
        }
    }
}

fn chunk(text: &'static str) -> Result<Bytes, TimedOut> {
    Ok(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn content_is_whole_or_ends_with_an_error() {
    assert_eq!(read(0, vec![]).await, (vec![], false));
    assert_eq!(read(5, vec![chunk("he"), chunk(""), chunk("llo")]).await, (b"hello".to_vec(), false));
    assert_eq!(read(5, vec![chunk("hell")]).await, (b"hell".to_vec(), true));
    assert_eq!(read(5, vec![chunk("hel"), chunk("lo!")]).await, (b"hel".to_vec(), true));
    let broken = Err(TimedOut(Duration::ZERO));
    assert_eq!(read(5, vec![chunk("hello"), broken]).await, (b"hello".to_vec(), true));
}

#[tokio::test]
async fn content_that_falls_silent_ends_with_an_error() {
    let chunks = stream::iter([chunk("he")]).chain(stream::pending());
    let mut content = RetryPolicy { timeout: Duration::from_millis(20) }.content(5, chunks);
    assert_eq!(content.chunks.next().await.unwrap().unwrap(), "he");
    let error = content.chunks.next().await.unwrap().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "no response within 20 ms");
}

#[test]
fn a_large_body_may_take_longer() {
    let retry_policy = RetryPolicy { timeout: Duration::from_secs(10) };
    assert_eq!(retry_policy.for_bytes(100), Duration::from_secs(10));
    assert_eq!(retry_policy.for_bytes(16 << 20), Duration::from_secs(10 + 128));
}

#[test]
fn a_key_prefix_ends_with_a_slash() {
    assert_eq!(
        (key_prefix(""), key_prefix("a"), key_prefix("/a/b/")),
        (String::new(), "a/".into(), "a/b/".into())
    );
}

/// Number of attempts that fail, each after `each`, with a timeout of a second.
async fn attempts(transient: bool, each: Duration) -> usize {
    let mut made = 0;
    let attempt = || {
        made += 1;
        async move {
            tokio::time::sleep(each).await;
            Err::<(), bool>(transient)
        }
    };
    assert!(
        RetryPolicy { timeout: Duration::from_secs(1) }.retry(attempt, |transient| *transient).await.is_err()
    );
    made
}

#[tokio::test]
async fn a_call_is_tried_again_where_that_may_help_and_not_for_long_where_the_server_hangs() {
    assert_eq!(attempts(true, Duration::from_millis(1)).await, MAX_ATTEMPTS);
    assert_eq!(attempts(false, Duration::from_millis(1)).await, 1);
    assert_eq!(attempts(true, Duration::from_secs(3)).await, 1, "it had all bytes and did not answer");
}

#[test]
fn what_may_pass_is_what_the_services_name() {
    assert!([408, 429, 500, 503].into_iter().all(is_transient));
    assert!(![400, 403, 404, 409, 412].into_iter().any(is_transient));
}

/// Fault 24: buckets of Google and Azure are reached through the configured proxy.
#[tokio::test]
async fn the_client_of_the_clouds_goes_through_the_proxy() {
    use larder_common::Proxies;
    use larder_testing::proxy::{AUTHORIZATION, TestProxy, answering};
    let proxy = TestProxy::before(answering("content").await).await;
    let proxies = Proxies::new(Some(proxy.url()), None, "direct.test");
    let client = super::http_client(&no_roots(), &proxies).unwrap();
    let response = client.get("http://bucket.test/object").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "content");
    assert!(client.get("http://direct.test/object").send().await.is_err());
    let heads = proxy.heads();
    assert!(heads.len() == 1 && heads[0].starts_with("get http://bucket.test/object http/1.1"), "{heads:?}");
    assert!(heads[0].contains(AUTHORIZATION), "{heads:?}");
}

/// TLS without trusted certificates; it is not used.
pub(crate) fn no_roots() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
