//! Every route with every failure. Generates the table of statuses in `FAILURES.md` by trying.

use crate::fake::{FakeHost, FakeRequest, FakeResponse, FakeUpstream, Fault, NOW_MS};
use crate::ports::{AuthError, HttpError, IndexError, StorageError};

const V1: &str = "/_apis/artifactcache";
const INDEX: [&str; 12] = [
    "index.find",
    "index.get-entry",
    "index.get-entry-of-upload",
    "index.reserve",
    "index.renew",
    "index.get-upload",
    "index.get-upload-by-id",
    "index.find-upload",
    "index.attach",
    "index.finalize",
    "index.abandon",
    "index.delete-entry",
];
/// The calls that write to the index.
const INDEX_CHANGES: [&str; 6] =
    ["index.reserve", "index.renew", "index.attach", "index.finalize", "index.abandon", "index.delete-entry"];
const STORAGE: [&str; 8] = [
    "storage.reserve-room",
    "storage.stat",
    "storage.open",
    "storage.put",
    "storage.put-block",
    "storage.commit",
    "storage.blocks",
    "storage.presign",
];

/// The form of a route's errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Twirp,
    V1,
    Azure,
}

/// A request that succeeds, and its host.
struct Case {
    host: FakeHost,
    request: FakeRequest,
}

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.set_upstream(FakeUpstream { status: 200, body: b"upstream".to_vec() });
    host
}

fn call(name: &str, message: &str) -> FakeRequest {
    FakeRequest::call(name, "t", message)
}

/// A host with an upload, and its URL.
fn reserved() -> (FakeHost, String) {
    let host = host();
    let url =
        host.send(call("CreateCacheEntry", r#"{"key":"new","version":"v"}"#)).member("signed_upload_url");
    (host, url)
}

/// A host with an upload of version 1, and its number.
fn reserved_v1() -> (FakeHost, String) {
    let host = host();
    let reserve = FakeRequest::new("POST", &format!("{V1}/caches")).token("t");
    let number = host.send(reserve.body(r#"{"key":"new","version":"v"}"#)).json()["cacheId"].to_string();
    (host, number)
}

/// A host with an entry, and its download URL.
fn saved() -> (FakeHost, String) {
    let host = host();
    host.add_entry("main", "v", "k", b"content");
    let found = host.send(call("GetCacheEntryDownloadURL", r#"{"key":"k","version":"v"}"#));
    (host, found.member("signed_download_url"))
}

fn upload(more: &str, body: &str) -> Case {
    let (host, url) = reserved();
    if more.contains("blocklist") {
        host.send(FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("x"));
    }
    if more.contains("seal") {
        host.send(FakeRequest::new("PUT", &format!("{url}&comp=appendblock")).body("x"));
    }
    Case { host, request: FakeRequest::new("PUT", &format!("{url}{more}")).body(body) }
}

fn v1(method: &str, path: &str, body: &str) -> Case {
    let (host, number) = reserved_v1();
    host.add_entry("main", "v", "k", b"content");
    let path = path.replace("{id}", &number);
    let request = FakeRequest::new(method, &format!("{V1}/{path}")).token("t");
    let range = format!("bytes 0-{}/*", body.len().max(1) - 1);
    let request = if method == "PATCH" { request.header("content-range", &range) } else { request };
    if method == "POST" && path.contains("caches/") {
        let chunk = FakeRequest::new("PATCH", &format!("{V1}/{path}")).token("t");
        host.send(chunk.header("content-range", "bytes 0-0/*").body("x"));
    }
    Case { host, request: if body.is_empty() { request } else { request.body(body) } }
}

fn finalize() -> Case {
    let (host, url) = reserved();
    host.send(FakeRequest::new("PUT", &url).body("x"));
    Case {
        host,
        request: call("FinalizeCacheEntryUpload", r#"{"key":"new","version":"v","size_bytes":"1"}"#),
    }
}

fn lookup() -> Case {
    let (host, _) = saved();
    Case { host, request: call("GetCacheEntryDownloadURL", r#"{"key":"k","version":"v"}"#) }
}

fn create() -> Case {
    Case { host: host(), request: call("CreateCacheEntry", r#"{"key":"new","version":"v"}"#) }
}

fn download(method: &'static str) -> Case {
    let (host, url) = saved();
    Case { host, request: FakeRequest::new(method, &url) }
}

type RouteCase = (&'static str, Form, fn() -> Case);

const ROUTES: [RouteCase; 19] = [
    ("`CreateCacheEntry`", Form::Twirp, create),
    ("`CreateCacheEntry`, a retry", Form::Twirp, || {
        let request = call("CreateCacheEntry", r#"{"key":"new","version":"v"}"#).at(NOW_MS + 3000);
        Case { host: reserved().0, request }
    }),
    ("`FinalizeCacheEntryUpload`", Form::Twirp, finalize),
    ("`GetCacheEntryDownloadURL`", Form::Twirp, lookup),
    ("v1 `GET cache`", Form::V1, || v1("GET", "cache?keys=k&version=v", "")),
    ("v1 `GET caches`", Form::V1, || v1("GET", "caches?key=k", "")),
    ("v1 `GET caches?keys=…`", Form::V1, || v1("GET", "caches?keys=k&version=v", "")),
    ("v1 `POST caches`", Form::V1, || v1("POST", "caches", r#"{"key":"other","version":"v","cacheSize":7}"#)),
    ("v1 `PATCH caches/{id}`", Form::V1, || v1("PATCH", "caches/{id}", "chunk")),
    ("v1 `POST caches/{id}`", Form::V1, || v1("POST", "caches/{id}", r#"{"size":1}"#)),
    ("`PUT` blob", Form::Azure, || upload("", "content")),
    ("`PUT` block", Form::Azure, || upload("&comp=block&blockid=a", "content")),
    ("`PUT` block list", Form::Azure, || {
        upload("&comp=blocklist", "<BlockList><Latest>a</Latest></BlockList>")
    }),
    ("`PUT` appendblock", Form::Azure, || upload("&comp=appendblock", "content")),
    ("`PUT` seal", Form::Azure, || upload("&comp=seal", "")),
    ("`GET` download", Form::Azure, || download("GET")),
    ("`HEAD` download", Form::Azure, || download("HEAD")),
    ("anything else", Form::Twirp, || Case {
        host: host(),
        request: FakeRequest::new("POST", "/twirp/other.Service/Call").body("{}"),
    }),
    ("`GET /health`", Form::Twirp, || Case { host: host(), request: FakeRequest::new("GET", "/health") }),
];

/// A failure: its name, and its setup.
type Failure = (&'static str, fn(Case) -> Case);

fn all(case: &Case, calls: &[&'static str], fault: &Fault) {
    calls.iter().for_each(|call| case.host.fail(call, fault.clone()));
}

fn storage(case: Case, error: StorageError) -> Case {
    all(&case, &STORAGE, &Fault::Storage(error));
    case
}

const FAILURES: [Failure; 12] = [
    ("token refused", |case| {
        case.host.set_token("t", Err(AuthError::Expired));
        case
    }),
    ("issuer's keys unavailable", |case| {
        case.host.set_token("t", Err(AuthError::Unavailable("x".into())));
        case
    }),
    ("URL expired", |case| Case { request: case.request.at(NOW_MS + 3_600_001), ..case }),
    ("body cut short", |case| Case { request: case.request.cut_short(), ..case }),
    ("larger than allowed", |case| {
        case.host.configure(|settings| settings.max_entry_bytes = Some(0));
        case
    }),
    ("upload or entry gone", |case| {
        case.host.forget();
        case
    }),
    ("object gone", |case| storage(case, StorageError::NotFound)),
    ("storage full", |case| storage(case, StorageError::NoSpace)),
    ("storage down", |case| storage(case, StorageError::Unavailable("x".into()))),
    ("index down", |case| {
        all(&case, &INDEX, &Fault::Index(IndexError::Unavailable("x".into())));
        case
    }),
    ("index full", |case| {
        all(&case, &INDEX_CHANGES, &Fault::Index(IndexError::NoSpace));
        case
    }),
    ("upstream down", |case| {
        case.host.fail("http.forward", Fault::Http(HttpError::Unavailable("x".into())));
        case
    }),
];

fn answer(case: Case) -> FakeResponse {
    case.host.send(case.request)
}

/// Checks the invariants of every error response.
fn check(what: &str, form: Form, answer: &FakeResponse) {
    assert!((400..600).contains(&answer.status) && answer.status != 429, "{what}: {}", answer.status);
    for field in ["content-encoding", "transfer-encoding", "location", "set-cookie"] {
        assert_eq!(answer.header(field), "", "{what}");
    }
    assert!(answer.body.len() < 4096, "{what}");
    match form {
        Form::Twirp => {
            assert_eq!(answer.header("content-type"), "application/json", "{what}");
            assert!(!answer.member("code").is_empty() && !answer.member("msg").is_empty(), "{what}");
        }
        Form::V1 => {
            assert_eq!(answer.header("content-type"), "application/json", "{what}");
            assert!(!answer.member("message").is_empty(), "{what}");
        }
        Form::Azure => {
            assert_eq!(answer.header("content-type"), "application/xml", "{what}");
            let code = answer.header("x-ms-error-code");
            assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{what}");
            assert!(!answer.header("x-ms-request-id").is_empty(), "{what}");
            let retry = match answer.status {
                503 => "1",
                500.. => "121",
                _ => "",
            };
            assert_eq!(answer.header("retry-after"), retry, "{what}: {}", answer.status);
        }
    }
}

/// The table: a row for each route, a column for each failure; the status, or `·` if it is that of
/// success.
fn table() -> String {
    let names: Vec<_> = FAILURES.iter().map(|(name, _)| *name).collect();
    let mut table =
        format!("| | success | {} |\n|---|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
    for (route, form, case) in ROUTES {
        let success = answer(case());
        assert!((200..300).contains(&success.status), "{route}: {} {}", success.status, success.text());
        let cells = FAILURES.map(|(failure, set_up)| {
            let answer = answer(set_up(case()));
            if answer.status == success.status {
                return String::from("·");
            }
            if !(200..300).contains(&answer.status) {
                check(&format!("{route}, {failure}"), form, &answer);
            }
            answer.status.to_string()
        });
        table += &format!("| {route} | {} | {} |\n", success.status, cells.join(" | "));
    }
    table
}

#[test]
fn the_table_of_failures_is_current() {
    let document = include_str!("../../../FAILURES.md");
    let table = table();
    assert!(document.contains(&table), "FAILURES.md should have:\n{table}");
}

#[test]
fn permanent_failures_are_never_retried() {
    for (route, _, case) in ROUTES {
        let mut answers: Vec<_> = [
            StorageError::NotFound,
            StorageError::NoSpace,
            StorageError::TooLarge,
            StorageError::Invalid("x".into()),
        ]
        .map(|error| (error.to_string(), answer(storage(case(), error))))
        .into();
        // Fault 13: a full index, too.
        let full = case();
        all(&full, &INDEX, &Fault::Index(IndexError::NoSpace));
        answers.push(("the index is full".into(), answer(full)));
        for (error, answer) in answers {
            // No client retries a 507, and with this field the Go SDK gives up at once.
            let ends = answer.status == 507 || answer.header("retry-after") == "121";
            assert!(answer.status < 500 || ends, "{route}: {error} is {}", answer.status);
        }
    }
}

#[test]
fn a_failure_of_any_single_call_has_the_form_of_the_route() {
    for (route, form, case) in ROUTES {
        for call in INDEX.into_iter().chain(STORAGE).chain(["storage.discard", "storage.remove"]) {
            let fault = if call.starts_with("index.") {
                Fault::Index(IndexError::Unavailable("x".into()))
            } else {
                Fault::Storage(StorageError::Unavailable("x".into()))
            };
            let case = case();
            all(&case, &[call], &fault);
            let answer = answer(case);
            if answer.status >= 300 {
                assert_eq!(answer.status, 503, "{route}, {call}");
                check(&format!("{route}, {call}"), form, &answer);
            }
        }
    }
}
