//! `larder policy test`: requests of a file, and what is to come of them.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, bail, ensure};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use larder::{
    Access, Scope,
    facts::Facts,
    policy_check::{Answer, Asked, ORIGIN, authorization, job},
};
use serde::Deserialize;

use crate::{rules_command::scope, version_commands::read_text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(default)]
    request: Vec<Case>,
}

/// A request, and what is expected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    // Who asks.
    /// Whether it has the job's token.
    #[serde(default = "yes")]
    token: bool,
    repository: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    claims: Facts,
    // What is to come of it.
    status: u16,
    /// A part of the body.
    contains: Option<String>,
    /// Members of the JSON of the answer, by the name under which later requests have them: `${NAME}`.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Made of the above.
    #[serde(skip, default = "job")]
    job: Access,
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

/// Reads a file of cases.
///
/// # Errors
/// When it cannot be read, has no request, or one that cannot be.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Case>> {
    let text = read_text(file)?;
    let Cases { mut request } = toml::from_str(&text).with_context(|| file.display().to_string())?;
    ensure!(!request.is_empty(), "{}: has no [[request]]", file.display());
    for case in &mut request {
        let checked = case.check();
        checked.with_context(|| format!("{}: the request `{}`", file.display(), case.name))?;
    }
    Ok(request)
}

/// Sends the requests in their order, and records what is wrong with the answers.
///
/// # Errors
/// When what an answer was to leave is no part of a request.
pub(super) async fn ask(cases: &[Case], asked: &mut Asked) -> anyhow::Result<()> {
    let mut kept = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let sent = case.send(number, asked, &mut kept).await;
        sent.with_context(|| format!("the request `{}`", case.name))?;
    }
    Ok(())
}

impl Case {
    /// The job that asks.
    pub(super) fn job(&self) -> Access {
        self.job.clone()
    }

    /// Finds what can be no request, and makes the job.
    fn check(&mut self) -> anyhow::Result<()> {
        self.method.parse::<Method>().with_context(|| format!("method `{}`", self.method))?;
        ensure!(self.path.starts_with(['/', '$']), "path `{}`: begins with / or ${{NAME}}", self.path);
        StatusCode::from_u16(self.status).with_context(|| format!("status {}", self.status))?;
        for name in self.headers.keys() {
            name.parse::<HeaderName>().with_context(|| format!("header `{name}`"))?;
        }
        let own = |text: &String| {
            let larder::rules::Scope { name, read, write } = scope(text)?;
            anyhow::Ok(Scope { name, read, write })
        };
        if let Some(scopes) = &self.scopes {
            self.job.scopes = scopes.iter().map(own).collect::<Result<_, _>>()?;
        }
        if let Some(repository) = &self.repository {
            self.job.repository.clone_from(repository);
        }
        self.job.facts = std::mem::take(&mut self.claims);
        Ok(())
    }

    async fn send(
        &self,
        number: usize,
        asked: &mut Asked,
        kept: &mut BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let path = filled(&self.path, kept)?;
        let uri: Uri = path.parse().with_context(|| format!("path `{path}`"))?;
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        if self.token {
            request = request.header("authorization", authorization(number));
        }
        for (name, value) in &self.headers {
            let value = filled(value, kept)?;
            request = request.header(name, HeaderValue::from_str(&value).context("the value of a header")?);
        }
        let body = filled(&self.body, kept)?;
        let answer = asked.record(self.name.clone(), request, body, |answer| self.fault(answer)).await;
        for (name, member) in answer.iter().flat_map(|_| &self.keep) {
            let value = answer.as_ref().and_then(|answer| answer.text(member)).unwrap_or_default();
            kept.insert(name.clone(), value.strip_prefix(ORIGIN).unwrap_or(&value).to_owned());
        }
        Ok(())
    }

    /// What is wrong with an answer.
    fn fault(&self, answer: &Answer) -> Option<String> {
        let has = |part: &String| answer.body_text().contains(part.as_str());
        let is_good = answer.status().as_u16() == self.status && self.contains.as_ref().is_none_or(has);
        let lacking = self.keep.values().find(|member| answer.text(member).is_none());
        let with = self.contains.as_ref().map_or(String::new(), |part| format!(" with `{part}`"));
        match lacking {
            _ if !is_good => Some(format!("expected {}{with}, {}", self.status, answer.shown())),
            Some(member) => Some(format!("no text `{member}` to keep: {}", answer.shown())),
            None => None,
        }
    }
}

/// A text with what earlier answers left in the places of `${NAME}`.
fn filled(text: &str, kept: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut parts = text.split("${");
    let mut full = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once('}') else { bail!("`${{{part}`: ends with }}") };
        let value = kept.get(name).with_context(|| {
            format!("`${{{name}}}`: no request before it that was answered as expected keeps this")
        })?;
        full.push_str(value);
        full.push_str(rest);
    }
    Ok(full)
}
