//! `larder rules test`: asks what a file of cases says, and compares the answers.

use std::{collections::BTreeMap, fmt::Write, path::Path, sync::Arc};

use anyhow::{Context, bail, ensure};
use larder_rules::{
    Admission, Caller, Entry, Failure, Hit, Limits, Member, Pairs, RetentionVerdict, Rules, Save,
    SaveVerdict, Session, Trust,
};
use serde::{Deserialize, Serialize};

use super::scope;
use crate::version_commands::read_text;

/// What came of a case.
#[derive(Serialize)]
pub(super) struct CaseResult {
    pub(super) name: String,
    /// `None`: as expected.
    pub(super) fault: Option<Fault>,
}

#[derive(Serialize)]
pub(super) struct Fault {
    pub(super) expected: String,
    pub(super) got: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    ask: Question,
    // Who asks.
    #[serde(default)]
    repository: String,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    client: String,
    // What is saved. The key is the entry's, too, where that has none.
    #[serde(default)]
    key: String,
    #[serde(default)]
    version: String,
    size_kib: Option<u32>,
    // What is looked at.
    entry: Option<CaseEntry>,
    #[serde(default)]
    entries: Vec<CaseEntry>,
    // What is to come of it.
    expect: Expected,
    /// Text that the reason has in it.
    reason: Option<String>,
    lifetime_s: Option<u32>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    Admit,
    JudgeHit,
    JudgeSave,
    Group,
    Judge,
    Rank,
}

/// A word, or one for each scope or entry.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`expect` is a word, or a list of them: scopes, or one for each entry; for `rank` the keys in the order in which they go"
)]
enum Expected {
    One(String),
    Each(Vec<String>),
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct CaseEntry {
    repository: String,
    scope: String,
    key: String,
    version: String,
    size_kib: u32,
    age_s: u32,
    idle_s: u32,
    uses: Option<u32>,
    trust: Trust,
    provenance: BTreeMap<String, String>,
    /// Its place in its group.
    place: Option<u32>,
}

/// An answer, in words.
struct Answer {
    words: Vec<String>,
    reason: Option<String>,
    lifetime_s: Option<u32>,
    labels: Pairs,
}

/// Asks each case of a fresh instance.
///
/// # Errors
/// When the file has a fault.
pub(super) fn run(rules: &Arc<Rules>, file: &Path) -> anyhow::Result<Vec<CaseResult>> {
    let text = read_text(file)?;
    let cases: Cases = toml::from_str(&text).with_context(|| file.display().to_string())?;
    ensure!(!cases.case.is_empty(), "{}: has no case", file.display());
    let mut session = Session::new(rules.clone(), Limits::default());
    let mut results = Vec::new();
    for case in cases.case {
        session.refresh();
        let asked = case.ask(&mut session).with_context(|| format!("the case `{}`", case.name))?;
        let fault = match asked {
            Ok(answer) => case.compare(&answer),
            Err(failure) => Some(Fault { expected: case.expected(), got: failure.to_string() }),
        };
        results.push(CaseResult { name: case.name, fault });
    }
    Ok(results)
}

impl Case {
    /// Asks. The inner error is the rules'.
    fn ask(&self, session: &mut Session) -> anyhow::Result<Result<Answer, Failure>> {
        let caller = self.caller()?;
        Ok(match self.ask {
            Question::Admit => session.admit(&caller).map(of_admission),
            Question::JudgeHit => session.judge_hit(&caller, &self.one_entry()?).map(of_hit),
            Question::JudgeSave => {
                let (key, version) = (self.key.clone(), self.version.clone());
                session.judge_save(&caller, &Save { key, version, size_kib: self.size_kib }).map(of_save)
            }
            Question::Group => {
                let groups = session.group(&self.page()?);
                groups.map(|groups| words(groups.into_iter().map(Option::unwrap_or_default)))
            }
            Question::Judge => session.judge(&self.members()?).map(of_verdicts),
            Question::Rank => {
                let page = self.page()?;
                session.rank(&page).map(|scores| in_order(&page, &scores))
            }
        })
    }

    fn caller(&self) -> anyhow::Result<Caller> {
        Ok(Caller {
            repository: self.repository.clone(),
            scopes: self.scopes.iter().map(|text| scope(text)).collect::<Result<_, _>>()?,
            claims: self.claims.clone().into_iter().collect(),
            client: self.client.clone(),
        })
    }

    fn one_entry(&self) -> anyhow::Result<Entry> {
        let mut page = self.page()?;
        ensure!(page.len() == 1, "asks about one entry");
        Ok(page.remove(0))
    }

    fn page(&self) -> anyhow::Result<Vec<Entry>> {
        Ok(self.members()?.into_iter().map(|member| member.entry).collect())
    }

    fn members(&self) -> anyhow::Result<Vec<Member>> {
        let given = match (&self.entry, self.entries.is_empty()) {
            (Some(_), false) => bail!("has `entry` and `entries`"),
            (Some(entry), true) => vec![entry.clone()],
            (None, false) => self.entries.clone(),
            (None, true) => vec![CaseEntry::default()],
        };
        Ok(given.into_iter().map(|entry| self.member(entry)).collect())
    }

    fn member(&self, entry: CaseEntry) -> Member {
        let CaseEntry {
            repository,
            scope,
            key,
            version,
            size_kib,
            age_s,
            idle_s,
            uses,
            trust,
            provenance,
            place,
        } = entry;
        let or = |own: String, of_case: &str| if own.is_empty() { of_case.to_owned() } else { own };
        Member {
            entry: Entry {
                repository: or(repository, &self.repository),
                scope,
                version: or(version, &self.version),
                key: or(key, &self.key),
                size_kib: if size_kib == 0 { self.size_kib.unwrap_or(0) } else { size_kib },
                age_s,
                idle_s,
                uses,
                trust,
                provenance: provenance.into_iter().collect(),
            },
            place,
        }
    }

    fn expected(&self) -> String {
        let mut text = match &self.expect {
            Expected::One(word) => word.clone(),
            Expected::Each(words) => format!("{words:?}"),
        };
        if let Some(reason) = &self.reason {
            let _ = write!(text, " with `{reason}`");
        }
        if let Some(lifetime_s) = self.lifetime_s {
            let _ = write!(text, " for {lifetime_s} s");
        }
        if let Some(labels) = &self.labels {
            let _ = write!(text, " with labels {labels:?}");
        }
        text
    }

    fn compare(&self, answer: &Answer) -> Option<Fault> {
        let words_fit = match &self.expect {
            Expected::One(word) => *word == answer.kind(self.ask),
            Expected::Each(words) => *words == answer.words,
        };
        let reason = answer.reason.as_deref().unwrap_or_default();
        let fits = words_fit
            && self.reason.as_ref().is_none_or(|wanted| reason.contains(wanted))
            && self.lifetime_s.is_none_or(|wanted| answer.lifetime_s == Some(wanted))
            && self
                .labels
                .as_ref()
                .is_none_or(|wanted| answer.labels.iter().cloned().collect::<BTreeMap<_, _>>() == *wanted);
        (!fits).then(|| Fault { expected: self.expected(), got: answer.shown() })
    }
}

impl Answer {
    fn word(word: &str, reason: Option<String>) -> Self {
        Self { words: vec![word.to_owned()], reason, lifetime_s: None, labels: Pairs::new() }
    }

    /// The answer as one word.
    fn kind(&self, question: Question) -> &str {
        match (question, &*self.words) {
            // A list of scopes is that, however many there are.
            (Question::Admit, [word]) if word == "default" || word == "deny" => word,
            (Question::Admit, _) => "scopes",
            (_, [word]) => word,
            _ => "",
        }
    }

    fn shown(&self) -> String {
        let mut text = match &*self.words {
            [word] => word.clone(),
            words => format!("{words:?}"),
        };
        if let Some(reason) = &self.reason {
            let _ = write!(text, " with `{reason}`");
        }
        if let Some(lifetime_s) = self.lifetime_s {
            let _ = write!(text, " for {lifetime_s} s");
        }
        if !self.labels.is_empty() {
            let _ = write!(text, " with labels {:?}", self.labels);
        }
        text
    }
}

fn words(words: impl Iterator<Item = String>) -> Answer {
    Answer { words: words.collect(), reason: None, lifetime_s: None, labels: Pairs::new() }
}

fn of_admission(admission: Admission) -> Answer {
    match admission {
        Admission::Default => Answer::word("default", None),
        Admission::Deny(why) => Answer::word("deny", Some(why)),
        Admission::Scopes(scopes) => words(scopes.iter().map(ToString::to_string)),
    }
}

fn of_hit(hit: Hit) -> Answer {
    match hit {
        Hit::Accept => Answer::word("accept", None),
        Hit::Skip(why) => Answer::word("skip", Some(why)),
    }
}

fn of_save(verdict: SaveVerdict) -> Answer {
    match verdict {
        SaveVerdict::Default => Answer::word("default", None),
        SaveVerdict::Accept(terms) => {
            Answer { lifetime_s: terms.lifetime_s, labels: terms.labels, ..Answer::word("accept", None) }
        }
        SaveVerdict::Refuse(why) => Answer::word("refuse", Some(why)),
        SaveVerdict::RefuseQuietly(why) => Answer::word("refuse-quietly", Some(why)),
    }
}

fn of_verdicts(verdicts: Vec<RetentionVerdict>) -> Answer {
    let mut reason = None;
    let words: Vec<_> = verdicts
        .into_iter()
        .map(|verdict| match verdict {
            RetentionVerdict::Default => "default".to_owned(),
            RetentionVerdict::Keep => "keep".to_owned(),
            RetentionVerdict::Remove(why) => {
                reason.get_or_insert(why);
                "remove".to_owned()
            }
        })
        .collect();
    Answer { words, reason, lifetime_s: None, labels: Pairs::new() }
}

/// The keys in the order in which they go: the highest score first.
fn in_order(page: &[Entry], scores: &[f64]) -> Answer {
    let mut ranked: Vec<_> = page.iter().zip(scores).collect();
    ranked
        .sort_by(|(entry, one), (before, other)| other.total_cmp(one).then(before.idle_s.cmp(&entry.idle_s)));
    words(ranked.into_iter().map(|(entry, _)| entry.key.clone()))
}

pub(super) fn in_words(results: &[CaseResult]) -> String {
    let mut text = String::new();
    for CaseResult { name, fault } in results {
        let _ = match fault {
            None => writeln!(text, "ok    {name}"),
            Some(Fault { expected, got }) => {
                writeln!(text, "FAIL  {name}\n        expected {expected}\n        got      {got}")
            }
        };
    }
    let failed = results.iter().filter(|result| result.fault.is_some()).count();
    let _ = writeln!(text, "{} passed, {failed} failed", results.len() - failed);
    text
}

pub(super) fn in_json(results: &[CaseResult]) -> anyhow::Result<String> {
    Ok(format!("{:#}\n", serde_json::to_value(results)?))
}
