//! `larder policy`.

mod cases;
mod new;

use std::{fmt::Write, path::Path};

use anyhow::{Context, bail};
use larder::{
    config::Config,
    inspect::Inspection,
    policy_check::{self, Asked, Checked, Row, check, check_by},
    versions::{Version, Versions},
};
use serde_json::json;

use crate::{
    cli::{PolicyCommand, UseArgs},
    version_commands::{Store, read},
};
use cases::Case;

/// The package of the world of policies.
const PACKAGE: &str = "larder:cache";

/// Runs a command about policies, and returns the text to be printed.
///
/// # Errors
/// With the reason, in words.
pub(crate) fn run(config: &Config, command: PolicyCommand) -> anyhow::Result<String> {
    let data = config.settings.data.as_path();
    let file = config.settings.policy.component.as_deref();
    let store = Store { data, versions: Versions::of_policy(data), configured: file };
    match command {
        PolicyCommand::New { dir, library } => new::write(&dir, &library),
        PolicyCommand::Inspect { file, json } => inspect(&file, json),
        PolicyCommand::Check { file, json } => {
            let (component, _) = read(&file)?;
            let Checked { rows, .. } = checked(&file, check(config, &component))?;
            told(&rows, json, || format!("{}: does not keep to the protocol", file.display()))
        }
        PolicyCommand::Test { file, cases, json } => {
            let (component, _) = read(&file)?;
            let rows = tested(config, &file, &component, &cases)?;
            told(&rows, json, || format!("{}: not as {} says", file.display(), cases.display()))
        }
        PolicyCommand::Use(UseArgs { file: Some(file), cases: Some(cases), .. }) => {
            let (component, name) = read(&file)?;
            let rows = tested(config, &file, &component, &cases)?;
            told(&rows, false, || format!("{}: failed its cases, and is not used", file.display()))?;
            store.choose(&component, &name)
        }
        PolicyCommand::Use(UseArgs { file: Some(file), .. }) => {
            let (component, name) = read(&file)?;
            let checked = checked(&file, check(config, &component))?;
            if !checked.is_good() {
                crate::say(&in_words(&checked.rows))?;
                bail!("{}: does not keep to the protocol, and is not used", file.display());
            }
            checked.keep_compiled(&data.join("compiled")).context("the folder of compiled components")?;
            store.choose(&component, &name)
        }
        PolicyCommand::Use(UseArgs { file: None, .. }) => store.choose_none(),
        PolicyCommand::Rollback => store.roll_back(),
        PolicyCommand::Status { json } => store.status(json),
    }
}

fn inspect(file: &Path, as_json: bool) -> anyhow::Result<String> {
    let (component, name) = read(file)?;
    let inspected = Inspection::of(&component).with_context(|| file.display().to_string())?;
    let (digest, size) = (Version::of(&component, &name).digest, component.len());
    let world = inspected.version_of(PACKAGE);
    let Inspection { imports, exports } = &inspected;
    if as_json {
        let told = json!({
            "world": world.map(|version| format!("{PACKAGE}@{version}")),
            "digest": digest,
            "size_bytes": size,
            "imports": imports,
            "exports": exports,
        });
        return Ok(format!("{told:#}\n"));
    }
    let mut text = String::new();
    let world = world.map_or("none of this server's".to_owned(), |version| format!("{PACKAGE}@{version}"));
    let _ = writeln!(text, "world    {world}\nsize     {size} bytes\ndigest   sha256:{digest}");
    for (label, names) in [("imports", imports), ("exports", exports)] {
        for (at, name) in names.iter().enumerate() {
            let _ = writeln!(text, "{:<7}  {name}", if at == 0 { label } else { "" });
        }
    }
    Ok(text)
}

/// Waits for a check of a component.
fn checked(file: &Path, check: impl Future<Output = anyhow::Result<Checked>>) -> anyhow::Result<Checked> {
    policy_check::run(check).with_context(|| file.display().to_string())
}

/// Sends the requests of a file of cases.
fn tested(config: &Config, file: &Path, component: &[u8], cases: &Path) -> anyhow::Result<Vec<Row>> {
    let cases = cases::read(cases)?;
    let jobs = cases.iter().map(Case::job).collect();
    let ask = async |server: &mut Asked| cases::ask(&cases, server).await;
    Ok(checked(file, check_by(config, component, jobs, ask))?.rows)
}

/// Returns what came of it, or prints it and fails.
fn told(rows: &[Row], as_json: bool, fault: impl FnOnce() -> String) -> anyhow::Result<String> {
    let text = if as_json { in_json(rows)? } else { in_words(rows) };
    if rows.iter().all(Row::is_good) {
        return Ok(text);
    }
    crate::say(&text)?;
    bail!(fault())
}

fn in_words(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, fault, micros } in rows {
        let _ = match fault {
            None => writeln!(text, "ok    {name} ({micros} µs)"),
            Some(fault) => writeln!(text, "FAIL  {name}: {fault}"),
        };
    }
    let failed = rows.iter().filter(|row| !row.is_good()).count();
    let _ = writeln!(text, "{} good, {failed} failed", rows.len() - failed);
    text
}

fn in_json(rows: &[Row]) -> anyhow::Result<String> {
    Ok(format!("{:#}\n", serde_json::to_value(rows)?))
}
