//! What a policy overrides holds, and the rest stays as it is.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::Policy;
use crate::fake::{FakeHost, FakeRequest, NOW_MS, claims};
use crate::ports::{
    Candidate, Cause, Claims, ContentState, Entry, EntryDetails, Facts, Host, MatchKind, Probe, Request,
    Response, Roots, SaveVerdict, Scope, Settings, Slot, Trust,
};

const CREATE: &str = r#"{"key":"k","version":"v"}"#;

/// A host that knows the token `t`, which saves into `main`.
fn host() -> FakeHost {
    let host = FakeHost::new();
    host.set_token("t", Ok(claims("1", "t", &["main=rw"])));
    host
}

fn saved(host: &FakeHost, policy: &impl Policy) {
    let created = host.send_to(policy, FakeRequest::call("CreateCacheEntry", "t", CREATE));
    let url = created.member("signed_upload_url");
    let target = url.strip_prefix("http://cache.example").unwrap();
    let put = FakeRequest::new("PUT", target).header("x-ms-blob-type", "BlockBlob").body("abc");
    assert_eq!(host.send_to(policy, put).status, 201);
    let finalize = r#"{"key":"k","version":"v","size_bytes":3}"#;
    let finalized = host.send_to(policy, FakeRequest::call("FinalizeCacheEntryUpload", "t", finalize));
    assert_eq!(finalized.json()["ok"], true);
}

fn finds(host: &FakeHost, policy: &impl Policy, key: &str) -> bool {
    let message = format!(r#"{{"key":"{key}","version":"v","restore_keys":[]}}"#);
    let found = host.send_to(policy, FakeRequest::call("GetCacheEntryDownloadURL", "t", &message));
    found.json()["ok"] == true
}

struct OwnRoute;

impl Policy for OwnRoute {
    async fn handle<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
        match request.path.as_str() {
            "/own" => Response::bytes(200, "text/plain", b"mine".to_vec()),
            _ => crate::handle(self, host, request).await,
        }
    }
}

#[test]
fn a_route_of_its_own_is_in_front_of_all_others() {
    let host = host();
    assert_eq!(host.send_to(&OwnRoute, FakeRequest::new("GET", "/own")).text(), "mine");
    assert_eq!(host.send(FakeRequest::new("GET", "/own")).status, 404);
    saved(&host, &OwnRoute);
    assert!(finds(&host, &OwnRoute, "k"));
}

struct Decides;

impl Policy for Decides {
    fn admit(&self, claims: &mut Claims, _: &dyn Fn() -> Facts) {
        claims.repository = "shared".to_owned();
    }

    fn probes(&self, scopes: &[Scope], _: &str, _: &[String]) -> Vec<Probe> {
        let probe =
            |scope: &Scope| Probe { scope: scope.name.clone(), key: "k".to_owned(), kind: MatchKind::Exact };
        scopes.iter().map(probe).collect()
    }

    fn judge_save(&self, _: &Claims, slot: &Slot, _: Option<u64>) -> SaveVerdict {
        match slot.repository.as_str() {
            "shared" => SaveVerdict::Accept(Facts::new()),
            _ => SaveVerdict::Refuse("elsewhere".to_owned()),
        }
    }

    fn departs(&self, _: &Settings, _: u64, candidate: &Candidate) -> Option<Cause> {
        candidate.newer.is_some().then_some(Cause::Superseded)
    }

    fn group(&self, _: &Settings, slot: &Slot) -> Option<String> {
        Some(slot.key.clone())
    }
}

#[test]
fn claims_and_matching_are_those_of_the_policy() {
    let host = host();
    saved(&host, &Decides);
    assert!(finds(&host, &Decides, "any other key"));
    assert!(!finds(&host, &crate::DefaultPolicy, "k"), "it is another repository's");
}

struct RefusesSaves;

impl Policy for RefusesSaves {
    fn judge_save(&self, _: &Claims, _: &Slot, _: Option<u64>) -> SaveVerdict {
        SaveVerdict::Refuse("read-only".to_owned())
    }
}

struct ServesNothing;

impl Policy for ServesNothing {
    fn serves(&self, _: &Settings, _: u64, _: &Entry) -> bool {
        false
    }

    fn save_scope<'a>(&self, _: &'a Claims) -> Option<&'a str> {
        None
    }
}

#[test]
fn what_is_not_to_be_saved_or_served_is_not() {
    let host = host();
    let created = host.send_to(&RefusesSaves, FakeRequest::call("CreateCacheEntry", "t", CREATE));
    assert_eq!((created.status, created.member("msg")), (403, "cache write denied: read-only".to_owned()));
    saved(&host, &crate::DefaultPolicy);
    assert!(finds(&host, &RefusesSaves, "k"));
    assert!(!finds(&host, &ServesNothing, "k"));
    let created = host.send_to(&ServesNothing, FakeRequest::call("CreateCacheEntry", "t", CREATE));
    assert_eq!(created.status, 403);
}

fn candidate(key: &str, newer: Option<u32>) -> Candidate {
    let slot = Slot {
        repository: "1".to_owned(),
        scope: "main".to_owned(),
        version: "v".to_owned(),
        key: key.to_owned(),
    };
    let object = "o".to_owned();
    let entry = Entry { id: 1, slot, object, size_bytes: 1, created_ms: 0, last_used_ms: 0, owner: None };
    let details = EntryDetails { facts: None, uses: None, trust: Trust::Full };
    Candidate { entry, details, content: ContentState::Intact, newer, wish: None }
}

#[test]
fn retention_is_the_policys_and_layers_are_not_asked_about() {
    let settings = FakeHost::new().settings().clone();
    let roots = Roots { entries: Vec::new(), complete: true };
    let review = |candidate: Candidate| {
        crate::retention::review_entries(&Decides, &settings, NOW_MS, [candidate], &roots).len()
    };
    assert_eq!(review(candidate("k", None)), 0);
    assert_eq!(review(candidate("k", Some(0))), 1);
    let layer = format!("buildkit-blob-1-sha256:{}", "0".repeat(64));
    assert_eq!(review(candidate(&layer, Some(0))), 0);
    let entries = [candidate("k", None).entry];
    let selected = crate::retention::select_entries(&Decides, &settings, NOW_MS, entries);
    assert_eq!(selected.groups[0].group, "k");
}
