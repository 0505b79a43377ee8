//! The sweep: ends due shares, deletes what is left of them, and finishes what a crash left undone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;

use super::ChatPic;
use crate::error::{Error, StoreError};
use crate::id::{Folder, ShareId};
use crate::share::{Share, Status};
use crate::store::{Purge, StoreResult};

/// Shares taken up at a time.
const BATCH: usize = 100;
/// Folders or shares compared at a time.
const PAGE: usize = 500;
/// How long a sweeping node may take over a batch before another may take it up.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// How long attempts are kept, and reports of shares that don't exist.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// When a share whose objects could not be deleted is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Different failures that a sweep tells of.
const FAILURES: usize = 16;

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Shares whose time was up.
    pub ended: usize,
    /// Shares whose objects were deleted.
    pub purged: usize,
    /// Shares whose ledger was destroyed.
    pub forgotten: usize,
    /// Objects of uploads that were never committed.
    pub orphans: u64,
    /// Shares and folders that a store failed on; they are tried again.
    pub failed: usize,
    /// What the stores failed at, each once and 16 at most, in the words of [`Error::for_log`].
    pub failures: BTreeSet<String>,
}

impl Swept {
    fn fail(&mut self, error: impl Into<Error>) {
        self.failed += 1;
        if self.failures.len() < FAILURES {
            self.failures.insert(error.into().for_log());
        }
    }
}

/// What became of an ended share's objects.
#[derive(Default)]
pub(super) struct Deleted {
    objects_deleted: u64,
    /// Those that a failing store may still hold.
    objects_pending: u64,
    /// What the store answered the last time that it failed.
    failure: Option<StoreError>,
}

/// An active share that has lost objects, as [`ChatPic::reconcile`] finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incomplete {
    /// The share.
    pub share_id: ShareId,
    /// Objects that are there.
    pub found: u64,
    /// Objects that were stored.
    pub stored: u64,
}

impl ChatPic {
    /// Sweeps what is due, as [`ChatPic::sweep_due`] does, and then deletes what uploads left that were never
    /// committed, for which it lists the blob store. Safe to run at any time, on any number of nodes, and to be cut
    /// off.
    ///
    /// # Errors
    /// [`Error::Store`] when the share store can't be read; a single share or folder that fails is counted instead.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = self.sweep_due().await?;
        self.delete_orphans(&mut swept).await;
        Ok(swept)
    }

    /// Ends due shares, purges ended ones, and destroys ledgers whose time is up. Costs what the due ones cost,
    /// however many there are that are not.
    ///
    /// # Errors
    /// As [`ChatPic::sweep`].
    pub async fn sweep_due(&self) -> Result<Swept, Error> {
        let now = self.now();
        let mut swept = Swept::default();
        if let Err(error) = self.write_uses().await {
            swept.fail(error);
        }
        match self.write_ends_and_blocked().await {
            Ok(expired) => swept.ended += expired,
            Err(error) => swept.fail(error),
        }
        self.0.shares.tidy(now, now - DAY).await?;
        let leased_until = now + LEASE;
        loop {
            let due = self.0.shares.lease_due(now, leased_until, BATCH).await?;
            let last = due.len() < BATCH;
            // A failing blob store takes its time, which no key is to outlive: all are destroyed before it is asked.
            let mut ended = Vec::new();
            for share in due {
                match self.end_if_over(&share).await {
                    Ok(true) => {
                        swept.ended += usize::from(share.recorded_status == Status::Active);
                        ended.push(share);
                    }
                    Ok(false) => {}
                    Err(error) => swept.fail(error),
                }
            }
            for share in ended {
                // What is left is due to whoever sweeps next, as are the keys whose time came meanwhile.
                if self.now() >= leased_until {
                    return Ok(self.went_through(swept));
                }
                if let Err(error) = self.purge_and_forget(share, &mut swept).await {
                    swept.fail(error);
                }
            }
            if last {
                return Ok(self.went_through(swept));
            }
        }
    }

    fn went_through(&self, swept: Swept) -> Swept {
        self.0.sweeper.note(self.now());
        swept
    }

    /// Sweeps, as [`ChatPic::sweep`] does, which compares the blob store with the share store, and then compares them
    /// the other way round, in pages: reports each active share that has lost objects. Such a share is not ended, for
    /// a wrong bucket or a backup that is half restored would end them all; whoever runs this decides.
    ///
    /// Asks the blob store once for every active share, so it is for operators, not for every day.
    ///
    /// # Errors
    /// As [`ChatPic::sweep`].
    pub async fn reconcile(&self, mut report: impl FnMut(Incomplete) + Send) -> Result<Swept, Error> {
        let mut swept = self.sweep().await?;
        let mut after = None;
        loop {
            let page = self.0.shares.ledger(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after = Some(last.id);
            for share in page.iter().filter(|share| share.status(self.now()) == Status::Active) {
                match self.incomplete(share).await {
                    Ok(Some(incomplete)) => report(incomplete),
                    Ok(None) => {}
                    Err(error) => swept.fail(error),
                }
            }
        }
    }

    async fn incomplete(&self, share: &Share) -> StoreResult<Option<Incomplete>> {
        let found = self.0.blobs.count(&share.folder).await?;
        if found >= share.objects {
            return Ok(None);
        }
        // It may have ended while its objects were counted.
        let active = self.find(&share.id).await?.is_some_and(|s| s.status(self.now()) == Status::Active);
        Ok(active.then_some(Incomplete { share_id: share.id, found, stored: share.objects }))
    }

    /// Destroys the keys of a share that is over, and postpones one that is not. Answers whether it is over.
    async fn end_if_over(&self, share: &Share) -> Result<bool, Error> {
        let now = self.now();
        if share.receipt.purged_at.is_some() {
            return Ok(true);
        }
        match share.status(now) {
            Status::Active => {
                self.0.shares.postpone(&share.id, share.expires_at).await?;
                return Ok(false);
            }
            Status::Exhausted if now < share.expires_at => {
                // The last viewers paid for their view: the objects stay until their sessions end.
                if let Some(end) = self.0.shares.last_session_end(&share.id).await?
                    && end > now
                {
                    self.0.shares.postpone(&share.id, end.min(share.expires_at)).await?;
                    return Ok(false);
                }
            }
            Status::Exhausted | Status::Burned | Status::Expired => {}
        }
        // It stays due at once until it is purged, also when it was ended long before its expiry. One that was
        // extended after it was leased does not end, and is due when it was extended to.
        Ok(self.0.shares.end(&share.id, Status::Expired, share.expires_at.min(now)).await?)
    }

    /// Purges a share whose keys are destroyed, and its ledger too once that is over.
    async fn purge_and_forget(&self, mut share: Share, swept: &mut Swept) -> Result<(), Error> {
        if share.receipt.purged_at.is_none() {
            let deleted = self.delete_objects(&share).await?;
            share = self.note_purge(&share.id, &deleted).await?;
            swept.purged += usize::from(share.receipt.purged_at.is_some());
            deleted.failure.into_iter().for_each(|failure| swept.fail(failure));
        }
        if share.receipt.purged_at.is_some() && share.ledger_until() <= self.now() {
            self.0.shares.forget(&share.id).await?;
            swept.forgotten += 1;
        } else if share.receipt.purged_at.is_some() {
            self.keep_until_due(share).await?;
        }
        Ok(())
    }

    /// Notes in the receipt what was deleted of an ended share.
    pub(super) async fn note_purge(&self, id: &ShareId, deleted: &Deleted) -> Result<Share, Error> {
        let now = self.now();
        let Deleted { objects_deleted, objects_pending, .. } = *deleted;
        let purge =
            Purge { objects_deleted, objects_pending, purged_at: (objects_pending == 0).then_some(now) };
        self.0.shares.note_purge(id, &purge, now + RETRY).await?;
        // The receipt is what the store says: somebody may have burned or purged the share in between.
        self.find(id).await?.ok_or(Error::NotFound)
    }

    /// Deletes the objects of an ended share, whose wraps are destroyed already, and the copies noted for its sessions.
    pub(super) async fn delete_objects(&self, share: &Share) -> StoreResult<Deleted> {
        // They are asked for after the wraps are destroyed, so none can be noted any more.
        let copies = self.0.shares.copies(&share.id).await?;
        let copies = copies.iter().map(|copies| (&copies.folder, copies.objects));
        let mut deleted = Deleted::default();
        for (folder, objects) in std::iter::once((&share.folder, share.objects)).chain(copies) {
            let mut pending = 0;
            if let Err(failure) = self.0.blobs.delete_folder(folder).await {
                // As many are left as it counts, or all, if it can't tell that either.
                pending = self.0.blobs.count(folder).await.unwrap_or(objects).min(objects);
                deleted.failure = Some(failure);
            }
            deleted.objects_deleted += objects - pending;
            deleted.objects_pending += pending;
        }
        Ok(deleted)
    }

    /// Makes a purged share due when its ledger is over, also when its uploader moves that in between.
    pub(super) async fn keep_until_due(&self, mut share: Share) -> Result<(), Error> {
        loop {
            self.0.shares.postpone(&share.id, share.ledger_until()).await?;
            match self.0.shares.find(&share.id).await? {
                Some(moved) if moved.ledger_until() != share.ledger_until() => share = moved,
                _ => return Ok(()),
            }
        }
    }

    pub(super) async fn delete_orphans(&self, swept: &mut Swept) {
        let given_up = self.now() - self.0.limits.upload_timeout;
        let mut pages = self.0.blobs.folders().chunks(PAGE);
        while let Some(page) = pages.next().await {
            let mut old = BTreeSet::new();
            for listed in page {
                match listed {
                    Ok(folder) if folder.begun() <= given_up => drop(old.insert(folder)),
                    Ok(_) => {}
                    Err(error) => swept.fail(error),
                }
            }
            if let Err(error) = self.delete_unused(old.into_iter().collect(), swept).await {
                swept.fail(error);
            }
        }
    }

    async fn delete_unused(&self, folders: Vec<Folder>, swept: &mut Swept) -> StoreResult<()> {
        let used: BTreeSet<_> = self.0.shares.folders_in_use(&folders).await?.into_iter().collect();
        let mut deleted = Vec::new();
        for folder in folders.into_iter().filter(|folder| !used.contains(folder)) {
            match self.0.blobs.delete_folder(&folder).await {
                Ok(objects) => {
                    swept.orphans += objects;
                    deleted.push(folder);
                }
                Err(error) => swept.fail(error),
            }
        }
        self.0.shares.forget_copies(&deleted).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::secret::InstallationSecret;
    use crate::share::AccessPolicy;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::testing::faults::{Fault, Faults, FaultyBlobs};
    use crate::testing::{ManualClock, samples};

    struct Place {
        clock: Arc<ManualClock>,
        faults: Faults,
        chatpic: ChatPic,
    }

    impl Place {
        async fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_000)));
            let faults = Faults::new(clock.clone());
            let blobs = FaultyBlobs::new(Arc::new(MemoryBlobs::default()), faults.clone());
            let builder = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).clock(clock.clone());
            let builder = builder.stores(Arc::new(MemoryShares::default()), Arc::new(blobs));
            let builder = builder.sweep_every(None);
            Self { chatpic: builder.build().await.unwrap(), clock, faults }
        }

        async fn share(&self, minutes: u32) -> ShareId {
            let mut upload = self.chatpic.upload(None).unwrap();
            upload.add(samples::jpeg(&samples::photograph(40, 30, 1), 80)).await.unwrap();
            let expires_in = Some(minutes * Duration::from_secs(60));
            upload.commit(AccessPolicy { expires_in, ..AccessPolicy::default() }).await.unwrap().share_id
        }

        async fn has_keys(&self, id: &ShareId) -> bool {
            self.chatpic.0.shares.find(id).await.unwrap().unwrap().dashboard_wrap.is_some()
        }
    }

    #[tokio::test]
    async fn no_key_that_is_due_outlives_the_first_call_of_a_slow_blob_store() {
        let place = Place::new().await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(place.share(1).await);
        }
        place.clock.advance(Duration::from_secs(60));
        place.faults.plan([Some(Fault::Takes(Duration::from_secs(100)))]);
        let sweep = place.chatpic.sweep_due();
        tokio::pin!(sweep);
        assert!(futures::poll!(&mut sweep).is_pending(), "it waits for the blob store");
        for id in &ids {
            assert!(!place.has_keys(id).await);
        }
        assert_eq!(sweep.await.unwrap(), Swept { ended: 3, purged: 3, ..Swept::default() });
    }

    #[tokio::test]
    async fn a_sweep_goes_on_no_longer_than_its_lease_so_that_keys_due_meanwhile_are_destroyed() {
        let place = Place::new().await;
        for _ in 0..3 {
            place.share(1).await;
        }
        let later = place.share(2).await;
        place.clock.advance(Duration::from_secs(60));
        place.faults.plan([Some(Fault::Takes(LEASE))]);
        let swept = place.chatpic.sweep_due().await.unwrap();
        assert_eq!(swept, Swept { ended: 3, purged: 1, ..Swept::default() });
        assert!(place.has_keys(&later).await);
        let swept = place.chatpic.sweep_due().await.unwrap();
        assert_eq!(swept, Swept { ended: 1, purged: 3, ..Swept::default() });
        assert!(!place.has_keys(&later).await);
    }
}
