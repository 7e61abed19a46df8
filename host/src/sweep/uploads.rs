//! Uploads that nobody finishes.

use super::{PAGE, Run, SweepError, Sweeper, entries::EARLIEST_MS};
use crate::{
    causes::chain,
    index::{AHEAD_MS, Upload, UploadId},
};

impl Sweeper<'_> {
    /// Abandons the uploads that the guest gives up.
    pub(super) async fn sweep_uploads(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        self.write_uses_down().await;
        let mut after = UploadId(0);
        loop {
            let page = self.services.index.list_uploads(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.bring_uploads_back(&page, now_ms).await;
            let given_up = self.guest.review_uploads(now_ms, page.as_slice().into()).await?;
            for upload in page.iter().filter(|upload| given_up.contains(&upload.id)) {
                self.abandon(upload, run).await?;
            }
        }
    }

    /// What was active while the clock was ahead counts from now on; so it is given up some time. Not by a clock that is wrong
    /// for certain.
    async fn bring_uploads_back(&self, page: &[Upload], now_ms: u64) {
        let ahead = page.iter().filter(|upload| upload.active_ms > now_ms.saturating_add(AHEAD_MS));
        let uses: Vec<_> = ahead.map(|upload| (upload.name.clone(), now_ms)).collect();
        if uses.is_empty() {
            return;
        }
        let clock_is_wrong = now_ms < EARLIEST_MS;
        tracing::warn!(uploads = uses.len(), clock_is_wrong, "uploads were active in the future");
        if clock_is_wrong {
            return;
        }
        if let Err(error) = self.services.index.touch_uploads(&uses).await {
            tracing::warn!(error = %chain(&error), "times of uploads stay in the future until the next sweep");
        }
    }

    /// Deletes an upload for which nothing came since it was listed: the row, then what was staged, then its object. What cannot be
    /// removed is an orphan from then on.
    async fn abandon(&self, upload: &Upload, run: &mut Run) -> Result<(), SweepError> {
        let is_idle = self.services.usage.last_activity_ms(&upload.name).is_none();
        if !(is_idle && self.services.index.abandon_idle(upload.id, upload.active_ms + 1).await?) {
            return Ok(());
        }
        run.report.uploads += 1;
        tracing::info!(upload = upload.id.0, key = upload.slot.key, "an abandoned upload was removed");
        run.failures.note(self.services.storage.discard(&upload.name).await)?;
        if let Some(attachment) = &upload.attachment {
            run.failures.note(self.services.storage.remove(&attachment.object).await)?;
        }
        Ok(())
    }
}
