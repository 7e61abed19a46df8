//! `larder rules replay`: what other rules or another size would have done.

use std::{
    fmt::Write,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use anyhow::{Context, anyhow, bail};
use larder::{
    config::{Config, user_cache},
    lab::{Contender, Options, Outcome, Preset, Trace, replay},
};
use serde_json::{Value, json};

use super::{loaded, plot};
use crate::{
    cli::ReplayArgs,
    manage::text::{printable, size as bytes_text, table},
    version_commands::read,
};

/// Keys with the largest differences that are printed of each contender.
const KEYS: usize = 3;

/// Replays traces, and returns a table or JSON.
///
/// # Errors
/// With the reason, in words.
pub(super) fn run(config: &Config, args: &ReplayArgs) -> anyhow::Result<String> {
    let configured = config.settings.capacity.max_bytes;
    let size_bytes = match &args.size {
        Some(text) => bytes(text)?,
        None if configured > 0 => configured,
        None => bail!("how much may be stored? --size 100GiB, or capacity.max_bytes in the configuration"),
    };
    if let Some(file) = &args.svg {
        plot::create(file)?;
    }
    let trace = Trace::read(&args.trace, args.tenant.as_deref())?;
    let mut contenders = vec![Contender::BuiltIn];
    for file in &args.rules {
        // By their paths, where others have the same name.
        let is_named_alike = |other: &&PathBuf| other.file_name() == file.file_name();
        let is_alone = args.rules.iter().filter(is_named_alike).count() == 1;
        let (content, name) = read(file)?;
        let name = if is_alone { name } else { end_of(&file.display().to_string()) };
        contenders.push(Contender::Rules(loaded(content, &name, file)?));
    }
    for name in &args.preset {
        contenders.push(Contender::Preset(preset(name)?));
    }
    let compiled = user_cache().map(|cache| cache.join("larder/compiled"));
    let options = Options { size_bytes, compiled };
    let outcomes = all(config, &trace, &contenders, &options)?;
    if let Some(file) = &args.svg {
        plot::write(file, &trace, &outcomes)?;
    }
    if args.json {
        in_json(&trace, size_bytes, &outcomes)
    } else {
        Ok(in_words(&trace, size_bytes, &outcomes))
    }
}

/// Replays for all, as many at a time as there are cores: who has ended one begins the next.
fn all(
    config: &Config,
    trace: &Trace,
    contenders: &[Contender],
    options: &Options,
) -> anyhow::Result<Vec<Outcome>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let play_some = || {
        let mut played = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(contender) = contenders.get(number) else { return played };
            played.push((number, one(config, trace, contender, options)));
        }
    };
    let mut played = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = contenders.iter().take(cores).map(|_| scope.spawn(play_some)).collect();
        for thread in threads {
            played.extend(thread.join().map_err(|_| anyhow!("a replay panicked"))?);
        }
        anyhow::Ok(())
    })?;
    played.sort_unstable_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The end of a path, as long as names are printed.
fn end_of(path: &str) -> String {
    path[path.ceil_char_boundary(path.len().saturating_sub(64))..].to_owned()
}

fn one(config: &Config, trace: &Trace, contender: &Contender, options: &Options) -> anyhow::Result<Outcome> {
    replay(config, trace, contender, options).with_context(|| contender.name().to_owned())
}

/// A number of bytes: `100GiB`, `500MB`, `1048576`.
fn bytes(text: &str) -> anyhow::Result<u64> {
    const UNITS: [(&str, u64); 10] = [
        ("", 1),
        ("B", 1),
        ("kB", 1000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("TB", 1_000_000_000_000),
        ("TiB", 1 << 40),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    let parsed =
        number.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    let size = parsed.filter(|size| *size > 0 && *size < 1 << 60);
    size.with_context(|| format!("--size {text}: a number with KiB, MiB, GiB or TiB, such as 100GiB"))
}

fn preset(name: &str) -> anyhow::Result<Preset> {
    let names = || Preset::ALL.map(Preset::name).join(", ");
    let found = Preset::ALL.into_iter().find(|preset| preset.name() == name);
    found.with_context(|| format!("--preset {name}: there are {}", names()))
}

fn in_json(trace: &Trace, size_bytes: u64, outcomes: &[Outcome]) -> anyhow::Result<String> {
    let policies: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let mut value = serde_json::to_value(outcome)?;
            value["hit_ratio"] = json!(outcome.hit_ratio());
            value["keys"] = differences(&outcomes[0], outcome).into_iter().map(|of| json!(of)).collect();
            Ok(value)
        })
        .collect::<anyhow::Result<_>>()?;
    let (from_ms, to_ms) = (trace.from_ms, trace.to_ms);
    let of_trace =
        json!({ "events": trace.events, "seeded": trace.seeded(), "from_ms": from_ms, "to_ms": to_ms });
    let all = json!({ "trace": of_trace, "size_bytes": size_bytes, "policies": policies });
    Ok(format!("{}\n", serde_json::to_string_pretty(&all)?))
}

/// How much more, or less, was found of a key than by the first contender.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Difference {
    repository: String,
    key: String,
    hits: i64,
    bytes: i64,
}

/// The keys with the largest differences of bytes: those that win, then those that lose.
fn differences(first: &Outcome, other: &Outcome) -> Vec<Difference> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut all: Vec<Difference> = other
        .keys
        .iter()
        .filter_map(|(of, now)| {
            let before = first.keys.get(of).copied().unwrap_or_default();
            let (hits, bytes) =
                (signed(now.hits) - signed(before.hits), signed(now.bytes) - signed(before.bytes));
            let (repository, key) = of.clone();
            (hits != 0 || bytes != 0).then_some(Difference { repository, key, hits, bytes })
        })
        .collect();
    // Keys with the same difference are in the order of their names.
    all.sort_by_key(|of| std::cmp::Reverse((of.bytes, of.hits)));
    let losers = all.split_off(all.partition_point(|of| (of.bytes, of.hits) > (0, 0)));
    let losers = losers.into_iter().rev().take(KEYS);
    all.truncate(KEYS);
    all.into_iter().chain(losers).collect()
}

fn in_words(trace: &Trace, size_bytes: u64, outcomes: &[Outcome]) -> String {
    let hours = (trace.to_ms - trace.from_ms) as f64 / 3_600_000.0;
    let mut text = format!(
        "{} events of {hours:.1} hours, {} entries from before; {} may be stored\n\n",
        trace.events,
        trace.seeded(),
        bytes_text(size_bytes)
    );
    let names: Vec<String> =
        outcomes.iter().map(|outcome| format!(">{}", printable(&outcome.name))).collect();
    let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |title: &str, of: &dyn Fn(&Outcome) -> String| {
        rows.push(std::iter::once(title.to_owned()).chain(outcomes.iter().map(of)).collect());
    };
    row("hit ratio", &|o| format!("{:.2} %", 100.0 * o.hit_ratio()));
    row("look-ups", &|o| o.lookups.to_string());
    row("hits", &|o| o.hits.to_string());
    row("hits of the key itself", &|o| o.exact_hits.to_string());
    row("bytes served", &|o| bytes_text(o.bytes_served));
    row("saves", &|o| o.saves.to_string());
    row("bytes saved", &|o| bytes_text(o.bytes_saved));
    row("saves without room", &|o| o.no_room.to_string());
    row("saves refused", &|o| o.refused.to_string());
    row("evicted", &|o| o.evictions.to_string());
    row("bytes evicted", &|o| bytes_text(o.bytes_evicted));
    row("deleted otherwise", &|o| o.deletions.to_string());
    let mut causes: Vec<&String> = outcomes.iter().flat_map(|outcome| outcome.misses.keys()).collect();
    causes.sort_unstable();
    causes.dedup();
    for cause in causes {
        row(&format!("missed: {}", printable(cause)), &|o| {
            o.misses.get(cause).copied().unwrap_or(0).to_string()
        });
    }
    if outcomes.iter().any(|outcome| outcome.rule_failures > 0) {
        row("the rules failed", &|o| o.rule_failures.to_string());
    }
    text.push_str(&table(&header, rows));
    for outcome in outcomes.iter().skip(1) {
        let _ = write!(text, "{}", keys_in_words(&outcomes[0], outcome));
    }
    text
}

fn keys_in_words(first: &Outcome, other: &Outcome) -> String {
    let mut text = String::new();
    for Difference { repository, key, hits, bytes } in differences(first, other) {
        if text.is_empty() {
            let _ = writeln!(text, "\n{} against {}:", other.name, first.name);
        }
        let sign = if bytes < 0 { '-' } else { '+' };
        let _ = writeln!(
            text,
            "  {hits:+} hits, {sign}{}: {} {}",
            bytes_text(bytes.unsigned_abs()),
            printable(&repository),
            printable(&key)
        );
    }
    text
}

#[cfg(test)]
mod tests;
