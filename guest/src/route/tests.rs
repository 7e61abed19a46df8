use proptest::prelude::*;

use super::{Call, CallV1, Route, Step, Stray, Verb};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

#[test]
fn every_request_has_its_route() {
    let upload = |step| Route::Upload { name: "u1", step };
    let download = |verb| Route::Download { entry: "7", verb };
    for (method, path, query, expected) in [
        ("POST", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::Call(Call::Create)),
        ("POST", &*format!("{SERVICE}/FinalizeCacheEntryUpload"), None, Route::Call(Call::Finalize)),
        ("POST", &*format!("{SERVICE}/GetCacheEntryDownloadURL"), None, Route::Call(Call::Lookup)),
        ("POST", &*format!("{SERVICE}/GetCacheEntryDownloadURL"), Some("x=1"), Route::Call(Call::Lookup)),
        ("GET", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::UnknownCall),
        ("post", &*format!("{SERVICE}/CreateCacheEntry"), None, Route::UnknownCall),
        ("POST", &*format!("{SERVICE}/DeleteCacheEntry"), None, Route::UnknownCall),
        ("POST", &*format!("{SERVICE}/CreateCacheEntry/"), None, Route::UnknownCall),
        ("POST", &*format!("{SERVICE}/"), None, Route::UnknownCall),
        ("POST", SERVICE, None, Route::UnknownCall),
        ("POST", &*format!("{SERVICE}x/CreateCacheEntry"), None, Route::Elsewhere),
        (
            "POST",
            "/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact",
            None,
            Route::Elsewhere,
        ),
        ("PUT", "/devstoreaccount1/upload/u1", None, upload(Step::PutBlob)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("se=1&sig=2"), upload(Step::PutBlob)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("se=1&comp=block&blockid=x"), upload(Step::PutBlock)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=blocklist&se=1"), upload(Step::PutBlockList)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=%62lock"), upload(Step::PutBlock)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=seal"), upload(Step::Seal)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=appendblock"), upload(Step::AppendBlock)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=lease"), upload(Step::UnknownComp)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp="), upload(Step::UnknownComp)),
        ("PUT", "/devstoreaccount1/upload/u1", Some("comp=%ff"), upload(Step::UnknownComp)),
        ("GET", "/devstoreaccount1/upload/u1", None, upload(Step::WrongMethod)),
        ("GET", "/devstoreaccount1/download/7", Some("sig=2"), download(Verb::Get)),
        ("HEAD", "/devstoreaccount1/download/7", None, download(Verb::Head)),
        ("DELETE", "/devstoreaccount1/download/7", None, download(Verb::WrongMethod)),
        ("GET", "/devstoreaccount1/other/7", None, Route::Elsewhere),
        ("GET", "/health", None, Route::Health),
        ("HEAD", "/health", Some("verbose"), Route::Health),
        ("POST", "/health", None, Route::Elsewhere),
        ("GET", "/", None, Route::Root),
        ("GET", "/healthy", None, Route::Elsewhere),
        ("OPTIONS", "*", None, Route::Elsewhere),
        ("GET", "", None, Route::Elsewhere),
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
            prop_assert_ne!(Route::of(&method, &path, None), Route::Elsewhere);
        }
    }
}

/// Fault 26.
#[test]
fn what_the_upstream_does_not_have_never_goes_there() {
    for (path, stray) in [
        (&*format!("/x{SERVICE}/CreateCacheEntry"), Stray::Prefixed),
        (&*format!("/a/b{SERVICE}/GetCacheEntryDownloadURL"), Stray::Prefixed),
        (&*format!("/{SERVICE}/CreateCacheEntry"), Stray::Prefixed),
        (&*format!("/x{SERVICE}"), Stray::Prefixed),
        ("/x/devstoreaccount1/upload/u1", Stray::Prefixed),
        ("/x/devstoreaccount1/download/7", Stray::Prefixed),
        ("/metrics", Stray::Common),
        ("/favicon.ico", Stray::Common),
        ("/robots.txt", Stray::Common),
        ("/healthz", Stray::Common),
        ("/.well-known/security.txt", Stray::Common),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let route = Route::of(method, path, Some("x=1"));
            assert_eq!(route, Route::Nowhere(stray), "{method} {path}");
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
        assert_eq!(Route::of("POST", path, None), Route::Elsewhere, "{path}");
    }
}

/// Fault 31.
#[test]
fn a_list_of_keys_is_looked_up_under_the_name_of_the_list_too() {
    let route = |method, query| Route::of(method, "/_apis/artifactcache/caches", query);
    for query in ["keys=a%2Cb&version=v", "version=v&keys=a", "keys="] {
        assert_eq!(route("GET", Some(query)), Route::CallV1(CallV1::Lookup), "{query}");
        assert_eq!(route("POST", Some(query)), Route::CallV1(CallV1::Reserve), "{query}");
    }
    for query in [None, Some("key=a"), Some("xkeys=a")] {
        assert_eq!(route("GET", query), Route::CallV1(CallV1::List));
    }
}

#[test]
fn version_1_is_found_behind_any_path() {
    for prefix in ["", "/prefix", "/a.secret.token/and/more", "/", "/%2F"] {
        for (method, call, expected) in [
            ("GET", "cache", CallV1::Lookup),
            ("GET", "caches", CallV1::List),
            ("POST", "caches", CallV1::Reserve),
            ("PATCH", "caches/7", CallV1::Chunk { id: "7" }),
            ("POST", "caches/7", CallV1::Commit { id: "7" }),
            ("POST", "caches/", CallV1::Commit { id: "" }),
            ("POST", "caches/7/8", CallV1::Commit { id: "7/8" }),
            ("POST", "cache", CallV1::Unknown),
            ("DELETE", "caches/7", CallV1::Unknown),
            ("GET", "caches/7", CallV1::Unknown),
            ("GET", "artifacts/7", CallV1::Unknown),
            ("GET", "", CallV1::Unknown),
        ] {
            let path = format!("{prefix}/_apis/artifactcache/{call}");
            assert_eq!(Route::of(method, &path, Some("x=1")), Route::CallV1(expected), "{method} {path}");
        }
    }
    for path in ["/_apis/artifactcache", "/_apis/pipelines", "/_apis/artifactcaches/cache"] {
        assert_eq!(Route::of("GET", path, None), Route::Elsewhere);
    }
    let signed = "/devstoreaccount1/upload/_apis/artifactcache/caches";
    assert!(matches!(Route::of("PUT", signed, None), Route::Upload { .. }));
}
