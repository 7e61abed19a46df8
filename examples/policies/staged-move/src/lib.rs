//! Moves to Larder one repository after another: jobs of those that are listed save and restore here, and
//! every call of all others goes to the upstream, GitHub's own service, as if Larder were not there.
//!
//! The upstream is `DEFAULT_ACTIONS_RESULTS_URL`, as for everything that Larder does not answer. The token must
//! name the repository (the fact `repository`; GitHub's does). `GET /staged-move` lists those that have moved.

use larder_policy::ports::{AuthError, Facts};
use larder_policy::{Host, Policy, Request, Response};

/// Who has moved: `owner/name`, or `owner/` for all of an owner's.
const MOVED: [&str; 2] = ["octo/first", "octo-tools/"];

const CALLS: &str = "/twirp/github.actions.results.api.v1.CacheService/";

/// Sends the calls of those who have not moved to the upstream; the rest is Larder's.
#[derive(Clone, Copy, Debug, Default)]
pub struct StagedMove;

larder_policy::export!(StagedMove);

impl Policy for StagedMove {
    async fn handle<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
        if request.path == "/staged-move" {
            return Response::bytes(200, "text/plain", (MOVED.join("\n") + "\n").into_bytes());
        }
        if request.path.starts_with(CALLS) && goes_on(host, request).await {
            return larder_policy::forward(host, request).await;
        }
        larder_policy::handle(self, host, request).await
    }

    fn is_repeatable(&self, method: &str, path: &str) -> bool {
        // A call may be forwarded, and the upstream may change something.
        !path.starts_with(CALLS) && larder_policy::is_repeatable(method, path)
    }
}

/// Whether the upstream is to answer. A token that is rejected is Larder's to explain.
async fn goes_on<H: Host>(host: &H, request: &Request<H::IncomingRequest>) -> bool {
    match host.verify(&request.incoming).await {
        Ok(_) => !has_moved(&host.facts(&request.incoming)),
        Err(error) => matches!(error, AuthError::NotAllowed(_)),
    }
}

fn has_moved(facts: &Facts) -> bool {
    let repository = facts.iter().find(|(name, _)| name == "repository").map(|(_, value)| value.as_str());
    let is = |moved: &str, name: &str| {
        if moved.ends_with('/') { name.starts_with(moved) } else { name == moved }
    };
    repository.is_some_and(|name| MOVED.iter().any(|moved| is(moved, name)))
}
