//! What became of a request, for its line in the log.

/// Longest text in the log, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What is known of a request besides its HTTP. All texts are somebody else's: at most 256 bytes of each are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In one word: `hit`, `miss`, `reserved`, …
    pub kind: &'static str,
    /// Whose entries these are, where no token says it.
    pub repository: Option<String>,
    /// Their scope: a git ref, usually.
    pub scope: Option<String>,
    /// The key that is asked for, or saved.
    pub key: Option<String>,
    /// The beginning of the version.
    pub version: Option<String>,
    /// The key that was found, where it is another one.
    pub matched_key: Option<String>,
    /// The beginning of the upload's name.
    pub upload: Option<String>,
    /// The entry's number.
    pub entry: Option<u64>,
    /// Why it was denied or refused, or failed.
    pub reason: Option<String>,
}

impl Outcome {
    /// What the server made of a request by itself, without the component.
    #[must_use]
    pub fn of_server(kind: &'static str, reason: &str) -> Self {
        Self { kind, reason: Some(reason.to_owned()), ..Self::default() }
    }

    /// Cuts every text to its bound.
    #[must_use]
    pub fn bounded(mut self) -> Self {
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

/// At most 256 bytes of a text, whole characters.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
