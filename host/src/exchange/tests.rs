#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    rc::Rc,
};

use tempfile::TempDir;

use super::*;
use crate::versions::Versions;

/// Versions are texts; `bad` is none.
#[derive(Clone, Default)]
struct Texts {
    in_force: Rc<RefCell<Vec<String>>>,
    fails: Rc<Cell<bool>>,
}

impl Exchanged for Texts {
    type Loaded = String;

    const WHAT: &'static str = "policy";
    const COMMAND: &'static str = "texts use";

    async fn load(&self, content: Vec<u8>, _name: &str) -> Result<String, Fault> {
        let text = String::from_utf8(content)?;
        if text == "bad" { Err("it is bad".into()) } else { Ok(text) }
    }

    async fn put(&self, loaded: String) -> Result<(), Fault> {
        if loaded == "nowhere" {
            return Err("it does not start".into());
        }
        self.in_force.borrow_mut().push(loaded);
        Ok(())
    }

    async fn fails(&self, _loaded: &String) {
        if !self.fails.get() {
            std::future::pending::<()>().await;
        }
    }
}

struct Tried {
    texts: Texts,
    exchange: Exchange<Texts>,
    versions: Versions,
    handle: ExchangeHandle,
}

impl Tried {
    fn new(data: &Path) -> Self {
        let texts = Texts::default();
        let versions = Versions::of_policy(data);
        let source = Source {
            versions: versions.clone(),
            file: Some(data.join("file")),
            built_in: (b"built in", "built in"),
        };
        let record = InForce {
            version: Version::of(b"built in", "built in"),
            source: known::BUILT_IN.to_owned(),
            since_ms: 1,
        };
        let held = Held { record, loaded: "built in".to_owned() };
        let (exchange, handle) = Exchange::new(texts.clone(), Some(source), held);
        Self { texts, exchange, versions, handle }
    }

    fn in_force(&self) -> Vec<String> {
        self.texts.in_force.borrow().clone()
    }

    fn history(&self) -> Vec<String> {
        let known = self.versions.history().into_iter();
        known
            .map(|known| String::from_utf8(self.versions.read(&known.version).unwrap_or_default()).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn a_changed_file_is_put_in_force_once() {
    let data = TempDir::new().unwrap();
    let mut tried = Tried::new(data.path());
    // The configured file is not there: nothing changes.
    tried.exchange.look(false).await;
    assert!(tried.in_force().is_empty());
    fs::write(data.path().join("file"), "one").unwrap();
    tried.exchange.look(false).await;
    tried.exchange.look(false).await;
    tried.exchange.look(true).await;
    assert_eq!(tried.in_force(), ["one"]);
    // The built-in version, before, is not in the folder.
    assert_eq!(tried.history(), ["one", ""]);
}

#[tokio::test]
async fn a_version_that_cannot_be_used_changes_nothing() {
    let data = TempDir::new().unwrap();
    let mut tried = Tried::new(data.path());
    fs::write(data.path().join("file"), "bad").unwrap();
    tried.exchange.look(false).await;
    assert!(tried.in_force().is_empty());
    // A configured file may be mended by other means: it is tried again by the next start.
    assert_eq!(tried.versions.rejection(&Version::of(b"bad", "")), None);
    let chosen = tried.versions.store(b"nowhere", "n").unwrap();
    tried.versions.choose(&chosen).unwrap();
    tried.exchange.look(false).await;
    // On all threads, the one before again.
    assert_eq!(tried.in_force(), ["built in"]);
    assert_eq!(tried.versions.rejection(&chosen).as_deref(), Some("it does not start"));
    assert_eq!(tried.exchange.held.loaded, "built in");
    assert_eq!(tried.handle.in_force().version.name, "built in");
    assert_eq!(tried.handle.counts().map(|(_, count)| count), [0, 2, 0]);
}

#[tokio::test]
async fn what_is_chosen_stands_above_the_file_until_it_is_taken_back() {
    let data = TempDir::new().unwrap();
    let mut tried = Tried::new(data.path());
    fs::write(data.path().join("file"), "of the file").unwrap();
    let chosen = tried.versions.store(b"chosen", "c").unwrap();
    tried.versions.choose(&chosen).unwrap();
    tried.exchange.look(false).await;
    tried.versions.choose_none().unwrap();
    tried.exchange.look(false).await;
    assert_eq!(tried.in_force(), ["chosen", "of the file"]);
}

#[tokio::test]
async fn a_version_that_fails_goes_back_and_is_not_tried_again() {
    let data = TempDir::new().unwrap();
    let mut tried = Tried::new(data.path());
    let chosen = tried.versions.store(b"fails", "f").unwrap();
    tried.versions.choose(&chosen).unwrap();
    tried.exchange.look(false).await;
    tried.texts.fails.set(true);
    let mut ticks = interval(WATCH);
    assert!(matches!(tried.exchange.next(&mut ticks).await, Step::GoBack));
    tried.exchange.go_back("it fails").await;
    assert_eq!(tried.in_force(), ["fails", "built in"]);
    assert_eq!(tried.versions.rejection(&chosen).as_deref(), Some("it fails"));
    tried.exchange.look(true).await;
    assert_eq!(tried.in_force().len(), 2, "a rejected version is left alone");
    // What others are told, and since when.
    let earlier = tried.handle.in_force();
    assert_eq!((earlier.source.as_str(), earlier.since_ms > 1), (known::BUILT_IN, true));
    tried.versions.choose(&chosen).unwrap();
    tried.exchange.look(false).await;
    assert_eq!(tried.in_force().len(), 3, "chosen again, it is tried again");
    assert_eq!(tried.handle.in_force().version, chosen);
    assert_eq!(tried.handle.counts(), [("ok", 2), ("refused", 0), ("went_back", 1)]);
}

#[tokio::test]
async fn what_a_call_brings_holds_until_the_file_changes() {
    let data = TempDir::new().unwrap();
    let mut tried = Tried::new(data.path());
    fs::write(data.path().join("file"), "one").unwrap();
    tried.exchange.look(false).await;
    let record = tried.exchange.record(Version::of(b"by call", ""), known::BY_CALL);
    tried.exchange.take(b"by call".to_vec(), record).await.unwrap();
    tried.exchange.look(false).await;
    fs::write(data.path().join("file"), "another").unwrap();
    tried.exchange.look(false).await;
    assert_eq!(tried.in_force(), ["one", "by call", "another"]);
}

#[test]
fn a_configured_file_falls_back_on_what_was_in_force_from_this_file_alone() {
    let data = TempDir::new().unwrap();
    let tried = Tried::new(data.path());
    let file = data.path().join("file");
    for (content, source) in
        [("a", "chosen"), ("b", file.to_str().unwrap()), ("c", "elsewhere"), ("d", "chosen")]
    {
        let version = tried.versions.store(content.as_bytes(), content).unwrap();
        tried.versions.record(InForce { version, source: source.to_owned(), since_ms: 1 }).unwrap();
    }
    fs::write(&file, "bad").unwrap();
    let source = tried.exchange.source.as_ref().unwrap();
    let earlier = |wanted: &Wanted| -> Vec<Vec<u8>> {
        source.earlier(wanted).into_iter().map(|(_, content)| content).collect()
    };
    assert_eq!(earlier(&source.wanted().unwrap()), [b"b"]);
    let chosen = tried.versions.store(b"a", "a").unwrap();
    tried.versions.choose(&chosen).unwrap();
    tried.versions.reject(&Version::of(b"d", "d"), "no").unwrap();
    assert_eq!(earlier(&source.wanted().unwrap()), [b"c", b"b"]);
}
