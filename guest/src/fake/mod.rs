//! A host in memory, for tests of the policy.
//!
//! Keeps the promises of `wit/*.wit` in the simplest way. It can be told to fail, to lose objects, and to do something right
//! before a call (a race, that is); and it remembers which calls were made and what was logged. Nothing in it ever waits.

mod auth;
mod exchange;
mod host;
mod index;
mod storage;

pub use exchange::{Answer, FakeIncoming, FakeRequest, FakeUpstream, block_on};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use crate::ports::{
    AuthError, Claims, Entry, HttpError, IndexError, Level, Scope, Settings, StorageError, Upload,
};

/// The time at which a [`FakeRequest`] arrives, unless it says otherwise.
pub const NOW_MS: u64 = 1_800_000_000_000;

/// A failure to inject; must fit the call that it is injected into.
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
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// What runs right before a call of the host.
type Hook = Box<dyn FnOnce(&FakeHost)>;

/// A host in memory.
pub struct FakeHost {
    settings: RefCell<Settings>,
    tokens: RefCell<BTreeMap<String, Result<Claims, AuthError>>>,
    /// What `forward` answers; `None` is no upstream.
    upstream: RefCell<Option<FakeUpstream>>,
    index: RefCell<index::Tables>,
    storage: RefCell<storage::Store>,
    calls: RefCell<Vec<&'static str>>,
    log: RefCell<Vec<LogLine>>,
    faults: RefCell<BTreeMap<&'static str, Fault>>,
    hooks: RefCell<VecDeque<(&'static str, Hook)>>,
    requests: Cell<u64>,
    /// When the request arrived that came last.
    now_ms: Cell<u64>,
    urls_missing: Cell<bool>,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeHost {
    /// Returns a host without tokens, entries or upstream. URLs are good for an hour, an upload is idle after a minute,
    /// entries are kept for ever and have no limit.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: RefCell::new(Settings {
                upload_url_ms: 3_600_000,
                download_url_ms: 3_600_000,
                idle_upload_ms: 60_000,
                unused_entry_ms: None,
                max_entry_bytes: None,
                parallel_download_origin: None,
                direct_url_ms: None,
                debug: false,
            }),
            tokens: RefCell::default(),
            upstream: RefCell::default(),
            index: RefCell::default(),
            storage: RefCell::default(),
            calls: RefCell::default(),
            log: RefCell::default(),
            faults: RefCell::default(),
            hooks: RefCell::default(),
            requests: Cell::new(0),
            now_ms: Cell::new(NOW_MS),
            urls_missing: Cell::new(false),
        }
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.borrow_mut());
    }

    /// Accepts a token of repository `1` with these scopes, each written as `name=r`, `name=w` or `name=rw`.
    pub fn allow(&self, token: &str, scopes: &[&str]) {
        self.set_token(token, Ok(claims("1", token, scopes)));
    }

    /// Says what `verify` returns for a token.
    pub fn set_token(&self, token: &str, outcome: Result<Claims, AuthError>) {
        self.tokens.borrow_mut().insert(token.to_owned(), outcome);
    }

    /// Says what `forward` returns.
    pub fn set_upstream(&self, answer: FakeUpstream) {
        *self.upstream.borrow_mut() = Some(answer);
    }

    /// Makes a call fail from now on, after its hook, until [`Self::heal`]. Calls are named as in the WIT: `index.find`.
    pub fn fail(&self, call: &'static str, fault: Fault) {
        self.faults.borrow_mut().insert(call, fault);
    }

    /// Ends all failures.
    pub fn heal(&self) {
        self.faults.borrow_mut().clear();
    }

    /// Does something right before the next call of this name that no earlier hook waits for.
    pub fn before(&self, call: &'static str, hook: impl FnOnce(&Self) + 'static) {
        self.hooks.borrow_mut().push_back((call, Box::new(hook)));
    }

    /// Returns the calls since the last time this was asked, in order.
    pub fn take_calls(&self) -> Vec<&'static str> {
        self.calls.take()
    }

    /// Returns the log lines since the last time this was asked, in order.
    pub fn take_log(&self) -> Vec<LogLine> {
        self.log.take()
    }

    /// Returns all entries, by id.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.index.borrow().entries.values().cloned().collect()
    }

    /// Returns all uploads, by id.
    #[must_use]
    pub fn uploads(&self) -> Vec<Upload> {
        self.index.borrow().uploads.values().cloned().collect()
    }

    /// Changes an upload in place.
    pub fn change_upload(&self, id: u64, change: impl FnOnce(&mut Upload)) {
        if let Some(upload) = self.index.borrow_mut().uploads.get_mut(&id) {
            change(upload);
        }
    }

    /// Makes an entry with this content, as a finished upload of an old release would, and returns its id.
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

    /// Loses all rows: entries and uploads.
    pub fn forget(&self) {
        *self.index.borrow_mut() = index::Tables::default();
    }

    /// Returns the names and contents of all objects.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.storage.borrow().objects.clone()
    }

    /// Loses the object of an entry, or cuts it to a length.
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

    /// Lets somebody else delete an entry just before its use is noted.
    pub fn let_vanish(&self, id: u64) {
        self.index.borrow_mut().vanishing.push(id);
    }

    /// Makes the storage one that has no URLs of its own.
    pub fn without_urls(&self) {
        self.urls_missing.set(true);
    }

    /// Returns the times at which entries were touched: id and time.
    #[must_use]
    pub fn touched(&self) -> Vec<(u64, u64)> {
        self.index.borrow().touched.clone()
    }

    /// Returns how many blocks are staged in an upload.
    #[must_use]
    pub fn staged(&self, upload: &str) -> usize {
        self.storage.borrow().staged.get(upload).map_or(0, |staging| staging.blocks.len())
    }

    /// Notes a call, runs its hook, and returns its fault if there is one.
    fn enter(&self, call: &'static str) -> Option<Fault> {
        self.calls.borrow_mut().push(call);
        let hook = {
            let mut hooks = self.hooks.borrow_mut();
            let at = hooks.iter().position(|(waits_for, _)| *waits_for == call);
            at.and_then(|at| hooks.remove(at))
        };
        if let Some((_, hook)) = hook {
            hook(self);
        }
        self.faults.borrow().get(call).cloned()
    }
}

/// Returns claims; the scopes as in [`FakeHost::allow`].
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
