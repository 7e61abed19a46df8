//! Promises about URLs of the service itself.

use super::*;

/// If there is such a URL, it works with plain `GET` and `Range`, until it expires.
pub(crate) async fn presigned_urls_serve_the_object(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let bytes = pattern(100_000, 5);
    put(&*bucket, &key, &bytes).await;
    let before_s = now_ms() / 1000;
    let Some(url) = bucket.presign(&key, Duration::from_secs(600)).await.unwrap() else { return };
    let lifetime_s = lifetime_s(&url, before_s);
    assert!((540..=660).contains(&lifetime_s), "{lifetime_s} s for 600 s: {url}");
    let client = reqwest::Client::new();
    let whole = client.get(&url).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert!(whole.bytes().await.unwrap() == bytes);
    let part = client.get(&url).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == bytes[5..10]);
}

/// The lifetime of a presigned URL, in each service's own parameter.
pub(crate) fn lifetime_s(url: &str, now_s: u64) -> u64 {
    let query = url.split_once('?').unwrap().1;
    let value = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    match (value("X-Amz-Expires").or_else(|| value("X-Goog-Expires")), value("se")) {
        (Some(seconds), _) => seconds.parse().unwrap(),
        (None, Some(until)) => seconds_since_1970(&until.replace("%3A", ":")) - now_s,
        (None, None) => panic!("no expiry in {url}"),
    }
}

/// `2026-11-25T03:04:05Z` in seconds since 1970.
fn seconds_since_1970(text: &str) -> u64 {
    let number = |range: Range<usize>| text[range].parse::<u64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
}
