//! Removes what is left of a tenant.

use super::{dirs::Dirs, errors, identity, list};
use crate::StorageError;

const CONTEXT: &str = "removing a tenant";

/// See [`Storage::forget_tenant`](crate::Storage::forget_tenant). Blocks on the disk.
pub(super) fn forget(dirs: &Dirs) -> Result<bool, StorageError> {
    let (objects, uploads) = (list::objects(dirs, None)?, list::uploads(dirs, None)?);
    if !objects.items.is_empty() || !uploads.items.is_empty() {
        return Ok(false);
    }
    identity::remove(dirs).map_err(errors::failed(CONTEXT))?;
    dirs.remove_empty().map_err(errors::failed(CONTEXT))
}
