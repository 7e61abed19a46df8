//! CreateCacheEntry: reserve a slot, and say where its content goes.

use super::{Call, Encoding, Reply};
use crate::ports::Host;
use crate::service::{self, Checked, Code, Error, FULL, HandOut, WRITE_DENIED};
use crate::url;

/// Reserves the slot that the message names.
///
/// # Errors
/// Those of [`service::reserve`], and `permission_denied` without a scope to write to.
pub(super) async fn create<H: Host>(call: &Call<'_, H>, message: Checked) -> Result<Reply, Error> {
    let Ok(scope) = service::writable_scope(&call.caller) else {
        return denied(call);
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
fn denied<H: Host>(call: &Call<'_, H>) -> Result<Reply, Error> {
    if sees_messages(call) {
        Ok(Reply::Denied { message: WRITE_DENIED })
    } else {
        Err(Error::new(Code::PermissionDenied, WRITE_DENIED))
    }
}

/// The same of a full disk: `@actions/cache` takes any status but 200 for another job that saves, and warns of nothing.
fn full<H: Host>(call: &Call<'_, H>, error: Error) -> Result<Reply, Error> {
    if !sees_messages(call) {
        return Err(error);
    }
    error.log(call.caller.host, &call.caller.request.id);
    Ok(Reply::Denied { message: FULL })
}

fn sees_messages<H: Host>(call: &Call<'_, H>) -> bool {
    call.encoding == Encoding::Json && call.caller.is_actions_cache()
}
