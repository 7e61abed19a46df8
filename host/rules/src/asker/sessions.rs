//! The sessions of a thread: one for each asker, as long as it is used.

use std::{cell::RefCell, sync::Arc};

use super::in_force::InForce;
use crate::session::Session;

/// Most sessions of a thread. With more tenants that have rules the longest unused one ends; it starts
/// again in half a millisecond.
const SESSIONS: usize = 16;

thread_local! {
    /// The latest used one is the last.
    static SESSIONS_OF_THREAD: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

struct Kept {
    asker: usize,
    in_force: Arc<InForce>,
    session: Session,
}

/// Has this thread's session ask the rules in force of an asker.
pub(super) fn with_session<R>(
    asker: usize,
    in_force: &Arc<InForce>,
    ask: impl FnOnce(&mut Session) -> R,
) -> R {
    let kept = SESSIONS_OF_THREAD.with_borrow_mut(|kept| {
        let at = kept.iter().position(|kept| kept.asker == asker)?;
        Some(kept.remove(at))
    });
    // That of rules that were exchanged ends here.
    let mut kept = kept.filter(|kept| Arc::ptr_eq(&kept.in_force, in_force)).unwrap_or_else(|| Kept {
        asker,
        in_force: in_force.clone(),
        session: Session::new(in_force.rules.clone(), in_force.limits),
    });
    let answer = ask(&mut kept.session);
    SESSIONS_OF_THREAD.with_borrow_mut(|all| {
        if all.len() >= SESSIONS {
            all.remove(0);
        }
        all.push(kept);
    });
    answer
}
