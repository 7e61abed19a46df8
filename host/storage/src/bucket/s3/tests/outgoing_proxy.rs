//! Fault 24: a bucket that is reached through a proxy.

use larder_common::Proxies;
use larder_testing::proxy::{AUTHORIZATION, TestProxy, answering};

use super::super::{S3Settings, client, connect};

const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

/// Settings of a bucket that no name server knows.
fn through(proxies: Proxies) -> S3Settings {
    S3Settings {
        endpoint: Some("http://s3.test:9000".to_owned()),
        path_style: true,
        access_key_id: Some("key".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        proxies,
        attempts: 1,
        ..S3Settings::new("bucket")
    }
}

/// Fault 24.
#[tokio::test]
async fn a_bucket_is_asked_through_the_proxy() {
    let proxy = TestProxy::before(answering(EMPTY).await).await;
    let bucket = connect(&through(Proxies::new(Some(proxy.url()), None, ""))).await.unwrap();
    let page = bucket.list("", None).await.unwrap();
    assert!(page.items.is_empty());
    let heads = proxy.heads();
    assert!(heads[0].starts_with("get http://s3.test:9000/bucket"), "{heads:?}");
    assert!(heads[0].contains(AUTHORIZATION), "{heads:?}");
}

/// Fault 24: credentials come from `https` URLs, through the same HTTP client as a bucket's `http` one.
#[tokio::test]
async fn each_scheme_has_its_own_proxy() {
    let plain = TestProxy::before(answering(EMPTY).await).await;
    let tls = TestProxy::before(answering("").await).await;
    let settings = through(Proxies::new(Some(plain.url()), Some(tls.url()), "direct.test"));
    let client = client::client(&settings).await.unwrap();
    let list = async |endpoint: &str| {
        let config = client.config().to_builder().endpoint_url(endpoint).build();
        aws_sdk_s3::Client::from_conf(config).list_objects_v2().bucket("bucket").send().await
    };
    list("http://s3.test:9000").await.unwrap();
    // What is behind the tunnel speaks no TLS.
    list("https://sts.test").await.unwrap_err();
    for direct in ["http://direct.test", "https://direct.test"] {
        list(direct).await.unwrap_err();
    }
    let (plain, tls) = (plain.heads(), tls.heads());
    assert_eq!((plain.len(), tls.len()), (1, 1), "{plain:?} {tls:?}");
    assert!(plain[0].starts_with("get http://s3.test:9000/bucket"), "{plain:?}");
    assert!(tls[0].starts_with("connect sts.test:443"), "{tls:?}");
    assert!(tls[0].contains(AUTHORIZATION), "{tls:?}");
}
