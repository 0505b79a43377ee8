//! The sweep: ends due shares, deletes what is left of them, and finishes what a crash left undone.

use std::time::Duration;

use futures::StreamExt;

use super::ChatPic;
use crate::clock::Timestamp;
use crate::error::{Error, StoreError};
use crate::share::{ImageForm, Share, Status};
use crate::store::Purge;

/// Shares taken up at a time.
const BATCH: usize = 100;
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

/// What became of one share in a sweep.
#[derive(Default)]
struct Step {
    ended: bool,
    purged: bool,
    forgotten: bool,
}

impl ChatPic {
    /// Ends due shares, purges ended ones, destroys ledgers whose time is up, and deletes what uploads left
    /// that were never committed. Safe to run at any time, on any number of nodes, and to be cut off.
    ///
    /// # Errors
    /// [`Error::Store`] when the share store can't be read; a single share that fails is counted instead.
    pub async fn sweep(&self) -> Result<Swept, Error> {
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
                break;
            }
        }
        self.delete_orphans(&mut swept).await;
        Ok(swept)
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
                Status::Exhausted | Status::Burned => {}
                Status::Expired => step.ended = share.recorded_status == Status::Active,
            }
            self.0.shares.end(&share.id, Status::Expired, share.expires_at).await?;
            share = self.purge(&share).await?;
            step.purged = share.receipt.purged_at.is_some();
        }
        if share.receipt.purged_at.is_some() {
            if share.ledger_until() <= now {
                self.0.shares.forget(&share.id).await?;
                step.forgotten = true;
            } else {
                self.0.shares.postpone(&share.id, share.ledger_until()).await?;
            }
        }
        Ok(step)
    }

    /// Deletes the objects of an ended share, whose wraps are destroyed already, and notes the receipt.
    pub(super) async fn purge(&self, share: &Share) -> Result<Share, Error> {
        let now = self.now();
        let deleted = self.delete_objects(share, now).await;
        let purge = match &deleted {
            Ok(copies) => {
                let objects_deleted = share.objects + copies;
                Purge { objects_deleted, objects_pending: 0, purged_at: Some(now) }
            }
            Err(_) => Purge { objects_deleted: 0, objects_pending: share.objects, purged_at: None },
        };
        let due = if deleted.is_ok() { share.ledger_until() } else { now + RETRY };
        self.0.shares.note_purge(&share.id, &purge, due).await?;
        // The receipt is what the store says: somebody may have burned or purged the share in between.
        self.0.shares.find(&share.id).await?.ok_or(Error::NotFound)
    }

    /// Deletes a share's objects and the copies kept for its sessions; says how many copies there were.
    async fn delete_objects(&self, share: &Share, now: Timestamp) -> Result<u64, StoreError> {
        self.0.blobs.delete_folder(&share.folder).await?;
        let mut copies = 0;
        if share.images.iter().all(|image| image.form == ImageForm::Jpeg) {
            return Ok(copies);
        }
        // Copies of sessions that were opened earlier are orphans, which are deleted already.
        let first = (now - self.0.limits.upload_timeout - 2 * HOUR).max(share.created_at);
        let mut opened_at = now;
        loop {
            copies += self.0.blobs.delete_folder(&share.folder.of_copies(opened_at)).await?;
            if opened_at <= first {
                return Ok(copies);
            }
            opened_at = (opened_at - HOUR).max(first);
        }
    }

    async fn delete_orphans(&self, swept: &mut Swept) {
        let given_up = self.now() - self.0.limits.upload_timeout;
        let mut folders = self.0.blobs.folders();
        while let Some(folder) = folders.next().await {
            let Ok(folder) = folder else {
                swept.failed += 1;
                return;
            };
            if folder.begun() > given_up {
                continue;
            }
            let deleted = match self.0.shares.folder_in_use(&folder).await {
                Ok(true) => continue,
                Ok(false) => self.0.blobs.delete_folder(&folder).await,
                Err(error) => Err(error),
            };
            match deleted {
                Ok(objects) => swept.orphans += objects,
                Err(_) => swept.failed += 1,
            }
        }
    }
}
