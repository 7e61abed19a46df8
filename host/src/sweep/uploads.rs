//! Uploads that nobody finishes.

use super::{PAGE, Run, SweepError, Sweeper};
use crate::index::{Upload, UploadId};

impl Sweeper<'_> {
    /// Abandons the uploads that the guest gives up.
    pub(super) async fn sweep_uploads(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        // Signs of life that are still in memory count, too.
        self.services.recency.flush(&self.services.index).await?;
        let mut after = UploadId(0);
        loop {
            let page = self.services.index.list_uploads(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let given_up = self.guest.review_uploads(now_ms, page.as_slice().into()).await?;
            for upload in page.iter().filter(|upload| given_up.contains(&upload.id)) {
                self.abandon(upload, run).await?;
            }
        }
    }

    /// Deletes an upload for which nothing came since it was listed: the row, then what was staged, then its object. What cannot be
    /// removed is an orphan from then on.
    async fn abandon(&self, upload: &Upload, run: &mut Run) -> Result<(), SweepError> {
        if !self.services.index.abandon_idle(upload.id, upload.active_ms + 1).await? {
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
