//! CreateCacheEntry: reserve a slot, and say where its content goes.

use super::{Call, Encoding, Reply};
use crate::ports::{Host, Request};
use crate::service::{self, Checked, Code, Error, FULL, HandOut};
use crate::url;

/// Reserves the slot that the message names.
///
/// # Errors
/// Those of [`service::reserve`], and `permission_denied` without a scope to write to.
pub(super) async fn create<H: Host>(call: &Call<'_, H>, message: Checked) -> Result<Reply, Error> {
    let scope = match service::writable_scope(&call.caller) {
        Ok(scope) => scope,
        Err(error) => return denied(call.caller.request, call.encoding, error),
    };
    let slot = message.slot(call.caller.claims, scope);
    match service::reserve(&call.caller, slot).await {
        Ok(hand_out) => Ok(reserved(call, &hand_out)),
        Err(error) if error.code() == Code::NoSpace => full(call, error),
        Err(error) => Err(error),
    }
}

fn reserved<H: Host>(call: &Call<'_, H>, HandOut { upload, writer }: &HandOut) -> Reply {
    let (host, request) = (call.caller.host, call.caller.request);
    let expires_ms = request.received_ms.saturating_add(host.settings().upload_url_ms);
    Reply::Reserved { upload_url: url::make_upload(host, &request.origin, &upload.name, *writer, expires_ms) }
}

/// `@actions/cache` sees the reason only in a reply with status 200; all others take a 403 better.
pub(super) fn denied<I>(request: &Request<I>, encoding: Encoding, error: Error) -> Result<Reply, Error> {
    if sees_messages(request, encoding) {
        request.note(|outcome| error.note(outcome));
        Ok(Reply::Denied { message: error.message().to_owned() })
    } else {
        Err(error)
    }
}

/// The same of a full disk: `@actions/cache` takes any status but 200 for another job that saves, and warns of nothing.
fn full<H: Host>(call: &Call<'_, H>, error: Error) -> Result<Reply, Error> {
    if !sees_messages(call.caller.request, call.encoding) {
        return Err(error);
    }
    error.log(call.caller.host, call.caller.request);
    Ok(Reply::Denied { message: FULL.to_owned() })
}

fn sees_messages<I>(request: &Request<I>, encoding: Encoding) -> bool {
    encoding == Encoding::Json && service::is_actions_cache(request)
}
