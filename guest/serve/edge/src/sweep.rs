//! Sweeps on request: `POST /_larder/sweep?cursor=…`, with the token of `LARDER_SWEEP_TOKEN`.
//!
//! Nothing runs between requests under `wasmtime serve`, so a sweep is a row of requests. Each does
//! one page of work and returns the cursor of the next, until there is none. The policy selects; the
//! row is deleted first, the object second.

use std::collections::BTreeSet;

use crate::{
    bindings::{
        larder::{
            cache::{
                index::Entry,
                retention::{self, Candidate, ContentState, EntryDetails, Roots},
                types::{DepartureCause, Trust},
            },
            serve::{
                bridge::{self, EdgeSettings, Level},
                sweeper::{self, Content},
            },
        },
        wasi::{
            http::types::{ErrorCode, Request, Response},
            random::random,
        },
    },
    checks::is_same_secret,
    convert::now_ms,
    record::RequestRecord,
    send,
};

const PATH: &str = "/_larder/sweep";

/// What one request has deleted.
#[derive(Default)]
struct Report {
    uploads: u32,
    entries: u32,
    bytes: u64,
    orphans: u32,
}

/// The place of a sweep: its name, the step, and the cursor of the step.
struct Cursor {
    sweep: String,
    step: String,
    page: String,
}

/// Returns whether a request is for a sweep. Without a token there are none.
pub(crate) fn is_asked(settings: &EdgeSettings, record: &RequestRecord) -> bool {
    settings.management_token.is_some() && record.path == PATH
}

/// Responds to a request for a sweep.
pub(crate) async fn respond(
    record: RequestRecord,
    request: &Request,
    settings: &EdgeSettings,
) -> Result<Response, ErrorCode> {
    if !is_permitted(request, settings) {
        return send::error_response(
            record,
            401,
            "unauthenticated",
            "a sweep needs the token of LARDER_SWEEP_TOKEN",
        );
    }
    if record.method != "POST" {
        return send::error_response(record, 405, "bad_route", "a sweep is a POST");
    }
    let target = request.get_path_with_query().unwrap_or_default();
    let Some(cursor) = Cursor::parse(&target) else {
        return send::error_response(
            record,
            400,
            "invalid_argument",
            "the cursor is not one that a sweep returned",
        );
    };
    let mut report = Report::default();
    match step(cursor, &mut report).await {
        Ok(next) => {
            let Report { uploads, entries, bytes, orphans } = report;
            let json = serde_json::json!({
                "cursor": next.map(|next| next.text()),
                "uploads": uploads, "entries": entries, "bytes": bytes, "orphans": orphans,
            });
            send::json_response(record, 200, json.to_string().into_bytes())
        }
        Err(why) => send::error_response(record, 503, "unavailable", &why),
    }
}

fn is_permitted(request: &Request, settings: &EdgeSettings) -> bool {
    let given = request.get_headers().get("authorization").into_iter().next().unwrap_or_default();
    let expected = settings.management_token.as_ref().map(|token| format!("Bearer {token}"));
    expected.is_some_and(|expected| is_same_secret(expected.as_bytes(), &given))
}

impl Cursor {
    /// Reads the cursor of a request; a new sweep's if it has none.
    fn parse(target: &str) -> Option<Self> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let given = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")).unwrap_or_default();
        if given.is_empty() {
            let sweep = format!("{:016x}", random::get_random_u64());
            return Some(Self { sweep, step: "uploads".to_owned(), page: String::new() });
        }
        let mut parts = given.splitn(3, ':').map(str::to_owned);
        Some(Self { sweep: parts.next()?, step: parts.next()?, page: parts.next()? })
    }

    fn text(&self) -> String {
        format!("{}:{}:{}", self.sweep, self.step, self.page)
    }

    /// The next page of this step, else the first of the next one.
    fn then(self, page: Option<String>, step: &str) -> Self {
        match page {
            Some(page) => Self { page, ..self },
            None => Self { step: step.to_owned(), page: String::new(), ..self },
        }
    }
}

/// Does one page of work. Returns where to go on, or `None` at the end.
async fn step(cursor: Cursor, report: &mut Report) -> Result<Option<Cursor>, String> {
    match cursor.step.as_str() {
        "uploads" => {
            let page = sweeper::list_uploads(cursor.page.clone()).await?;
            let doomed = retention::review_uploads(now_ms(), page.uploads.clone()).await;
            for upload in page.uploads.into_iter().filter(|upload| doomed.contains(&upload.id)) {
                report.uploads += u32::from(sweeper::abandon(upload).await?);
            }
            Ok(Some(cursor.then(page.next, "roots")))
        }
        "roots" => {
            let page = sweeper::list_entries(cursor.page.clone()).await?;
            let listed: BTreeSet<u64> = page.entries.iter().map(|entry| entry.id).collect();
            let mut selected = retention::select_entries(now_ms(), page.entries).await.roots;
            selected.retain(|id| listed.contains(id));
            if !selected.is_empty() {
                sweeper::add_roots(cursor.sweep.clone(), selected).await?;
            }
            Ok(Some(cursor.then(page.next, "entries")))
        }
        "entries" => {
            let page = sweeper::list_entries(cursor.page.clone()).await?;
            review(&cursor.sweep, page.entries, report).await?;
            Ok(Some(cursor.then(page.next, "orphans")))
        }
        "orphans" => {
            let page = sweeper::remove_orphans(cursor.page.clone()).await?;
            report.orphans += page.removed;
            Ok(Some(cursor.then(page.next, "end")))
        }
        "end" => sweeper::end(cursor.sweep).await.map(|()| None),
        _ => Err("the cursor is not one that a sweep returned".to_owned()),
    }
}

/// Has the policy review a page of entries, and deletes what it selects.
async fn review(sweep: &str, entries: Vec<Entry>, report: &mut Report) -> Result<(), String> {
    let repositories: BTreeSet<String> = entries.iter().map(|entry| entry.slot.repository.clone()).collect();
    let (roots, complete) = sweeper::roots(sweep.to_owned(), repositories.into_iter().collect()).await?;
    let states = sweeper::contents(entries.clone()).await;
    let state = |content| match content {
        Content::Intact => ContentState::Intact,
        Content::Broken => ContentState::Broken,
        Content::Unknown => ContentState::Unknown,
    };
    let candidates = entries.iter().cloned().zip(&states);
    let candidate = |(entry, content): (Entry, &Content)| Candidate {
        entry,
        details: details(),
        content: state(*content),
        newer: None,
        wish: None,
    };
    let candidates = candidates.map(candidate).collect();
    let doomed = retention::review_entries(now_ms(), candidates, Roots { entries: roots, complete }).await;
    for (entry, content) in entries.into_iter().zip(states) {
        let Some(verdict) = doomed.iter().find(|verdict| verdict.id == entry.id) else { continue };
        let (bytes, key) = (entry.size_bytes, entry.slot.key.clone());
        if sweeper::delete(entry, content == Content::Broken).await? {
            report.entries += 1;
            report.bytes += bytes;
            bridge::log_line(
                Level::Info,
                &format!("entry deleted key={key:?} cause={}", cause_word(&verdict.cause)),
            );
        }
    }
    Ok(())
}

/// What the directory stores of who saved an entry is not read, uses are not counted, and the trust is
/// not stored.
fn details() -> EntryDetails {
    EntryDetails { facts: None, uses: None, trust: Trust::Full }
}

fn cause_word(cause: &DepartureCause) -> &str {
    match cause {
        DepartureCause::Age => "age",
        DepartureCause::NeverUsed => "never-used",
        DepartureCause::MaxAge => "max-age",
        DepartureCause::Superseded => "superseded",
        DepartureCause::Size => "size",
        DepartureCause::Quota => "quota",
        DepartureCause::Stale => "stale",
        DepartureCause::Manual => "manual",
        DepartureCause::Revoked => "revoked",
        DepartureCause::ClosedScope => "closed-scope",
        DepartureCause::Rule(name) => name,
    }
}
