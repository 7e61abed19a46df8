//! `larder rules`: write rules, check and test them, and exchange those of a running server.

mod cases;
mod new;
mod plot;
mod replay;
mod shadow;

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use larder::{
    config::{Config, user_cache},
    rules_check,
    versions::Versions,
};
use larder_rules::{Rules, Source};

use crate::{
    cli::{RulesCommand, RulesUseArgs},
    say,
    version_commands::{Store, read},
};

/// Runs a command about rules, and returns the text to be printed.
///
/// # Errors
/// With the reason, in words.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method is for one lifetime of the store")]
pub(crate) fn run(
    config: impl FnOnce() -> anyhow::Result<Config>,
    command: RulesCommand,
) -> anyhow::Result<String> {
    match command {
        RulesCommand::New { dir, lang } => new::write(&dir, lang),
        RulesCommand::Check { file, json } => {
            let checked = rules_check::check(&load(&file)?);
            let text = if json { checked.in_json()? } else { checked.in_words() };
            failing(text, checked.failed(), "of the checks failed")
        }
        RulesCommand::Test { file, cases, json } => {
            let results = cases::run(&load(&file)?, &cases)?;
            let text = if json { cases::in_json(&results)? } else { cases::in_words(&results) };
            let failed = results.iter().filter(|result| result.fault.is_some()).count();
            failing(text, failed, "of the cases failed")
        }
        RulesCommand::Replay(args) => replay::run(&config()?, &args),
        RulesCommand::Use(args) => use_rules(&config()?, args),
        RulesCommand::Shadow(args) => shadow::choose(&config()?, &args),
        RulesCommand::Rollback => with_store(&config()?, |store| store.roll_back()),
        RulesCommand::Status { json } => {
            let config = config()?;
            let told = with_store(&config, |store| store.status(json))?;
            shadow::add_to_status(&config, told, json)
        }
    }
}

fn with_store(
    config: &Config,
    run: impl FnOnce(&Store<'_>) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let data = config.settings.data.as_path();
    run(&Store {
        data,
        versions: Versions::of_rules(data),
        configured: config.settings.rules.file.as_deref(),
    })
}

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method is for one lifetime of the store")]
fn use_rules(config: &Config, args: RulesUseArgs) -> anyhow::Result<String> {
    let RulesUseArgs { file, cases, configured: _ } = args;
    let Some(file) = file else { return with_store(config, |store| store.choose_none()) };
    let (content, name) = read(&file)?;
    let rules = checked(content.clone(), &name, &file)?;
    if let Some(cases) = cases {
        let results = cases::run(&rules, &cases)?;
        if results.iter().any(|result| result.fault.is_some()) {
            say(&cases::in_words(&results))?;
            bail!("{}: failed its cases, and is not used", file.display());
        }
    }
    with_store(config, |store| store.choose(&content, &name))
}

/// Loads rules, and fails where they do not pass their check. What is chosen is what was checked, and not what
/// the file has by then.
fn checked(content: Vec<u8>, name: &str, file: &Path) -> anyhow::Result<Arc<Rules>> {
    let rules = loaded(content, name, file)?;
    let checked = rules_check::check(&rules);
    if checked.failed() > 0 {
        say(&checked.in_words())?;
        bail!("{}: failed its check, and is not used", file.display());
    }
    Ok(rules)
}

/// Returns the text, or prints it and fails.
fn failing(text: String, failed: usize, what: &str) -> anyhow::Result<String> {
    if failed == 0 {
        return Ok(text);
    }
    say(&text)?;
    bail!("{failed} {what}")
}

/// Loads rules. What was compiled is kept for the next command.
fn load(file: &Path) -> anyhow::Result<Arc<Rules>> {
    let (content, name) = read(file)?;
    loaded(content, &name, file)
}

fn loaded(content: Vec<u8>, name: &str, file: &Path) -> anyhow::Result<Arc<Rules>> {
    let source = Source::new(content, name).with_context(|| format!("{}: cannot be used", file.display()))?;
    let compiled = user_cache().map(|cache| cache.join("larder/compiled"));
    let rules = Rules::load(source, compiled.as_deref());
    rules.map_err(|error| anyhow::Error::msg(error.at(name, file.display())))
}

/// A scope as it is written in cases: `NAME=r`, `NAME=w`, `NAME=rw`; without the rest it may be read.
pub(crate) fn scope(text: &str) -> anyhow::Result<larder_rules::Scope> {
    let whole = if text.contains('=') { text } else { &format!("{text}=r") };
    whole.parse().with_context(|| format!("scope `{text}`"))
}
