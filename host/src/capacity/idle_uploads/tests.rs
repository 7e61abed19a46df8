#![expect(clippy::unwrap_used, reason = "tests")]

use larder_index::{Reservation, Trust};

use super::*;
use crate::testing::{NOW_MS, tenant};

const MINUTE_MS: u64 = 60_000;

fn scope_of(repository: &str, scope: &str) -> RoomBound {
    RoomBound::Scope { repository: repository.to_owned(), scope: scope.to_owned() }
}

async fn reserve(tenant: &Tenant, repository: &str, scope: &str, at_ms: u64) -> Upload {
    let [version, key] = ["v", "k"].map(str::to_owned);
    let slot = Slot { repository: repository.to_owned(), scope: scope.to_owned(), version, key };
    let facts = &larder_common::facts::NO_FACTS;
    let reserved = tenant.index.reserve(&slot, "owner", facts, Trust::Full, at_ms, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("{reserved:?}") };
    upload
}

#[tokio::test]
async fn only_idle_uploads_of_the_area_go() {
    let folder = tempfile::TempDir::new().unwrap();
    let tenant = tenant(folder.path());
    let long_ago = NOW_MS - 10 * MINUTE_MS;
    let idle = reserve(&tenant, "1", "main", long_ago).await;
    let busy = reserve(&tenant, "1", "other", NOW_MS).await;
    let elsewhere = reserve(&tenant, "2", "main", long_ago).await;
    let uploads = IdleUploads::default();
    assert!(!uploads.drop_in(&tenant, &scope_of("1", "other")).await.unwrap());
    assert!(uploads.drop_in(&tenant, &scope_of("1", "main")).await.unwrap());
    let left = tenant.index.list_uploads(UploadId(0), 9).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|upload| upload.id).collect();
    assert_eq!(left, [busy.id, elsewhere.id], "{} went", idle.id.0);
    assert!(uploads.drop_in(&tenant, &RoomBound::Tenant).await.unwrap());
    assert_eq!(tenant.index.list_uploads(UploadId(0), 9).await.unwrap().len(), 1);
}

/// A storm of saves that do not fit would read all uploads for each of them.
#[tokio::test]
async fn a_wide_area_is_not_looked_at_again_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let tenant = tenant(folder.path());
    let uploads = IdleUploads::default();
    let wide = RoomBound::Repository("1".to_owned());
    assert!(!uploads.drop_in(&tenant, &wide).await.unwrap());
    reserve(&tenant, "1", "main", NOW_MS - 10 * MINUTE_MS).await;
    assert!(!uploads.drop_in(&tenant, &wide).await.unwrap(), "it was looked at a moment ago");
    assert!(uploads.drop_in(&tenant, &RoomBound::Tenant).await.unwrap(), "another area");
    let began = Instant::now();
    assert!(!uploads.is_due(&wide, began));
    assert!(uploads.is_due(&wide, began + BETWEEN));
    assert!(!uploads.is_due(&wide, began + BETWEEN));
}

#[test]
fn the_areas_that_are_remembered_are_bounded() {
    let (uploads, mut now) = (IdleUploads::default(), Instant::now());
    for number in 0..10 * MANY {
        now += Duration::from_millis(10);
        assert!(uploads.is_due(&RoomBound::Repository(number.to_string()), now));
    }
    assert!(uploads.looked.borrow().len() <= MANY);
}
