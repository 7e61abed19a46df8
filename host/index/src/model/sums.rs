//! Runs random sequences of operations on a driver, and compares what is counted with a model.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use larder_storage::{ObjectName, UploadName};
use proptest::prelude::*;

use crate::{
    Area, Attachment, Bound, Caps, Cause, Departure, Durability, Entry, Index, Remains, Reservation, Room,
    Slot, Trust, Upload,
    conformance::{attachment, unique},
};

/// The cap of the repository.
const CAP: u64 = 400;

const SCOPES: u64 = 2;

/// Kinds of operations, each with a choice and a number of bytes.
pub(crate) fn ops() -> impl Strategy<Value = Vec<(u8, u8, u16)>> {
    proptest::collection::vec((0_u8..9, any::<u8>(), 0_u16..100), 1..120)
}

/// An upload in progress.
struct Open {
    upload: Upload,
    reserved: u64,
    attached: Option<Attachment>,
    /// All that were ever attached.
    objects: Vec<Attachment>,
}

/// Where bytes are counted, and how many.
type Counted = (String, u64);

struct Run<'a> {
    index: &'a dyn Index,
    repository: String,
    now_ms: u64,
    open: Vec<Open>,
    entries: Vec<Entry>,
    left_uploads: BTreeMap<UploadName, Counted>,
    left_objects: BTreeMap<ObjectName, Counted>,
    /// All that there ever were.
    uploads: Vec<UploadName>,
    objects: Vec<ObjectName>,
}

/// Panics if the driver counts differently.
pub(crate) async fn compare(index: &dyn Index, ops: Vec<(u8, u8, u16)>) {
    let mut run = Run {
        index,
        repository: unique("repository"),
        now_ms: 1,
        open: Vec::new(),
        entries: Vec::new(),
        left_uploads: BTreeMap::new(),
        left_objects: BTreeMap::new(),
        uploads: Vec::new(),
        objects: Vec::new(),
    };
    for (kind, choice, bytes) in ops {
        run.now_ms += 1;
        run.step(kind, usize::from(choice), u64::from(bytes)).await;
        run.check().await;
    }
    assert_eq!(index.recount().await.unwrap(), 0);
}

impl Run<'_> {
    async fn step(&mut self, kind: u8, choice: usize, bytes: u64) {
        match kind {
            0 => self.reserve(choice, bytes).await,
            7 => {
                let Some(name) = pick(&self.uploads, choice).cloned() else { return };
                self.left_uploads.remove(&name);
                self.index.left_uploads(&[name]).await.unwrap();
            }
            8 => {
                let Some(object) = pick(&self.objects, choice).cloned() else { return };
                self.left_objects.remove(&object);
                self.index.left_objects(&[object]).await.unwrap();
            }
            6 if !self.entries.is_empty() => {
                let entry = self.entries.remove(choice % self.entries.len());
                let departure = Departure { cause: Cause::Size, at_ms: 1 };
                assert!(self.index.delete_entry(entry.id, &departure).await.unwrap());
                self.left_objects.insert(entry.object, (entry.slot.scope, entry.size_bytes));
            }
            1..=5 if !self.open.is_empty() => {
                let at = choice % self.open.len();
                match kind {
                    1 => self.room(at, bytes).await,
                    2 => self.attach(at, attachment(bytes)).await,
                    3 => {
                        let Some(earlier) = pick(&self.open[at].objects, choice).cloned() else { return };
                        self.attach(at, earlier).await;
                    }
                    4 => self.finalize(at).await,
                    _ => {
                        assert!(self.index.abandon(self.open[at].upload.id).await.unwrap());
                        self.abandoned(at);
                    }
                }
            }
            _ => {}
        }
    }

    async fn reserve(&mut self, choice: usize, bytes: u64) {
        let slot = Slot {
            repository: self.repository.clone(),
            scope: format!("s{}", choice as u64 % SCOPES),
            version: "v".to_owned(),
            key: (choice % 3).to_string(),
        };
        let idle_before_ms = if bytes.is_multiple_of(4) { self.now_ms } else { 0 };
        let facts = &crate::NO_FACTS;
        let reserved = self.index.reserve(&slot, "o", facts, Trust::Full, self.now_ms, idle_before_ms).await;
        let Reservation::Reserved(upload) = reserved.unwrap() else { return };
        if let Some(at) = self.open.iter().position(|open| open.upload.slot == slot) {
            self.abandoned(at);
        }
        self.uploads.push(upload.name.clone());
        self.open.push(Open { upload, reserved: 0, attached: None, objects: Vec::new() });
    }

    async fn room(&mut self, at: usize, bytes: u64) {
        let caps = Caps { repository: Some(CAP), ..Caps::default() };
        let missing = (self.sum(None) + bytes).saturating_sub(CAP);
        let expected = match missing {
            0 => Room::Reserved,
            bytes => Room::Short { bound: Bound::Repository, bytes },
        };
        let room = self.index.reserve_room(&self.open[at].upload.name, bytes, &caps).await.unwrap();
        assert_eq!(room, expected);
        if room == Room::Reserved {
            self.open[at].reserved += bytes;
        }
    }

    async fn attach(&mut self, at: usize, content: Attachment) {
        let open = &mut self.open[at];
        self.index.attach(open.upload.id, &content, None, self.now_ms).await.unwrap();
        if let Some(before) = open.attached.take().filter(|before| before.object != content.object) {
            let moved = before.size_bytes.min(open.reserved);
            open.reserved -= moved;
            if moved > 0 {
                self.left_objects.insert(before.object, (open.upload.slot.scope.clone(), moved));
            }
            open.reserved += self.left_objects.remove(&content.object).map_or(0, |(_, bytes)| bytes);
        }
        self.objects.push(content.object.clone());
        open.objects.push(content.clone());
        open.attached = Some(content);
    }

    async fn finalize(&mut self, at: usize) {
        let Some(content) = self.open[at].attached.clone() else { return };
        let id = self.open[at].upload.id;
        let made = self.index.finalize(id, &content, &Durability::Durable, self.now_ms).await.unwrap();
        let Open { upload, reserved, .. } = self.open.remove(at);
        if reserved > content.size_bytes {
            let rest = reserved - content.size_bytes;
            self.left_uploads.insert(upload.name, (upload.slot.scope, rest));
        }
        self.entries.push(made.unwrap());
    }

    fn abandoned(&mut self, at: usize) {
        let Open { upload, reserved, .. } = self.open.remove(at);
        if reserved > 0 {
            self.left_uploads.insert(upload.name, (upload.slot.scope, reserved));
        }
    }

    /// Returns what is counted in a scope, or in all.
    fn sum(&self, scope: Option<&str>) -> u64 {
        let open = self.open.iter().map(|open| (&open.upload.slot.scope, open.reserved));
        let entries = self.entries.iter().map(|entry| (&entry.slot.scope, entry.size_bytes));
        let left = self.left_uploads.values().chain(self.left_objects.values());
        let all = open.chain(entries).chain(left.map(|(scope, bytes)| (scope, *bytes)));
        all.filter(|(of, _)| scope.is_none_or(|scope| scope == of.as_str())).map(|(_, bytes)| bytes).sum()
    }

    async fn check(&self) {
        let repository = || self.repository.clone();
        for scope in (0..SCOPES).map(|number| format!("s{number}")) {
            let expected = self.sum(Some(&scope));
            let area = Area::Scope { repository: repository(), scope };
            assert_eq!(self.index.usage_of(&area).await.unwrap(), expected, "{area:?}");
        }
        for area in [Area::Repository(repository()), Area::Tenant] {
            assert_eq!(self.index.usage_of(&area).await.unwrap(), self.sum(None), "{area:?}");
        }
        let mut listed: BTreeMap<String, u64> = BTreeMap::new();
        for leaving in self.index.list_leaving(None, usize::MAX).await.unwrap() {
            let name = match leaving.what {
                Remains::Upload { name, .. } => name.to_string(),
                Remains::Object(object) => object.to_string(),
            };
            listed.insert(name, leaving.bytes);
        }
        let uploads = self.left_uploads.iter().map(|(name, (_, bytes))| (name.to_string(), *bytes));
        let objects = self.left_objects.iter().map(|(name, (_, bytes))| (name.to_string(), *bytes));
        assert_eq!(listed, uploads.chain(objects).collect());
    }
}

fn pick<T>(from: &[T], choice: usize) -> Option<&T> {
    from.get(choice.checked_rem(from.len())?)
}
