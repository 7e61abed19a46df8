//! `larder explain`.

use std::fmt::Write;

use anyhow::{Context, bail};
use http::Method;
use larder::{
    Beside, Scope, TenantName,
    config::Config,
    explain::{Attempt, Explanation, Found, Neighbour, Query},
};
use serde_json::json;

use crate::{
    cli::ExplainArgs,
    manage::{Client, given, text::printable},
    time,
};

/// Explains a lookup, and returns the text to be printed.
///
/// # Errors
/// When the server's parts cannot be opened, or the repository is unknown.
pub(crate) async fn explain(args: ExplainArgs) -> anyhow::Result<String> {
    if let Some(server) = Client::remote(None)? {
        return explain_remote(&server, args).await;
    }
    let config = Config::from_process(args.file.path.as_deref())?;
    let opened = Beside::open(&config, args.tenant.as_ref()).await.context("opening what the server has")?;
    let Some(beside) = opened else { bail!("there is no such tenant; `larder tenant ls` lists them") };
    let repository = resolve(&beside, &args.repository).await?;
    let query = Query {
        repository: repository.clone(),
        scopes: scopes(&args.refs),
        version: args.version,
        keys: std::iter::once(args.key).chain(args.restore_keys).collect(),
    };
    let explanation = beside.explain(query).await?;
    Ok(if args.json { in_json(&repository, &explanation)? } else { in_words(&repository, &explanation) })
}

/// Asks a server.
async fn explain_remote(server: &Client, args: ExplainArgs) -> anyhow::Result<String> {
    let mut query = given(&[
        ("repository", Some(&args.repository)),
        ("version", args.version.as_deref()),
        ("tenant", args.tenant.as_ref().map(TenantName::as_str)),
    ]);
    query.extend(args.refs.iter().map(|name| ("ref", name.as_str())));
    query.extend(std::iter::once(&args.key).chain(&args.restore_keys).map(|key| ("key", key.as_str())));
    let told = server.call(Method::GET, "/explain", &query, None).await?;
    if args.json {
        return Ok(format!("{told:#}\n"));
    }
    let repository = told["repository"].as_str().unwrap_or(&args.repository).to_owned();
    Ok(in_words(&repository, &serde_json::from_value(told)?))
}

/// Returns the id of a repository.
async fn resolve(beside: &Beside, repository: &str) -> anyhow::Result<String> {
    if !repository.contains('/') {
        return Ok(repository.to_owned());
    }
    let known = beside.find_repositories(repository).await?;
    // A name that was given up and taken by another repository is the later one's.
    let Some(latest) = known.into_iter().next() else {
        bail!(
            "no repository called {repository} has saved anything here, or its tokens do not name it; \
             -R takes the id that is in tokens, too (in the log: repository=…)"
        );
    };
    Ok(latest)
}

/// The scopes of a token for these refs: it may write the first, and read all.
fn scopes(refs: &[String]) -> Vec<Scope> {
    let scope = |(at, name): (usize, &String)| Scope { name: name.clone(), read: true, write: at == 0 };
    refs.iter().enumerate().map(scope).collect()
}

fn in_json(repository: &str, explanation: &Explanation) -> anyhow::Result<String> {
    let mut told = serde_json::to_value(explanation)?;
    if let Some(members) = told.as_object_mut() {
        members.insert("repository".to_owned(), json!(repository));
    }
    Ok(format!("{told:#}\n"))
}

fn in_words(repository: &str, explanation: &Explanation) -> String {
    let Explanation { version, attempts, near, cause } = explanation;
    let mut text = format!("repository {}", printable(repository));
    if let Some(version) = version {
        let _ = write!(text, ", version {}", printable(version));
    }
    text.push('\n');
    for attempt in attempts {
        let _ = writeln!(text, "  {}", printable(&of_attempt(attempt)));
    }
    let _ = match cause {
        None => writeln!(text, "hit"),
        Some(cause) => writeln!(text, "miss: {cause}"),
    };
    if !near.is_empty() {
        text.push_str("near it:\n");
    }
    for neighbour in near {
        let _ = writeln!(text, "  {}", printable(&of_neighbour(neighbour)));
    }
    text
}

fn of_attempt(attempt: &Attempt) -> String {
    let Attempt { scope, key, is_prefix, found, finding } = attempt;
    let star = if *is_prefix { "*" } else { "" };
    let found = match found {
        Found::Nothing => "nothing",
        Found::Match => "found",
        Found::Stale => "stale (its content is gone)",
        Found::Expired => "too old",
        Found::Skipped => "not for this job, by a rule",
    };
    let entry = finding.as_ref().map_or(String::new(), |finding| {
        format!(
            ": {} (entry {}, {} bytes, made {}, last used {})",
            finding.key,
            finding.entry,
            finding.size_bytes,
            time(finding.created_ms),
            time(finding.last_used_ms)
        )
    });
    format!("{scope}  {key}{star}  {found}{entry}")
}

fn of_neighbour(neighbour: &Neighbour) -> String {
    let Neighbour { cause, scope, version, key, entry, size_bytes, created_ms, deleted } = neighbour;
    let mut text = format!("{cause}: {scope}  {key}  version {version}");
    if let Some(entry) = entry {
        let _ = write!(text, ", entry {entry}");
    }
    if let Some(size_bytes) = size_bytes {
        let _ = write!(text, ", {size_bytes} bytes");
    }
    let _ = write!(text, ", made {}", time(*created_ms));
    if let Some(deleted) = deleted {
        let _ = write!(text, ", deleted {} ({})", time(deleted.at_ms), deleted.cause);
    }
    text
}

#[cfg(test)]
mod tests;
