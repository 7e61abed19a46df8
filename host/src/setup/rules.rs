//! The rules that a configuration names.

use std::sync::Arc;

use larder_rules::{Asker, Limits, Rules, Source};

use crate::{config::Settings, error::StartError};

/// Reads and compiles the rules; `None` where there are none.
///
/// # Errors
/// When the file cannot be read, is no rules, or does not start.
pub(crate) fn load_rules(settings: &Settings) -> Result<Option<Arc<Rules>>, StartError> {
    let Some(file) = &settings.rules.file else { return Ok(None) };
    let source = Source::read(file).map_err(|source| StartError::Path { path: file.clone(), source })?;
    let rules = Rules::load(source, Some(&settings.data.join("compiled")));
    let rules = rules.map_err(|source| StartError::Rules { path: file.clone(), source })?;
    let interfaces: Vec<&str> = rules.interfaces().iter().map(|interface| interface.name()).collect();
    tracing::info!(file = %file.display(), digest = rules.digest(), interfaces = interfaces.join(","), "rules are in force");
    Ok(Some(rules))
}

/// What asks these rules.
pub(super) fn asker(rules: Option<Arc<Rules>>) -> Asker {
    let asker = Asker::new(Limits::default());
    asker.exchange(rules);
    asker
}
