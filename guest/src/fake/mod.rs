//! A host in memory, for tests of the policy.
//!
//! Implements the contracts of `wit/*.wit` in the simplest way. Tests can inject failures, damage
//! objects, and run code right before a call (a race). It records all calls and log lines. Its
//! futures are always ready.

mod auth;
mod exchange;
mod host;
mod index;
mod storage;

pub use exchange::{FakeIncomingRequest, FakeRequest, FakeResponse, FakeUpstream, block_on};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use crate::ports::{
    AskedRules, AuthError, Cause, Claims, Departed, Entry, Facts, HitVerdict, HttpError, IndexError, Level,
    SaveVerdict, Scope, Settings, StorageError, Trust, Upload,
};

/// The default arrival time of a [`FakeRequest`].
pub const NOW_MS: u64 = 1_800_000_000_000;

/// A failure to inject. Must match the interface of the call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// For the calls of `storage`.
    Storage(StorageError),
    /// For the calls of `index`.
    Index(IndexError),
    /// For the calls of `http`.
    Http(HttpError),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// Runs right before a call of the host.
type Hook = Box<dyn FnOnce(&FakeHost)>;

/// What the rules say of an entry that matches.
type HitRule = Box<dyn Fn(&Entry) -> HitVerdict>;
/// What the rules say of a save: its key, and its size if that is known.
type SaveRule = Box<dyn Fn(&str, Option<u64>) -> SaveVerdict>;

/// A host in memory.
pub struct FakeHost {
    settings: RefCell<Settings>,
    tokens: RefCell<BTreeMap<String, Result<Claims, AuthError>>>,
    /// The event that started the job of a token.
    events: RefCell<BTreeMap<String, String>>,
    /// The response of `forward`; `None` is no upstream.
    upstream: RefCell<Option<FakeUpstream>>,
    index: RefCell<index::Tables>,
    storage: RefCell<storage::Store>,
    calls: RefCell<Vec<&'static str>>,
    log: RefCell<Vec<LogLine>>,
    faults: RefCell<BTreeMap<&'static str, Fault>>,
    hooks: RefCell<VecDeque<(&'static str, Hook)>>,
    requests: Cell<u64>,
    /// When the last request arrived.
    now_ms: Cell<u64>,
    presign_disabled: Cell<bool>,
    hit_rule: RefCell<Option<HitRule>>,
    save_rule: RefCell<Option<SaveRule>>,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeHost {
    /// Returns a host without tokens, entries or upstream. URLs are valid for an hour, an upload is
    /// idle after a minute, entries never expire and have no limit.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: RefCell::new(Settings {
                upload_url_ms: 3_600_000,
                download_url_ms: 3_600_000,
                idle_upload_ms: 60_000,
                unused_entry_ms: None,
                never_used_ms: None,
                max_age_ms: None,
                keep_newest: Vec::new(),
                barred_ms: None,
                max_entry_bytes: None,
                parallel_download_origin: None,
                direct_url_ms: None,
                has_retention_rules: false,
                debug: false,
            }),
            tokens: RefCell::default(),
            events: RefCell::default(),
            upstream: RefCell::default(),
            index: RefCell::default(),
            storage: RefCell::default(),
            calls: RefCell::default(),
            log: RefCell::default(),
            faults: RefCell::default(),
            hooks: RefCell::default(),
            requests: Cell::new(0),
            now_ms: Cell::new(NOW_MS),
            presign_disabled: Cell::new(false),
            hit_rule: RefCell::default(),
            save_rule: RefCell::default(),
        }
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.borrow_mut());
    }

    /// Accepts a token of repository `1` with these scopes: `name=r`, `name=w` or `name=rw`.
    pub fn allow(&self, token: &str, scopes: &[&str]) {
        self.set_token(token, Ok(claims("1", token, scopes)));
    }

    /// Sets the result of `verify` for a token.
    pub fn set_token(&self, token: &str, outcome: Result<Claims, AuthError>) {
        self.tokens.borrow_mut().insert(token.to_owned(), outcome);
    }

    /// Sets the response of `forward`.
    pub fn set_upstream(&self, response: FakeUpstream) {
        *self.upstream.borrow_mut() = Some(response);
    }

    /// Makes a call fail, after its hook, until [`Self::heal`]. Calls have their WIT names:
    /// `index.find`.
    pub fn fail(&self, call: &'static str, fault: Fault) {
        self.faults.borrow_mut().insert(call, fault);
    }

    /// Removes all injected failures.
    pub fn heal(&self) {
        self.faults.borrow_mut().clear();
    }

    /// Runs `hook` right before the next call with this name that has no hook yet.
    pub fn before(&self, call: &'static str, hook: impl FnOnce(&Self) + 'static) {
        self.hooks.borrow_mut().push_back((call, Box::new(hook)));
    }

    /// Returns the calls since the last invocation, in order.
    pub fn take_calls(&self) -> Vec<&'static str> {
        self.calls.take()
    }

    /// Returns the log lines since the last invocation, in order.
    pub fn take_log(&self) -> Vec<LogLine> {
        self.log.take()
    }

    /// Returns all entries, by id.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.index.borrow().entries.values().cloned().collect()
    }

    /// Deletes all uploads, and what is staged for them.
    pub fn abandon_all(&self) {
        self.index.borrow_mut().uploads.clear();
        self.storage.borrow_mut().staged.clear();
    }

    /// Abandons the upload of a key and its blocks, as a host does for which there is no room.
    pub fn abandon_key(&self, key: &str) {
        let mut index = self.index.borrow_mut();
        for (_, upload) in index.uploads.extract_if(.., |_, upload| upload.slot.key == key) {
            self.storage.borrow_mut().staged.remove(&upload.name);
        }
    }

    /// Returns all uploads, by id.
    #[must_use]
    pub fn uploads(&self) -> Vec<Upload> {
        self.index.borrow().uploads.values().cloned().collect()
    }

    /// Returns the facts that an upload was reserved with.
    #[must_use]
    pub fn facts(&self, upload: u64) -> Facts {
        self.index.borrow().facts.get(&upload).cloned().unwrap_or_default()
    }

    /// Sets the event that started the job of a token.
    pub fn set_event(&self, token: &str, event: &str) {
        self.events.borrow_mut().insert(token.to_owned(), event.to_owned());
    }

    /// Returns the trust that an upload was reserved with, or an entry has.
    #[must_use]
    pub fn trust(&self, id: u64) -> Trust {
        self.index.borrow().trust.get(&id).copied().unwrap_or(Trust::Full)
    }

    /// Sets the trust of an entry.
    pub fn set_trust(&self, id: u64, trust: Trust) {
        self.index.borrow_mut().trust.insert(id, trust);
    }

    /// Withholds an entry.
    pub fn quarantine(&self, id: u64) {
        self.index.borrow_mut().quarantined.push(id);
    }

    /// Deletes an entry, as the host does.
    pub fn depart(&self, id: u64, cause: Cause, now_ms: u64) {
        self.index.borrow_mut().delete(id, cause, now_ms);
    }

    /// Returns the deleted entries, in the order of their departure.
    #[must_use]
    pub fn departed(&self) -> Vec<Departed> {
        self.index.borrow().departed.clone()
    }

    /// Changes an entry in place.
    pub fn change_entry(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.index.borrow_mut().entries.get_mut(&id) {
            change(entry);
        }
    }

    /// Changes an upload in place.
    pub fn change_upload(&self, id: u64, change: impl FnOnce(&mut Upload)) {
        if let Some(upload) = self.index.borrow_mut().uploads.get_mut(&id) {
            change(upload);
        }
    }

    /// Adds an entry with this content, as made by an old release (without owner), and returns its
    /// id.
    pub fn add_entry(&self, scope: &str, version: &str, key: &str, content: &[u8]) -> u64 {
        let object = self.storage.borrow_mut().add(content.to_vec());
        let slot = crate::ports::Slot {
            repository: "1".to_owned(),
            scope: scope.to_owned(),
            version: version.to_owned(),
            key: key.to_owned(),
        };
        self.index.borrow_mut().add_entry(slot, object, None, NOW_MS - 1000).id
    }

    /// Deletes all rows: entries and uploads.
    pub fn forget(&self) {
        *self.index.borrow_mut() = index::Tables::default();
    }

    /// Returns the names and contents of all objects.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.storage.borrow().objects.clone()
    }

    /// Deletes the object of an entry, or truncates it to `keep_bytes`.
    pub fn damage(&self, entry: u64, keep_bytes: Option<usize>) {
        let Some(object) = self.index.borrow().entries.get(&entry).map(|entry| entry.object.clone()) else {
            return;
        };
        let objects = &mut self.storage.borrow_mut().objects;
        match keep_bytes {
            None => drop(objects.remove(&object)),
            Some(length) => {
                if let Some(content) = objects.get_mut(&object) {
                    content.truncate(length);
                }
            }
        }
    }

    /// Deletes an entry right before its next `touch`.
    pub fn delete_before_touch(&self, id: u64) {
        self.index.borrow_mut().delete_before_touch.push(id);
    }

    /// Makes `presign` return `none`.
    pub fn disable_presign(&self) {
        self.presign_disabled.set(true);
    }

    /// Loads a rule about each entry that a lookup would take.
    pub fn set_hit_rule(&self, rule: impl Fn(&Entry) -> HitVerdict + 'static) {
        *self.hit_rule.borrow_mut() = Some(Box::new(rule));
    }

    /// Loads a rule about what is saved.
    pub fn set_save_rule(&self, rule: impl Fn(&str, Option<u64>) -> SaveVerdict + 'static) {
        *self.save_rule.borrow_mut() = Some(Box::new(rule));
    }

    /// Which rules are loaded.
    fn asked_rules(&self) -> AskedRules {
        AskedRules { restore: self.hit_rule.borrow().is_some(), save: self.save_rule.borrow().is_some() }
    }

    fn judge(&self, entry: &Entry) -> HitVerdict {
        self.hit_rule.borrow().as_ref().map_or(HitVerdict::Accept, |rule| rule(entry))
    }

    /// Returns the touches of entries: id and time.
    #[must_use]
    pub fn touched(&self) -> Vec<(u64, u64)> {
        self.index.borrow().touched.clone()
    }

    /// Returns the number of staged blocks of an upload.
    #[must_use]
    pub fn staged(&self, upload: &str) -> usize {
        self.storage.borrow().staged.get(upload).map_or(0, |staging| staging.blocks.len())
    }

    /// Records a call, runs its hook, and returns its fault, if there is one.
    fn enter(&self, call: &'static str) -> Option<Fault> {
        self.calls.borrow_mut().push(call);
        let hook = {
            let mut hooks = self.hooks.borrow_mut();
            let at = hooks.iter().position(|(hooked, _)| *hooked == call);
            at.and_then(|at| hooks.remove(at))
        };
        if let Some((_, hook)) = hook {
            hook(self);
        }
        self.faults.borrow().get(call).cloned()
    }
}

/// Returns claims with scopes as in [`FakeHost::allow`].
#[must_use]
pub fn claims(repository: &str, owner: &str, scopes: &[&str]) -> Claims {
    let scope = |text: &&str| {
        let (name, rights) = text.rsplit_once('=').unwrap_or((text, ""));
        Scope { name: name.to_owned(), read: rights.contains('r'), write: rights.contains('w') }
    };
    Claims {
        repository: repository.to_owned(),
        scopes: scopes.iter().map(scope).collect(),
        owner: owner.to_owned(),
        expires_ms: NOW_MS + 3_600_000,
    }
}
