//! How far a saver is trusted.
//!
//! Called by `service` when a slot is reserved; stored with the entry. A saver of low trust pushes
//! out nothing that has full trust (`room`), and cannot replace it soon after it is gone
//! (`service::reserve`).

use crate::ports::{Claims, Facts, Trust};

/// The fact that names what started the job.
const EVENT: &str = "event_name";

/// Events that anybody may cause who can read the repository, so that the job may work on an
/// outsider's input with the rights of the default branch. Each of these, and each name that
/// begins so (`issue_comment`, `pull_request_target`, `discussion_comment`, …).
const OPEN_EVENTS: [&str; 7] =
    ["pull_request", "issue", "discussion", "workflow_run", "fork", "watch", "gollum"];

/// Returns the trust of a saver: low if it has a scope that it may read and not write, as every
/// job has that is not the default branch's, or if outsiders may have started it; else full.
pub(crate) fn of_saver(claims: &Claims, facts: &Facts) -> Trust {
    let reads_others = claims.scopes.iter().any(|scope| scope.read && !scope.write);
    let is_open = |event: &str| OPEN_EVENTS.iter().any(|open| event.starts_with(open));
    let was_open = facts.iter().any(|(name, event)| name == EVENT && is_open(event));
    if reads_others || was_open { Trust::Low } else { Trust::Full }
}

#[cfg(test)]
mod tests;
