//! The sweep: ends due shares, deletes what is left of them, and finishes what a crash left undone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;

use super::ChatPic;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{Folder, ShareId};
use crate::share::{ImageForm, Share, Status};
use crate::store::{Purge, StoreResult};

/// Shares taken up at a time.
const BATCH: usize = 100;
/// Folders or shares compared at a time.
const PAGE: usize = 500;
/// How long a sweeping node may take over a batch before another may take it up.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// When a share whose objects could not be deleted is tried again.
const RETRY: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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

/// What became of one share in a sweep.
#[derive(Default)]
struct Step {
    ended: bool,
    purged: bool,
    forgotten: bool,
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
        self.0.shares.expire_sessions(now, now - Duration::from_secs(24 * 60 * 60)).await?;
        loop {
            let due = self.0.shares.lease_due(now, now + LEASE, BATCH).await?;
            let last = due.len() < BATCH;
            for share in due {
                match self.sweep_share(&share).await {
                    Ok(step) => {
                        swept.ended += usize::from(step.ended);
                        swept.purged += usize::from(step.purged);
                        swept.forgotten += usize::from(step.forgotten);
                    }
                    Err(_) => swept.failed += 1,
                }
            }
            if last {
                return Ok(swept);
            }
        }
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
                    Err(_) => swept.failed += 1,
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
        let active =
            self.0.shares.find(&share.id).await?.is_some_and(|s| s.status(self.now()) == Status::Active);
        Ok(active.then_some(Incomplete { share_id: share.id, found, stored: share.objects }))
    }

    async fn sweep_share(&self, share: &Share) -> Result<Step, Error> {
        let now = self.now();
        let mut step = Step::default();
        let mut share = share.clone();
        if share.receipt.purged_at.is_none() {
            match share.status(now) {
                Status::Active => {
                    self.0.shares.postpone(&share.id, share.expires_at).await?;
                    return Ok(step);
                }
                Status::Exhausted if now < share.expires_at => {
                    // The last viewers paid for their view: the objects stay until their sessions end.
                    if let Some(end) = self.0.shares.last_session_end(&share.id).await?
                        && end > now
                    {
                        self.0.shares.postpone(&share.id, end).await?;
                        return Ok(step);
                    }
                }
                Status::Exhausted | Status::Burned | Status::Expired => {}
            }
            // It stays due at once until it is purged, also when it was ended long before its expiry.
            let at = share.expires_at.min(now);
            if !self.0.shares.end(&share.id, Status::Expired, at).await? {
                // It was extended after it was leased, and is due when it was extended to.
                return Ok(step);
            }
            step.ended = share.recorded_status == Status::Active;
            share = self.purge(&share).await?;
            step.purged = share.receipt.purged_at.is_some();
        }
        if share.receipt.purged_at.is_some() && share.ledger_until() <= now {
            self.0.shares.forget(&share.id).await?;
            step.forgotten = true;
        } else if share.receipt.purged_at.is_some() {
            self.keep_until_due(share).await?;
        }
        Ok(step)
    }

    /// Deletes the objects of an ended share, whose wraps are destroyed already, and notes the receipt.
    pub(super) async fn purge(&self, share: &Share) -> Result<Share, Error> {
        let now = self.now();
        let (objects_deleted, objects_pending) = self.delete_objects(share, now).await;
        let purge =
            Purge { objects_deleted, objects_pending, purged_at: (objects_pending == 0).then_some(now) };
        self.0.shares.note_purge(&share.id, &purge, now + RETRY).await?;
        // The receipt is what the store says: somebody may have burned or purged the share in between.
        self.0.shares.find(&share.id).await?.ok_or(Error::NotFound)
    }

    /// Deletes a share's objects and the copies kept for its sessions; says how many are gone, and how many a failing
    /// store may still hold.
    async fn delete_objects(&self, share: &Share, now: Timestamp) -> (u64, u64) {
        let mut pending =
            self.delete_folder(&share.folder, share.objects).await.map_or_else(|left| left, |_| 0);
        let mut deleted = share.objects.saturating_sub(pending);
        if share.images.iter().all(|image| image.form == ImageForm::Jpeg) {
            return (deleted, pending);
        }
        // Copies of sessions that were opened earlier are orphans, which are deleted already.
        let first = (now - self.0.limits.upload_timeout - 2 * HOUR).max(share.created_at);
        let mut opened_at = now;
        loop {
            match self.delete_folder(&share.folder.of_copies(opened_at), 1).await {
                Ok(copies) => deleted += copies,
                Err(left) => pending += left,
            }
            if opened_at <= first {
                return (deleted, pending);
            }
            opened_at = (opened_at - HOUR).max(first);
        }
    }

    /// Deletes a folder and says how many objects it held; or how many are left, `stored` of them if the store can't
    /// tell that either.
    async fn delete_folder(&self, folder: &Folder, stored: u64) -> Result<u64, u64> {
        match self.0.blobs.delete_folder(folder).await {
            Ok(deleted) => Ok(deleted),
            Err(_) => match self.0.blobs.count(folder).await.unwrap_or(stored) {
                0 => Ok(0),
                left => Err(left),
            },
        }
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

    async fn delete_orphans(&self, swept: &mut Swept) {
        let given_up = self.now() - self.0.limits.upload_timeout;
        let mut pages = self.0.blobs.folders().chunks(PAGE);
        while let Some(page) = pages.next().await {
            let (listed, failed): (Vec<_>, Vec<_>) = page.into_iter().partition(Result::is_ok);
            swept.failed += failed.len();
            let old: BTreeSet<Folder> =
                listed.into_iter().flatten().filter(|folder| folder.begun() <= given_up).collect();
            if self.delete_unused(old.into_iter().collect(), swept).await.is_err() {
                swept.failed += 1;
            }
        }
    }

    async fn delete_unused(&self, folders: Vec<Folder>, swept: &mut Swept) -> StoreResult<()> {
        let used: BTreeSet<_> = self.0.shares.folders_in_use(&folders).await?.into_iter().collect();
        for folder in folders.iter().filter(|folder| !used.contains(folder)) {
            match self.0.blobs.delete_folder(folder).await {
                Ok(objects) => swept.orphans += objects,
                Err(_) => swept.failed += 1,
            }
        }
        Ok(())
    }
}
