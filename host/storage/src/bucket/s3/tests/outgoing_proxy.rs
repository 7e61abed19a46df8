//! Fault 24: a bucket that is reached through a proxy.

use larder_common::Proxies;
use larder_testing::proxy::{AUTHORIZATION, TestProxy, answering};

use super::super::{S3Settings, connect};

const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

/// Fault 24: no name server knows the bucket's host.
#[tokio::test]
async fn a_bucket_is_asked_through_the_proxy() {
    let proxy = TestProxy::before(answering(EMPTY).await).await;
    let settings = S3Settings {
        endpoint: Some("http://s3.test:9000".to_owned()),
        path_style: true,
        access_key_id: Some("key".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        proxies: Proxies::new(Some(proxy.url()), None, ""),
        attempts: 1,
        ..S3Settings::new("bucket")
    };
    let bucket = connect(&settings).await.unwrap();
    let page = bucket.list("", None).await.unwrap();
    assert!(page.items.is_empty());
    let heads = proxy.heads();
    assert!(heads[0].starts_with("get http://s3.test:9000/bucket"), "{heads:?}");
    assert!(heads[0].contains(AUTHORIZATION), "{heads:?}");
}
