//! A policy component that misbehaves: the path of a request says how. The host must keep serving.

#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, reason = "generated code")]
mod wit {
    wit_bindgen::generate!({ path: "../../wit", world: "cache", generate_all });
}

use wit::{
    exports::larder::cache::{explain, handler, retention},
    larder::cache::{
        auth, http, index, log, storage,
        types::{DepartureCause, Payload, Request, Response, Trust},
    },
};

struct Hostile;

#[cfg(target_arch = "wasm32")]
wit::export!(Hostile with_types_in wit);

impl handler::Guest for Hostile {
    async fn handle(request: Request) -> Response {
        match request.path.as_str() {
            "/fine" => text("fine"),
            "/trap" => trap(),
            "/trap-once" => trap_once(&request, "trap-once").await,
            "/spin" => spin(),
            "/hoard" => hoard(),
            "/wait" | "/save/wait" => wait(&request).await,
            "/save/trap" => trap(),
            "/flood-host" => flood_host(),
            "/never" => std::future::pending().await,
            "/recurse" => text(&recurse(u64::from(request.received_ms > 0)).to_string()),
            "/status-9999" => Response { status: 9999, ..text("a status that is none") },
            "/a-million-headers" => headers(1_000_000),
            "/status" => Response { status: 99, ..text("a status that is none") },
            "/header" => with_header("not a name", "x"),
            "/header-value" => with_header("x-split", "a\r\nset-cookie: b"),
            "/hop-by-hop" => with_header("transfer-encoding", "chunked"),
            "/many-headers" => many_headers(),
            "/long-headers" => long_headers(),
            "/many-blocks" => many_blocks().await,
            "/many-marks" => many_marks().await,
            "/wrong-length" => wrong_length(&request).await,
            "/outside-range" => outside_range(&request).await,
            "/object-name" => object_name().await,
            "/many-probes" => many_probes().await,
            "/many-facts" => many_facts(&request).await,
            "/long-signature" => text(&auth::sign(&"x".repeat(1 << 20))),
            "/body-twice" => body_twice(&request).await,
            "/log" => flood_log(),
            "/log-fields" => log_fields(),
            "/credential" => credential(&request),
            "/store" => store(&request).await,
            "/object" => object(&request).await,
            _ => text("unknown"),
        }
    }

    async fn is_repeatable(_method: String, path: String) -> bool {
        !path.starts_with("/save/")
    }
}

impl retention::Guest for Hostile {
    /// Selects everything, and ids that it was not given.
    async fn select_entries(_now_ms: u64, entries: Vec<index::Entry>) -> retention::Selection {
        let ids = entries.iter().map(|entry| entry.id).chain(0..100_000);
        let member = |id| retention::GroupMember { id, group: "x".repeat(20) };
        retention::Selection { roots: ids.clone().collect(), groups: ids.map(member).collect() }
    }

    async fn review_entries(
        _now_ms: u64,
        candidates: Vec<retention::Candidate>,
        _roots: retention::Roots,
    ) -> Vec<retention::Verdict> {
        let ids = candidates.iter().map(|candidate| candidate.entry.id).chain(0..100_000);
        let cause = || DepartureCause::Rule("a name of a rule that is far too long ".repeat(10));
        ids.map(|id| retention::Verdict { id, cause: cause() }).collect()
    }

    async fn room_tiers(_needed: retention::RoomNeeded) -> Vec<retention::Tier> {
        (0..10_000).map(|_| retention::Tier { within: retention::Within::Tenant, trust: None }).collect()
    }

    /// Chooses everything twice, and ids that it was not given.
    async fn make_room(
        _now_ms: u64,
        _needed: retention::RoomNeeded,
        candidates: Vec<retention::Candidate>,
    ) -> Vec<u64> {
        let ids = || candidates.iter().map(|candidate| candidate.entry.id);
        ids().chain(ids()).chain(0..100_000).collect()
    }

    async fn review_uploads(_now_ms: u64, uploads: Vec<index::Upload>) -> Vec<u64> {
        uploads.iter().map(|upload| upload.id).chain(0..100_000).collect()
    }
}

impl explain::Guest for Hostile {
    async fn explain(_now_ms: u64, query: explain::Query) -> Result<explain::Explanation, index::Error> {
        let attempt = || explain::Attempt {
            scope: query.repository.clone(),
            key: "k".into(),
            kind: index::MatchKind::Exact,
            finding: explain::Finding::Nothing,
        };
        let attempts = (0..10_000).map(|_| attempt()).collect();
        Ok(explain::Explanation { version: None, attempts, near: Vec::new(), cause: None })
    }
}

fn text(body: &str) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        payload: Payload::Bytes(body.as_bytes().to_vec()),
        outcome: None,
    }
}

fn with_header(name: &str, value: &str) -> Response {
    Response { headers: vec![(name.to_owned(), value.to_owned())], ..text("a header") }
}

fn many_headers() -> Response {
    headers(10_000)
}

fn headers(count: u32) -> Response {
    let headers = (0..count).map(|number| (format!("x-{number}"), String::new())).collect();
    Response { headers, ..text("many headers") }
}

/// Never returns: each call needs the result of the next one.
#[expect(unconditional_recursion, reason = "its purpose")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(std::hint::black_box(depth + 1))
}

#[expect(clippy::panic, reason = "its purpose")]
fn trap() -> ! {
    panic!("trapped on request")
}

/// Traps the first time only; the mark in the index survives the instance.
async fn trap_once(request: &Request, mark: &str) -> Response {
    match mark_slot(request, mark).await {
        index::Reservation::Reserved(_) => trap(),
        _ => text("after the trap"),
    }
}

async fn mark_slot(request: &Request, mark: &str) -> index::Reservation {
    reserve_with(request, mark, Vec::new()).await
}

async fn reserve_with(request: &Request, mark: &str, facts: Vec<(String, String)>) -> index::Reservation {
    let slot = index::Slot {
        repository: "hostile".into(),
        scope: String::new(),
        version: String::new(),
        key: mark.into(),
    };
    match index::reserve(slot, "hostile".into(), facts, Trust::Full, request.received_ms, 0).await {
        Ok(reservation) => reservation,
        Err(_) => trap(),
    }
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn hoard() -> Response {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 16 << 20]);
        std::hint::black_box(&hoard);
    }
}

/// Waits for a body that comes slowly.
async fn wait(request: &Request) -> Response {
    match http::read_body(&request.incoming, 1 << 20).await {
        Ok(body) => text(&format!("waited for {} bytes", body.len())),
        Err(error) => text(&format!("{error:?}")),
    }
}

async fn stored(request: &Request) -> storage::Stored {
    match storage::put("0".repeat(32), &request.incoming).await {
        Ok(stored) => stored,
        Err(_) => trap(),
    }
}

/// Stores the body, and returns the object's name.
async fn store(request: &Request) -> Response {
    text(&stored(request).await.object)
}

/// Stores the body, and sends it from the storage.
async fn object(request: &Request) -> Response {
    let stored = stored(request).await;
    let Ok(object) = storage::open(stored.object, stored.size_bytes, None).await else { trap() };
    let headers = vec![("content-length".to_owned(), stored.size_bytes.to_string())];
    Response { status: 200, headers, payload: Payload::Object(object), outcome: None }
}

async fn wrong_length(request: &Request) -> Response {
    let stored = stored(request).await;
    let Ok(object) = storage::open(stored.object, stored.size_bytes, None).await else { trap() };
    let headers = vec![("content-length".to_owned(), (stored.size_bytes + 1).to_string())];
    Response { status: 200, headers, payload: Payload::Object(object), outcome: None }
}

async fn outside_range(request: &Request) -> Response {
    let stored = stored(request).await;
    let range = wit::larder::cache::types::ByteRange { start: 1, end: stored.size_bytes + 1 };
    match storage::open(stored.object, stored.size_bytes, Some(range)).await {
        Ok(_) => text("opened"),
        Err(error) => text(&format!("{error:?}")),
    }
}

async fn object_name() -> Response {
    match storage::stat("../../larder.db".into()).await {
        Ok(size) => text(&format!("{size}")),
        Err(error) => text(&format!("{error:?}")),
    }
}

/// Together more than the host copies.
fn long_texts() -> impl Iterator<Item = String> {
    (0..400).map(|_| "x".repeat(48 << 10))
}

fn long_headers() -> Response {
    let headers = long_texts().enumerate().map(|(number, text)| (format!("x-{number}"), text)).collect();
    Response { headers, ..text("long headers") }
}

/// Commits more block ids than an upload may have, the last ones together longer than the host copies.
async fn many_blocks() -> Response {
    let ids = std::iter::repeat_n("x".to_owned(), 50_001).chain(long_texts()).collect();
    match storage::commit("0".repeat(32), ids).await {
        Ok(_) => text("committed"),
        Err(error) => text(&format!("{error:?}")),
    }
}

async fn many_marks() -> Response {
    match index::was_refused(long_texts().collect()).await {
        Ok(_) => text("asked"),
        Err(error) => text(&format!("{error:?}")),
    }
}

async fn many_facts(request: &Request) -> Response {
    let facts = (0..100).map(|number| (number.to_string(), "x".to_owned())).collect();
    reserve_with(request, "many-facts", facts).await;
    text("reserved")
}

async fn many_probes() -> Response {
    let probe = index::Probe { scope: String::new(), key: String::new(), kind: index::MatchKind::Prefix };
    match index::find("r".into(), "v".into(), vec![probe; 100_000], Vec::new()).await {
        Ok(_) => text("found"),
        Err(_) => text("refused"),
    }
}

async fn body_twice(request: &Request) -> Response {
    let first = http::read_body(&request.incoming, 1 << 20).await.is_ok();
    let second = http::read_body(&request.incoming, 1 << 20).await;
    text(&format!("{first} {second:?}"))
}

fn flood_log() -> Response {
    let fields =
        (0..1000).map(|number| (format!("f{number}"), "v\nforged=line ".repeat(1000))).collect::<Vec<_>>();
    log::emit(log::Level::Info, &"m\n".repeat(1 << 20), &fields);
    text("logged")
}

/// Passes more text to the host than one call may copy, nearly all of it in fields that are dropped.
fn log_fields() -> Response {
    let fields: Vec<_> = (0..1000).map(|number| (format!("f{number}"), "x".repeat(24 << 10))).collect();
    log::emit(log::Level::Info, "many fields", &fields);
    text("logged")
}

/// Passes more text to the host than its limit.
fn flood_host() -> Response {
    log::emit(log::Level::Debug, &"x".repeat(24 << 20), &[]);
    text("taken")
}

/// Returns whether it can see the token.
fn credential(request: &Request) -> Response {
    let seen =
        request.headers.iter().any(|(name, value)| name == "authorization" || value.contains("secret"));
    text(if seen { "seen" } else { "unseen" })
}
