//! Rules of a Larder. Decisions are pure: no clock (there are ages), no network, no memory of earlier calls.

// The world is `wit/world.wit`: there is a trait for each interface that stands in it.
wit_bindgen::generate!({ path: "wit", world: "local:rules/rules", generate_all });

use exports::larder::rules::access::{Admission, Caller, Guest, Scope};

struct Rules;

export!(Rules);

/// What a token may do; asked once for each token.
impl Guest for Rules {
    fn admit(caller: Caller) -> Admission {
        // Pull requests only read.
        let event = caller.claims.iter().find(|(name, _)| name == "event_name");
        let is_pull = event.is_some_and(|(_, event)| event.starts_with("pull_request"))
            || caller.scopes.iter().any(|scope| scope.write && scope.name.starts_with("refs/pull/"));
        if is_pull {
            let read_only = |scope| Scope { write: false, ..scope };
            return Admission::Scopes(caller.scopes.into_iter().map(read_only).collect());
        }
        Admission::Default
    }
}
