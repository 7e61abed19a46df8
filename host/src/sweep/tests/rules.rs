//! Rules of retention: what they want is done, as far as the guest lets them.

use larder_index::Cause;
use larder_rules::{Rules, Source};

use super::{DAY_MS, Fixture, with_fixture};
use crate::testing::NOW_MS;

/// Keeps the newest two of each prefix, and what is called `keep`.
const RULES: &str = "
export const retention = {
  group: (entries) => entries.map(({ key }) => (key.includes('-') ? key.split('-')[0] : null)),
  judge: (members) =>
    members.map(({ entry, place }) =>
      entry.key === 'keep' ? { tag: 'keep' }
      : place !== null && place >= 2 ? { tag: 'remove', val: 'newest-2' }
      : { tag: 'default' }),
};";

fn put_in_force(fixture: &Fixture, script: &str) {
    let source = Source::Script { text: script.to_owned(), name: "rules.js".to_owned() };
    fixture.tenant.rules.exchange(Some(Rules::load(source, None).unwrap()));
}

async fn keys(fixture: &Fixture) -> Vec<String> {
    let entries = fixture.tenant.index.list_entries(larder_index::EntryId(0), 10_000).await.unwrap();
    entries.into_iter().map(|entry| entry.slot.key).collect()
}

#[tokio::test]
async fn entries_that_a_rule_removes_leave_with_its_name_and_those_that_it_keeps_stay() {
    with_fixture(async |fixture| {
        put_in_force(&fixture, RULES);
        for key in ["npm-1", "npm-2", "go-1", "npm-3", "npm-4", "keep"] {
            fixture.entry(key, NOW_MS).await;
        }
        // Somebody may hold a URL yet.
        assert_eq!(fixture.sweep(NOW_MS).await.entries, 0);
        assert_eq!(fixture.sweep(NOW_MS + 2 * DAY_MS).await.entries, 2);
        assert_eq!(keys(&fixture).await, ["go-1", "npm-3", "npm-4", "keep"]);
        assert_eq!(fixture.causes("npm-1").await, [Cause::Rule("newest-2".to_owned())]);
        // What the rules do not judge is judged as ever.
        fixture.sweep(NOW_MS + 92 * DAY_MS).await;
        assert_eq!(keys(&fixture).await, ["keep"]);
        assert_eq!(fixture.causes("go-1").await, [Cause::Age]);
        fixture.tenant.rules.exchange(None);
        fixture.sweep(NOW_MS + 92 * DAY_MS).await;
        assert_eq!(fixture.causes("keep").await, [Cause::Age]);
    })
    .await;
}

#[tokio::test]
async fn rules_in_the_shadow_remove_nothing_and_say_what_they_would() {
    with_fixture(async |fixture| {
        let source = Source::Script { text: RULES.to_owned(), name: "rules.js".to_owned() };
        fixture.tenant.rules.set_shadow(Some(Rules::load(source, None).unwrap()), 100).unwrap();
        for key in ["npm-1", "npm-2", "go-1", "npm-3", "npm-4", "keep"] {
            fixture.entry(key, NOW_MS).await;
        }
        assert_eq!(fixture.sweep(NOW_MS + 2 * DAY_MS).await.entries, 0);
        let began = std::time::Instant::now();
        let status = loop {
            let status = fixture.tenant.rules.shadow_status().unwrap();
            if status.answered + status.dropped == status.offered {
                break status;
            }
            assert!(began.elapsed().as_secs() < 120, "{status:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let counts: Vec<_> =
            status.differences.iter().map(|kind| (&*kind.active, &*kind.shadow, kind.count)).collect();
        assert_eq!(counts, [("default", "remove", 2), ("default", "keep", 1)]);
        let removed: Vec<_> = status.examples.iter().filter(|example| example.shadow == "remove").collect();
        assert_eq!(
            removed.iter().map(|example| example.key.as_deref()).collect::<Vec<_>>(),
            [Some("npm-2"), Some("npm-1")]
        );
    })
    .await;
}

#[tokio::test]
async fn rules_that_fail_leave_the_decision_to_the_policy() {
    with_fixture(async |fixture| {
        put_in_force(
            &fixture,
            "export const retention = { judge: () => { throw new Error('on purpose'); }, group: () => [] };",
        );
        fixture.entry("unused", NOW_MS).await;
        assert_eq!(fixture.sweep(NOW_MS + 2 * DAY_MS).await.entries, 0);
        assert_eq!(fixture.sweep(NOW_MS + 92 * DAY_MS).await.entries, 1);
        assert_eq!(fixture.causes("unused").await, [Cause::Age]);
        let status = fixture.tenant.rules.status().unwrap();
        assert_eq!(status.interfaces[0].asked, status.interfaces[0].failed);
        assert!(status.interfaces[0].failed >= 4, "{status:?}");
    })
    .await;
}
