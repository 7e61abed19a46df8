//! Entries, each with what is stored about its save and its use.

use std::collections::HashMap;

use larder_index::{Entry, EntryDetails, EntryId, Index, IndexError};

/// Returns the entries of a page with their details, in its order. Those that were deleted since they
/// were listed are left out.
///
/// # Errors
/// When the index fails.
pub(crate) async fn with_details(
    index: &dyn Index,
    page: Vec<Entry>,
) -> Result<Vec<(Entry, EntryDetails)>, IndexError> {
    let ids: Vec<EntryId> = page.iter().map(|entry| entry.id).collect();
    let details = index.entry_details(&ids).await?;
    let mut details: HashMap<EntryId, EntryDetails> =
        details.into_iter().map(|details| (details.id, details)).collect();
    let mut pair = |entry: Entry| {
        let details = details.remove(&entry.id)?;
        Some((entry, details))
    };
    Ok(page.into_iter().filter_map(&mut pair).collect())
}
