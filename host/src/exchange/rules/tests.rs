#![expect(clippy::unwrap_used, reason = "tests")]

use larder_rules::{Caller, Limits};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const GOOD: &str = "export const access = { admit: () => ({ tag: 'default' }) };";
const THROWS: &str = "export const access = { admit({ repository }) { if (repository) throw new Error('no'); return { tag: 'default' }; } };";

async fn exchange(cache: &TempDir) -> RulesExchange {
    RulesExchange {
        asker: Asker::new(Limits::default()),
        cache: cache.path().to_owned(),
        policy_asks: Box::new(|| true),
    }
}

fn ask(exchange: &RulesExchange, repository: &str, times: u32) {
    let caller = Caller { repository: repository.to_owned(), ..Caller::default() };
    for _ in 0..times {
        let _ = exchange.asker.admit(&caller);
    }
}

#[tokio::test]
async fn rules_that_mostly_fail_have_to_go_and_not_for_a_few_failures() {
    let cache = TempDir::new().unwrap();
    let exchange = exchange(&cache).await;
    let rules = exchange.load(THROWS.into(), "throws.js").await.unwrap();
    exchange.put(rules.clone()).await.unwrap();
    ask(&exchange, "", 30);
    ask(&exchange, "attacker", 20);
    let soon = Duration::from_millis(600);
    assert!(timeout(soon, exchange.fails(&rules)).await.is_err(), "20 of 50 is not most");
    ask(&exchange, "attacker", 20);
    timeout(Duration::from_secs(30), exchange.fails(&rules)).await.unwrap();
}

#[tokio::test]
async fn rules_go_back_to_rules_and_never_to_none() {
    let cache = TempDir::new().unwrap();
    let exchange = exchange(&cache).await;
    let none = exchange.load(Vec::new(), NO_RULES.1).await.unwrap();
    let good = exchange.load(GOOD.into(), "good.js").await.unwrap();
    assert!(!exchange.may_go_back_to(&none) && exchange.may_go_back_to(&good));
    assert!(exchange.load(b"export const access = {".to_vec(), "bad.js").await.is_err());
}

/// With a policy that asks nobody they would not refuse a thing, and nobody would know.
#[tokio::test]
async fn rules_about_requests_need_a_policy_that_asks_them() {
    let cache = TempDir::new().unwrap();
    let exchange = RulesExchange { policy_asks: Box::new(|| false), ..exchange(&cache).await };
    for text in [
        "export const restore = { judgeHit: () => ({ tag: 'accept' }) };",
        "export const save = { judgeSave: () => ({ tag: 'accept', val: {} }) };",
    ] {
        let refused = exchange.load(text.into(), "rules.js").await.unwrap_err();
        assert!(refused.is::<NotAsked>(), "{refused}");
    }
    exchange.load(GOOD.into(), "access.js").await.unwrap();
    exchange.load(Vec::new(), NO_RULES.1).await.unwrap();
}
