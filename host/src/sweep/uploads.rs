//! Abandoned uploads.

use larder_common::causes::chain;
use larder_index::{MAX_CLOCK_SKEW_MS, Upload, UploadId};

use crate::capacity::{discard_upload, remove_object};

use super::{PAGE, SweepError, SweepRun, Sweeper, ages::EARLIEST_MS};

impl Sweeper<'_> {
    /// Abandons the uploads that the guest selects.
    pub(super) async fn sweep_uploads(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        self.flush_usage().await;
        let mut after = UploadId(0);
        loop {
            let page = self.tenant.index.list_uploads(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.correct_future_activity(&page, now_ms).await;
            let doomed = self.guest.review_uploads(now_ms, page.as_slice().into()).await?;
            for upload in page.iter().filter(|upload| doomed.contains(&upload.id)) {
                self.abandon(upload, run).await?;
            }
        }
    }

    /// Sets last-activity times in the future, written while a clock was ahead, to now, so that the
    /// uploads expire some day. Changes nothing if this clock is wrong.
    async fn correct_future_activity(&self, page: &[Upload], now_ms: u64) {
        let ahead =
            page.iter().filter(|upload| upload.last_activity_ms > now_ms.saturating_add(MAX_CLOCK_SKEW_MS));
        let times: Vec<_> = ahead.map(|upload| (upload.name.clone(), now_ms)).collect();
        if times.is_empty() {
            return;
        }
        let clock_is_wrong = now_ms < EARLIEST_MS;
        tracing::warn!(
            uploads = times.len(),
            clock_is_wrong,
            "uploads have last-activity times in the future"
        );
        if clock_is_wrong {
            return;
        }
        if let Err(error) = self.tenant.index.touch_uploads(&times).await {
            tracing::warn!(error = %chain(&error), "cannot correct last-activity times in the future; the next sweep retries");
        }
    }

    /// Deletes an upload that had no activity since it was listed: the row, then its object,
    /// then its staged blocks. What cannot be removed becomes an orphan.
    async fn abandon(&self, upload: &Upload, run: &mut SweepRun) -> Result<(), SweepError> {
        let is_idle = self.tenant.usage.last_activity_ms(&upload.name).is_none();
        if !(is_idle && self.tenant.index.abandon_idle(upload.id, upload.last_activity_ms + 1).await?) {
            return Ok(());
        }
        run.report.uploads += 1;
        tracing::info!(upload = upload.id.0, key = upload.slot.key, "abandoned upload deleted");
        if let Some(attachment) = &upload.attachment {
            run.failures.record(remove_object(self.tenant, &attachment.object).await)?;
        }
        run.failures.record(discard_upload(self.tenant, &upload.name).await)?;
        Ok(())
    }
}
