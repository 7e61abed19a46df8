//! `POST caches/{id}`: make what was sent an entry.

use serde::Deserialize;

use crate::ports::{Host, Response};
use crate::service::{self, Caller, Code, Error};

/// The message; members that are not here are passed over.
#[derive(Deserialize)]
struct Commit {
    size: u64,
}

/// Makes the pieces an entry, if they are exactly the bytes that the client says. A repeat answers as the first call did.
///
/// # Errors
/// Those of [`service::finalize_chunks`]; `not_found` where there is neither upload nor entry of the caller.
pub(super) async fn commit<H: Host>(caller: &Caller<'_, H>, id: &str) -> Result<Response<H>, Error> {
    let id = super::number(id)?;
    let Commit { size } = super::message(caller).await?;
    match caller.host.get_upload_by_id(id).await? {
        Some(upload) if super::is_callers(caller, &upload)? => {
            service::finalize_chunks(caller, upload, size).await?;
        }
        Some(_) => return Err(super::no_upload()),
        None => already_committed(caller, id, size).await?,
    }
    Ok(super::done())
}

/// Looks for the entry that the upload became: a client that lost the first answer asks again.
async fn already_committed<H: Host>(caller: &Caller<'_, H>, upload_id: u64, size: u64) -> Result<(), Error> {
    let scope = service::writable_scope(caller)?;
    let entry = caller.host.get_entry_of_upload(upload_id).await?;
    let entry = entry.filter(|e| e.slot.repository == caller.claims.repository && e.slot.scope == scope);
    match entry {
        Some(entry) if entry.size_bytes == size => Ok(()),
        Some(_) => Err(Error::new(Code::AlreadyExists, "there is an entry of another size already")),
        None => Err(super::no_upload()),
    }
}
