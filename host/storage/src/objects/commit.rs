//! Makes an object of the blocks of an upload. No content is copied, except for blocks that are in
//! no part yet.
//!
//! The order of the steps makes a crash between any two of them harmless, even if several processes
//! commit the same upload at the same time:
//!
//! 1. Blocks that are in no part are sent as the last parts (`leftovers.rs`). Nothing refers to
//!    these yet.
//! 2. The plan is stored, unless there is one: then that one is executed. From here on the upload
//!    is committed.
//! 3. The manifest is stored, if one is needed, and the other data is marked as its own. From here
//!    on no data of this object is listed as an object.
//! 4. The multipart uploads are completed.
//! 5. The plan is recorded as done.
//!
//! A commit that finds a plan continues with step 3. Steps 3 to 5 can be repeated.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future;
use tokio::time::{Instant, sleep};

use super::{
    Shared,
    journal::{self, Listing},
    keys::{self, Base},
    leftovers::{self, Leftover, LeftoverBytes},
    manifest::Manifest,
    plan::{self, ContentRange, Plan, PlannedBlock, PlannedMultipart},
    session::Session,
    staging::{Block, BlockLocation, StoredPart},
    uploads::{Phase, Upload},
};
use crate::{BlockId, Digest, MAX_BLOCKS, ObjectName, StorageError, Stored, UploadName, bucket::Bucket};

/// How often the bucket is polled for blocks that another process still has in memory.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A listing waits this multiple of `spill_after` for the blocks of other processes: their janitors
/// run every quarter of it, and the spill takes time.
const SPILLS_WAITED: u32 = 2;

/// Attempts to find an object that another process may be completing.
const MAX_LOOKS: usize = 5;

/// Commits an upload, or returns the object of an earlier commit.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    name: &UploadName,
    ids: &[BlockId],
) -> Result<Stored, StorageError> {
    if ids.len() > MAX_BLOCKS {
        return Err(StorageError::Invalid(format!("more than {MAX_BLOCKS} blocks in the list")));
    }
    let commit = Commit { shared: Arc::clone(shared), name: name.clone(), ids: ids.to_vec() };
    // It runs to its end even if the client disconnects.
    let (done, result) = tokio::sync::oneshot::channel();
    shared.bucket.detach(async move { drop(done.send(commit.run().await)) });
    result.await.map_err(|error| StorageError::unavailable("committing an upload", error))?
}

struct Commit {
    shared: Arc<Shared>,
    name: UploadName,
    ids: Vec<BlockId>,
}

impl Commit {
    async fn run(&self) -> Result<Stored, StorageError> {
        // Each round waits for a discard of the same upload; a client cannot cause many of them.
        for _ in 0..8 {
            let upload = self.shared.uploads.get(&self.name);
            let _gate = upload.gate.write().await;
            if !matches!(upload.phase(), Phase::Discarded) {
                return self.run_locked(&upload).await;
            }
            self.shared.uploads.forget(&self.name, &upload);
        }
        Err(StorageError::NotFound)
    }

    async fn run_locked(&self, upload: &Upload) -> Result<Stored, StorageError> {
        let listing = journal::list(&self.shared, &self.name).await?;
        if listing.is_planned {
            upload.set_phase(Phase::Committed);
            return self.follow(&self.stored_plan().await?, listing.is_done).await;
        }
        let mut session = upload.session();
        if session.as_ref().is_some_and(|session| !listing.sessions.contains(&session.name)) {
            // Another process discarded it.
            upload.set_phase(Phase::Unread);
            session = None;
        }
        let planned = match self.prepare(session.as_ref(), listing).await {
            Ok(planned) => planned,
            // Another process may have stored its plan, and completed the multipart upload that
            // parts were added to.
            Err(error) => {
                let listing = journal::list(&self.shared, &self.name).await?;
                if !listing.is_planned {
                    return Err(error);
                }
                upload.set_phase(Phase::Committed);
                return self.follow(&self.stored_plan().await?, listing.is_done).await;
            }
        };
        let is_ours =
            self.shared.bucket.put_new(&keys::plan_key(&self.name), journal::encode(&planned.plan)?).await?;
        upload.set_phase(Phase::Committed);
        if is_ours {
            return self.execute(&planned.plan).await;
        }
        let theirs = self.stored_plan().await?;
        // It may be our own plan: the SDK retries after a lost response, and then finds it.
        if let Some(base) = planned.stored.filter(|_| theirs.object != planned.plan.object) {
            self.shared.bucket.remove(&[base.data()]).await?;
        }
        self.follow(&theirs, false).await
    }

    /// Step 1, and makes the plan.
    async fn prepare(
        &self,
        session: Option<&Arc<Session>>,
        listing: Listing,
    ) -> Result<Planned, StorageError> {
        if let Some(session) = session {
            let sealed = session.sealed();
            let sends: Vec<_> = sealed.iter().map(|sealed| session.send(&self.shared, sealed)).collect();
            future::try_join_all(sends).await?;
        }
        let (blocks, leftovers) = self.gather(session, listing).await?;
        let mut planned = self.plan(session, &blocks, &leftovers).await?;
        let digest = Digest::of_blocks(blocks.iter().map(|block| (block.length, block.digest)));
        planned.plan.digest = digest.map(|digest| digest.to_string());
        Ok(planned)
    }

    /// Finds the blocks of the list, and the leftovers among them.
    async fn gather(
        &self,
        session: Option<&Arc<Session>>,
        mut listing: Listing,
    ) -> Result<(Vec<Block>, Vec<Leftover>), StorageError> {
        loop {
            let blocks = self.find(session.map(Arc::as_ref), listing).await?;
            if let Some(leftovers) = self.leftovers(session, &blocks) {
                return Ok((blocks, leftovers));
            }
            // Blocks were spilled, and their memory freed, since they were listed: list them again.
            listing = journal::list(&self.shared, &self.name).await?;
        }
    }

    /// Finds the blocks of the list, in its order. Waits up to 3 × `spill_after` for blocks that
    /// another process has in memory.
    async fn find(
        &self,
        session: Option<&Session>,
        mut listing: Listing,
    ) -> Result<Vec<Block>, StorageError> {
        let began = Instant::now();
        loop {
            let others = listing.blocks(&self.shared, session.map(|session| session.name.as_str())).await?;
            let found = {
                let own = session.map(|session| session.staging.lock());
                let own = |id: &BlockId| own.as_ref().and_then(|own| own.blocks.get(id));
                let find = |id: &BlockId| match (own(id), others.get(id)) {
                    (Some(own), Some(other)) if other.time > own.time => Some(other.clone()),
                    (own, other) => own.or(other).cloned(),
                };
                self.ids.iter().map(find).collect::<Option<Vec<Block>>>()
            };
            let has_others =
                listing.sessions.iter().any(|other| session.is_none_or(|own| own.name != *other));
            match found {
                Some(found) => return Ok(found),
                None if has_others && began.elapsed() < self.shared.spill_after * 3 => {}
                None => return Err(StorageError::Invalid("a block of the list is not staged".to_owned())),
            }
            sleep(POLL_INTERVAL.min(self.shared.spill_after)).await;
            listing = journal::list(&self.shared, &self.name).await?;
        }
    }

    /// Makes the plan, and stores the leftovers.
    async fn plan(
        &self,
        session: Option<&Arc<Session>>,
        blocks: &[Block],
        leftovers: &[Leftover],
    ) -> Result<Planned, StorageError> {
        let list = plan::fingerprint(&self.ids);
        let planned =
            |leftover: &Leftover| PlannedBlock { id: leftover.id.clone(), size_bytes: leftover.length };
        let unrecorded = leftovers.iter().map(planned).collect();
        let parts: Vec<&StoredPart> = blocks.iter().flat_map(|block| block.place.parts()).collect();
        let size_bytes: u64 = blocks.iter().map(|block| block.length).sum();
        if parts.is_empty() && size_bytes <= self.shared.sizes.read_ahead() {
            let base = Base::random(&self.name)?;
            leftovers::put(&self.shared, &base, &leftovers::in_list_order(&self.ids, leftovers)).await?;
            let plan = plan::of_object(&base, size_bytes, list, unrecorded)?;
            return Ok(Planned { plan, stored: Some(base) });
        }
        let added = leftovers::add(&self.shared, &self.name, session, &parts, leftovers).await?;
        let mut offset = 0;
        let offsets: HashMap<&BlockId, u64> = leftovers
            .iter()
            .map(|leftover| {
                let at = offset;
                offset += leftover.length;
                (&leftover.id, at)
            })
            .collect();
        let stretch = |(id, block): (&BlockId, &Block)| match &block.place {
            BlockLocation::Parts(parts, offset) => (Arc::clone(parts), *offset, block.length),
            BlockLocation::Memory | BlockLocation::Spilled(..) => {
                (Arc::clone(&added), offsets.get(id).copied().unwrap_or(0), block.length)
            }
        };
        let stretches: Vec<_> = self.ids.iter().zip(blocks).map(stretch).collect();
        let stretches: Vec<ContentRange<'_>> = stretches
            .iter()
            .map(|(parts, offset, length)| ContentRange { parts, offset: *offset, length: *length })
            .collect();
        Ok(Planned { plan: plan::of_parts(&stretches, list, unrecorded)?, stored: None })
    }

    /// Returns the blocks that are in no part yet, each once, in the order of the list; `None` if
    /// one is no longer in memory.
    fn leftovers(&self, session: Option<&Arc<Session>>, blocks: &[Block]) -> Option<Vec<Leftover>> {
        let mut seen = HashSet::new();
        let staging = session.map(|session| session.staging.lock());
        let tail = staging.iter().flat_map(|staging| &staging.tail);
        let tail: HashMap<u64, &Bytes> = tail.map(|block| (block.time, &block.bytes)).collect();
        let mut leftovers = Vec::new();
        for (id, block) in self.ids.iter().zip(blocks).filter(|(id, _)| seen.insert(*id)) {
            let bytes = match &block.place {
                BlockLocation::Parts(..) => continue,
                BlockLocation::Memory => LeftoverBytes::Memory((*tail.get(&block.time)?).clone()),
                BlockLocation::Spilled(spill, offset) => LeftoverBytes::Spilled(Arc::clone(spill), *offset),
            };
            leftovers.push(Leftover { id: id.clone(), length: block.length, bytes });
        }
        Some(leftovers)
    }

    async fn stored_plan(&self) -> Result<Plan, StorageError> {
        journal::read(&self.shared, &keys::plan_key(&self.name)).await
    }

    /// Executes a stored plan, if it was made from the same list.
    async fn follow(&self, plan: &Plan, is_done: bool) -> Result<Stored, StorageError> {
        if plan.list != plan::fingerprint(&self.ids) {
            return Err(StorageError::Invalid("the upload was committed with another block list".to_owned()));
        }
        if is_done { stored(plan) } else { self.execute(plan).await }
    }

    /// Steps 3 to 5.
    async fn execute(&self, plan: &Plan) -> Result<Stored, StorageError> {
        let bucket = &self.shared.bucket;
        if let Some(manifest) = &plan.manifest {
            store_manifest(&self.shared, manifest).await?;
        }
        let completions: Vec<_> = plan.multiparts.iter().map(|multipart| self.complete(multipart)).collect();
        future::try_join_all(completions).await?;
        if !plan.multiparts.is_empty() {
            bucket.put(&keys::done_key(&self.name), Vec::new()).await?;
        }
        stored(plan)
    }

    /// Completes a multipart upload, or finds that it is complete.
    async fn complete(&self, multipart: &PlannedMultipart) -> Result<(), StorageError> {
        let bucket = &self.shared.bucket;
        let key = Base::parse(&multipart.base).ok_or(StorageError::NotFound)?.data();
        let mut left = MAX_LOOKS;
        loop {
            match bucket.complete(&key, &multipart.id, &multipart.parts()).await {
                Err(StorageError::NotFound) => {}
                result => return result,
            }
            match bucket.head(&key).await {
                Ok(size_bytes) if size_bytes == multipart.size_bytes => return Ok(()),
                Ok(_) => return Err(StorageError::NotFound),
                // Another process may be completing it at this moment.
                Err(StorageError::NotFound) if left > 0 => {}
                Err(error) => return Err(error),
            }
            left -= 1;
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// A plan, and the object that was stored only for it.
struct Planned {
    plan: Plan,
    stored: Option<Base>,
}

fn stored(plan: &Plan) -> Result<Stored, StorageError> {
    let digest = plan.digest.as_deref().and_then(|text| Digest::parse(text).ok());
    Ok(Stored { object: ObjectName::parse(plan.object.as_str())?, size_bytes: plan.size_bytes, digest })
}

/// Stores a manifest beside its first data, and marks the other data as its own.
async fn store_manifest(shared: &Shared, manifest: &Manifest) -> Result<(), StorageError> {
    let bucket = &shared.bucket;
    let Some((first, others)) = manifest.data.split_first() else { return Err(StorageError::NotFound) };
    bucket.put(&first.base()?.manifest(), journal::encode(manifest)?).await?;
    for other in others {
        bucket.put(&other.base()?.owned(), vec![Bytes::from(first.base.clone())]).await?;
    }
    Ok(())
}

impl BlockLocation {
    fn parts(&self) -> &[StoredPart] {
        match self {
            Self::Parts(parts, _) => parts,
            Self::Memory | Self::Spilled(..) => &[],
        }
    }
}

/// Returns the complete blocks of an upload, even of a committed one, with their lengths.
///
/// If other processes have sessions in the upload, it waits until they have spilled the blocks in
/// their memory, which cannot be seen otherwise.
pub(super) async fn blocks(
    shared: &Shared,
    name: &UploadName,
) -> Result<HashMap<BlockId, u64>, StorageError> {
    let mut listing = journal::list(shared, name).await?;
    let own = shared.uploads.get(name).session();
    let is_other = |session: &String| own.as_ref().is_none_or(|own| own.name != *session);
    if !listing.is_planned && listing.sessions.iter().any(is_other) {
        sleep(shared.spill_after * SPILLS_WAITED).await;
        listing = journal::list(shared, name).await?;
    }
    let session = own.filter(|own| listing.sessions.contains(&own.name));
    let mut blocks = listing.blocks(shared, session.as_ref().map(|session| session.name.as_str())).await?;
    if let Some(session) = session {
        for (id, own) in &session.staging.lock().blocks {
            if blocks.get(id).is_none_or(|other| other.time <= own.time) {
                blocks.insert(id.clone(), own.clone());
            }
        }
    }
    let mut lengths: HashMap<BlockId, u64> =
        blocks.into_iter().map(|(id, block)| (id, block.length)).collect();
    if listing.is_planned {
        let plan: Plan = journal::read(shared, &keys::plan_key(name)).await?;
        lengths.extend(plan.blocks.into_iter().map(|block| (block.id, block.size_bytes)));
    }
    Ok(lengths)
}
