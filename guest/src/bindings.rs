//! The component's side of the world: the generated bindings, [`Host`] for the imports, and
//! `Component`, which exports a `Policy`.
//!
//! Contains no logic: every function converts types. Also compiled natively, so that the checks
//! cover it, but only callable in a component. No other module names a generated type.

/// The generated bindings.
#[allow(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated code"
)]
pub mod wit {
    wit_bindgen::generate!({
        path: "../wit",
        world: "cache",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "larder_policy::bindings::wit",
    });
}

mod convert;
mod decisions;

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::OnceLock;

use wit::exports::larder::cache::{explain, handler, retention};
use wit::larder::cache::{auth, http, index, log, rules, settings, storage, types};

use crate::Policy;
use crate::ports::{
    AttachOutcome, Attachment, AuthError, Block, ByteRange, Cause, Claims, Departed, Entry, Facts,
    HitVerdict, Host, HttpError, IndexError, Level, MatchKind, Nearby, Probe, Reservation, SaveVerdict,
    Scope, Settings, Slot, StorageError, Stored, Trust, Upload,
};

/// Makes the component of a policy: a type that implements [`Policy`] and [`Default`]. Once in a crate of
/// the type `cdylib`. Does nothing in a native build, where tests call the policy itself.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::bindings::Component<$policy>;
    $crate::bindings::wit::export!(Exported with_types_in $crate::bindings::wit);
        };
    };
}

/// The imports of the running component.
struct Imports;

/// The exports of the component of a policy.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Policy + Default + 'static> handler::Guest for Component<P> {
    async fn handle(request: types::Request) -> types::Response {
        crate::handler::answer(&P::default(), &Imports, request.into()).await.into()
    }

    async fn is_repeatable(method: String, path: String) -> bool {
        P::default().is_repeatable(&method, &path)
    }
}

impl<P: Policy + Default + 'static> retention::Guest for Component<P> {
    async fn select_entries(now_ms: u64, entries: Vec<index::Entry>) -> retention::Selection {
        let entries = entries.into_iter().map(Into::into);
        crate::retention::select_entries(&P::default(), &Imports.settings(), now_ms, entries).into()
    }

    async fn review_entries(
        now_ms: u64,
        candidates: Vec<retention::Candidate>,
        roots: retention::Roots,
    ) -> Vec<retention::Verdict> {
        let (policy, settings) = (P::default(), Imports.settings());
        let candidates = candidates.into_iter().map(Into::into);
        let doomed = crate::retention::review_entries(&policy, &settings, now_ms, candidates, &roots.into());
        doomed.into_iter().map(Into::into).collect()
    }

    async fn review_uploads(now_ms: u64, uploads: Vec<index::Upload>) -> Vec<u64> {
        let uploads = uploads.into_iter().map(Into::into);
        crate::retention::review_uploads(&Imports, now_ms, uploads).await
    }

    async fn room_tiers(needed: retention::RoomNeeded) -> Vec<retention::Tier> {
        P::default().room_tiers(&needed.into()).into_iter().map(Into::into).collect()
    }

    async fn make_room(
        now_ms: u64,
        needed: retention::RoomNeeded,
        candidates: Vec<retention::Candidate>,
    ) -> Vec<u64> {
        let candidates = candidates.into_iter().map(Into::into).collect();
        crate::room::choose(&P::default(), &Imports, now_ms, &needed.into(), candidates).await
    }
}

impl<P: Policy + Default + 'static> explain::Guest for Component<P> {
    async fn explain(now_ms: u64, query: explain::Query) -> Result<explain::Explanation, index::Error> {
        let explained = crate::explain::explain(&P::default(), &Imports, now_ms, query.into()).await;
        explained.map(Into::into).map_err(Into::into)
    }
}

impl Host for Imports {
    type IncomingRequest = types::IncomingRequest;
    type Object = types::Object;
    type Upstream = types::UpstreamResponse;

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        log::emit(level.into(), message, &fields);
    }

    /// Constant for the lifetime of the instance, so fetched once.
    fn settings(&self) -> impl Deref<Target = Settings> {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        SETTINGS.get_or_init(|| settings::get().into())
    }

    async fn verify(&self, incoming: &Self::IncomingRequest) -> Result<Claims, AuthError> {
        auth::verify(incoming).await.map(Into::into).map_err(Into::into)
    }

    fn facts(&self, incoming: &Self::IncomingRequest) -> Facts {
        auth::get_facts(incoming)
    }

    fn sign(&self, text: &str) -> String {
        auth::sign(text)
    }

    fn check(&self, text: &str, signature: &str) -> bool {
        auth::check(text, signature)
    }

    async fn read_body(
        &self,
        incoming: &Self::IncomingRequest,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, HttpError> {
        http::read_body(incoming, limit_bytes).await.map_err(Into::into)
    }

    async fn forward(&self, incoming: &Self::IncomingRequest) -> Result<Self::Upstream, HttpError> {
        http::forward(incoming).await.map_err(Into::into)
    }

    async fn stat(&self, object: String) -> Result<u64, StorageError> {
        storage::stat(object).await.map_err(Into::into)
    }

    async fn open(
        &self,
        object: String,
        size_bytes: u64,
        range: Option<ByteRange>,
    ) -> Result<Self::Object, StorageError> {
        storage::open(object, size_bytes, range.map(Into::into)).await.map_err(Into::into)
    }

    async fn put(&self, upload: String, incoming: &Self::IncomingRequest) -> Result<Stored, StorageError> {
        storage::put(upload, incoming).await.map(Into::into).map_err(Into::into)
    }

    async fn reserve_room(&self, upload: String, size_bytes: u64) -> Result<(), StorageError> {
        storage::reserve_room(upload, size_bytes).await.map_err(Into::into)
    }

    async fn put_block(
        &self,
        upload: String,
        block_id: String,
        incoming: &Self::IncomingRequest,
    ) -> Result<u64, StorageError> {
        storage::put_block(upload, block_id, incoming).await.map_err(Into::into)
    }

    async fn commit(&self, upload: String, block_ids: Vec<String>) -> Result<Stored, StorageError> {
        storage::commit(upload, block_ids).await.map(Into::into).map_err(Into::into)
    }

    async fn blocks(&self, upload: String) -> Result<Vec<Block>, StorageError> {
        let blocks = storage::blocks(upload).await;
        blocks.map(|blocks| blocks.into_iter().map(Into::into).collect()).map_err(Into::into)
    }

    async fn presign(
        &self,
        object: String,
        size_bytes: u64,
        lifetime_ms: u64,
    ) -> Result<Option<String>, StorageError> {
        storage::presign(object, size_bytes, lifetime_ms).await.map_err(Into::into)
    }

    async fn discard(&self, upload: String) -> Result<(), StorageError> {
        storage::discard(upload).await.map_err(Into::into)
    }

    async fn remove(&self, object: String) -> Result<(), StorageError> {
        storage::remove(object).await.map_err(Into::into)
    }

    async fn find(
        &self,
        repository: String,
        version: String,
        probes: Vec<Probe>,
        skip: Vec<u64>,
    ) -> Result<Option<Entry>, IndexError> {
        let probes = probes.into_iter().map(Into::into).collect();
        let found = index::find(repository, version, probes, skip).await;
        found.map(|entry| entry.map(Into::into)).map_err(Into::into)
    }

    async fn get_entry(&self, id: u64) -> Result<Option<Entry>, IndexError> {
        index::get_entry(id).await.map(|entry| entry.map(Into::into)).map_err(Into::into)
    }

    async fn get_entry_of_upload(&self, upload_id: u64) -> Result<Option<Entry>, IndexError> {
        index::get_entry_of_upload(upload_id).await.map(|entry| entry.map(Into::into)).map_err(Into::into)
    }

    async fn list_near(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Nearby, IndexError> {
        index::list_near(repository, key, kind.into(), limit).await.map(Into::into).map_err(Into::into)
    }

    async fn list_departed(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Vec<Departed>, IndexError> {
        let departed = index::list_departed(repository, key, kind.into(), limit).await;
        departed.map(|found| found.into_iter().map(Into::into).collect()).map_err(Into::into)
    }

    async fn reserve(
        &self,
        slot: Slot,
        owner: String,
        facts: Facts,
        trust: Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError> {
        let outcome = index::reserve(slot.into(), owner, facts, trust.into(), now_ms, idle_before_ms).await;
        outcome.map(Into::into).map_err(Into::into)
    }

    async fn renew(&self, upload_id: u64, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        index::renew(upload_id, created_ms, now_ms).await.map_err(Into::into)
    }

    async fn get_upload(&self, name: String) -> Result<Option<Upload>, IndexError> {
        index::get_upload(name).await.map(|upload| upload.map(Into::into)).map_err(Into::into)
    }

    async fn get_upload_by_id(&self, id: u64) -> Result<Option<Upload>, IndexError> {
        index::get_upload_by_id(id).await.map(|upload| upload.map(Into::into)).map_err(Into::into)
    }

    async fn find_upload(&self, slot: Slot) -> Result<Option<Upload>, IndexError> {
        index::find_upload(slot.into()).await.map(|upload| upload.map(Into::into)).map_err(Into::into)
    }

    async fn attach(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        index::attach(upload_id, attachment.into(), now_ms).await.map(Into::into).map_err(Into::into)
    }

    async fn finalize(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError> {
        let made = index::finalize(upload_id, attachment.into(), now_ms).await;
        made.map(|entry| entry.map(Into::into)).map_err(Into::into)
    }

    async fn abandon(&self, upload_id: u64) -> Result<bool, IndexError> {
        index::abandon(upload_id).await.map_err(Into::into)
    }

    async fn touch(&self, entry_id: u64, last_used_ms: u64, now_ms: u64) -> bool {
        index::touch(entry_id, last_used_ms, now_ms).await
    }

    async fn delete_entry(&self, id: u64, cause: Cause, now_ms: u64) -> Result<bool, IndexError> {
        index::delete_entry(id, cause.into(), now_ms).await.map_err(Into::into)
    }

    async fn note_refused(&self, marks: Vec<String>, now_ms: u64) -> Result<(), IndexError> {
        index::note_refused(marks, now_ms).await.map_err(Into::into)
    }

    async fn was_refused(&self, marks: Vec<String>) -> Result<bool, IndexError> {
        index::was_refused(marks).await.map_err(Into::into)
    }

    async fn judge_hit(
        &self,
        incoming: &Self::IncomingRequest,
        entry: Entry,
    ) -> Result<HitVerdict, IndexError> {
        rules::judge_hit(incoming, entry.into()).await.map(Into::into).map_err(Into::into)
    }

    async fn explain_hit(&self, scopes: Vec<Scope>, entry: Entry) -> Result<HitVerdict, IndexError> {
        let scopes = scopes.into_iter().map(Into::into).collect();
        rules::explain_hit(scopes, entry.into()).await.map(Into::into).map_err(Into::into)
    }

    fn judge_save(
        &self,
        incoming: &Self::IncomingRequest,
        key: String,
        version: String,
        size_bytes: Option<u64>,
    ) -> SaveVerdict {
        rules::judge_save(incoming, &key, &version, size_bytes).into()
    }
}
