//! Whether a policy component keeps to the protocol: a server of its own, with its data in a
//! temporary folder, is asked what clients ask.

use std::{
    borrow::Cow, convert::Infallible, fs, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc,
    time::Instant,
};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, StatusCode, request::Builder};
use http_body_util::{BodyExt, Full};
use larder_common::facts::Facts;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_service::Service;

use crate::{
    auth::{Access, Authenticator, Scope, TokenError},
    config::Config,
    inspect::Inspection,
    larder::Larder,
    server::LarderService,
};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
/// What the URLs begin with that clients are given.
pub const ORIGIN: &str = "http://cache.invalid";
/// The token of the job. That of another one has a dash and its number behind it.
const TOKEN: &str = "token";
/// The user agent of the requests, by which a log tells them from those of jobs.
const AGENT: &str = "larder-policy-check";
const VERSION: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const CONTENT: &[u8] = b"what a job saves";

/// What was asked, and what was wrong with the answer.
#[derive(Serialize)]
pub struct Row {
    /// What was asked.
    pub name: Cow<'static, str>,
    /// `None`: nothing.
    pub fault: Option<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl Row {
    /// Returns whether nothing was wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

/// What came of a check.
pub struct Checked {
    /// What was asked, in order.
    pub rows: Vec<Row>,
    /// The folder of the server, with the compiled component.
    pub folder: TempDir,
}

impl Checked {
    /// Returns whether nothing was wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(Row::is_good)
    }

    /// Moves what the check has compiled to where a server looks for it, which then has nothing to compile.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn keep_compiled(&self, to: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        for file in fs::read_dir(self.folder.path().join("compiled"))? {
            let file = file?;
            let draft = to.join(format!("use.{}.tmp", std::process::id()));
            fs::copy(file.path(), &draft)?;
            fs::rename(&draft, to.join(file.file_name()))?;
        }
        Ok(())
    }
}

/// Jobs whose tokens are no secrets.
struct Jobs(Vec<Access>);

#[async_trait::async_trait]
impl Authenticator for Jobs {
    async fn authenticate(&self, token: &str) -> Result<Access, TokenError> {
        let number = token.strip_prefix(TOKEN).ok_or(TokenError::BadSignature)?;
        if number.is_empty() {
            return Ok(job());
        }
        let number = number.strip_prefix('-').and_then(|number| number.parse::<usize>().ok());
        number.and_then(|number| self.0.get(number)).cloned().ok_or(TokenError::BadSignature)
    }
}

/// The job that asks: of a branch, which may also read the default branch.
#[must_use]
pub fn job() -> Access {
    let scope = |name: &str, write| Scope { name: name.to_owned(), read: true, write };
    Access {
        repository: "1".to_owned(),
        scopes: vec![scope("refs/heads/feature", true), scope("refs/heads/main", false)],
        expires_ms: u64::MAX,
        facts: Facts::default(),
    }
}

/// The value of the field `authorization` of a job that was given to [`check_by`].
#[must_use]
pub fn authorization(number: usize) -> String {
    format!("Bearer {TOKEN}-{number}")
}

/// Waits for a check, on a runtime of its own: the caller may block, and is in none.
///
/// # Errors
/// Those of the check, and when there is no runtime.
pub fn run(check: impl Future<Output = anyhow::Result<Checked>>) -> anyhow::Result<Checked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(check))
}

/// Asks a policy component what clients ask. It has the memory and the time that the configuration gives it.
///
/// # Errors
/// When it does not load or start.
pub async fn check(config: &Config, component: &[u8]) -> anyhow::Result<Checked> {
    check_by(config, component, Vec::new(), async |asked| {
        asked.all().await;
        Ok(())
    })
    .await
}

/// Has a policy component asked by a function, in the name of these jobs.
///
/// # Errors
/// When it does not load or start, and those of the function.
pub async fn check_by(
    config: &Config,
    component: &[u8],
    jobs: Vec<Access>,
    ask: impl AsyncFnOnce(&mut Asked) -> anyhow::Result<()>,
) -> anyhow::Result<Checked> {
    Inspection::of(component)?;
    let folder = TempDir::new().context("a temporary folder")?;
    let data = folder.path().to_str().context("a temporary folder with a name in UTF-8")?;
    let settings = [("LARDER_DATA", data), ("DEFAULT_ACTIONS_RESULTS_URL", "none"), ("API_BASE_URL", ORIGIN)];
    let variables = settings.map(|(name, value)| (name.into(), value.into()));
    let mut own = Config::load(None, variables)?;
    own.settings.policy.memory_bytes = config.settings.policy.memory_bytes;
    own.settings.policy.deadline_ms = config.settings.policy.deadline_ms;
    own.settings.server.threads = 1;
    let builder = Larder::builder(own).policy(component.to_vec()).authenticator(Arc::new(Jobs(jobs)));
    let larder = builder.without_listener().build().await?;
    let mut asked = Asked { service: larder.service(), rows: Vec::new() };
    let all_asked = ask(&mut asked).await;
    let rows = asked.rows;
    drop(asked.service);
    let stopped = tokio::task::spawn_blocking(|| larder.stop());
    stopped.await.context("stopping")?;
    all_asked?;
    Ok(Checked { rows, folder })
}

/// A server that is asked, and what came of it.
pub struct Asked {
    service: LarderService,
    rows: Vec<Row>,
}

/// What was answered.
pub struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the body as text.
    #[must_use]
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A text in the JSON of the body.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<String> {
        self.json()[member].as_str().map(str::to_owned)
    }

    /// What was answered, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("got {} {text}", self.status.as_u16())
    }
}

fn get(target: &str) -> Builder {
    Request::builder().method(Method::GET).uri(target)
}

fn put(target: &str) -> Builder {
    Request::builder().method(Method::PUT).uri(target).header("x-ms-blob-type", "BlockBlob")
}

fn call(name: &str) -> Builder {
    let request = Request::builder().method(Method::POST).uri(format!("{SERVICE}/{name}"));
    request.header("content-type", "application/json")
}

fn authorized(name: &str) -> Builder {
    call(name).header("authorization", format!("Bearer {TOKEN}"))
}

fn about(key: &str) -> Value {
    json!({ "key": key, "version": VERSION, "restore_keys": [] })
}

impl Asked {
    /// Asks for one thing, and records what is wrong with the answer.
    async fn ask(
        &mut self,
        name: &'static str,
        request: Builder,
        body: impl Into<Bytes>,
        is_good: impl FnOnce(&Answer) -> bool,
    ) -> Option<Answer> {
        let fault = |answer: &Answer| (!is_good(answer)).then(|| answer.shown());
        self.record(name, request, body, fault).await
    }

    /// Asks for one thing, and records what `fault` says is wrong with the answer. Returns the answer if
    /// that is nothing.
    pub async fn record(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        request: Builder,
        body: impl Into<Bytes>,
        fault: impl FnOnce(&Answer) -> Option<String>,
    ) -> Option<Answer> {
        let began = Instant::now();
        let answer = self.send(request, body.into()).await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let fault = match &answer {
            Ok(answer) => fault(answer),
            Err(error) => Some(format!("{error:#}")),
        };
        let good = fault.is_none();
        self.rows.push(Row { name: name.into(), fault, micros });
        answer.ok().filter(|_| good)
    }

    async fn send(&mut self, request: Builder, body: Bytes) -> anyhow::Result<Answer> {
        let request = request.header("host", "cache.invalid").header("user-agent", AGENT);
        let request = request.body(Full::new(body))?;
        let Ok::<_, Infallible>(response) = self.service.call(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the body of the answer")?.to_bytes();
        Ok(Answer { status: head.status, body })
    }

    async fn all(&mut self) {
        self.ask("the server is healthy", get("/health"), "", |answer| answer.status.is_success()).await;
        self.lookups_of_nothing().await;
        if let Some(url) = self.save().await {
            self.restore().await;
            self.bad_requests(&url).await;
        }
    }

    async fn lookups_of_nothing(&mut self) {
        let lookup = || authorized("GetCacheEntryDownloadURL");
        let is_miss = |answer: &Answer| answer.status == StatusCode::OK && answer.json()["ok"] != true;
        self.ask("a key that nobody saved is a miss", lookup(), about("none").to_string(), is_miss).await;
    }

    /// Saves an entry; returns the URL of its upload.
    async fn save(&mut self) -> Option<String> {
        let create = || authorized("CreateCacheEntry");
        let has_url = |answer: &Answer| answer.text("signed_upload_url").is_some();
        let reserved = self.ask("a key is reserved", create(), about("npm-1").to_string(), has_url).await?;
        let url = reserved.text("signed_upload_url")?;
        let path = url.strip_prefix(ORIGIN).unwrap_or(&url).to_owned();
        let is_created = |answer: &Answer| answer.status == StatusCode::CREATED;
        let block = put(&format!("{path}&comp=block&blockid=MDAwMQ=="));
        self.ask("a block is uploaded", block, CONTENT, is_created).await?;
        let list = "<BlockList><Latest>MDAwMQ==</Latest></BlockList>";
        self.ask("the blocks are committed", put(&format!("{path}&comp=blocklist")), list, is_created)
            .await?;
        let mut size = about("npm-1");
        size["size_bytes"] = CONTENT.len().into();
        let finalize = authorized("FinalizeCacheEntryUpload");
        let is_ok = |answer: &Answer| answer.json()["ok"] == true;
        self.ask("the entry is finalized", finalize, size.to_string(), is_ok).await?;
        let is_refused = |answer: &Answer| answer.json()["ok"] != true && !answer.status.is_server_error();
        self.ask("the same key is not reserved again", create(), about("npm-1").to_string(), is_refused)
            .await;
        Some(path)
    }

    async fn restore(&mut self) {
        let lookup = || authorized("GetCacheEntryDownloadURL");
        let is_hit = |answer: &Answer| answer.text("signed_download_url").is_some();
        let found = self.ask("the key is found", lookup(), about("npm-1").to_string(), is_hit).await;
        let mut by_prefix = about("npm-2");
        by_prefix["restore_keys"] = json!(["npm-"]);
        let is_it = |answer: &Answer| answer.json()["matched_key"] == "npm-1";
        self.ask("a restore key finds it", lookup(), by_prefix.to_string(), is_it).await;
        let Some(url) = found.and_then(|found| found.text("signed_download_url")) else { return };
        let path = url.strip_prefix(ORIGIN).unwrap_or(&url).to_owned();
        let is_whole = |answer: &Answer| answer.body == CONTENT;
        self.ask("it is downloaded", get(&path), "", is_whole).await;
        let range = get(&path).header("range", "bytes=5-8");
        let is_part =
            |answer: &Answer| answer.status == StatusCode::PARTIAL_CONTENT && answer.body == CONTENT[5..9];
        self.ask("a range of it is downloaded", range, "", is_part).await;
        let is_denied = |answer: &Answer| answer.status.is_client_error();
        let forged = format!("{path}0");
        self.ask("a URL that was changed is refused", get(&forged), "", is_denied).await;
    }

    async fn bad_requests(&mut self, upload: &str) {
        let is_denied = |answer: &Answer| answer.status.is_client_error();
        let lookup = "GetCacheEntryDownloadURL";
        self.ask("without a token nothing is found", call(lookup), about("npm-1").to_string(), is_denied)
            .await;
        self.ask("text that is no JSON is refused", authorized(lookup), "{", is_denied).await;
        let late = put(&format!("{upload}&comp=block&blockid=MDAwMg=="));
        self.ask("an upload that is finished takes no more", late, "late", is_denied).await;
        self.ask("an unknown path is a 404", get("/no/such/path"), "", |answer| {
            answer.status == StatusCode::NOT_FOUND
        })
        .await;
    }
}
