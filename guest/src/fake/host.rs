//! [`Host`] for the fake.

use std::ops::Deref;

use super::{FakeHost, FakeIncomingRequest, FakeUpstream, Fault, LogLine, auth};
use crate::ports::{
    AttachOutcome, Attachment, AuthError, Block, ByteRange, Cause, Claims, Departed, Entry, Facts,
    HitVerdict, Host, HttpError, IndexError, Level, MatchKind, Nearby, Probe, Reservation, SaveVerdict,
    Scope, Settings, Slot, StorageError, Stored, Trust, Upload,
};

/// Most probes, and most skipped ids, of `index.find`.
const MAX_FIND: usize = 1000;
/// Most results of `index.list-near` and `index.list-departed`.
const MAX_LISTED: u32 = 10_000;

impl FakeHost {
    fn storage_call(&self, call: &'static str) -> Result<(), StorageError> {
        match self.enter(call) {
            None => Ok(()),
            Some(Fault::Storage(error)) => Err(error),
            Some(other) => Err(StorageError::Unavailable(format!("wrong fault for {call}: {other:?}"))),
        }
    }

    fn index_call(&self, call: &'static str) -> Result<(), IndexError> {
        match self.enter(call) {
            None => Ok(()),
            Some(Fault::Index(error)) => Err(error),
            Some(other) => Err(IndexError::Unavailable(format!("wrong fault for {call}: {other:?}"))),
        }
    }

    fn http_call(&self, call: &'static str) -> Result<(), HttpError> {
        match self.enter(call) {
            None => Ok(()),
            Some(Fault::Http(error)) => Err(error),
            Some(other) => Err(HttpError::Unavailable(format!("wrong fault for {call}: {other:?}"))),
        }
    }
}

impl FakeHost {
    /// Records that a body begins to arrive, a millisecond after its head.
    fn record_activity(&self, upload: &str) {
        self.index.borrow_mut().record_activity(upload, self.now_ms.get() + 1);
    }
}

impl FakeIncomingRequest {
    fn take_for_storage(&self, limit: Option<u64>) -> Result<Vec<u8>, StorageError> {
        let body = self
            .body
            .take()
            .ok_or_else(|| StorageError::Invalid("the body has been taken already".to_owned()))?;
        if self.cut_short {
            return Err(StorageError::Invalid("the body ended early".to_owned()));
        }
        if limit.is_some_and(|limit| body.len() as u64 > limit) {
            return Err(StorageError::TooLarge);
        }
        Ok(body)
    }
}

impl Host for FakeHost {
    type IncomingRequest = FakeIncomingRequest;
    type Object = Vec<u8>;
    type Upstream = FakeUpstream;

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.log.borrow_mut().push(LogLine { level, message: message.to_owned(), fields });
    }

    fn settings(&self) -> impl Deref<Target = Settings> {
        self.settings.borrow()
    }

    async fn verify(&self, incoming: &FakeIncomingRequest) -> Result<Claims, AuthError> {
        let _ = self.enter("auth.verify");
        let token = incoming.token.as_ref().ok_or(AuthError::Missing)?;
        let outcome = self.tokens.borrow().get(token).cloned();
        outcome.unwrap_or(Err(AuthError::BadSignature))
    }

    /// The token is the actor's name.
    fn facts(&self, incoming: &FakeIncomingRequest) -> Facts {
        let _ = self.enter("auth.get-facts");
        let actor = incoming.token.iter().map(|token| ("actor".to_owned(), token.clone()));
        let events = self.events.borrow();
        let event = incoming.token.as_ref().and_then(|token| events.get(token));
        actor.chain(event.map(|event| ("event_name".to_owned(), event.clone()))).collect()
    }

    fn sign(&self, text: &str) -> String {
        auth::sign(text)
    }

    fn check(&self, text: &str, signature: &str) -> bool {
        auth::sign(text) == signature
    }

    async fn read_body(
        &self,
        incoming: &FakeIncomingRequest,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, HttpError> {
        self.http_call("http.read-body")?;
        let body = incoming.body.take().ok_or(HttpError::BodyUsed)?;
        if incoming.cut_short {
            return Err(HttpError::CutShort);
        }
        if body.len() as u64 > limit_bytes { Err(HttpError::TooLarge) } else { Ok(body) }
    }

    async fn forward(&self, incoming: &FakeIncomingRequest) -> Result<FakeUpstream, HttpError> {
        self.http_call("http.forward")?;
        incoming.body.take().ok_or(HttpError::BodyUsed)?;
        self.upstream.borrow().clone().ok_or(HttpError::NoUpstream)
    }

    async fn stat(&self, object: String) -> Result<u64, StorageError> {
        self.storage_call("storage.stat")?;
        let store = self.storage.borrow();
        store.objects.get(&object).map(|content| content.len() as u64).ok_or(StorageError::NotFound)
    }

    async fn open(
        &self,
        object: String,
        size_bytes: u64,
        range: Option<ByteRange>,
    ) -> Result<Vec<u8>, StorageError> {
        self.storage_call("storage.open")?;
        let store = self.storage.borrow();
        let content = store.objects.get(&object).filter(|content| content.len() as u64 == size_bytes);
        let content = content.ok_or(StorageError::NotFound)?;
        let ByteRange { start, end } = range.unwrap_or(ByteRange { start: 0, end: size_bytes });
        let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = bounds.and_then(|(start, end)| content.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| StorageError::Invalid("not a range of the object".to_owned()))
    }

    async fn put(&self, upload: String, incoming: &FakeIncomingRequest) -> Result<Stored, StorageError> {
        self.storage_call("storage.put")?;
        self.record_activity(&upload);
        let content = incoming.take_for_storage(self.settings().max_entry_bytes)?;
        Ok(self.storage.borrow_mut().add(content))
    }

    async fn reserve_room(&self, _upload: String, _size_bytes: u64) -> Result<(), StorageError> {
        self.storage_call("storage.reserve-room")
    }

    async fn put_block(
        &self,
        upload: String,
        block_id: String,
        incoming: &FakeIncomingRequest,
    ) -> Result<u64, StorageError> {
        self.storage_call("storage.put-block")?;
        self.record_activity(&upload);
        let content = incoming.take_for_storage(self.settings().max_entry_bytes)?;
        self.storage.borrow_mut().put_block(upload, block_id, content)
    }

    async fn commit(&self, upload: String, block_ids: Vec<String>) -> Result<Stored, StorageError> {
        self.storage_call("storage.commit")?;
        self.storage.borrow_mut().commit(upload, block_ids)
    }

    async fn blocks(&self, upload: String) -> Result<Vec<Block>, StorageError> {
        self.storage_call("storage.blocks")?;
        Ok(self.storage.borrow().blocks(&upload))
    }

    async fn presign(
        &self,
        object: String,
        size_bytes: u64,
        lifetime_ms: u64,
    ) -> Result<Option<String>, StorageError> {
        self.storage_call("storage.presign")?;
        match self.storage.borrow().objects.get(&object) {
            _ if self.presign_disabled.get() => Ok(None),
            Some(content) if content.len() as u64 == size_bytes => {
                Ok(Some(format!("https://bucket.test/{object}?lifetime-ms={lifetime_ms}")))
            }
            _ => Err(StorageError::NotFound),
        }
    }

    async fn discard(&self, upload: String) -> Result<(), StorageError> {
        self.storage_call("storage.discard")?;
        self.storage.borrow_mut().staged.remove(&upload);
        Ok(())
    }

    async fn remove(&self, object: String) -> Result<(), StorageError> {
        self.storage_call("storage.remove")?;
        self.storage.borrow_mut().objects.remove(&object);
        Ok(())
    }

    async fn find(
        &self,
        repository: String,
        version: String,
        probes: Vec<Probe>,
        skip: Vec<u64>,
    ) -> Result<Option<Entry>, IndexError> {
        self.index_call("index.find")?;
        if probes.len() > MAX_FIND || skip.len() > MAX_FIND {
            return Err(IndexError::Unavailable("too many probes".to_owned()));
        }
        Ok(self.index.borrow().find(&repository, &version, &probes, &skip))
    }

    async fn get_entry(&self, id: u64) -> Result<Option<Entry>, IndexError> {
        self.index_call("index.get-entry")?;
        let index = self.index.borrow();
        Ok(index.entries.get(&id).filter(|entry| !index.quarantined.contains(&entry.id)).cloned())
    }

    async fn get_entry_of_upload(&self, upload_id: u64) -> Result<Option<Entry>, IndexError> {
        self.index_call("index.get-entry-of-upload")?;
        Ok(self.index.borrow().entry_of_upload(upload_id))
    }

    async fn list_near(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Nearby, IndexError> {
        self.index_call("index.list-near")?;
        Ok(self.index.borrow().list_near(&repository, &key, kind, limit.min(MAX_LISTED) as usize))
    }

    async fn list_departed(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Vec<Departed>, IndexError> {
        self.index_call("index.list-departed")?;
        Ok(self.index.borrow().list_departed(&repository, &key, kind, limit.min(MAX_LISTED) as usize))
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
        self.index_call("index.reserve")?;
        let mut index = self.index.borrow_mut();
        let outcome = index.reserve(slot, owner, now_ms, idle_before_ms);
        if let Reservation::Reserved(upload) = &outcome {
            index.facts.insert(upload.id, facts);
            index.trust.insert(upload.id, trust);
        }
        Ok(outcome)
    }

    async fn renew(&self, upload_id: u64, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        self.index_call("index.renew")?;
        Ok(self.index.borrow_mut().renew(upload_id, created_ms, now_ms))
    }

    async fn get_upload(&self, name: String) -> Result<Option<Upload>, IndexError> {
        self.index_call("index.get-upload")?;
        Ok(self.index.borrow().get_upload(&name))
    }

    async fn get_upload_by_id(&self, id: u64) -> Result<Option<Upload>, IndexError> {
        self.index_call("index.get-upload-by-id")?;
        Ok(self.index.borrow().uploads.get(&id).cloned())
    }

    async fn find_upload(&self, slot: Slot) -> Result<Option<Upload>, IndexError> {
        self.index_call("index.find-upload")?;
        Ok(self.index.borrow().find_upload(&slot))
    }

    async fn attach(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        self.index_call("index.attach")?;
        Ok(self.index.borrow_mut().attach(upload_id, attachment, now_ms))
    }

    async fn finalize(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError> {
        self.index_call("index.finalize")?;
        Ok(self.index.borrow_mut().finalize(upload_id, &attachment, now_ms))
    }

    async fn abandon(&self, upload_id: u64) -> Result<bool, IndexError> {
        self.index_call("index.abandon")?;
        Ok(self.index.borrow_mut().uploads.remove(&upload_id).is_some())
    }

    async fn touch(&self, entry_id: u64, last_used_ms: u64, now_ms: u64) -> bool {
        let _ = self.enter("index.touch");
        self.index.borrow_mut().touch(entry_id, last_used_ms, now_ms)
    }

    async fn delete_entry(&self, id: u64, cause: Cause, now_ms: u64) -> Result<bool, IndexError> {
        self.index_call("index.delete-entry")?;
        Ok(self.index.borrow_mut().delete(id, cause, now_ms))
    }

    async fn note_refused(&self, marks: Vec<String>, _now_ms: u64) -> Result<(), IndexError> {
        self.index_call("index.note-refused")?;
        self.index.borrow_mut().refused.extend(marks);
        Ok(())
    }

    async fn was_refused(&self, marks: Vec<String>) -> Result<bool, IndexError> {
        self.index_call("index.was-refused")?;
        Ok(marks.iter().any(|mark| self.index.borrow().refused.contains(mark)))
    }

    async fn judge_hit(
        &self,
        _incoming: &FakeIncomingRequest,
        entry: Entry,
    ) -> Result<HitVerdict, IndexError> {
        self.index_call("rules.judge-hit")?;
        Ok(self.judge(&entry))
    }

    async fn explain_hit(&self, _scopes: Vec<Scope>, entry: Entry) -> Result<HitVerdict, IndexError> {
        self.index_call("rules.explain-hit")?;
        Ok(self.judge(&entry))
    }

    fn judge_save(
        &self,
        _incoming: &FakeIncomingRequest,
        key: String,
        _version: String,
        size_bytes: Option<u64>,
    ) -> SaveVerdict {
        let _ = self.enter("rules.judge-save");
        let rule = self.save_rule.borrow();
        rule.as_ref().map_or_else(|| SaveVerdict::Accept(Facts::new()), |rule| rule(&key, size_bytes))
    }
}
