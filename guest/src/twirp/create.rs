//! `CreateCacheEntry`: reserves a slot, and returns the upload URL.

use super::{Encoding, Reply, TwirpCall};
use crate::ports::{Host, Request};
use crate::service::{self, Code, Error, FULL, Grant, ValidRequest};
use crate::url;

/// Reserves the slot of the message.
///
/// # Errors
/// Those of [`service::reserve`]; `permission_denied` without a writable scope.
pub(super) async fn create<H: Host>(call: &TwirpCall<'_, H>, message: ValidRequest) -> Result<Reply, Error> {
    let scope = match service::writable_scope(&call.caller) {
        Ok(scope) => scope,
        Err(error) => return denied(call.caller.request, call.encoding, error),
    };
    let slot = message.slot(call.caller.claims, scope);
    match service::reserve(&call.caller, slot, None).await {
        Ok(grant) => Ok(reserved(call, &grant)),
        Err(error) if error.code() == Code::NoSpace => full(call, error),
        Err(error) if error.code() == Code::PermissionDenied => {
            denied(call.caller.request, call.encoding, error)
        }
        Err(error) => Err(error),
    }
}

fn reserved<H: Host>(call: &TwirpCall<'_, H>, Grant { upload, writer }: &Grant) -> Reply {
    let (host, request) = (call.caller.host, call.caller.request);
    let expires_ms = request.received_ms.saturating_add(host.settings().upload_url_ms);
    Reply::Reserved { upload_url: url::make_upload(host, &request.origin, &upload.name, *writer, expires_ms) }
}

/// Returns a denial as a reply with status 200 to `@actions/cache`, which reads the message of no
/// other status, and as an error to all other clients.
pub(super) fn denied<I>(request: &Request<I>, encoding: Encoding, error: Error) -> Result<Reply, Error> {
    if reads_messages(request, encoding) {
        request.record(|outcome| error.note(outcome));
        Ok(Reply::Denied { message: error.message().to_owned() })
    } else {
        Err(error)
    }
}

/// As [`denied`], for a full disk: with any status but 200 `@actions/cache` assumes that another
/// job saves the entry, and shows no warning.
fn full<H: Host>(call: &TwirpCall<'_, H>, error: Error) -> Result<Reply, Error> {
    if !reads_messages(call.caller.request, call.encoding) {
        return Err(error);
    }
    error.log(call.caller.host, call.caller.request);
    Ok(Reply::Denied { message: FULL.to_owned() })
}

fn reads_messages<I>(request: &Request<I>, encoding: Encoding) -> bool {
    encoding == Encoding::Json && service::is_actions_cache(request)
}
