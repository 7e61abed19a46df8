//! The statements that differ from server to server.

use std::collections::HashSet;

use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};

use super::{
    catalogue::CatalogueStatements,
    departed::DepartedStatements,
    facts::FactStatements,
    fault::{Fault, RetrySafety},
    history::HistoryTexts,
    ledger::LedgerStatements,
    refusals::RefusalStatements,
    request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
    tenant::TenantConnection,
    within::WithinStatements,
};
use crate::{AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId};

/// The statements of a driver. They do what the methods of [`Index`](crate::Index) do, on one connection, for one
/// tenant.
pub(super) trait Statements:
    CatalogueStatements
    + FactStatements
    + DepartedStatements
    + HistoryTexts
    + LedgerStatements
    + RefusalStatements
    + WithinStatements
{
    /// Whether [`Self::finalize`] may be retried after the connection is lost.
    const FINALIZE: RetrySafety;

    async fn find(
        db: &mut TenantConnection<'_, Self::Connection>,
        search: &SearchRequest,
    ) -> Result<Option<Entry>, Fault>;

    async fn entry(
        db: &mut TenantConnection<'_, Self::Connection>,
        by: EntryBy<'_>,
    ) -> Result<Option<Entry>, Fault>;

    async fn upload(
        db: &mut TenantConnection<'_, Self::Connection>,
        by: UploadBy<'_>,
    ) -> Result<Option<Upload>, Fault>;

    /// Reserves a slot that is free except for the displaced upload, which must still be idle.
    /// Returns `None`, and changes nothing, if another call was faster.
    async fn try_reserve(
        db: &mut TenantConnection<'_, Self::Connection>,
        request: &ReservationRequest,
        displaced: Option<UploadId>,
    ) -> Result<Option<Upload>, Fault>;

    /// See [`renew`](crate::Index::renew).
    async fn renew(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: UploadId,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<bool, Fault>;

    async fn attach(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault>;

    async fn finalize(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault>;

    /// Deletes an upload, but only if it is idle when `idle` is given. Returns whether it did.
    async fn delete_upload(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: UploadId,
        idle: Option<IdleTimes>,
    ) -> Result<bool, Fault>;

    /// Records a use and returns whether the entry exists, both with one lock on its row.
    async fn touch_entry(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: EntryId,
        used_ms: u64,
    ) -> Result<bool, Fault>;

    async fn cap_last_used(
        db: &mut TenantConnection<'_, Self::Connection>,
        ids: &[EntryId],
        now_ms: u64,
    ) -> Result<(), Fault>;

    async fn touch_uploads(
        db: &mut TenantConnection<'_, Self::Connection>,
        uses: &[(UploadName, u64)],
    ) -> Result<(), Fault>;

    async fn mark_durable(
        db: &mut TenantConnection<'_, Self::Connection>,
        ids: &[EntryId],
    ) -> Result<(), Fault>;

    async fn volatile(
        db: &mut TenantConnection<'_, Self::Connection>,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    async fn entries(
        db: &mut TenantConnection<'_, Self::Connection>,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    async fn uploads(
        db: &mut TenantConnection<'_, Self::Connection>,
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, Fault>;

    async fn referenced(
        db: &mut TenantConnection<'_, Self::Connection>,
        objects: &[ObjectName],
    ) -> Result<HashSet<ObjectName>, Fault>;

    async fn existing(
        db: &mut TenantConnection<'_, Self::Connection>,
        names: &[UploadName],
    ) -> Result<HashSet<UploadName>, Fault>;

    async fn secret(
        db: &mut TenantConnection<'_, Self::Connection>,
        name: &str,
        fresh: &[u8],
    ) -> Result<Vec<u8>, Fault>;

    /// See [`forget_tenant`](crate::Index::forget_tenant).
    async fn forget(db: &mut TenantConnection<'_, Self::Connection>) -> Result<bool, Fault>;

    /// Returns the first tenant after this name that has rows.
    async fn next_tenant(connection: &mut Self::Connection, after: &str)
    -> Result<Option<TenantName>, Fault>;
}
