//! The management API over an index in SQLite, without a server around it: each route with each kind of
//! key, and the shapes of the three surfaces.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use http::{Method, StatusCode};
use larder_index::{AccessRole, EntryId};
use serde_json::json;
use support::{MASTER, Setup};

const M: &str = "/management-api";

/// Each route that needs a key: method, path, body, the least role, and whether a key of one tenant will do.
/// `{id}` is an entry of the tenant `blue`, `{other}` one of `default`.
fn routes() -> Vec<(Method, String, Option<serde_json::Value>, AccessRole, bool)> {
    use AccessRole::{Admin, Delete, Read};
    let mut routes = Vec::new();
    let mut add = |method: &str, path: &str, body: Option<serde_json::Value>, role, of_tenant| {
        routes.push((method.parse().unwrap(), path.to_owned(), body, role, of_tenant));
    };
    for path in [
        "/cache-entries",
        "/cache-entries/",
        "/cache-entries/{id}",
        "/cache-entries/match?primaryKey=k&scopes=main&repoId=7&version=v",
        "/storage-locations/{id}",
    ] {
        add("GET", &format!("{M}{path}"), None, Read, true);
    }
    for (procedure, input, role) in [
        ("cacheEntries/get", json!({ "id": "{id}" }), Read),
        ("cacheEntries/findMany", json!({}), Read),
        (
            "cacheEntries/match",
            json!({ "primaryKey": "k", "scopes": ["main"], "repoId": "7", "version": "v" }),
            Read,
        ),
        ("storageLocations/get", json!({ "id": "{id}" }), Read),
        ("cacheEntries/deleteMany", json!({ "key": "none" }), Delete),
        ("cacheEntries/delete", json!({ "id": "0" }), Delete),
        ("storageLocations/delete", json!({ "id": "0" }), Delete),
    ] {
        add("POST", &format!("{M}/_rpc/{procedure}"), Some(json!({ "json": input })), role, true);
    }
    for prefix in ["", "/api/v3"] {
        for path in ["caches", "cache/usage", "cache/storage-limit", "cache/retention-limit"] {
            add("GET", &format!("{prefix}/repos/acme/app/actions/{path}"), None, Read, true);
        }
        for path in ["/orgs/acme/actions/cache/usage", "/orgs/acme/actions/cache/usage-by-repository"] {
            add("GET", &format!("{prefix}{path}"), None, Read, true);
        }
    }
    for path in [
        "/status",
        "/whoami",
        "/tenants",
        "/stats",
        "/stats?by=scope&repository=7",
        "/history",
        "/savings",
        "/savings/summary",
        "/entries",
        "/entries/{id}",
        "/explain?repository=7&ref=main&key=k",
        "/uploads",
        "/errors",
        "/policies",
        "/rules/versions",
        "/rules/shadow",
    ] {
        add("GET", &format!("/api/v1{path}"), None, Read, true);
    }
    for path in ["/policies/use?name=p.wasm", "/rules/use?name=r.js", "/rules/shadow?name=r.js"] {
        add("POST", &format!("/api/v1{path}"), Some(json!("content")), Admin, false);
        add("DELETE", &format!("/api/v1{}", path.split('?').next().unwrap()), None, Admin, false);
    }
    add("POST", "/api/v1/policies/rollback", None, Admin, false);
    add("POST", "/api/v1/rules/rollback", None, Admin, false);
    add("POST", "/api/v1/entries/{id}/quarantine", None, Delete, true);
    add("DELETE", "/api/v1/entries/{id}/quarantine", None, Delete, true);
    add("DELETE", "/api/v1/runs/77", None, Delete, true);
    add("DELETE", "/api/v1/actors/nobody", None, Delete, true);
    let revocation = json!({ "run": "77", "action": "delete", "dry_run": true });
    add("POST", "/api/v1/revocations", Some(revocation), Delete, true);
    add("DELETE", "/api/v1/entries?key=none", None, Delete, true);
    add("DELETE", &format!("{M}/cache-entries?key=none"), None, Delete, true);
    add("DELETE", &format!("{M}/cache-entries/0"), None, Delete, true);
    add("DELETE", &format!("{M}/storage-locations/0"), None, Delete, true);
    add("GET", "/api/v1/scrub", None, Read, true);
    add("POST", "/api/v1/scrub", Some(json!({ "repair": true })), Delete, true);
    add("DELETE", "/api/v1/scrub", None, Delete, true);
    add("GET", "/api/v1/config", None, Admin, false);
    add("POST", "/api/v1/sweep", None, Admin, false);
    add("GET", "/api/v1/keys", None, Admin, false);
    // Last: these change what the others are about.
    add("DELETE", "/api/v1/uploads/{upload}", None, Delete, true);
    add("DELETE", "/repos/acme/app/actions/caches?key=k", None, Delete, true);
    add("DELETE", "/api/v3/repos/acme/app/actions/caches/{id2}", None, Delete, true);
    add("DELETE", "/api/v1/entries/{id3}", None, Delete, true);
    routes
}

/// Wrong, missing, foreign and lower-role keys get 401 or 403 and change nothing; the right ones work.
#[tokio::test]
async fn each_route_asks_for_its_role_and_its_tenant() {
    let setup = Setup::new().await;
    let blue = setup.blue().await;
    let keys = setup.keys().await;
    let names = [
        ("{id}", blue.entries[0]),
        ("{id2}", blue.entries[1]),
        ("{id3}", blue.entries[2]),
        ("{upload}", blue.upload),
    ];
    let filled = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, &id.to_string()))
    };
    for (method, path, body, role, of_tenant) in routes() {
        let path = filled(&path);
        let in_blue = format!("{path}{}tenant=blue", if path.contains('?') { '&' } else { '?' });
        let body = body.map(|body| filled(&body.to_string()));
        let ask = async |path: &str, key: Option<&str>| setup.ask(&method, path, key, body.as_deref()).await;
        let before = setup.everything().await;
        for key in [None, Some("larder_wrong"), Some("")] {
            let asked = ask(&in_blue, key).await;
            assert_eq!(asked.status, StatusCode::UNAUTHORIZED, "{method} {path} {key:?}");
            assert!(asked.is_error(), "{method} {path}: {}", asked.text);
        }
        let lower: Vec<&str> =
            keys.iter().filter(|key| key.role < role).map(|key| key.text.as_str()).collect();
        let foreign: Vec<&str> =
            keys.iter().filter(|key| key.tenant == Some("red")).map(|key| key.text.as_str()).collect();
        for key in lower.into_iter().chain(foreign) {
            let asked = ask(&in_blue, Some(key)).await;
            assert_eq!(asked.status, StatusCode::FORBIDDEN, "{method} {path} {key}: {}", asked.text);
            assert!(asked.is_error() && !asked.text.contains("k-1"), "{method} {path}: {}", asked.text);
        }
        assert_eq!(setup.everything().await, before, "{method} {path} has changed something");
        let may = |key: &&support::Key| {
            key.role == role && if of_tenant { key.tenant == Some("blue") } else { key.tenant.is_none() }
        };
        let right = keys.iter().find(may).unwrap();
        let asked = ask(&path, Some(&right.text)).await;
        assert!(asked.status.is_success(), "{method} {path}: {} {}", asked.status, asked.text);
        if !of_tenant {
            let of_blue =
                keys.iter().find(|key| key.role == AccessRole::Admin && key.tenant.is_some()).unwrap();
            let asked = ask(&path, Some(&of_blue.text)).await;
            assert_eq!(asked.status, StatusCode::FORBIDDEN, "{method} {path} with a key of one tenant");
        }
    }
}

/// What a tenant's key finds of another tenant is nothing: not by number, not by name, not by key.
#[tokio::test]
async fn a_tenants_key_finds_nothing_of_another_tenant() {
    let setup = Setup::new().await;
    let blue = setup.blue().await;
    let red = setup.key(AccessRole::Admin, Some("red")).await;
    let id = blue.entries[0];
    let before = setup.everything().await;
    for (method, path, status) in [
        ("GET", format!("{M}/cache-entries/{id}"), 404),
        ("GET", format!("{M}/storage-locations/{id}"), 404),
        ("DELETE", format!("{M}/cache-entries/{id}"), 200),
        ("DELETE", format!("{M}/cache-entries?all=true"), 200),
        ("GET", "/repos/acme/app/actions/caches".to_owned(), 404),
        ("DELETE", format!("/repos/acme/app/actions/caches/{id}"), 404),
        ("GET", format!("/api/v1/entries/{id}"), 404),
        ("DELETE", format!("/api/v1/entries/{id}"), 404),
        ("POST", format!("/api/v1/entries/{id}/quarantine"), 404),
        ("DELETE", format!("/api/v1/uploads/{}", blue.upload), 404),
        ("DELETE", "/api/v1/entries?all=true".to_owned(), 200),
        ("GET", "/api/v1/entries?repository=acme/app".to_owned(), 404),
    ] {
        let asked = setup.ask(&method.parse().unwrap(), &path, Some(&red), None).await;
        assert_eq!(asked.status.as_u16(), status, "{method} {path}: {}", asked.text);
        assert!(!asked.text.contains("k-1"), "{method} {path}: {}", asked.text);
    }
    assert_eq!(setup.everything().await, before);
    let tenants = setup.get("/api/v1/tenants", &red).await;
    assert_eq!(tenants.json(), json!([{ "name": "red", "hosts": [] }]));
}

#[tokio::test]
async fn without_any_key_the_api_is_disabled() {
    let setup = Setup::without_master().await;
    for path in
        ["/management-api/cache-entries", "/api/v1/status", "/repos/a/b/actions/caches", "/api/v1/none"]
    {
        let asked = setup.get(path, "any").await;
        assert_eq!(asked.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(asked.text.contains("Management API is disabled"), "{path}: {}", asked.text);
        assert!(asked.is_error());
    }
    let key = setup.key(AccessRole::Read, None).await;
    assert_eq!(setup.get("/api/v1/status", &key).await.status, StatusCode::OK);
    assert_eq!(setup.get("/api/v1/openapi.json", "any").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_comes_in_any_of_three_forms() {
    let setup = Setup::new().await;
    for (name, value) in [
        ("x-api-key", MASTER.to_owned()),
        ("authorization", format!("Bearer {MASTER}")),
        ("authorization", format!("token {MASTER}")),
        ("authorization", format!("bearer  {MASTER}")),
    ] {
        let asked = setup.ask_with("/api/v1/whoami", &[(name, &value)]).await;
        assert_eq!(asked.json()["key"], "MANAGEMENT_API_KEY", "{name}: {value}");
    }
    for (name, value) in [
        ("authorization", MASTER.to_owned()),
        ("authorization", format!("Basic {MASTER}")),
        ("x-api-key", format!("{MASTER} ")),
        ("x-api-key", format!("Bearer {MASTER}")),
    ] {
        let asked = setup.ask_with("/api/v1/whoami", &[(name, &value)]).await;
        let expected = if value.ends_with(' ') { StatusCode::UNAUTHORIZED } else { asked.status };
        assert_eq!(asked.status, expected);
        assert_eq!(asked.status, StatusCode::UNAUTHORIZED, "{name}: {value}");
    }
}

#[tokio::test]
async fn errors_have_the_shape_of_their_surface() {
    let setup = Setup::new().await;
    let unknown = setup.get("/management-api/cache-entries/12345", MASTER).await;
    assert_eq!(
        unknown.json(),
        json!({ "defined": false, "code": "NOT_FOUND", "status": 404, "message": "Cache entry not found" })
    );
    let denied = setup.get("/management-api/cache-entries", "wrong").await;
    assert_eq!(
        (denied.json()["code"].clone(), denied.json()["status"].clone()),
        (json!("UNAUTHORIZED"), json!(401))
    );
    let github = setup.get("/repos/no/such/actions/caches", MASTER).await;
    assert_eq!(github.json(), json!({ "message": "Not Found", "status": "404" }));
    let own = setup.get("/api/v1/entries/12345", MASTER).await;
    assert_eq!(own.json()["error"]["code"], "not_found");
    for path in ["/management-api/nowhere", "/api/v1/nowhere", "/repos/a/b/nowhere", "/nowhere"] {
        let asked = setup.get(path, MASTER).await;
        assert!(asked.status == StatusCode::NOT_FOUND && asked.is_error(), "{path}: {}", asked.text);
    }
    let method = setup.ask(&Method::PUT, "/api/v1/entries", Some(MASTER), None).await;
    assert_eq!(
        (method.status, method.json()["error"]["code"].clone()),
        (StatusCode::METHOD_NOT_ALLOWED, json!("method_not_allowed"))
    );
    assert!(method.allow.contains("DELETE"), "{}", method.allow);
}

/// The defect of the known server: it deleted everybody's.
#[tokio::test]
async fn deleting_one_repository_leaves_the_others() {
    let setup = Setup::new().await;
    let default = setup.default();
    for repository in ["7", "8"] {
        for key in ["a", "b"] {
            support::make_entry(&*default, repository, "main", key, 10).await;
        }
    }
    let refused = setup.ask(&Method::DELETE, "/management-api/cache-entries/", Some(MASTER), None).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let misspelt =
        setup.ask(&Method::DELETE, "/management-api/cache-entries/?repoid=7", Some(MASTER), None).await;
    assert_eq!(misspelt.status, StatusCode::BAD_REQUEST);
    assert_eq!(setup.get("/management-api/cache-entries/", MASTER).await.json()["total"], 4);
    let deleted =
        setup.ask(&Method::DELETE, "/management-api/cache-entries/?repoId=7", Some(MASTER), None).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::OK, ""));
    let left = setup.get("/management-api/cache-entries/?itemsPerPage=1&page=2", MASTER).await.json();
    assert_eq!((left["total"].clone(), left["items"][0]["repoId"].clone()), (json!(2), json!("8")));
    let all = setup.ask(&Method::DELETE, "/management-api/cache-entries?all=true", Some(MASTER), None).await;
    assert_eq!(all.status, StatusCode::OK);
    assert_eq!(setup.get("/management-api/cache-entries/", MASTER).await.json()["total"], 0);
}

#[tokio::test]
async fn the_known_servers_routes_have_its_fields() {
    let setup = Setup::new().await;
    let default = setup.default();
    let entry = support::make_entry(&*default, "7", "refs/heads/main", "linux-1", 10).await;
    let listed = setup
        .get("/management-api/cache-entries/?key=linux-1&version=v&scope=refs/heads/main&repoId=7", MASTER)
        .await
        .json();
    let item = json!({
        "id": entry.0.to_string(), "key": "linux-1", "version": "v", "scope": "refs/heads/main", "repoId": "7",
        "updatedAt": 1_000, "locationId": entry.0.to_string(),
    });
    assert_eq!(listed, json!({ "total": 1, "items": [item] }));
    assert_eq!(setup.get(&format!("/management-api/cache-entries/{}", entry.0), MASTER).await.json(), item);
    let location = setup.get(&format!("/management-api/storage-locations/{}", entry.0), MASTER).await.json();
    assert_eq!(
        (location["partCount"].clone(), location["mergedAt"].clone(), location["lastDownloadedAt"].clone()),
        (json!(1), json!(1_000), json!(null))
    );
    let matched = |query: &str| format!("/management-api/cache-entries/match?{query}&repoId=7&version=v");
    for (query, kind) in [
        ("primaryKey=linux-1&scopes[]=refs/heads/main", "exact-primary"),
        ("primaryKey=linux-&scopes[]=other&scopes[]=refs/heads/main", "prefixed-primary"),
        ("primaryKey=x&restoreKeys[]=y&restoreKeys[]=linux-1&scopes=refs/heads/main", "exact-restore"),
        ("primaryKey=x&restoreKeys[0]=lin&scopes[0]=refs/heads/main", "prefixed-restore"),
    ] {
        let found = setup.get(&matched(query), MASTER).await.json();
        assert_eq!(found, json!({ "match": item, "type": kind }), "{query}");
    }
    let none = setup.get(&matched("primaryKey=x&scopes=refs/heads/main"), MASTER).await;
    assert_eq!((none.status, none.text.as_str()), (StatusCode::OK, "null"));
    let call = |procedure: &str| format!("/management-api/_rpc/cacheEntries/{procedure}");
    let body = json!({ "json": { "id": entry.0.to_string() } }).to_string();
    let got = setup.ask(&Method::POST, &call("get"), Some(MASTER), Some(&body)).await;
    assert_eq!(got.json(), json!({ "json": item }));
    let gone = json!({ "json": { "id": "999" } }).to_string();
    let missing = setup.ask(&Method::POST, &call("get"), Some(MASTER), Some(&gone)).await;
    assert_eq!(
        (missing.status, missing.json()["json"]["code"].clone()),
        (StatusCode::NOT_FOUND, json!("NOT_FOUND"))
    );
    for wrong in ["itemsPerPage=0", "itemsPerPage=101", "page=0", "page=x", "keys=a"] {
        let asked = setup.get(&format!("/management-api/cache-entries/?{wrong}"), MASTER).await;
        assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    for id in ["x", "-1", "18446744073709551616", "%2e%2e"] {
        let asked = setup.get(&format!("/management-api/cache-entries/{id}"), MASTER).await;
        assert_eq!(asked.status, StatusCode::NOT_FOUND, "{id}");
        let asked = setup
            .ask(&Method::DELETE, &format!("/management-api/cache-entries/{id}"), Some(MASTER), None)
            .await;
        assert_eq!(asked.status, StatusCode::OK, "an unknown one is deleted already");
    }
}

#[tokio::test]
async fn github_s_routes_have_its_fields_pages_and_links() {
    let setup = Setup::new().await;
    let default = setup.default();
    support::name(&*default, "7", "acme/app").await;
    let mut ids: Vec<EntryId> = Vec::new();
    for number in 0..5 {
        ids.push(
            support::make_entry(
                &*default,
                "7",
                "refs/heads/main",
                &format!("Linux-{number}"),
                10 + number % 3,
            )
            .await,
        );
    }
    support::make_entry(&*default, "8", "refs/heads/main", "linux-9", 10).await;
    let base = "/api/v3/repos/Acme/App/actions/caches";
    let page = setup
        .get(&format!("{base}?per_page=2&page=2&sort=size_in_bytes&direction=desc&key=lin"), MASTER)
        .await;
    let json = page.json();
    assert_eq!(json["total_count"], 5);
    let keys: Vec<_> =
        json["actions_caches"].as_array().unwrap().iter().map(|cache| cache["key"].clone()).collect();
    assert_eq!(keys, ["Linux-1", "Linux-3"]);
    let first = setup.get(&format!("{base}?sort=created_at&direction=asc&per_page=1"), MASTER).await.json();
    assert_eq!(
        first["actions_caches"][0],
        json!({
            "id": ids[0].0, "ref": "refs/heads/main", "key": "Linux-0", "version": "v", "size_in_bytes": 10,
            "created_at": "1970-01-01T00:00:01.000Z", "last_accessed_at": "1970-01-01T00:00:01.000Z",
        })
    );
    let link = "<http://cache.example/api/v3/repos/Acme/App/actions/caches?per_page=2&sort=size_in_bytes&direction=desc&key=lin&page=3>; rel=\"next\"";
    assert!(page.link.contains(link), "{}", page.link);
    assert!(page.link.contains("rel=\"last\"") && page.link.contains("rel=\"prev\""), "{}", page.link);
    let usage = setup.get("/repos/acme/app/actions/cache/usage", MASTER).await.json();
    assert_eq!(usage["active_caches_count"], 5);
    assert_eq!(usage["active_caches_size_in_bytes"], 10 + 11 + 12 + 10 + 11);
    let org = setup.get("/orgs/ACME/actions/cache/usage", MASTER).await.json();
    assert_eq!(org, json!({ "total_active_caches_count": 5, "total_active_caches_size_in_bytes": 54 }));
    let by = setup.get("/orgs/acme/actions/cache/usage-by-repository", MASTER).await.json();
    assert_eq!(
        (by["total_count"].clone(), by["repository_cache_usages"][0]["full_name"].clone()),
        (json!(1), json!("acme/app"))
    );
    let behind = setup.get("/orgs/acme/actions/cache/usage-by-repository?per_page=1&page=2", MASTER).await;
    let link =
        "<http://cache.example/orgs/acme/actions/cache/usage-by-repository?per_page=1&page=1>; rel=\"prev\"";
    assert!(behind.link.contains(link), "{}", behind.link);
    let delete = async |path: &str| setup.ask(&Method::DELETE, path, Some(MASTER), None).await;
    assert_eq!(delete(base).await.status, StatusCode::BAD_REQUEST, "a key is needed");
    let deleted = delete(&format!("{base}?key=Linux-0&ref=refs/heads/main")).await;
    assert_eq!((deleted.status, deleted.json()["total_count"].clone()), (StatusCode::OK, json!(1)));
    assert_eq!(delete(&format!("{base}?key=Linux-0")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&format!("{base}/{}", ids[1].0)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete(&format!("{base}/{}", ids[1].0)).await.status, StatusCode::NOT_FOUND);
    let others =
        setup.get("/management-api/cache-entries?repoId=8", MASTER).await.json()["items"][0]["id"].clone();
    assert_eq!(delete(&format!("{base}/{}", others.as_str().unwrap())).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn entries_come_in_pages_with_a_cursor() {
    let setup = Setup::new().await;
    let default = setup.default();
    for number in 0..7 {
        support::make_entry(&*default, "7", "main", &format!("k{number}"), number % 3).await;
    }
    for sort in ["created_at", "last_accessed_at", "size_in_bytes"] {
        for order in ["asc", "desc"] {
            let (mut keys, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/api/v1/entries?sort={sort}&order={order}&limit=3&total=true{cursor}");
                let page = setup.get(&path, MASTER).await.json();
                assert_eq!(page["total"], 7);
                keys.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["key"].to_string()));
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let mut unique = keys.clone();
            unique.sort();
            unique.dedup();
            assert_eq!((keys.len(), unique.len()), (7, 7), "{sort} {order}");
        }
    }
    for wrong in
        ["limit=0", "limit=1001", "limit=-1", "cursor=x", "cursor=xx-1-2", "sort=name", "total=maybe"]
    {
        let asked = setup.get(&format!("/api/v1/entries?{wrong}"), MASTER).await;
        assert_eq!(
            (asked.status, asked.json()["error"]["code"].clone()),
            (StatusCode::BAD_REQUEST, json!("bad_request")),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn an_entry_is_shown_held_back_released_and_deleted() {
    let setup = Setup::new().await;
    let default = setup.default();
    let entry = support::make_entry(&*default, "7", "refs/pull/1/merge", "k", 10).await;
    let path = format!("/api/v1/entries/{}", entry.0);
    let shown = setup.get(&path, MASTER).await.json();
    assert_eq!(
        (shown["trust"].clone(), shown["facts"].clone(), shown["quarantined_ms"].clone()),
        (json!("full"), json!({ "run_id": "9" }), json!(null))
    );
    let ask = async |method: Method, path: &str| setup.ask(&method, path, Some(MASTER), None).await.status;
    assert_eq!(ask(Method::POST, &format!("{path}/quarantine")).await, StatusCode::NO_CONTENT);
    assert_eq!(ask(Method::POST, &format!("{path}/quarantine")).await, StatusCode::NO_CONTENT);
    assert!(setup.get(&path, MASTER).await.json()["quarantined_ms"].is_u64());
    assert_eq!(ask(Method::DELETE, &format!("{path}/quarantine")).await, StatusCode::NO_CONTENT);
    assert!(setup.get(&path, MASTER).await.json()["quarantined_ms"].is_null());
    let dry =
        setup.ask(&Method::DELETE, "/api/v1/entries?key=k&dry_run=true", Some(MASTER), None).await.json();
    assert_eq!(
        (dry["count"].clone(), dry["bytes"].clone(), dry["dry_run"].clone()),
        (json!(1), json!(10), json!(true))
    );
    assert_eq!(ask(Method::DELETE, "/api/v1/entries").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask(Method::DELETE, "/api/v1/entries?kye=k").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask(Method::DELETE, &path).await, StatusCode::NO_CONTENT);
    assert_eq!(ask(Method::DELETE, &path).await, StatusCode::NOT_FOUND);
    assert_eq!(setup.deleted(), [entry.0]);
}

#[tokio::test]
async fn a_key_is_made_once_used_and_revoked() {
    let setup = Setup::new().await;
    let make = async |body: serde_json::Value| {
        setup.ask(&Method::POST, "/api/v1/keys", Some(MASTER), Some(&body.to_string())).await
    };
    let made = make(json!({ "name": "ci", "role": "delete", "tenant": "blue" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("larder_") && key.len() == 7 + 43, "{key}");
    assert_eq!(make(json!({ "name": "ci", "role": "read" })).await.status, StatusCode::CONFLICT);
    assert_eq!(
        make(json!({ "name": "x", "role": "read", "tenant": "none" })).await.status,
        StatusCode::NOT_FOUND
    );
    for wrong in [
        json!({ "name": "", "role": "read" }),
        json!({ "name": "a b", "role": "read" }),
        json!({ "name": "MANAGEMENT_API_KEY", "role": "read" }),
        json!({ "name": "x".repeat(65), "role": "read" }),
        json!({ "name": "x", "role": "root" }),
        json!({ "name": "x", "role": "read", "admin": true }),
        json!("x"),
    ] {
        assert_eq!(make(wrong.clone()).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let long = json!({ "name": "x".repeat(70_000), "role": "read" });
    assert_eq!(make(long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let listed = setup.get("/api/v1/keys", MASTER).await;
    assert!(
        !listed.text.contains(&key[7..]) && listed.text.contains("\"tenant\":\"blue\""),
        "{}",
        listed.text
    );
    assert_eq!(
        setup.get("/api/v1/whoami", &key).await.json(),
        json!({ "key": "ci", "role": "delete", "tenant": "blue" })
    );
    let revoked = setup.ask(&Method::DELETE, "/api/v1/keys/ci", Some(MASTER), None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(setup.get("/api/v1/whoami", &key).await.status, StatusCode::UNAUTHORIZED);
    let again = setup.ask(&Method::DELETE, "/api/v1/keys/ci", Some(MASTER), None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

/// A file has a name, a content and a bounded length; what is wrong with it is told to its author.
#[tokio::test]
async fn what_cannot_be_put_in_force_is_an_error_that_says_why() {
    let setup = Setup::new().await;
    let put = async |path: &str, body: &str| {
        setup.ask(&Method::POST, &format!("/api/v1{path}"), Some(MASTER), Some(body)).await
    };
    for wrong in ["", "?name=", "?name=a%2Fb", "?name=a%20b", &format!("?name={}", "x".repeat(129))] {
        let asked = put(&format!("/rules/use{wrong}"), "content").await;
        assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{wrong}: {}", asked.text);
    }
    assert_eq!(put("/rules/use?name=r.js", "").await.status, StatusCode::BAD_REQUEST);
    let long = "x".repeat((64 << 20) + 1);
    assert_eq!(put("/rules/use?name=r.js", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(put("/rules/use?name=r.js&tenant=none", "x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(setup.changes(), "", "nothing has reached the server");
    let refused = put("/policies/use?name=p.wasm", "bad").await;
    assert_eq!(
        (refused.status, refused.json()["error"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!({ "code": "refused", "message": "it is bad" }))
    );
    let used = put("/policies/use?name=p.wasm&tenant=blue", "good").await;
    assert_eq!((used.status, used.json()["name"].clone()), (StatusCode::OK, json!("p.wasm")));
    let ended = setup.ask(&Method::DELETE, "/api/v1/rules/shadow", Some(MASTER), None).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(setup.changes(), "use policy p.wasm 3\nuse policy p.wasm 4\nuse rules in the shadow  0\n");
}

/// Limits are told as GitHub tells them, and are set in the configuration.
#[tokio::test]
async fn the_limits_of_a_repository_are_told_and_not_set() {
    let setup = Setup::new().await;
    setup.blue().await;
    let key = setup.key(AccessRole::Delete, Some("blue")).await;
    for (route, limit) in [
        ("storage-limit", json!({ "max_cache_size_gb": 3 })),
        ("retention-limit", json!({ "max_cache_retention_days": 90 })),
    ] {
        let path = format!("/repos/acme/app/actions/cache/{route}");
        assert_eq!(setup.get(&path, &key).await.json(), limit);
        let none = setup.get(&path.replace("acme/app", "acme/none"), &key).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{}", none.text);
        let set = setup.ask(&Method::PUT, &path, Some(&key), Some(&limit.to_string())).await;
        assert_eq!(set.status, StatusCode::FORBIDDEN);
        assert!(set.is_error() && set.text.contains("configuration"), "{}", set.text);
    }
}

/// The description is part of the interface: a change of it is a change for clients. After one on
/// purpose: `LARDER_TEST_UPDATE=1 cargo test --test management_api`.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test, and no setting")]
fn the_description_is_the_one_that_is_kept() {
    let now = larder_management::openapi().to_pretty_json().unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("LARDER_TEST_UPDATE").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), now, "the API has changed");
}

#[test]
fn paths_of_the_api_are_told_from_others() {
    for path in [
        "/management-api",
        "/management-api/x",
        "/api/v1/status",
        "/api/v3/repos/a/b",
        "/repos/a/b",
        "/orgs/a",
    ] {
        assert!(larder_management::is_management_path(path), "{path}");
    }
    for path in ["/", "/management-apis", "/api/v2", "/repository", "/twirp/x", "/_apis/artifactcache/cache"]
    {
        assert!(!larder_management::is_management_path(path), "{path}");
    }
}
