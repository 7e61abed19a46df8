use super::of_saver;
use crate::fake::claims;
use crate::ports::Trust;

fn trust(scopes: &[&str], event: Option<&str>) -> Trust {
    let facts: Vec<_> = event.map(|event| ("event_name".to_owned(), event.to_owned())).into_iter().collect();
    of_saver(&claims("1", "t", scopes), &facts)
}

#[test]
fn only_a_token_that_writes_all_that_it_reads_has_full_trust() {
    assert_eq!(trust(&["main=rw"], None), Trust::Full);
    assert_eq!(trust(&["main=rw", "release=rw"], Some("push")), Trust::Full);
    assert_eq!(trust(&["main=w"], None), Trust::Full);
    assert_eq!(trust(&["pr=rw", "main=r"], None), Trust::Low);
    assert_eq!(trust(&["main=r"], Some("push")), Trust::Low);
}

#[test]
fn a_job_that_outsiders_may_start_has_low_trust_on_the_default_branch() {
    for event in [
        "pull_request",
        "pull_request_target",
        "pull_request_review_comment",
        "issue_comment",
        "issues",
        "discussion_comment",
        "workflow_run",
        "fork",
        "watch",
        "gollum",
    ] {
        assert_eq!(trust(&["main=rw"], Some(event)), Trust::Low, "{event}");
    }
    for event in ["push", "schedule", "workflow_dispatch", "repository_dispatch", "release", "merge_group"] {
        assert_eq!(trust(&["main=rw"], Some(event)), Trust::Full, "{event}");
    }
}
