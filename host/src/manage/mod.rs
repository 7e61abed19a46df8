//! The commands that ask the management API: the same code for a server over HTTP and for data on this
//! machine.

mod args;
mod client;
mod savings;
mod scrub;
pub(crate) mod text;

use std::collections::BTreeMap;

use anyhow::ensure;
use http::Method;
use larder::TenantName;
use serde_json::{Value, json};

use self::text::{bytes, duration, json as in_json, list, printable, size, table, text, time};
pub(crate) use self::{
    args::{
        CompletionsArgs, KeyArgs, KeyCommand, LsArgs, Order, RmArgs, Role, ScrubArgs, ShowArgs, SortBy,
        StatsArgs, StatsBy, StatusArgs, Target, VersionArgs,
    },
    client::{Client, segment},
    scrub::scrub,
};

/// Entries of one page.
const PAGE: usize = 1_000;

impl Target {
    async fn client(&self) -> anyhow::Result<Client> {
        Client::open(self.url.as_deref(), self.file.path.as_deref()).await
    }

    fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref().map(TenantName::as_str)
    }
}

/// Parameters of a query that are given.
pub(crate) fn given<'a>(all: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    all.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect()
}

/// `larder status`.
pub(crate) async fn status(args: StatusArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    let status =
        client.call(Method::GET, "/status", &given(&[("tenant", args.target.tenant())]), None).await?;
    if args.json {
        return Ok(in_json(&status));
    }
    let stored = status["bytes"].as_u64().map_or("-".to_owned(), size);
    let of = status["limit_bytes"].as_u64().map_or(String::new(), |limit| format!(" of {}", size(limit)));
    let sweep = &status["sweep"];
    Ok(list(&[
        ("tenant", text(&status, "tenant")),
        ("stored", format!("{stored}{of}")),
        ("reaches back", duration(&status, "longest_idle_ms")),
        ("version", text(&status, "version")),
        ("database", text(&status, "database")),
        ("storage", text(&status, "storage")),
        ("started", time(&status, "started_ms")),
        ("connections", text(&status, "connections")),
        ("requests", text(&status, "requests")),
        ("last sweep", time(sweep, "succeeded_ms")),
        ("failed sweep", format!("{} {}", time(sweep, "failed_ms"), text(sweep, "error"))),
    ]))
}

/// `larder ls`.
pub(crate) async fn ls(args: LsArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    let sort = match args.sort {
        SortBy::CreatedAt => "created_at",
        SortBy::LastAccessedAt => "last_accessed_at",
        SortBy::SizeInBytes => "size_in_bytes",
    };
    let order = match args.order {
        Order::Asc => "asc",
        Order::Desc => "desc",
    };
    let wanted = usize::try_from(args.limit)?;
    let limit = wanted.min(PAGE).to_string();
    let (mut entries, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let query = given(&[
            ("repository", args.repo.as_deref()),
            ("scope", args.git_ref.as_deref()),
            ("key_prefix", args.key.as_deref()),
            ("sort", Some(sort)),
            ("order", Some(order)),
            ("limit", Some(&limit)),
            ("cursor", cursor.as_deref()),
            ("tenant", args.target.tenant()),
        ]);
        let mut page = client.call(Method::GET, "/entries", &query, None).await?;
        if let Some(found) = page["entries"].as_array_mut() {
            entries.append(found);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || entries.len() >= wanted {
            break;
        }
    }
    entries.truncate(wanted);
    match args.json {
        Some(fields) => Ok(in_json(&selected(entries, fields.as_deref())?)),
        None => Ok(entry_table(&entries)),
    }
}

/// The named fields of each entry, or all.
fn selected(entries: Vec<Value>, fields: Option<&str>) -> anyhow::Result<Value> {
    let Some(fields) = fields else { return Ok(Value::Array(entries)) };
    let names: Vec<&str> = fields.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let pick = |entry: &Value| {
        let member = |name: &&str| Some(((*name).to_owned(), entry.get(name)?.clone()));
        names.iter().filter_map(member).collect::<BTreeMap<_, _>>()
    };
    if let Some(first) = entries.first() {
        let unknown = names.iter().find(|name| first.get(**name).is_none());
        ensure!(unknown.is_none(), "no field is called {}", unknown.copied().unwrap_or_default());
    }
    Ok(json!(entries.iter().map(pick).collect::<Vec<_>>()))
}

fn entry_table(entries: &[Value]) -> String {
    let row = |entry: &Value| {
        let repository = if entry["repository_name"].is_null() { "repository" } else { "repository_name" };
        vec![
            text(entry, "id"),
            text(entry, "key"),
            bytes(entry, "size_bytes"),
            time(entry, "created_ms"),
            time(entry, "last_used_ms"),
            text(entry, repository),
            text(entry, "scope"),
        ]
    };
    table(&[">ID", "KEY", ">SIZE", "CREATED", "LAST USED", "REPOSITORY", "REF"], entries.iter().map(row))
}

/// `larder show`.
pub(crate) async fn show(args: ShowArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    let query = given(&[("tenant", args.target.tenant())]);
    let entry = client.call(Method::GET, &format!("/entries/{}", args.id), &query, None).await?;
    if args.json {
        return Ok(in_json(&entry));
    }
    let mut pairs = vec![
        ("id", text(&entry, "id")),
        ("key", text(&entry, "key")),
        ("repository", format!("{} ({})", text(&entry, "repository"), text(&entry, "repository_name"))),
        ("ref", text(&entry, "scope")),
        ("version", text(&entry, "version")),
        ("size", bytes(&entry, "size_bytes")),
        ("created", time(&entry, "created_ms")),
        ("last used", time(&entry, "last_used_ms")),
        ("uses", text(&entry, "uses")),
        ("trust", text(&entry, "trust")),
        ("quarantine", time(&entry, "quarantined_ms")),
    ];
    for (name, value) in entry["facts"].as_object().into_iter().flatten() {
        pairs.push((name, printable(value.as_str().unwrap_or_default())));
    }
    Ok(list(&pairs))
}

/// `larder rm`.
pub(crate) async fn rm(args: RmArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    let dry_run = if args.dry_run { "true" } else { "false" };
    let shared = [("repository", args.repo.as_deref()), ("tenant", args.target.tenant())];
    if let Some(run) = &args.run {
        let query = given(&[shared[0], shared[1], ("dry_run", Some(dry_run))]);
        let done = client.call(Method::DELETE, &format!("/runs/{}", segment(run)), &query, None).await?;
        let count = done["entries"].as_array().map_or(0, Vec::len);
        return Ok(if args.json { in_json(&done) } else { said(count as u64, None, args.dry_run) });
    }
    let id = args.entry.as_deref().and_then(|entry| entry.parse::<u64>().ok());
    if let Some(id) = id {
        let path = format!("/entries/{id}");
        let query = given(&[("tenant", args.target.tenant())]);
        let method = if args.dry_run { Method::GET } else { Method::DELETE };
        client.call(method, &path, &query, None).await?;
        let done = json!({ "dry_run": args.dry_run, "count": 1, "id": id });
        return Ok(if args.json { in_json(&done) } else { said(1, None, args.dry_run) });
    }
    let query = given(&[
        shared[0],
        shared[1],
        ("scope", args.git_ref.as_deref()),
        ("key", args.entry.as_deref()),
        ("all", args.all.then_some("true")),
        ("dry_run", Some(dry_run)),
    ]);
    let done = client.call(Method::DELETE, "/entries", &query, None).await?;
    let count = done["count"].as_u64().unwrap_or_default();
    ensure!(count > 0 || args.all, "no entry has this key");
    Ok(if args.json { in_json(&done) } else { said(count, done["bytes"].as_u64(), args.dry_run) })
}

fn said(count: u64, bytes: Option<u64>, dry_run: bool) -> String {
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    let entries = if count == 1 { "entry" } else { "entries" };
    let bytes = bytes.map_or(String::new(), |bytes| format!(" ({})", size(bytes)));
    format!("{count} {entries}{bytes} {verb}\n")
}

/// `larder stats`.
pub(crate) async fn stats(args: StatsArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    if args.savings || args.summary {
        return savings::savings(&client, &args).await;
    }
    let by = match args.by {
        StatsBy::Repository => "repository",
        StatsBy::Scope => "scope",
    };
    let limit = args.limit.to_string();
    let query = given(&[
        ("by", Some(by)),
        ("repository", args.repo.as_deref()),
        ("limit", Some(&limit)),
        ("tenant", args.target.tenant()),
    ]);
    let stats = client.call(Method::GET, "/stats", &query, None).await?;
    if args.json {
        return Ok(in_json(&stats));
    }
    let whole = stats["bytes"].as_u64().unwrap_or_default();
    let row = |part: &Value| {
        let own = part["bytes"].as_u64().unwrap_or_default();
        let percent = u128::from(own) * 100 / u128::from(whole.max(1));
        let name = match args.by {
            StatsBy::Repository if part["name"].is_null() => text(part, "repository"),
            StatsBy::Repository => text(part, "name"),
            StatsBy::Scope => text(part, "scope"),
        };
        vec![name, size(own), format!("{percent} %")]
    };
    let title = match args.by {
        StatsBy::Repository => "REPOSITORY",
        StatsBy::Scope => "REF",
    };
    let parts = table(&[title, ">SIZE", ">SHARE"], stats["parts"].as_array().into_iter().flatten().map(row));
    Ok(format!("{parts}{} in all\n", size(whole)))
}

/// `larder sweep`.
pub(crate) async fn sweep(args: StatusArgs) -> anyhow::Result<String> {
    let client = args.target.client().await?;
    let swept = client.call(Method::POST, "/sweep", &[], None).await?;
    ensure!(
        swept["succeeded"] != false || swept["ended"] != true,
        "the sweep failed; the server's log says why"
    );
    let words = if swept["ended"] == true { "swept\n" } else { "the sweep goes on\n" };
    Ok(if args.json { in_json(&swept) } else { words.to_owned() })
}

/// `larder key`.
pub(crate) async fn key(args: KeyArgs) -> anyhow::Result<String> {
    let (url, file) = (args.target.url.as_deref(), args.target.file.path.as_deref());
    // A key is made before the first start, too.
    let client = match &args.command {
        KeyCommand::New { .. } => Client::open_fresh(url, file).await?,
        KeyCommand::Revoke { .. } | KeyCommand::Ls { .. } => Client::open(url, file).await?,
    };
    match args.command {
        KeyCommand::New { role, tenant, name, json } => {
            let role = match role {
                Role::Read => "read",
                Role::Delete => "delete",
                Role::Admin => "admin",
            };
            let tenant = tenant.as_ref().map(TenantName::as_str);
            let asked = json!({ "name": name, "role": role, "tenant": tenant });
            let made = client.call(Method::POST, "/keys", &[], Some(&asked)).await?;
            Ok(if json { in_json(&made) } else { format!("{}\n", text(&made, "key")) })
        }
        KeyCommand::Revoke { name } => {
            client.call(Method::DELETE, &format!("/keys/{}", segment(&name)), &[], None).await?;
            Ok("revoked\n".to_owned())
        }
        KeyCommand::Ls { json } => {
            let keys = client.call(Method::GET, "/keys", &[], None).await?;
            let row = |key: &Value| {
                vec![text(key, "name"), text(key, "role"), text(key, "tenant"), time(key, "created_ms")]
            };
            let rows = keys.as_array().into_iter().flatten().map(row);
            Ok(if json { in_json(&keys) } else { table(&["NAME", "ROLE", "TENANT", "CREATED"], rows) })
        }
    }
}

/// `larder completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::listed(), "larder", &mut script);
    script
}

/// `larder version`.
pub(crate) fn version(args: &VersionArgs) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if args.json { in_json(&json!({ "version": version })) } else { format!("larder {version}\n") }
}
