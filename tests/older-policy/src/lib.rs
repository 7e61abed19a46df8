//! A policy of the world `larder:cache@0.5.0`: a small cache of its own, `/keys/NAME`, that says all causes of
//! a miss, and explains all findings that there were.

#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, reason = "generated code")]
mod wit {
    wit_bindgen::generate!({
        path: ["../../wit/deps/clocks", "../../wit/deps/random", "../../wit/0.5.0"],
        world: "larder:cache/cache",
        generate_all,
    });
}

use wit::{
    exports::larder::cache::{explain, handler, retention},
    larder::cache::{
        auth, index, log, settings, storage,
        types::{DepartureCause, MissCause, Outcome, OutcomeKind, Payload, Request, Response, Trust},
    },
};

const CAUSES: [MissCause; 13] = [
    MissCause::NeverSaved,
    MissCause::OtherScope,
    MissCause::OtherVersion,
    MissCause::Uploading,
    MissCause::Stale,
    MissCause::Quarantined,
    MissCause::Expired,
    MissCause::Evicted,
    MissCause::Superseded,
    MissCause::Revoked,
    MissCause::ClosedScope,
    MissCause::Deleted,
    MissCause::Denied,
];

struct Older;

#[cfg(target_arch = "wasm32")]
wit::export!(Older with_types_in wit);

impl handler::Guest for Older {
    async fn handle(request: Request) -> Response {
        if request.path == "/health" {
            return answer(200, "ok");
        }
        if let Some(number) = request.path.strip_prefix("/miss/") {
            return miss(number);
        }
        let Some(key) = request.path.strip_prefix("/keys/") else { return answer(404, "no such page") };
        let Ok(claims) = auth::verify(&request.incoming).await else {
            return answer(401, "who are you");
        };
        let slot = slot(claims.repository.clone(), key);
        if request.method == "PUT" { save(&request, slot, claims.owner).await } else { restore(slot).await }
    }

    async fn is_repeatable(method: String, _path: String) -> bool {
        method == "GET"
    }
}

fn slot(repository: String, key: &str) -> index::Slot {
    index::Slot { repository, scope: "all".to_owned(), version: "v".to_owned(), key: key.to_owned() }
}

async fn save(request: &Request, slot: index::Slot, owner: String) -> Response {
    let (now, facts) = (request.received_ms, auth::get_facts(&request.incoming));
    let idle_before = now.saturating_sub(settings::get().idle_upload_ms);
    let reserved = index::reserve(slot, owner, facts, Trust::Full, now, idle_before).await;
    let Ok(index::Reservation::Reserved(upload)) = reserved else { return answer(409, "it is taken") };
    let Ok(stored) = storage::put(upload.name, &request.incoming).await else { return answer(503, "again") };
    let attachment = || index::Attachment { object: stored.object.clone(), size_bytes: stored.size_bytes };
    let attached = index::attach(upload.id, attachment(), now).await;
    let finalized = index::finalize(upload.id, attachment(), now).await;
    match (attached, finalized) {
        (Ok(_), Ok(Some(_))) => answer(201, "saved"),
        _ => answer(503, "again"),
    }
}

async fn find(slot: &index::Slot) -> Result<Option<index::Entry>, index::Error> {
    let probe =
        index::Probe { scope: slot.scope.clone(), key: slot.key.clone(), kind: index::MatchKind::Exact };
    index::find(slot.repository.clone(), slot.version.clone(), vec![probe], Vec::new()).await
}

async fn restore(slot: index::Slot) -> Response {
    let Ok(Some(entry)) = find(&slot).await else { return miss("0") };
    let Ok(object) = storage::open(entry.object, entry.size_bytes, None).await else { return miss("4") };
    let headers = vec![("content-length".to_owned(), entry.size_bytes.to_string())];
    let outcome = Outcome { kind: OutcomeKind::Served, entry: Some(entry.id), ..outcome(&slot.key, None) };
    Response { status: 200, headers, payload: Payload::Object(object), outcome: Some(outcome) }
}

/// A miss of the cause with this number.
fn miss(number: &str) -> Response {
    let cause = number.parse().ok().and_then(|number: usize| CAUSES.get(number));
    log::emit(log::Level::Info, "a miss", &[("number".to_owned(), number.to_owned())]);
    Response { outcome: Some(outcome(number, cause.copied())), ..answer(404, "a miss") }
}

fn outcome(key: &str, miss: Option<MissCause>) -> Outcome {
    Outcome {
        kind: OutcomeKind::Miss,
        repository: None,
        scope: None,
        key: Some(key.to_owned()),
        version: None,
        matched_key: None,
        upload: None,
        entry: None,
        reason: None,
        miss,
    }
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, headers: Vec::new(), payload: Payload::Bytes(body.as_bytes().to_vec()), outcome: None }
}

impl retention::Guest for Older {
    async fn select_entries(_now_ms: u64, _entries: Vec<index::Entry>) -> retention::Selection {
        retention::Selection { roots: Vec::new(), groups: Vec::new() }
    }

    /// Everything is too old.
    async fn review_entries(
        _now_ms: u64,
        candidates: Vec<retention::Candidate>,
        _roots: retention::Roots,
    ) -> Vec<retention::Verdict> {
        let ids = candidates.iter().map(|candidate| candidate.entry.id);
        ids.map(|id| retention::Verdict { id, cause: DepartureCause::MaxAge }).collect()
    }

    async fn review_uploads(_now_ms: u64, _uploads: Vec<index::Upload>) -> Vec<u64> {
        Vec::new()
    }

    async fn room_tiers(_needed: retention::RoomNeeded) -> Vec<retention::Tier> {
        vec![retention::Tier { within: retention::Within::Tenant, trust: None }]
    }

    async fn make_room(
        _now_ms: u64,
        _needed: retention::RoomNeeded,
        candidates: Vec<retention::Candidate>,
    ) -> Vec<u64> {
        candidates.iter().map(|candidate| candidate.entry.id).collect()
    }
}

impl explain::Guest for Older {
    /// Each attempt of a key that is found is a finding of another kind.
    async fn explain(_now_ms: u64, query: explain::Query) -> Result<explain::Explanation, index::Error> {
        let mut attempts = Vec::new();
        for (number, key) in query.keys.iter().enumerate() {
            let found = find(&slot(query.repository.clone(), key)).await?;
            let finding = match (found, number) {
                (None, _) => explain::Finding::Nothing,
                (Some(entry), 0) => explain::Finding::Stale(entry),
                (Some(entry), 1) => explain::Finding::Expired(entry),
                (Some(entry), _) => explain::Finding::Match(entry),
            };
            let (scope, key, kind) = ("all".to_owned(), key.clone(), index::MatchKind::Exact);
            attempts.push(explain::Attempt { scope, key, kind, finding });
        }
        let near = CAUSES.map(|cause| explain::Neighbour {
            cause,
            slot: slot(query.repository.clone(), "near"),
            entry: Some(7),
            size_bytes: None,
            created_ms: 1,
            departed: Some(explain::Departure { at_ms: 2, cause: DepartureCause::Rule("mine".to_owned()) }),
        });
        Ok(explain::Explanation {
            version: Some("v".to_owned()),
            attempts,
            near: near.into(),
            cause: Some(MissCause::Denied),
        })
    }
}
