//! Retention by facts: never used, too old, superseded. Each deletion has its cause.

use larder_index::{Cause, MatchKind};

use super::{DAY_MS, Fixture, with_fixture};
use crate::{
    config::KeepNewest,
    tenant::{PolicySettings, Tenant},
    testing::NOW_MS,
};

impl Fixture {
    /// The same with other settings of the policy.
    fn with_settings(self, change: impl FnOnce(&mut PolicySettings)) -> Self {
        let mut settings = self.tenant.settings.clone();
        change(&mut settings);
        let tenant = std::sync::Arc::new(Tenant { settings, ..(*self.tenant).clone() });
        let guest = policy().start(&tenant);
        Self { tenant, guest, ..self }
    }

    /// The causes with which entries of a key left, the last one first.
    pub(super) async fn causes(&self, key: &str) -> Vec<Cause> {
        let gone = self.tenant.index.find_departed("1", key, MatchKind::Exact, 10).await.unwrap();
        gone.into_iter().map(|departed| departed.departure.cause).collect()
    }
}

fn policy() -> crate::engine::Policy {
    let engine = super::Engine::start(super::TICK).unwrap();
    engine.load(super::BUILT_IN_POLICY, None, super::InstanceLimits::default()).unwrap()
}

#[tokio::test]
async fn unused_and_stale_entries_leave_with_their_causes() {
    with_fixture(async |fixture| {
        fixture.entry("unused", NOW_MS).await;
        fixture.sweep(NOW_MS + 92 * DAY_MS).await;
        fixture.entry("stale", NOW_MS).await;
        for file in fixture.objects() {
            std::fs::remove_file(file).unwrap();
        }
        fixture.sweep(NOW_MS).await;
        assert_eq!(fixture.causes("unused").await, [Cause::Age]);
        assert_eq!(fixture.causes("stale").await, [Cause::Stale]);
    })
    .await;
}

#[tokio::test]
async fn entries_that_were_never_used_go_first() {
    with_fixture(async |fixture| {
        let fixture = fixture.with_settings(|settings| settings.never_used_ms = Some(7 * DAY_MS));
        fixture.entry("never", NOW_MS).await;
        let used = fixture.entry("used", NOW_MS).await;
        fixture.tenant.usage.buffer_use(used.id, NOW_MS + 1);
        assert_eq!(fixture.sweep(NOW_MS + 7 * DAY_MS).await.entries, 0);
        assert_eq!(fixture.sweep(NOW_MS + 9 * DAY_MS).await.entries, 1);
        assert_eq!(fixture.causes("never").await, [Cause::NeverUsed]);
        assert!(fixture.causes("used").await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn old_entries_go_however_often_they_are_used() {
    with_fixture(async |fixture| {
        let fixture = fixture.with_settings(|settings| settings.max_age_ms = Some(7 * DAY_MS));
        let used = fixture.entry("used", NOW_MS).await;
        fixture.tenant.usage.buffer_use(used.id, NOW_MS + 7 * DAY_MS);
        assert_eq!(fixture.sweep(NOW_MS + 8 * DAY_MS).await.entries, 0, "a URL may be in use");
        assert_eq!(fixture.sweep(NOW_MS + 8 * DAY_MS + 1).await.entries, 1);
        assert_eq!(fixture.causes("used").await, [Cause::MaxAge]);
    })
    .await;
}

/// Over pages, and apart from each other's scopes.
#[tokio::test]
async fn the_newest_entries_of_a_prefix_stay() {
    with_fixture(async |fixture| {
        let rule = KeepNewest { prefix: "npm-".into(), keep: 3 };
        let fixture = fixture.with_settings(|settings| settings.keep_newest = vec![rule]);
        let many = super::super::PAGE + 20;
        for number in 0..many {
            fixture.entry(&format!("npm-{number}"), NOW_MS).await;
        }
        fixture.entry("other", NOW_MS).await;
        assert_eq!(fixture.sweep(NOW_MS + DAY_MS + 1).await.entries, many - 3);
        assert_eq!(fixture.causes("npm-0").await, [Cause::Superseded]);
        let left = fixture.tenant.index.list_entries(larder_index::EntryId(0), 10).await.unwrap();
        let keys: Vec<_> = left.iter().map(|entry| entry.slot.key.clone()).collect();
        let newest = [3, 2, 1].map(|from_end| format!("npm-{}", many - from_end));
        assert_eq!(keys, [&newest[..], &["other".to_owned()]].concat());
        assert_eq!(fixture.sweep(NOW_MS + DAY_MS + 1).await.entries, 0);
    })
    .await;
}

#[tokio::test]
async fn as_many_departed_entries_are_remembered_as_configured() {
    with_fixture(async |fixture| {
        let tenant = Tenant { departed_entries: 2, ..(*fixture.tenant).clone() };
        let fixture = Fixture { tenant: std::sync::Arc::new(tenant), ..fixture };
        for number in 0..5 {
            fixture.entry(&format!("k{number}"), NOW_MS).await;
        }
        assert_eq!(fixture.sweep(NOW_MS + 92 * DAY_MS).await.entries, 5);
        let gone = fixture.tenant.index.find_departed("1", "k", MatchKind::Prefix, 10).await.unwrap();
        // Those whose object is not known to be gone are remembered until it is.
        let removed: Vec<_> = gone.iter().filter(|departed| departed.object.is_none()).collect();
        assert!(removed.len() <= 2, "{gone:?}");
    })
    .await;
}
