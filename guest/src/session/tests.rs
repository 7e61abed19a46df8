//! Sessions of a protocol of one's own.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Access, Session};
use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, claims};
use crate::ports::{Host, Payload, Request, Response, StorageError};
use crate::{Error, Policy};

/// `PUT /x/KEY` saves, everything else there restores.
struct Plain;

impl Policy for Plain {
    async fn handle<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
        plain(self, host, request).await.unwrap_or_else(|error| error.into_response(host, request))
    }
}

async fn plain<H: Host>(
    policy: &Plain,
    host: &H,
    request: &Request<H::IncomingRequest>,
) -> Result<Response<H>, Error> {
    let key = request.path.strip_prefix("/x/").unwrap();
    if request.method == "PUT" {
        let session = Session::open(policy, host, request, Access::Save).await?;
        session.save(key, "plain").await?;
        return Ok(Response::new(201, Payload::Empty));
    }
    let session = Session::open(policy, host, request, Access::Restore).await?;
    Ok(match session.get(key, "plain").await? {
        Some(entry) => session.send(&entry).await,
        None => Response::new(404, Payload::Empty),
    })
}

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.set_token("t", Ok(claims("1", "t", &["main=rw"])));
    host.set_token("r", Ok(claims("1", "r", &["main=r"])));
    host
}

fn put(host: &FakeHost, token: &str, body: &str) -> FakeResponse {
    host.send_to(&Plain, FakeRequest::new("PUT", "/x/k").token(token).body(body))
}

fn get(host: &FakeHost, request: FakeRequest) -> FakeResponse {
    host.send_to(&Plain, request.token("r"))
}

#[test]
fn what_is_put_is_got_whole_and_in_ranges() {
    let host = host();
    assert_eq!(get(&host, FakeRequest::new("GET", "/x/k")).status, 404);
    assert_eq!(put(&host, "t", "abcdef").status, 201);
    let whole = get(&host, FakeRequest::new("GET", "/x/k"));
    assert_eq!((whole.status, whole.text()), (200, "abcdef".to_owned()));
    let part = get(&host, FakeRequest::new("GET", "/x/k").header("range", "bytes=1-2"));
    assert_eq!((part.status, part.text()), (206, "bc".to_owned()));
    let head = get(&host, FakeRequest::new("HEAD", "/x/k"));
    assert_eq!((head.status, head.header("content-length")), (200, "6"));
}

#[test]
fn a_key_that_begins_so_is_another() {
    let host = host();
    assert_eq!(put(&host, "t", "abc").status, 201);
    assert_eq!(get(&host, FakeRequest::new("GET", "/x/")).status, 400);
    host.send_to(&Plain, FakeRequest::new("PUT", "/x/k-long").token("t").body("longer"));
    assert_eq!(get(&host, FakeRequest::new("GET", "/x/k-")).status, 404);
    assert_eq!(get(&host, FakeRequest::new("GET", "/x/k")).text(), "abc");
}

#[test]
fn errors_are_json() {
    let host = host();
    assert_eq!(put(&host, "t", "abc").status, 201);
    let again = put(&host, "t", "abc");
    assert_eq!((again.status, again.member("code").as_str()), (409, "already_exists"));
    let denied = put(&host, "r", "abc");
    assert_eq!((denied.status, denied.member("code").as_str()), (403, "permission_denied"));
    let beyond = get(&host, FakeRequest::new("GET", "/x/k").header("range", "bytes=9-"));
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */3"));
    assert_eq!(
        (beyond.header("content-type"), beyond.member("code").as_str()),
        ("application/json", "InvalidRange")
    );
    let unknown = host.send_to(&Plain, FakeRequest::new("GET", "/x/k").token("other"));
    assert_eq!((unknown.status, unknown.member("code").as_str()), (401, "unauthenticated"));
}

#[test]
fn a_save_that_fails_frees_its_key() {
    let host = host();
    host.fail("storage.put", Fault::Storage(StorageError::Unavailable("gone".to_owned())));
    assert_eq!(put(&host, "t", "abc").status, 503);
    host.heal();
    assert_eq!(put(&host, "t", "abc").status, 201);
}
