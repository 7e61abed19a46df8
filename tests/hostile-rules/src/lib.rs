//! Rules that misbehave: the repository of the caller, the key of a save, or the key of the first entry
//! says how. The host must refuse the answer and go on.

#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, reason = "generated code")]
mod wit {
    wit_bindgen::generate!({ path: "../../wit/rules", world: "rules", generate_all });
}

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use wit::{
    exports::larder::rules::{access, restore, retention, save},
    larder::rules::types::{Caller, Entry, Scope},
};

struct Hostile;

#[cfg(target_arch = "wasm32")]
wit::export!(Hostile with_types_in wit);

impl access::Guest for Hostile {
    fn admit(caller: Caller) -> access::Admission {
        let scope = |name: &str, write| Scope { name: name.to_owned(), read: true, write };
        match caller.repository.as_str() {
            "trap" => trap(),
            "spin" => spin(),
            "foreign-scope" => access::Admission::Scopes(vec![scope("refs/heads/secret", false)]),
            "more-than-the-token" => access::Admission::Scopes(vec![scope("refs/heads/main", true)]),
            "a-scope-twice" => access::Admission::Scopes(vec![
                scope("refs/heads/main", false),
                scope("refs/heads/main", false),
            ]),
            "a-million-scopes" => {
                access::Admission::Scopes((0..1_000_000).map(|_| scope("refs/heads/main", false)).collect())
            }
            "remember" => access::Admission::Deny(format!("call {}", calls())),
            "no-reason" => access::Admission::Deny(String::new()),
            _ => access::Admission::Default,
        }
    }
}

impl restore::Guest for Hostile {
    fn judge_hit(_caller: Caller, entry: Entry) -> restore::Hit {
        match entry.key.as_str() {
            "restore-trap" => trap(),
            "restore-spin" => spin(),
            "restore-memory" => hoard(),
            "long" => restore::Hit::Skip("x".repeat(8 << 20)),
            "reason" => restore::Hit::Skip("x".repeat(201)),
            "control" => restore::Hit::Skip("two\nlines".to_owned()),
            _ => restore::Hit::Accept,
        }
    }
}

impl save::Guest for Hostile {
    fn judge_save(_: Caller, key: String, _: String, _: Option<u32>) -> save::Verdict {
        let accept = |lifetime_s, labels: &[(&str, &str)]| {
            let labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            save::Verdict::Accept(save::Terms { lifetime_s, labels })
        };
        match key.as_str() {
            "trap" => trap(),
            "spin" => spin(),
            "recurse" => save::Verdict::Refuse(recurse(u64::from(key.len() as u32)).to_string()),
            "memory" => hoard(),
            "remember" => save::Verdict::Refuse(format!("call {}", calls())),
            "lifetime" => accept(Some(0), &[]),
            "label-name" => accept(None, &[("a\nb", "x")]),
            "label-value" => accept(None, &[("a", "\u{0}")]),
            "label-twice" => accept(None, &[("a", "x"), ("a", "y")]),
            "many-labels" => accept(None, &[("a", "x"); 9]),
            _ => save::Verdict::Default,
        }
    }
}

impl retention::Guest for Hostile {
    fn group(entries: Vec<Entry>) -> Vec<Option<String>> {
        match entries.first().map(|entry| entry.key.as_str()) {
            Some("few") => Vec::new(),
            Some("many") => vec![None; 1_000_000],
            Some("long") => entries.iter().map(|_| Some("x".repeat(1025))).collect(),
            Some("spin") => spin(),
            _ => vec![None; entries.len()],
        }
    }

    fn judge(members: Vec<retention::Member>) -> Vec<retention::Verdict> {
        let all = |verdict: fn() -> retention::Verdict| members.iter().map(|_| verdict()).collect();
        match members.first().map(|member| member.entry.key.as_str()) {
            Some("few") => Vec::new(),
            Some("no-rule") => all(|| retention::Verdict::Remove(String::new())),
            Some("long") => all(|| retention::Verdict::Remove("x".repeat(65))),
            _ => all(|| retention::Verdict::Default),
        }
    }

    fn rank(entries: Vec<Entry>) -> Vec<f64> {
        match entries.first().map(|entry| entry.key.as_str()) {
            Some("few") => Vec::new(),
            Some("nan") => vec![f64::NAN; entries.len()],
            _ => vec![0.0; entries.len()],
        }
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("only in wasm")
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Needs the result of the next one.
fn recurse(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { recurse(depth + 1) + 1 }
}

fn hoard() -> ! {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(black_box(vec![1; 1 << 20]));
    }
}

/// Counts the calls of this instance.
fn calls() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Relaxed) + 1
}
