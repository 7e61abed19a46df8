//! A plain HTTP cache beside the cache service: `PUT`, `GET` and `HEAD` of `/http/KEY`.
//!
//! That is what ccache, Bazel, Gradle's build cache and `curl` speak. They send the job's token
//! (`ACTIONS_RUNTIME_TOKEN`) as `Authorization: Bearer`:
//!
//! ```text
//! curl -T out.tar -H "Authorization: Bearer $ACTIONS_RUNTIME_TOKEN" "${ACTIONS_RESULTS_URL}http/out.tar"
//! ```
//!
//! What they save is in the scope of the job's branch, and is found as any entry is: on the own branch first,
//! then on those that the token may read.

use larder_policy::ports::{OutcomeKind, Payload};
use larder_policy::{Access, Code, Error, Host, Policy, Request, Response, Session};

const ROUTE: &str = "/http/";
/// The version of its entries: so no key of `@actions/cache` is one of these.
const VERSION: &str = "http";

/// Answers `/http/`; the rest is Larder's.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCache;

larder_policy::export!(HttpCache);

impl Policy for HttpCache {
    async fn handle<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
        let Some(key) = request.path.strip_prefix(ROUTE) else {
            return larder_policy::handle(self, host, request).await;
        };
        let answered = match request.method.as_str() {
            "GET" | "HEAD" => restore(self, host, request, key).await,
            "PUT" => save(self, host, request, key).await,
            _ => Ok(Response::new(405, Payload::Empty).with_header("allow", "GET, HEAD, PUT")),
        };
        answered.unwrap_or_else(|error| error.into_response(host, request))
    }

    fn is_repeatable(&self, method: &str, path: &str) -> bool {
        if path.starts_with(ROUTE) { method != "PUT" } else { larder_policy::is_repeatable(method, path) }
    }
}

async fn restore<H: Host>(
    policy: &HttpCache,
    host: &H,
    request: &Request<H::IncomingRequest>,
    key: &str,
) -> Result<Response<H>, Error> {
    let session = Session::open(policy, host, request, Access::Restore).await?;
    match session.get(key, VERSION).await? {
        Some(entry) => Ok(session.send(&entry).await),
        None => {
            Ok(Response::bytes(404, "application/json", br#"{"code":"not_found","msg":"a miss"}"#.to_vec()))
        }
    }
}

/// Saves; a key that is there stays as it is, which is no error for these clients.
async fn save<H: Host>(
    policy: &HttpCache,
    host: &H,
    request: &Request<H::IncomingRequest>,
    key: &str,
) -> Result<Response<H>, Error> {
    let session = Session::open(policy, host, request, Access::Save).await?;
    match session.save(key, VERSION).await {
        Ok(_) => Ok(Response::new(201, Payload::Empty)),
        Err(error) if error.code() == Code::AlreadyExists => {
            request.record(|outcome| outcome.set_kind(OutcomeKind::Exists));
            Ok(Response::new(200, Payload::Empty))
        }
        Err(error) => Err(error),
    }
}
