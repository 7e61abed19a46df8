//! A server of two tenants besides `default`, over an index in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use larder_common::{TenantName, facts::Facts};
use larder_index::{
    AccessKey, AccessRole, Attachment, Cause, Departure, Durability, Entry, EntryId, Index, KeyRule,
    RepositoryName, Reservation, SavedBy, Slot, Trust, Upload, UploadId, sqlite::SqliteIndex,
};
use larder_management::{
    Action, ExplainQuery, Fault, MasterKey, NewKey, Revocation, ScrubRequest, ScrubStatus, Server,
    ServerStatus, SweepOutcome, Tenant, TenantInfo, VersionInfo, VersionedKind, VersionsInfo, router,
};
use serde_json::{Value, json};
use std::sync::Mutex;
use tempfile::TempDir;
use tower_service::Service as _;

pub(crate) const MASTER: &str = "the key of an administrator";
const NAMES: [&str; 3] = ["default", "blue", "red"];

pub(crate) struct Setup {
    server: Arc<TestServer>,
    router: Router,
    _data: TempDir,
}

struct TestServer {
    index: Arc<dyn Index>,
    deleted: Arc<Mutex<Vec<u64>>>,
    /// Exchanges that were asked for, a line for each.
    changes: Arc<Mutex<String>>,
}

struct TestTenant {
    index: Arc<dyn Index>,
    deleted: Arc<Mutex<Vec<u64>>>,
    /// Exchanges that were asked for, a line for each.
    changes: Arc<Mutex<String>>,
}

pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) role: AccessRole,
    pub(crate) tenant: Option<&'static str>,
}

/// What `blue` has.
pub(crate) struct Blue {
    pub(crate) entries: [u64; 3],
    pub(crate) upload: u64,
}

pub(crate) struct Asked {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) link: String,
    pub(crate) allow: String,
    kind: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Whether it is an error in JSON, of one of the shapes.
    pub(crate) fn is_error(&self) -> bool {
        let json: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let json = json.get("json").cloned().unwrap_or(json);
        let message = json.get("message").or_else(|| json.pointer("/error/message"));
        self.kind == "application/json" && message.is_some_and(Value::is_string)
    }
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(Some(MasterKey::new(MASTER)))
    }

    pub(crate) async fn without_master() -> Self {
        Self::with(None)
    }

    fn with(master: Option<MasterKey>) -> Self {
        let data = TempDir::new().unwrap();
        let index = SqliteIndex::open(&data.path().join("larder.db"), KeyRule::AnyCase).unwrap();
        let server =
            Arc::new(TestServer { index: Arc::new(index), deleted: Arc::default(), changes: Arc::default() });
        let router = router(server.clone(), master);
        Self { server, router, _data: data }
    }

    pub(crate) fn default(&self) -> Arc<dyn Index> {
        self.server.index.clone()
    }

    /// Which exchanges were asked for.
    pub(crate) fn changes(&self) -> String {
        self.server.changes.lock().unwrap().clone()
    }

    fn index_of(&self, name: &str) -> Arc<dyn Index> {
        self.server.index.tenant(&TenantName::parse(name).unwrap()).unwrap()
    }

    /// What was deleted by the server's own way.
    pub(crate) fn deleted(&self) -> Vec<u64> {
        self.server.deleted.lock().unwrap().clone()
    }

    /// Fills the tenant `blue`.
    pub(crate) async fn blue(&self) -> Blue {
        let index = self.index_of("blue");
        name(&*index, "7", "acme/app").await;
        let mut entries = [0; 3];
        for (at, key) in ["k", "k-1", "k-2"].into_iter().enumerate() {
            entries[at] = make_entry(&*index, "7", "main", key, 10).await.0;
        }
        Blue { entries, upload: reserve(&*index, "7", "main", "u").await.id.0 }
    }

    pub(crate) async fn key(&self, role: AccessRole, tenant: Option<&str>) -> String {
        let NewKey { key, digest } = NewKey::random().unwrap();
        let name = key[7..27].to_owned();
        let tenant = tenant.map(|name| TenantName::parse(name).unwrap());
        let made = AccessKey { name, role, tenant, digest, created_ms: 1 };
        assert!(self.server.index.add_access_key(&made).await.unwrap());
        key
    }

    /// One of each kind.
    pub(crate) async fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for role in [AccessRole::Read, AccessRole::Delete, AccessRole::Admin] {
            for tenant in [None, Some("blue"), Some("red")] {
                keys.push(Key { text: self.key(role, tenant).await, role, tenant });
            }
        }
        keys
    }

    /// All that could be changed.
    pub(crate) async fn everything(&self) -> String {
        let mut all = String::new();
        for name in NAMES {
            let index = self.index_of(name);
            let entries = index.list_entries(EntryId(0), 100).await.unwrap();
            let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
            let details = index.entry_details(&ids).await.unwrap();
            let uploads = index.list_uploads(UploadId(0), 100).await.unwrap();
            all += &format!("{name}: {entries:?} {details:?} {uploads:?}\n");
        }
        all += &self.changes();
        all + &format!("{:?}", self.server.index.list_access_keys().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Asked {
        self.ask(&Method::GET, path, Some(key), None).await
    }

    pub(crate) async fn ask(
        &self,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Asked {
        let mut request = Request::builder().method(method).uri(path).header("host", "cache.example");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap()).await
    }

    pub(crate) async fn ask_with(&self, path: &str, headers: &[(&str, &str)]) -> Asked {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Asked {
        let Ok(response) = self.router.clone().call(request).await;
        let field = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (status, link, allow, kind) =
            (response.status(), field("link"), field("allow"), field("content-type"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Asked { status, text: String::from_utf8(body.to_vec()).unwrap(), link, allow, kind }
    }
}

async fn reserve(index: &dyn Index, repository: &str, scope: &str, key: &str) -> Upload {
    let [repository, scope, version, key] = [repository, scope, "v", key].map(str::to_owned);
    let slot = Slot { repository, scope, version, key };
    let facts = Facts::try_from(&[("run_id", "9")][..]).unwrap();
    match index.reserve(&slot, "owner", &facts, Trust::Full, 1_000, 0).await.unwrap() {
        Reservation::Reserved(upload) => upload,
        other => panic!("the slot is taken: {other:?}"),
    }
}

pub(crate) async fn make_entry(
    index: &dyn Index,
    repository: &str,
    scope: &str,
    key: &str,
    size_bytes: u64,
) -> EntryId {
    let upload = reserve(index, repository, scope, key).await;
    let object = larder_storage::ObjectName::parse(format!("object-{}", upload.name)).unwrap();
    let attachment = Attachment { object, size_bytes };
    index.attach(upload.id, &attachment, None, 1_000).await.unwrap();
    index.finalize(upload.id, &attachment, &Durability::Durable, 1_000).await.unwrap().unwrap().id
}

pub(crate) async fn name(index: &dyn Index, repository: &str, name: &str) {
    let name = RepositoryName { repository: repository.to_owned(), name: name.to_owned(), named_ms: 1 };
    index.name_repositories(&[name], 100).await.unwrap();
}

fn named(name: String) -> VersionInfo {
    VersionInfo { name, ..VersionInfo::default() }
}

#[async_trait]
impl Server for TestServer {
    fn now_ms(&self) -> u64 {
        5_000
    }

    fn index(&self) -> &dyn Index {
        &*self.index
    }

    fn tenants(&self) -> Vec<TenantInfo> {
        NAMES.map(|name| TenantInfo { name: name.to_owned(), hosts: Vec::new() }).to_vec()
    }

    async fn tenant(&self, name: &TenantName) -> Result<Option<Arc<dyn Tenant>>, Fault> {
        if !NAMES.contains(&name.as_str()) {
            return Ok(None);
        }
        let (index, deleted) = (self.index.tenant(name)?, self.deleted.clone());
        Ok(Some(Arc::new(TestTenant { index, deleted, changes: self.changes.clone() })))
    }

    fn status(&self) -> ServerStatus {
        ServerStatus::default()
    }

    fn configuration(&self) -> Value {
        json!({})
    }

    async fn sweep(&self) -> Result<SweepOutcome, Fault> {
        Ok(SweepOutcome { ended: true, succeeded: true })
    }
}

#[async_trait]
impl Tenant for TestTenant {
    fn index(&self) -> &dyn Index {
        &*self.index
    }

    fn limit_bytes(&self) -> Option<u64> {
        None
    }

    fn repository_limit_bytes(&self, id: &str, name: &str) -> Option<u64> {
        (id == "7" && name == "acme/app").then_some((3 << 30) + 5)
    }

    fn unused_days(&self) -> Option<u64> {
        Some(90)
    }

    async fn delete_entry(&self, entry: &Entry) -> Result<bool, Fault> {
        self.deleted.lock().unwrap().push(entry.id.0);
        Ok(self.index.delete_entry(entry.id, &Departure { cause: Cause::Manual, at_ms: 5_000 }).await?)
    }

    async fn delete_upload(&self, upload: &Upload) -> Result<bool, Fault> {
        Ok(self.index.abandon(upload.id).await?)
    }

    async fn revoke(&self, _by: &SavedBy, action: Action, dry_run: bool) -> Result<Revocation, Fault> {
        Ok(Revocation { action, dry_run, entries: Vec::new(), uploads: 0, unknown: 0 })
    }

    fn rules(&self) -> Value {
        json!({ "active": null, "shadow": null })
    }

    fn versions(&self, _kind: VersionedKind) -> Result<VersionsInfo, Fault> {
        Ok(VersionsInfo::default())
    }

    async fn use_version(
        &self,
        kind: VersionedKind,
        name: String,
        content: bytes::Bytes,
    ) -> Result<VersionInfo, Fault> {
        *self.changes.lock().unwrap() += &format!("use {kind} {name} {}\n", content.len());
        if content == "bad" { Err(Fault::Refused("it is bad".to_owned())) } else { Ok(named(name)) }
    }

    async fn use_configured(&self, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        *self.changes.lock().unwrap() += &format!("use the configured {kind}\n");
        Ok(VersionInfo::default())
    }

    async fn roll_back(&self, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        *self.changes.lock().unwrap() += &format!("roll back {kind}\n");
        Ok(VersionInfo::default())
    }

    async fn start_scrub(
        &self,
        asked: ScrubRequest,
        _repositories: Vec<String>,
    ) -> Result<Option<ScrubStatus>, Fault> {
        Ok(Some(ScrubStatus { running: true, repair: asked.repair, ..ScrubStatus::default() }))
    }

    fn scrub_status(&self) -> Result<ScrubStatus, Fault> {
        Ok(ScrubStatus::default())
    }

    fn stop_scrub(&self) -> Result<ScrubStatus, Fault> {
        Ok(ScrubStatus::default())
    }

    async fn explain(&self, query: ExplainQuery) -> Result<Value, Fault> {
        Ok(json!({ "version": query.version, "keys": query.keys }))
    }
}
