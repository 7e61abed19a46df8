use proptest::prelude::*;

use super::{BlobOperation, DownloadMethod, NotFound, Route, V1Call, V2Call};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

#[test]
fn every_request_has_its_route() {
    for (method, path, query, expected) in [
        ("POST", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::V2(V2Call::Create)),
        ("POST", &*format!("{SERVICE}/FinalizeCacheEntryUpload"), None, Route::V2(V2Call::Finalize)),
        ("POST", &*format!("{SERVICE}/GetCacheEntryDownloadURL"), None, Route::V2(V2Call::Lookup)),
        ("POST", &*format!("{SERVICE}/GetCacheEntryDownloadURL"), Some("x=1"), Route::V2(V2Call::Lookup)),
        ("GET", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::UnknownV2),
        ("post", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::UnknownV2),
        ("POST", &*format!("{SERVICE}/DeleteCacheEntry"), None, Route::UnknownV2),
        ("POST", &*format!("{SERVICE}/CreateCacheEntry/"), None, Route::UnknownV2),
        ("POST", &*format!("{SERVICE}/"), None, Route::UnknownV2),
        ("POST", SERVICE, None, Route::UnknownV2),
        ("POST", &*format!("{SERVICE}x/CreateCacheEntry"), None, Route::Upstream),
        (
            "POST",
            "/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact",
            None,
            Route::Upstream,
        ),
        ("GET", "/devstoreaccount1/other/7", None, Route::Upstream),
        ("GET", "/health", None, Route::Health),
        ("HEAD", "/health", Some("verbose"), Route::Health),
        ("POST", "/health", None, Route::Upstream),
        ("GET", "/", None, Route::Root),
        ("GET", "/healthy", None, Route::Upstream),
        ("OPTIONS", "*", None, Route::Upstream),
        ("GET", "", None, Route::Upstream),
    ] {
        assert_eq!(Route::of(method, path, query), expected, "{method} {path} {query:?}");
    }
}

#[test]
fn signed_urls_are_uploads_and_downloads() {
    let upload = |operation| Route::Upload { name: "u1", operation };
    let download = |method| Route::Download { entry: "7", method };
    for (method, path, query, expected) in [
        ("PUT", "/devstoreaccount1/upload/u1", None, upload(BlobOperation::PutBlob)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("se=1&sig=2"), upload(BlobOperation::PutBlob)),
        (
            "PUT",
            "/devstoreaccount1/upload/u1",
            Some("se=1&comp=block&blockid=x"),
            upload(BlobOperation::PutBlock),
        ),
        (
            "PUT",
            "/devstoreaccount1/upload/u1",
            Some("comp=blocklist&se=1"),
            upload(BlobOperation::PutBlockList),
        ),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=%62lock"), upload(BlobOperation::PutBlock)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=seal"), upload(BlobOperation::Seal)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=appendblock"), upload(BlobOperation::AppendBlock)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=lease"), upload(BlobOperation::UnknownComp)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp="), upload(BlobOperation::UnknownComp)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=%ff"), upload(BlobOperation::UnknownComp)),
        ("GET", "/devstoreaccount1/upload/u1", None, upload(BlobOperation::WrongMethod)),
        ("GET", "/devstoreaccount1/download/7", Some("sig=2"), download(DownloadMethod::Get)),
        ("HEAD", "/devstoreaccount1/download/7", None, download(DownloadMethod::Head)),
        ("DELETE", "/devstoreaccount1/download/7", None, download(DownloadMethod::WrongMethod)),
    ] {
        assert_eq!(Route::of(method, path, query), expected, "{method} {path} {query:?}");
    }
}

proptest! {
    #[test]
    fn any_request_has_a_route(method in "\\PC{0,8}", path in "\\PC*", query in proptest::option::of("\\PC*")) {
        let _ = Route::of(&method, &path, query.as_deref()).is_repeatable();
    }

    #[test]
    fn any_method_on_our_paths_has_a_route(method in "[A-Z]{0,6}", rest in "\\PC*") {
        for prefix in ["/devstoreaccount1/upload/", "/devstoreaccount1/download/"] {
            let path = format!("{prefix}{rest}");
            prop_assert_ne!(Route::of(&method, &path, None), Route::Upstream);
        }
    }
}

/// Fault 26.
#[test]
fn paths_that_the_upstream_lacks_are_not_forwarded() {
    for (path, reason) in [
        (&*format!("/x{SERVICE}/CreateCacheEntry"), NotFound::Prefixed),
        (&*format!("/a/b{SERVICE}/GetCacheEntryDownloadURL"), NotFound::Prefixed),
        (&*format!("/{SERVICE}/CreateCacheEntry"), NotFound::Prefixed),
        (&*format!("/x{SERVICE}"), NotFound::Prefixed),
        ("/x/devstoreaccount1/upload/u1", NotFound::Prefixed),
        ("/x/devstoreaccount1/download/7", NotFound::Prefixed),
        ("/metrics", NotFound::WellKnown),
        ("/favicon.ico", NotFound::WellKnown),
        ("/robots.txt", NotFound::WellKnown),
        ("/healthz", NotFound::WellKnown),
        ("/.well-known/security.txt", NotFound::WellKnown),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let route = Route::of(method, path, Some("x=1"));
            assert_eq!(route, Route::NotFound(reason), "{method} {path}");
            assert!(route.is_repeatable());
        }
    }
    for path in [
        "/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact",
        "/twirp/github.actions.results.api.v1.CacheServiceV2/CreateCacheEntry",
        "/x/twirp/github.actions.results.api.v1.CacheServiceV2/CreateCacheEntry",
        "/twirp/another.Service/metrics",
        "/metrics/more",
        "/_apis/pipelines/workflows/1/artifacts",
    ] {
        assert_eq!(Route::of("POST", path, None), Route::Upstream, "{path}");
    }
}

/// Fault 31.
#[test]
fn a_list_with_keys_is_a_lookup() {
    let route = |method, query| Route::of(method, "/_apis/artifactcache/caches", query);
    for query in ["keys=a%2Cb&version=v", "version=v&keys=a", "keys="] {
        assert_eq!(route("GET", Some(query)), Route::V1(V1Call::Lookup), "{query}");
        assert_eq!(route("POST", Some(query)), Route::V1(V1Call::Reserve), "{query}");
    }
    for query in [None, Some("key=a"), Some("xkeys=a")] {
        assert_eq!(route("GET", query), Route::V1(V1Call::List));
    }
}

#[test]
fn version_1_is_found_behind_any_path() {
    for prefix in ["", "/prefix", "/a.secret.token/and/more", "/", "/%2F"] {
        for (method, call, expected) in [
            ("GET", "cache", V1Call::Lookup),
            ("GET", "caches", V1Call::List),
            ("POST", "caches", V1Call::Reserve),
            ("PATCH", "caches/7", V1Call::Chunk { id: "7" }),
            ("POST", "caches/7", V1Call::Commit { id: "7" }),
            ("POST", "caches/", V1Call::Commit { id: "" }),
            ("POST", "caches/7/8", V1Call::Commit { id: "7/8" }),
            ("POST", "cache", V1Call::Unknown),
            ("DELETE", "caches/7", V1Call::Unknown),
            ("GET", "caches/7", V1Call::Unknown),
            ("GET", "artifacts/7", V1Call::Unknown),
            ("GET", "", V1Call::Unknown),
        ] {
            let path = format!("{prefix}/_apis/artifactcache/{call}");
            assert_eq!(Route::of(method, &path, Some("x=1")), Route::V1(expected), "{method} {path}");
        }
    }
    for path in ["/_apis/artifactcache", "/_apis/pipelines", "/_apis/artifactcaches/cache"] {
        assert_eq!(Route::of("GET", path, None), Route::Upstream);
    }
    let signed = "/devstoreaccount1/upload/_apis/artifactcache/caches";
    assert!(matches!(Route::of("PUT", signed, None), Route::Upload { .. }));
}
