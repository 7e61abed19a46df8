//! Random calls, compared with a model in memory.

use std::collections::BTreeMap;

use super::{
    AttachOutcome, Attachment, Entry, MatchKind, NOW, Reservation, Upload, index, object, probe, run, same,
    slot,
};

/// The index in two maps, by the key in lower case.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    uploads: BTreeMap<String, Upload>,
    last_entry: u64,
}

impl Model {
    fn upload(&mut self, id: u64) -> Option<&mut Upload> {
        self.uploads.values_mut().find(|upload| upload.id == id)
    }

    fn newest(&self, prefix: &str, kind: MatchKind, skip: &[u64]) -> Option<&Entry> {
        let matches = |key: &str| match kind {
            MatchKind::Exact => key == prefix.to_lowercase(),
            MatchKind::Prefix => key.starts_with(&prefix.to_lowercase()),
        };
        let found = self.entries.iter().filter(|(key, entry)| matches(key) && !skip.contains(&entry.id));
        found.map(|(_, entry)| entry).max_by_key(|entry| entry.id)
    }
}

const KEYS: [&str; 7] = ["a", "A", "ab", "aB", "abc", "b", "c.d"];

#[test]
fn random_calls_do_what_the_model_does() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..25 {
        let root = tempfile::tempdir().unwrap();
        let (index, mut model, mut ids) = (index(root.path()), Model::default(), vec![5_u64]);
        for step in 0..120_u64 {
            let now = NOW + step * 1000;
            let key = KEYS[random.usize(..KEYS.len())];
            let folded = key.to_lowercase();
            let id = ids[random.usize(..ids.len())];
            let content: Attachment = object(random.u64(..3));
            match random.u32(..12) {
                0..=2 => {
                    let idle_before = now - random.u64(..40_000);
                    let outcome =
                        run(index.reserve(&slot(key), "me", &crate::facts::NO_FACTS, now, idle_before))
                            .unwrap();
                    if let Some(entry) = model.entries.get(&folded) {
                        same(&outcome, &Reservation::Entry(entry.clone()));
                        continue;
                    }
                    if let Some(upload) = model.uploads.get(&folded)
                        && upload.last_activity_ms >= idle_before
                    {
                        same(&outcome, &Reservation::Upload(upload.clone()));
                        continue;
                    }
                    let Reservation::Reserved(upload) = outcome else { panic!("{outcome:?}") };
                    assert_eq!((upload.created_ms, &*upload.slot.key), (now, key));
                    ids.push(upload.id);
                    model.uploads.insert(folded, upload);
                }
                3 | 4 => {
                    let outcome = run(index.attach(id, &content, now)).unwrap();
                    let Some(upload) = model.upload(id) else {
                        assert!(matches!(outcome, AttachOutcome::Gone));
                        continue;
                    };
                    upload.last_activity_ms = now;
                    let before = upload.attachment.replace(content.clone()).map(|before| before.object);
                    same(&outcome, &AttachOutcome::Attached(before.filter(|o| *o != content.object)));
                }
                5 | 6 => {
                    let made = run(index.finalize(id, &content, now)).unwrap();
                    let ready = model.upload(id).is_some_and(|upload| {
                        upload.attachment.as_ref().is_some_and(|a| a.object == content.object)
                    });
                    assert_eq!(made.is_some(), ready);
                    let Some(entry) = made else { continue };
                    assert!(entry.id > model.last_entry);
                    model.last_entry = entry.id;
                    let key = entry.slot.key.to_lowercase();
                    same(&entry.slot, &model.uploads.remove(&key).unwrap().slot);
                    assert_eq!((entry.created_ms, entry.last_used_ms), (now, now));
                    ids.push(entry.id);
                    model.entries.insert(key, entry);
                }
                7 => {
                    let existed = run(index.abandon(id)).unwrap();
                    let before = model.uploads.len();
                    model.uploads.retain(|_, upload| upload.id != id);
                    assert_eq!(existed, model.uploads.len() < before);
                }
                8 => {
                    let existed = run(index.delete_entry(id)).unwrap();
                    let before = model.entries.len();
                    model.entries.retain(|_, entry| entry.id != id);
                    assert_eq!(existed, model.entries.len() < before);
                }
                9 => {
                    let known = model.entries.values_mut().find(|entry| entry.id == id);
                    let used_ms = known.as_ref().map_or(0, |entry| entry.last_used_ms);
                    let served = run(index.touch(id, used_ms, now)).unwrap();
                    assert_eq!(served, known.is_some());
                    if let Some(entry) = known.filter(|_| now - used_ms >= 60_000) {
                        entry.last_used_ms = now;
                    }
                }
                10 => {
                    let created = model.upload(id).map_or(0, |upload| upload.created_ms);
                    let renewed = run(index.renew(id, created, now)).unwrap();
                    let untouched = model.upload(id).filter(|upload| {
                        upload.attachment.is_none() && upload.last_activity_ms == upload.created_ms
                    });
                    assert_eq!(renewed, untouched.is_some());
                    if let Some(upload) = untouched {
                        (upload.created_ms, upload.last_activity_ms) = (now, now);
                    }
                }
                _ => {
                    let skip = [id];
                    for kind in [MatchKind::Exact, MatchKind::Prefix] {
                        let found = run(index.find("1", "v", &[probe(key, kind)], &skip)).unwrap();
                        same(&found.as_ref(), &model.newest(key, kind, &skip));
                    }
                    same(&run(index.get_upload_by_id(id)).unwrap().as_ref(), &model.upload(id).map(|u| &*u));
                    let by_id = model.entries.values().find(|entry| entry.id == id);
                    same(&run(index.get_entry(id)).unwrap().as_ref(), &by_id);
                }
            }
        }
    }
}
