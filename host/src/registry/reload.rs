//! What keeps the registry up to date.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use larder_common::TenantName;
use larder_index::Index;
use larder_storage::Storage;

/// Keeps the registry as the operator wants it.
#[async_trait]
pub(crate) trait Reload: Send + Sync + 'static {
    /// Looks for changes, and serves what there is from now on. Logs what is wrong.
    async fn reload(self: Arc<Self>);

    /// Returns the tenants whose entries have to be deleted. Logs those that cannot be at the moment.
    async fn removals(&self) -> Vec<Removal>;
}

/// A tenant whose entries have to be deleted. It is not served any more.
pub(crate) struct Removal {
    pub(crate) name: TenantName,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) index: Arc<dyn Index>,
    /// The file that says so. It goes last.
    pub(crate) mark: PathBuf,
}
