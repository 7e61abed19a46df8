//! The handle of an index, and how it makes calls.

use std::sync::Arc;

use larder_common::TenantName;
use larder_storage::Digest;

use super::{
    client::Client,
    fault::{Fault, RetrySafety},
    pool::Driver,
    request::{EntryBy, ReservationRequest, UploadBy},
    statements::Statements,
    tenant::TenantConnection,
};
use crate::{AttachOutcome, Attachment, IndexError, KeyRule, Reservation, UploadId};

/// Attempts of a reservation while other calls are faster.
const MAX_ATTEMPTS: usize = 50;

/// Makes a reservation. Only its last step changes anything.
pub(super) async fn reserve<D: Statements>(
    db: &mut TenantConnection<'_, D::Connection>,
    request: &ReservationRequest,
) -> Result<Reservation, Fault> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(entry) = D::entry(db, EntryBy::Slot(&request.digest)).await? {
            return Ok(Reservation::Entry(entry));
        }
        let displaced = match D::upload(db, UploadBy::Slot(&request.digest)).await? {
            None => None,
            // Only this call knows the name, so an earlier attempt succeeded and its response was
            // lost.
            Some(upload) if upload.name == request.name => return Ok(Reservation::Reserved(upload)),
            Some(upload) if !upload.is_idle(request.now_ms, request.idle_before_ms) => {
                return Ok(Reservation::Upload(upload));
            }
            Some(idle) => Some(idle.id),
        };
        if let Some(upload) = D::try_reserve(db, request, displaced).await? {
            return Ok(Reservation::Reserved(upload));
        }
    }
    Err(Fault::Contended)
}

/// The index in a database server.
///
/// Dropping the last one of a database completes the calls in progress and closes the connections.
pub(crate) struct SqlIndex<D: Driver> {
    pub(super) client: Arc<Client<D>>,
    pub(super) rule: KeyRule,
    pub(super) tenant: TenantName,
}

impl<D: Driver> SqlIndex<D> {
    /// The index of the tenant `default`.
    pub(super) fn new(client: Client<D>, rule: KeyRule) -> Self {
        Self { client: Arc::new(client), rule, tenant: TenantName::default() }
    }
}

impl<D: Statements> SqlIndex<D>
where
    D::Connection: 'static,
{
    /// Makes a call as the tenant.
    pub(super) async fn call<T, F>(
        &self,
        context: &'static str,
        safety: RetrySafety,
        op: F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut TenantConnection<'_, D::Connection>) -> Result<T, Fault> + Send + 'static,
    {
        let tenant = self.tenant.clone();
        let op = async move |connection: &mut D::Connection| {
            op(&mut TenantConnection::new(connection, &tenant)).await
        };
        self.client.call(context, safety, op).await
    }

    /// See [`crate::Index::attach`].
    pub(super) async fn attach_content(
        &self,
        id: UploadId,
        content: Attachment,
        digest: Option<Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        let attach = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::attach(db, id, &content, digest.as_ref(), now_ms).await
        };
        // A retry does not return the replaced object, so that is left to the sweep.
        self.call("attaching an object", RetrySafety::Always, attach).await
    }

    /// Returns the names of tenants that have rows (see [`crate::Index::list_tenants`]).
    pub(super) async fn names_of_tenants(
        &self,
        after: Option<TenantName>,
        limit: usize,
    ) -> Result<Vec<TenantName>, IndexError> {
        let list = async move |connection: &mut D::Connection| {
            let mut names: Vec<TenantName> = Vec::new();
            while names.len() < limit {
                let last = names.last().or(after.as_ref()).map_or("", TenantName::as_str);
                let Some(next) = D::next_tenant(connection, last).await? else { break };
                names.push(next);
            }
            Ok(names)
        };
        self.client.call("listing tenants", RetrySafety::Always, list).await
    }
}
