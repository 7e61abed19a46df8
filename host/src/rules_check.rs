//! `larder rules check`: asks rules what is usual and what is odd, and compares the answers of one
//! instance and of a fresh one.

use std::{fmt::Write, sync::Arc, time::Duration};

use larder_rules::{Caller, Entry, Failure, Interface, Limits, Member, Rules, Save, Scope, Session, Trust};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Entries of a page, at most.
const PAGE: usize = 1000;
/// The bounds of what a server hands to rules.
const SCOPES: usize = 64;
const SCOPE_BYTES: usize = 1024;
const KEY_BYTES: usize = 512;
const CLAIMS: usize = 32;
const CLAIM_BYTES: usize = 100;

/// The facts of a usual token.
const FACTS: [(&str, &str); 9] = [
    ("actor", "octocat"),
    ("event_name", "pull_request"),
    ("ref", "refs/pull/7/merge"),
    ("ref_protected", "false"),
    ("repository", "octo-org/hello"),
    ("run_id", "1234567890"),
    ("sha", "0123456789012345678901234567890123456789"),
    ("workflow", "ci"),
    ("workflow_ref", "octo-org/hello/.github/workflows/ci.yml@refs/heads/main"),
];

/// What came of one question.
struct Asked {
    name: String,
    /// CPU time.
    took: Duration,
    limit: Duration,
    fault: Option<String>,
    answer: String,
}

/// What came of a check.
pub struct Checked {
    interfaces: Vec<&'static str>,
    imports: Vec<String>,
    memory_kib: usize,
    asked: Vec<Asked>,
}

/// Asks rules everything that they answer. Takes up to the limit of a question (a second for a page) for
/// each, and so belongs on a thread that may block.
#[must_use]
pub fn check(rules: &Arc<Rules>) -> Checked {
    let mut check = Check { session: Session::new(rules.clone(), Limits::default()), asked: Vec::new() };
    if rules.answers(Interface::Access) {
        check.access();
    }
    if rules.answers(Interface::Restore) {
        check.restore();
    }
    if rules.answers(Interface::Save) {
        check.save();
    }
    if rules.answers(Interface::Retention) {
        check.retention();
    }
    Checked {
        interfaces: rules.interfaces().iter().map(|interface| interface.name()).collect(),
        imports: rules.imports().to_vec(),
        memory_kib: check.session.memory_bytes() / 1024,
        asked: check.asked,
    }
}

struct Check {
    session: Session,
    asked: Vec<Asked>,
}

impl Check {
    /// Asks the same three times: twice of one instance, and once of a fresh one.
    fn ask<T: std::fmt::Debug>(
        &mut self,
        name: String,
        limit: Duration,
        mut ask: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) {
        let mut said = |session: &mut Session| ask(session).map(|answer| format!("{answer:?}"));
        self.session.refresh();
        // The start of the instance has a limit of its own.
        let first = said(&mut self.session);
        let began = cpu_time();
        let second = said(&mut self.session);
        let took = cpu_time().saturating_sub(began);
        self.session.refresh();
        let fresh = said(&mut self.session);
        let fault = match (&first, &second, &fresh) {
            (Err(failure), ..) | (_, Err(failure), _) | (.., Err(failure)) => Some(failure.to_string()),
            (Ok(first), Ok(second), _) if first != second => {
                Some(format!("is not pure: {} and then {}", cut(first), cut(second)))
            }
            (Ok(first), _, Ok(fresh)) if first != fresh => {
                Some(format!("is not pure: {}, of a fresh instance {}", cut(first), cut(fresh)))
            }
            _ => None,
        };
        let answer = first.unwrap_or_default();
        self.asked.push(Asked { name, took, limit, fault, answer });
    }

    fn access(&mut self) {
        let limit = Limits::default().request;
        for (name, caller) in callers() {
            let caller = Caller { client: String::new(), ..caller };
            self.ask(format!("admit: {name}"), limit, |session| session.admit(&caller));
        }
    }

    fn restore(&mut self) {
        let limit = Limits::default().request;
        for (name, caller) in callers() {
            let entry = entry(1);
            self.ask(format!("judge-hit: {name}"), limit, |session| session.judge_hit(&caller, &entry));
        }
        let (caller, entry) = (usual(), bare_entry());
        self.ask("judge-hit: an entry without facts".to_owned(), limit, |session| {
            session.judge_hit(&caller, &entry)
        });
    }

    fn save(&mut self) {
        let limit = Limits::default().request;
        let save = |key: &str, size_kib| Save { key: key.to_owned(), version: "v".repeat(64), size_kib };
        for (name, caller) in callers() {
            let save = save("npm-linux-1", None);
            self.ask(format!("judge-save: {name}"), limit, |session| session.judge_save(&caller, &save));
        }
        let odd = [
            ("the longest key", save(&"k".repeat(KEY_BYTES), Some(1))),
            ("a key of odd characters", save("\u{1f600}\u{fffd}\"'\\\u{0}", Some(1))),
            ("no size", save("npm-linux-1", Some(0))),
            ("the largest size", save("npm-linux-1", Some(u32::MAX))),
        ];
        let caller = usual();
        for (name, save) in odd {
            self.ask(format!("judge-save: {name}"), limit, |session| session.judge_save(&caller, &save));
        }
    }

    fn retention(&mut self) {
        let limit = Limits::default().page;
        let pages = [
            ("no entry", Vec::new()),
            ("an entry without facts", vec![bare_entry()]),
            ("1,000 entries", (0..PAGE).map(entry).collect::<Vec<_>>()),
        ];
        for (name, page) in pages {
            self.ask(format!("group: {name}"), limit, |session| session.group(&page));
            let places = [None, Some(0), Some(7), Some(u32::MAX)];
            let members: Vec<_> = page
                .iter()
                .zip(places.iter().cycle())
                .map(|(entry, place)| Member { entry: entry.clone(), place: *place })
                .collect();
            self.ask(format!("judge: {name}"), limit, |session| session.judge(&members));
            self.ask(format!("rank: {name}"), limit, |session| session.rank(&page));
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn readable(name: &str, write: bool) -> Scope {
    Scope { name: name.to_owned(), read: true, write }
}

fn usual() -> Caller {
    Caller {
        repository: "1296269".to_owned(),
        scopes: vec![readable("refs/pull/7/merge", true), readable("refs/heads/main", false)],
        claims: pairs(&FACTS),
        client: "@actions/cache-5.0.3".to_owned(),
    }
}

/// A job of a push of this ref.
fn pushed(git_ref: &str, scopes: Vec<Scope>) -> Caller {
    let fact = |(name, value): (String, String)| match &*name {
        "event_name" => (name, "push".to_owned()),
        "ref" => (name, git_ref.to_owned()),
        _ => (name, value),
    };
    Caller { scopes, claims: usual().claims.into_iter().map(fact).collect(), ..usual() }
}

/// Callers of all kinds, by name.
fn callers() -> Vec<(&'static str, Caller)> {
    let longest = Caller {
        repository: "r".repeat(128),
        scopes: (0..SCOPES)
            .map(|number| readable(&format!("{number:0>SCOPE_BYTES$}"), number == 0))
            .collect(),
        claims: (0..CLAIMS)
            .map(|number| (format!("fact_{number:02}"), "\u{e9}".repeat(CLAIM_BYTES / 2)))
            .collect(),
        client: "c".repeat(200),
    };
    vec![
        ("a pull request", usual()),
        ("a push to main", pushed("refs/heads/main", vec![readable("refs/heads/main", true)])),
        (
            "a tag",
            pushed("refs/tags/v1", vec![readable("refs/tags/v1", true), readable("refs/heads/main", false)]),
        ),
        ("no facts", Caller { claims: Vec::new(), ..usual() }),
        ("no scopes", Caller { scopes: Vec::new(), ..usual() }),
        ("nothing at all", Caller::default()),
        ("the longest texts", longest),
    ]
}

fn entry(number: usize) -> Entry {
    let step = u32::try_from(number).unwrap_or(0);
    Entry {
        repository: "1296269".to_owned(),
        scope: "refs/heads/main".to_owned(),
        version: "v".repeat(64),
        key: format!("npm-linux-{number}"),
        size_kib: step * 100,
        age_s: step * 3600,
        idle_s: step * 60,
        uses: Some(step),
        trust: if number.is_multiple_of(2) { Trust::Full } else { Trust::Low },
        provenance: pairs(&FACTS),
    }
}

fn bare_entry() -> Entry {
    Entry { uses: None, provenance: Vec::new(), ..entry(1) }
}

/// CPU time of this thread, which is what limits are about.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(120)]
}

impl Checked {
    /// Returns how many questions were not answered as they should be.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.asked.iter().filter(|asked| asked.fault.is_some()).count()
    }

    /// Returns only those, a line for each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let faults = self.asked.iter().filter_map(|Asked { name, fault, .. }| Some((name, fault.as_ref()?)));
        faults.map(|(name, fault)| format!("{name}: {fault}")).collect()
    }

    /// Returns all of it, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { interfaces, imports, memory_kib, asked } = self;
        let mut text = format!("exports {}\n", interfaces.join(", "));
        if !imports.is_empty() {
            let _ =
                writeln!(text, "imports {} (not there for rules: a call of one fails)", imports.join(", "));
        }
        for Asked { name, took, limit, fault, answer } in asked {
            let (verdict, said) = match fault {
                None => ("ok  ", cut(answer)),
                Some(fault) => ("FAIL", fault.as_str()),
            };
            let said = said.trim_end().replace('\n', "\n        ");
            let (took, limit) = (took.as_secs_f64() * 1e3, limit.as_millis());
            let _ = writeln!(text, "{verdict}  {name:<36} {took:8.3} of {limit} ms  {said}");
        }
        let _ = write!(text, "{} good, {} failed", asked.len() - self.failed(), self.failed());
        // An instance that failed is gone, and so is each that was asked for `access`.
        if *memory_kib > 0 {
            let _ = write!(text, "; {memory_kib} KiB of memory");
        }
        text.push('\n');
        text
    }

    /// Returns all of it as JSON.
    ///
    /// # Errors
    /// Never: it consists of names and numbers.
    pub fn in_json(&self) -> anyhow::Result<String> {
        let asked: Vec<_> = self
            .asked
            .iter()
            .map(|asked| {
                json!({
                    "name": asked.name,
                    "took_us": u64::try_from(asked.took.as_micros()).unwrap_or(u64::MAX),
                    "limit_ms": u64::try_from(asked.limit.as_millis()).unwrap_or(u64::MAX),
                    "fault": asked.fault,
                })
            })
            .collect();
        let told = json!({
            "exports": self.interfaces,
            "imports": self.imports,
            "memory_kib": self.memory_kib,
            "asked": asked,
            "failed": self.failed(),
        });
        Ok(serde_json::to_string_pretty(&told)? + "\n")
    }
}
