//! `larder revoke`.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail, ensure};
use http::Method;
use larder::{
    Beside, TenantName,
    config::Config,
    index::SavedBy,
    revoke::{Action, Revocation, RevokedEntry},
};
use larder_common::clock::Clock;
use serde_json::json;

use crate::{
    cli::RevokeArgs,
    manage::{Client, given, text::printable},
};

/// Revokes what the arguments select, and returns the text to be printed.
///
/// # Errors
/// When the server's parts cannot be opened, or the repository is unknown.
pub(crate) async fn revoke(args: RevokeArgs) -> anyhow::Result<String> {
    let now = UNIX_EPOCH + Duration::from_millis(Clock::system().now_ms());
    let from_ms = args.since.as_deref().map(|text| time(text, now)).transpose()?;
    let to_ms = args.until.as_deref().map(|text| time(text, now)).transpose()?;
    if let Some(server) = Client::remote(None)? {
        return revoke_remote(&server, &args, (from_ms, to_ms)).await;
    }
    let config = Config::from_process(args.file.path.as_deref())?;
    let opened = Beside::open(&config, args.tenant.as_ref()).await.context("opening what the server has")?;
    let Some(beside) = opened else { bail!("there is no such tenant; `larder tenant ls` lists them") };
    let fact = |name: &str, value: &Option<String>| Some((name.to_owned(), value.clone()?));
    let by = SavedBy {
        repositories: match &args.repository {
            Some(repository) => repositories(&beside, repository).await?,
            None => Vec::new(),
        },
        scope: args.scope.clone(),
        git_ref: args.git_ref.as_deref().map(whole_ref),
        facts: [fact("run_id", &args.run), fact("actor", &args.actor)].into_iter().flatten().collect(),
        from_ms,
        to_ms,
    };
    let done = beside.revoke(&by, action(&args), args.dry_run).await?;
    Ok(if args.json { serde_json::to_string_pretty(&done)? + "\n" } else { in_words(&done) })
}

fn action(args: &RevokeArgs) -> Action {
    match (args.quarantine, args.release) {
        (true, _) => Action::Quarantine,
        (_, true) => Action::Release,
        _ => Action::Delete,
    }
}

/// Asks a server.
async fn revoke_remote(
    server: &Client,
    args: &RevokeArgs,
    (from_ms, to_ms): (Option<u64>, Option<u64>),
) -> anyhow::Result<String> {
    let asked = json!({
        "repository": args.repository,
        "run": args.run,
        "actor": args.actor,
        "ref": args.git_ref.as_deref().map(whole_ref),
        "scope": args.scope,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "action": action(args),
        "dry_run": args.dry_run,
    });
    let query = given(&[("tenant", args.tenant.as_ref().map(TenantName::as_str))]);
    let done = server.call(Method::POST, "/revocations", &query, Some(&asked)).await?;
    if args.json {
        return Ok(format!("{done:#}\n"));
    }
    Ok(in_words(&serde_json::from_value(done)?))
}

/// Returns all ids that a repository has here: what is revoked is not to stay under another one.
async fn repositories(beside: &Beside, repository: &str) -> anyhow::Result<Vec<String>> {
    if !repository.contains('/') {
        return Ok(vec![repository.to_owned()]);
    }
    let known = beside.find_repositories(repository).await?;
    ensure!(
        !known.is_empty(),
        "no repository called {repository} has saved anything here, or its tokens do not name it; \
         -R takes the id that is in tokens, too (in the log: repository=…)"
    );
    Ok(known)
}

/// A name without `refs/` is a branch's.
fn whole_ref(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

/// Reads a time: as of RFC 3339, or so long ago.
fn time(text: &str, now: SystemTime) -> anyhow::Result<u64> {
    let ago = humantime::parse_duration(text).ok().and_then(|ago: Duration| now.checked_sub(ago));
    let Some(time) = ago.or_else(|| humantime::parse_rfc3339_weak(text).ok()) else {
        bail!("`{text}` is no time: write it like 2026-11-26T12:00:00Z, or how long ago, like 2h or 3days");
    };
    let ms = time.duration_since(UNIX_EPOCH).context("a time before 1970")?.as_millis();
    Ok(u64::try_from(ms)?)
}

fn in_words(done: &Revocation) -> String {
    let Revocation { action, dry_run, entries, uploads, unknown } = done;
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{}", printable(&line(entry)));
    }
    let verb = match (action, dry_run) {
        (Action::Delete, false) => "deleted",
        (Action::Delete, true) => "would be deleted",
        (Action::Quarantine, false) => "put into quarantine",
        (Action::Quarantine, true) => "would be put into quarantine",
        (Action::Release, false) => "released from quarantine",
        (Action::Release, true) => "would be released from quarantine",
    };
    let bytes: u64 = entries.iter().map(|entry| entry.size_bytes).sum();
    let _ = write!(text, "{} entries ({bytes} bytes) {verb}", entries.len());
    if *uploads > 0 {
        let end = if *dry_run { "would be given up" } else { "given up" };
        let _ = write!(text, "; {uploads} uploads in progress {end}");
    }
    text.push('\n');
    if *unknown > 0 {
        let _ = writeln!(
            text,
            "{unknown} more entries of that time and place do not say who saved them; --scope, --since and --until select them"
        );
    }
    text
}

fn line(entry: &RevokedEntry) -> String {
    let RevokedEntry { id, repository, scope, version, key, size_bytes, created_ms, quarantined, .. } = entry;
    let made = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(*created_ms));
    let held = if *quarantined { ", in quarantine" } else { "" };
    format!(
        "{repository}  {scope}  {key}  entry {id}, {size_bytes} bytes, made {made}{held}, version {version}"
    )
}

#[cfg(test)]
mod tests;
