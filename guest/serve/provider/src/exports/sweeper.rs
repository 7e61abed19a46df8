//! `larder:serve/sweeper`: pages of the directory for sweeps.

use super::{Provider, unavailable};
use crate::{
    bindings::exports::larder::{
        cache::{
            index::{Entry, Upload},
            storage::Error as StorageError,
        },
        serve::sweeper::{Content, EntryPage, Guest, OrphanPage, UploadPage},
    },
    directory::{Directory, wasi::WasiDirectory},
    index::Page,
    instance::{Instance, instance, now_ms},
    storage::Storage,
};

/// Most roots of a page of entries.
const MAX_ROOTS: usize = 10_000;
/// Most roots that are kept for a sweep.
const MAX_KEPT_ROOTS: usize = 50_000;
/// The folders of a sweep's roots.
const SWEEPS: &str = "sweeps";

/// What is listed for orphans, in this order: pointers before the links that need them.
const ORPHANS: [&str; 6] = ["objects", "blocks", "entries", "uploads", "places", "tmp"];

impl Guest for Provider {
    async fn list_entries(cursor: String) -> Result<EntryPage, String> {
        let Page { items, next } = told("sweep", instance().index.list_entries(&cursor).await)?;
        for entry in &items {
            let corrected = instance().index.correct_future(None, Some(entry.id), now_ms()).await;
            told("sweep", corrected)?;
        }
        Ok(EntryPage { entries: items, next })
    }

    async fn contents(entries: Vec<Entry>) -> Vec<Content> {
        let mut states = Vec::with_capacity(entries.len());
        for entry in entries {
            states.push(match instance().storage.stat(&entry.object).await {
                Ok(size_bytes) if size_bytes == entry.size_bytes => Content::Intact,
                Ok(_) | Err(StorageError::NotFound) => Content::Broken,
                Err(_) => Content::Unknown,
            });
        }
        states
    }

    async fn delete(entry: Entry, broken: bool) -> Result<bool, String> {
        let index = &instance().index;
        let deleted = match broken {
            true => index.delete_entry(entry.id).await,
            false => index.delete_entry_unused(entry.id, entry.last_used_ms).await,
        };
        if !told("sweep", deleted)? {
            return Ok(false);
        }
        // The row is gone: what is left of the object is an orphan.
        told("sweep", instance().storage.remove(&entry.object).await)?;
        Ok(true)
    }

    async fn list_uploads(cursor: String) -> Result<UploadPage, String> {
        let Page { items, next } = told("sweep", instance().index.list_uploads(&cursor).await)?;
        for upload in &items {
            let corrected = instance().index.correct_future(Some(upload.id), None, now_ms()).await;
            told("sweep", corrected)?;
        }
        Ok(UploadPage { uploads: items, next })
    }

    async fn abandon(upload: Upload) -> Result<bool, String> {
        let abandoned = instance().index.abandon_idle(upload.id, upload.last_activity_ms).await;
        if !told("sweep", abandoned)? {
            return Ok(false);
        }
        let storage = &instance().storage;
        told("sweep", storage.discard(&upload.name).await)?;
        if let Some(attachment) = &upload.attachment {
            told("sweep", storage.remove(&attachment.object).await)?;
        }
        Ok(true)
    }

    /// The cursor is a folder of [`ORPHANS`], or the last path of the page before.
    async fn remove_orphans(cursor: String) -> Result<OrphanPage, String> {
        let kind = cursor.split('/').next().filter(|kind| !kind.is_empty()).unwrap_or(ORPHANS[0]);
        let place = ORPHANS.iter().position(|other| *other == kind).ok_or("an invalid cursor")?;
        let before_ms = now_ms().saturating_sub(instance().settings.orphan_grace_ms);
        let following = ORPHANS.get(place + 1).map(|kind| (*kind).to_owned());
        if kind == "tmp" {
            let removed = told("sweep", instance().storage.remove_private(before_ms).await)?;
            return Ok(OrphanPage { removed, next: following });
        }
        let listed = instance().index.list_names(kind, if cursor == kind { "" } else { &cursor }).await;
        let Page { items, next } = told("sweep", listed)?;
        let mut removed = 0;
        for path in items {
            removed += match kind {
                "objects" | "blocks" => remove_stored(&path, before_ms).await?,
                "places" => remove_links(&path, before_ms).await?,
                _ => u32::from(told("sweep", instance().index.remove_stray(&path, before_ms).await)?),
            };
        }
        Ok(OrphanPage { removed, next: next.or(following) })
    }

    async fn add_roots(sweep: String, ids: Vec<u64>) -> Result<(), String> {
        let path = roots_path(&sweep)?;
        let mut kept = kept_roots(&path).await?;
        kept.extend(ids);
        kept.truncate(MAX_KEPT_ROOTS + 1);
        let text: String = kept.iter().map(|id| format!("{id:x}\n")).collect();
        let directory = &instance().directory;
        let private = format!("tmp/{:016x}", crate::instance::random_number());
        told("sweep", crate::directory::create(directory, &private, text.as_bytes()).await)?;
        told("sweep", directory.make_folder(SWEEPS).await)?;
        told("sweep", directory.rename(&private, &path).await).map(drop)
    }

    async fn roots(sweep: String, repositories: Vec<String>) -> Result<(Vec<Entry>, bool), String> {
        let kept = kept_roots(&roots_path(&sweep)?).await?;
        let is_complete = kept.len() <= MAX_KEPT_ROOTS;
        let mut roots = Vec::new();
        for id in kept {
            let entry = told("sweep", instance().index.get_entry(id).await)?;
            roots.extend(entry.filter(|entry| repositories.contains(&entry.slot.repository)));
            if roots.len() > MAX_ROOTS {
                roots.truncate(MAX_ROOTS);
                return Ok((roots, false));
            }
        }
        Ok((roots, is_complete))
    }

    async fn end(sweep: String) -> Result<(), String> {
        told("sweep", instance().directory.unlink(&roots_path(&sweep)?).await)?;
        told("sweep", instance().storage.capacity().recount().await)
    }
}

/// Removes what is stored at a path, if nobody may need it and it is old.
async fn remove_stored(path: &str, before_ms: u64) -> Result<u32, String> {
    let Instance { storage, index, .. } = instance();
    let dead = match path.starts_with("blocks/") {
        true => told("sweep", storage.remove_dead_bodies(path, before_ms).await)?,
        false => 0,
    };
    let changed_ms = told("sweep", storage.changed_ms(path).await)?;
    let Some((upload, object)) = Storage::<WasiDirectory>::owner_of(path) else { return Ok(dead) };
    if changed_ms.is_none_or(|changed_ms| changed_ms >= before_ms)
        || told("sweep", index.needs(&upload, object.as_deref()).await)?
    {
        return Ok(dead);
    }
    told("sweep", storage.remove_path(path).await)?;
    Ok(dead + 1)
}

/// Removes the links of a place that lead to no entry, and the place if it is empty.
async fn remove_links(place: &str, before_ms: u64) -> Result<u32, String> {
    let mut removed = 0;
    for name in told("sweep", instance().directory.list(place).await)? {
        let stray = instance().index.remove_stray(&format!("{place}/{name}"), before_ms).await;
        removed += u32::from(told("sweep", stray)?);
    }
    told("sweep", instance().directory.remove_folder(place).await)?;
    Ok(removed)
}

async fn kept_roots(path: &str) -> Result<Vec<u64>, String> {
    let content = told("sweep", instance().directory.read(path).await)?;
    let text = content.map(|content| content.bytes).unwrap_or_default();
    let lines = String::from_utf8_lossy(&text);
    Ok(lines.lines().filter_map(|line| u64::from_str_radix(line, 16).ok()).collect())
}

fn roots_path(sweep: &str) -> Result<String, String> {
    let is_name = (1..=32).contains(&sweep.len()) && sweep.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_name { Ok(format!("{SWEEPS}/{sweep}")) } else { Err("an invalid cursor".to_owned()) }
}

/// Logs a failure. The details are the operator's, who reads them in the log.
fn told<T, E: std::fmt::Debug>(call: &str, outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| unavailable(call, &format!("{error:?}")))
}
