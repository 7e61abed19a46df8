//! What operators ask of an index is passed on, and not measured: it is no call of a job.

use async_trait::async_trait;
use larder_index::{
    AccessKey, Catalogue, Entry, EntryId, EntryOrder, IndexError, KeyRule, MatchKind, Within,
    catalogue::{Connections, HistoryBatch, HistoryQuery, HistorySum},
};
use larder_storage::{Digest, ObjectName};

use super::MeasuredIndex;

#[async_trait]
impl Catalogue for MeasuredIndex {
    fn key_rule(&self) -> KeyRule {
        self.inner.key_rule()
    }

    fn connections(&self) -> Option<Connections> {
        self.inner.connections()
    }

    async fn scan_entries(
        &self,
        order: EntryOrder,
        descending: bool,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        self.inner.scan_entries(order, descending, after, limit).await
    }

    async fn entries_with_key(
        &self,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        self.inner.entries_with_key(key, kind, limit).await
    }

    async fn count_entries(&self, within: &Within) -> Result<u64, IndexError> {
        self.inner.count_entries(within).await
    }

    async fn record_digest(
        &self,
        id: EntryId,
        object: &ObjectName,
        digest: &Digest,
    ) -> Result<bool, IndexError> {
        self.inner.record_digest(id, object, digest).await
    }

    async fn add_access_key(&self, key: &AccessKey) -> Result<bool, IndexError> {
        self.inner.add_access_key(key).await
    }

    async fn remove_access_key(&self, name: &str) -> Result<bool, IndexError> {
        self.inner.remove_access_key(name).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>, IndexError> {
        self.inner.list_access_keys().await
    }

    async fn add_history(&self, batch: &HistoryBatch) -> Result<(), IndexError> {
        self.inner.add_history(batch).await
    }

    async fn sum_history(&self, query: &HistoryQuery) -> Result<Vec<HistorySum>, IndexError> {
        self.inner.sum_history(query).await
    }

    async fn trim_history(&self, before_hour: u64, most: usize, limit: usize) -> Result<usize, IndexError> {
        self.inner.trim_history(before_hour, most, limit).await
    }
}
