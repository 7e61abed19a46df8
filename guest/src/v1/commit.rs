//! `POST caches/{id}`: make what was sent an entry.

use serde::Deserialize;

use crate::ports::{Host, OutcomeKind, Response};
use crate::service::{self, Caller, Error};

/// The message; members that are not here are passed over.
#[derive(Deserialize)]
struct Commit {
    size: u64,
}

/// Makes the pieces an entry, if they are exactly the bytes that the client says. A repeat answers as the first call did.
///
/// # Errors
/// Those of [`service::finalize_chunks`] and [`service::finalized`]; `not_found` where the upload is not the caller's.
pub(super) async fn commit<H: Host>(caller: &Caller<'_, H>, id: &str) -> Result<Response<H>, Error> {
    let (id, writer) = super::number(id)?;
    let Commit { size } = super::message(caller).await?;
    match caller.host.get_upload_by_id(id).await? {
        Some(upload) if super::is_callers(caller, &upload)? => {
            caller.request.note(|outcome| {
                outcome.of_upload(&upload);
                outcome.key = Some(upload.slot.key.clone());
            });
            super::check_writer(writer, &upload)?;
            service::finalize_chunks(caller, upload, writer, size).await?;
        }
        Some(_) => return Err(super::no_upload()),
        None => drop(service::finalized(caller, id, size).await?),
    }
    caller.request.note(|outcome| outcome.is(OutcomeKind::Finalized));
    Ok(super::done())
}
