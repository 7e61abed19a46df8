//! Uploads that nobody finishes.

use super::{PAGE, Report, SweepError, Sweeper};
use crate::index::{Upload, UploadId};

impl Sweeper<'_> {
    /// Abandons the uploads that the guest gives up.
    pub(super) async fn sweep_uploads(&self, now_ms: u64, report: &mut Report) -> Result<(), SweepError> {
        // Signs of life that are still in memory count, too.
        self.services.recency.flush(&self.services.index).await?;
        let mut after = UploadId(0);
        loop {
            let page = self.services.index.list_uploads(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let given_up = self.guest.review_uploads(now_ms, page.as_slice().into()).await?;
            for upload in page.iter().filter(|upload| given_up.contains(&upload.id)) {
                report.uploads += usize::from(self.abandon(upload).await?);
            }
        }
    }

    /// Deletes an upload for which nothing came since it was listed: the row, then what was staged, then its object.
    async fn abandon(&self, upload: &Upload) -> Result<bool, SweepError> {
        if !self.services.index.abandon_idle(upload.id, upload.active_ms + 1).await? {
            return Ok(false);
        }
        self.services.storage.discard(&upload.name).await?;
        if let Some(attachment) = &upload.attachment {
            self.services.storage.remove(&attachment.object).await?;
        }
        tracing::info!(upload = upload.id.0, key = upload.slot.key, "an abandoned upload was removed");
        Ok(true)
    }
}
