//! `larder rules shadow`, and what `status` says of it.

use std::fmt::Write;

use anyhow::Context;
use larder::{config::Config, versions::Versions};
use serde_json::Value;

use super::checked;
use crate::{
    cli::RulesShadowArgs,
    manage::text::{table, text, time},
    version_commands::{Store, read},
};

/// What is printed of the shadow's examples; `--json` has all of them.
const EXAMPLES: usize = 10;
const LABEL: &str = "in the shadow";

/// Puts rules in the shadow, or none.
///
/// # Errors
/// When they cannot be loaded, do not pass their check, or the running server cannot use them.
pub(super) fn choose(config: &Config, args: &RulesShadowArgs) -> anyhow::Result<String> {
    let data = config.settings.data.as_path();
    let store = Store { data, versions: Versions::of_shadow_rules(data), configured: None };
    match &args.file {
        Some(file) => {
            let (content, name) = read(file)?;
            checked(content.clone(), &name, file)?;
            store.choose_beside(&content, &name, LABEL)
        }
        None if args.off => store.choose_beside(b"", "no rules", LABEL),
        None => store.choose_none(),
    }
}

/// Adds to the status what the rules in the shadow answered, as the running server, or the latest one,
/// wrote it down.
///
/// # Errors
/// When that cannot be read.
pub(super) fn add_to_status(config: &Config, told: String, as_json: bool) -> anyhow::Result<String> {
    let versions = Versions::of_shadow_rules(&config.settings.data);
    let report = versions.reported().context("reading what the rules in the shadow answered")?;
    let mut report: Value = match report {
        Some(report) => serde_json::from_slice(&report).context("what the rules in the shadow answered")?,
        None => Value::Null,
    };
    let shadow = report["shadow"].take();
    if as_json {
        let mut told: Value = serde_json::from_str(&told)?;
        told["shadow"] = shadow;
        return Ok(format!("{told:#}\n"));
    }
    if shadow.is_null() {
        return Ok(told);
    }
    Ok(told + &in_words(&shadow))
}

fn in_words(shadow: &Value) -> String {
    let mut words = String::new();
    let digest = text(shadow, "digest");
    let _ = writeln!(
        words,
        "in the shadow  {}  {}  since {}: {} of {} questions answered, {} dropped; {} decisions differ",
        digest.get(..12).unwrap_or(&digest),
        text(shadow, "name"),
        time(shadow, "since_ms"),
        text(shadow, "answered"),
        text(shadow, "offered"),
        text(shadow, "dropped"),
        text(shadow, "differ"),
    );
    let differences = shadow["differences"].as_array().into_iter().flatten();
    let mut differences = differences.peekable();
    if differences.peek().is_none() {
        return words;
    }
    let row = |difference: &Value| {
        let cells = ["interface", "active", "shadow", "count"];
        cells.iter().map(|name| text(difference, name)).collect()
    };
    words.push('\n');
    words += &table(&["QUESTION", "IN FORCE", "IN THE SHADOW", ">COUNT"], differences.map(row));
    let examples = shadow["examples"].as_array().into_iter().flatten().take(EXAMPLES);
    let row = |example: &Value| {
        let scopes: Vec<_> = example["scopes"].as_array().into_iter().flatten().collect();
        let scope = scopes.first().and_then(|scope| scope.as_str()).unwrap_or("-");
        vec![
            time(example, "at_ms"),
            format!(
                "{}: {} -> {}",
                text(example, "interface"),
                text(example, "active"),
                text(example, "shadow")
            ),
            text(example, "repository"),
            crate::manage::text::printable(scope),
            text(example, "key"),
            text(example, "text"),
        ]
    };
    words.push('\n');
    words += &table(&["WHEN", "DECISION", "REPOSITORY", "REF", "KEY", "REASON"], examples.map(row));
    words
}
