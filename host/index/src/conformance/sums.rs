//! Promises about the bytes that are counted for a tenant.

use super::{
    Case,
    ledger::{NO_CAPS, counted, left_upload, reserve_room},
    unique,
};
use crate::{Area, Durability, IndexError, Room};

/// Not of the tenant of other cases.
pub(crate) async fn each_tenant_counts_its_own(case: &Case) {
    let tenant = |name: String| {
        let name = larder_common::TenantName::parse(&name).unwrap();
        Case { index: case.index.tenant(&name).unwrap(), repository: case.repository.clone() }
    };
    let (one, two) = (tenant(unique("t")), tenant(unique("t")));
    let upload = one.reserve(&one.key("k"), 1).await;
    assert_eq!(two.index.reserve_room(&upload.name, 1, &NO_CAPS).await.unwrap(), Room::Gone);
    reserve_room(&one, &upload, 5).await;
    assert_eq!((counted(&one).await, counted(&two).await), (5, 0));
    assert_eq!(one.index.usage_of(&Area::Tenant).await.unwrap(), 5);
    one.index.abandon(upload.id).await.unwrap();
    left_upload(&two, &upload.name).await;
    assert_eq!(counted(&one).await, 5);
    assert_eq!(two.index.list_leaving(None, 10).await.unwrap(), []);
    left_upload(&one, &upload.name).await;
    assert_eq!(one.index.usage_of(&Area::Tenant).await.unwrap(), 0);
    assert!(matches!(one.index.recount().await, Err(IndexError::Unsupported(_))));
    // Nothing is left of a tenant that is forgotten.
    let upload = two.reserve(&two.key("k"), 1).await;
    reserve_room(&two, &upload, 5).await;
    two.index.set_orphans(3).await.unwrap();
    two.index.abandon(upload.id).await.unwrap();
    assert!(two.index.forget_tenant().await.unwrap());
    assert_eq!(two.index.usage_of(&Area::Tenant).await.unwrap(), 0);
    assert_eq!(two.index.list_leaving(None, 10).await.unwrap(), []);
}

pub(crate) async fn orphans_are_counted_for_the_tenant(case: &Case) {
    let name = larder_common::TenantName::parse(&unique("t")).unwrap();
    let case = Case { index: case.index.tenant(&name).unwrap(), repository: case.repository.clone() };
    case.entry_at(&case.key("k"), &Durability::Durable, 1).await;
    for (orphans, bytes) in [(10, 11), (4, 5), (4, 5), (0, 1), (7, 8)] {
        case.index.set_orphans(orphans).await.unwrap();
        assert_eq!(case.index.usage_of(&Area::Tenant).await.unwrap(), bytes);
    }
    assert_eq!(counted(&case).await, 1, "nobody knows whose they were");
}
