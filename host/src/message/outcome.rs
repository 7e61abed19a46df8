//! The outcome of a request, for its log line.

/// Longest text in the log, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// The outcome of a request. All texts come from clients, so they are cut to 256 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// One word: `hit`, `miss`, `reserved`, …
    pub kind: &'static str,
    /// The repository, for requests without a token.
    pub repository: Option<String>,
    /// The scope: a git ref, usually.
    pub scope: Option<String>,
    /// The key that was requested or saved.
    pub key: Option<String>,
    /// The beginning of the version.
    pub version: Option<String>,
    /// The key of the entry that was found, if it is another one.
    pub matched_key: Option<String>,
    /// The beginning of the upload's name.
    pub upload: Option<String>,
    /// The entry's number.
    pub entry: Option<u64>,
    /// Why the request was denied or refused, or failed.
    pub reason: Option<String>,
    /// Why a lookup found nothing, as one word.
    pub miss: Option<&'static str>,
}

impl Outcome {
    /// The outcome of a request that the component did not handle.
    #[must_use]
    pub(crate) fn of_server(kind: &'static str, reason: &str) -> Self {
        Self { kind, reason: Some(reason.to_owned()), ..Self::default() }
    }

    /// Cuts every text to 256 bytes.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        let texts = [
            &mut self.repository,
            &mut self.scope,
            &mut self.key,
            &mut self.version,
            &mut self.matched_key,
            &mut self.upload,
            &mut self.reason,
        ];
        for text in texts.into_iter().flatten() {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        }
        self
    }
}

/// Returns the first 256 bytes of a text, cut at a character boundary.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
