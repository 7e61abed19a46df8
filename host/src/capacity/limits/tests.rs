#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;
use crate::{config::Config, testing};

fn limits(section: &str, max_bytes: u64, is_apart: bool) -> Limits {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larder.toml");
    std::fs::write(&file, format!("[capacity]\n{section}")).unwrap();
    let config = Config::load(Some(&file), std::iter::empty()).unwrap();
    Limits::new(&config.settings, max_bytes, is_apart)
}

async fn caps(limits: &Limits, folder: &Path, repository: &str) -> Caps {
    let tenant = testing::tenant(folder);
    let name = larder_index::RepositoryName {
        repository: "7".to_owned(),
        name: "Octo/Hello".to_owned(),
        named_ms: 1,
    };
    tenant.index.name_repositories(&[name], 10).await.unwrap();
    limits.caps(&*tenant.index, repository, None).await.unwrap()
}

#[tokio::test]
async fn a_repository_has_its_own_limit_by_id_or_name() {
    let limits = limits(
        "repository_max_bytes = 1000\nscope_percent = 30\nrepositories = [{ repository = \"5\", max_bytes = 0 }, \
         { repository = \"octo/hello\", max_bytes = 2000 }]",
        0,
        false,
    );
    let folder = tempfile::tempdir().unwrap();
    for (repository, cap, share) in
        [("1", Some(1000), Some(300)), ("5", None, None), ("7", Some(2000), Some(600))]
    {
        let caps = caps(&limits, folder.path(), repository).await;
        assert_eq!((caps.repository, caps.scope), (cap, share), "{repository}");
    }
}

#[tokio::test]
async fn a_storage_of_its_own_is_not_limited_by_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let found = caps(&limits("max_bytes = 5", 3, false), folder.path(), "1").await;
    assert_eq!((found.server, found.tenant), (Some(5), Some(3)));
    let found = caps(&limits("max_bytes = 5", 3, true), folder.path(), "1").await;
    assert_eq!((found.server, found.tenant), (None, Some(3)));
    assert!(!limits("max_bytes = 5", 0, true).is_any() && !limits("scope_percent = 5", 0, false).is_any());
}

#[test]
fn the_surplus_is_what_is_above_the_low_mark_once_the_high_one_is_passed() {
    let limits = limits("evict_at_percent = 80\nevict_to_percent = 50", 0, false);
    assert_eq!(limits.surplus(1000, 800), None);
    assert_eq!(limits.surplus(1000, 801), Some(301));
    assert_eq!(limits.surplus(u64::MAX / 2, 10), None);
}
