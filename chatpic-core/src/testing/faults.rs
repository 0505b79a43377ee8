//! Stores that go wrong when they are told to: errors, delays and lost answers at any call.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::ManualClock;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{Folder, SessionId, ShareId};
use crate::secret::Digest;
use crate::share::{Blocked, Door, Report, Session, Share, Status};
use crate::store::{
    Attempt, Attempted, BlobStore, Claim, Claimed, Copies, Inserted, Purge, ShareStore, StoreResult,
};

/// What befalls one call of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does nothing and answers an error.
    Fails,
    /// It does what it was asked, and answers an error all the same.
    LosesItsAnswer,
    /// It takes so long on the manual clock before it does anything; what runs beside it goes on meanwhile.
    Takes(Duration),
}

/// What befalls the coming calls, each in its turn.
type Plan = Box<dyn Iterator<Item = Option<Fault>> + Send>;

/// What befalls the coming calls of one or several stores; clones share the plan.
#[derive(Clone)]
pub struct Faults {
    clock: Arc<ManualClock>,
    plan: Arc<Mutex<Plan>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults(..)")
    }
}

impl Faults {
    /// None at first; delays are taken on this clock.
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { clock, plan: Arc::new(Mutex::new(Box::new(std::iter::empty()))) }
    }

    /// What befalls each of the next calls, in place of an earlier plan; once it is used up, nothing does.
    pub fn plan(&self, plan: impl IntoIterator<Item = Option<Fault>, IntoIter: Send + 'static>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(plan.into_iter());
    }

    fn next(&self) -> Option<Fault> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).next().flatten()
    }

    async fn meet<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        self.befall(self.next(), operation, call).await
    }

    async fn befall<T>(
        &self,
        fault: Option<Fault>,
        operation: &'static str,
        call: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        match fault {
            None => call.await,
            Some(Fault::Fails) => Err(failed(operation)),
            Some(Fault::LosesItsAnswer) => {
                call.await?;
                Err(failed(operation))
            }
            Some(Fault::Takes(time)) => {
                self.clock.advance(time);
                tokio::task::yield_now().await;
                call.await
            }
        }
    }
}

fn failed(operation: &'static str) -> StoreError {
    StoreError { store: "faulty", operation, source: "it fails as it was told to".into() }
}

/// A share store that goes wrong when it is told to.
#[derive(Clone, Debug)]
pub struct FaultyShares {
    shares: Arc<dyn ShareStore>,
    faults: Faults,
}

impl FaultyShares {
    /// A sound store and what befalls it.
    pub fn new(shares: Arc<dyn ShareStore>, faults: Faults) -> Self {
        Self { shares, faults }
    }
}

#[async_trait]
impl ShareStore for FaultyShares {
    async fn insert(&self, share: &Share) -> StoreResult<Inserted> {
        self.faults.meet("insert", self.shares.insert(share)).await
    }

    async fn door(&self, id: &ShareId) -> StoreResult<Door> {
        self.faults.meet("door", self.shares.door(id)).await
    }

    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>> {
        self.faults.meet("find", self.shares.find(id)).await
    }

    async fn find_all(&self, ids: &[ShareId]) -> StoreResult<Vec<Share>> {
        self.faults.meet("find_all", self.shares.find_all(ids)).await
    }

    async fn claim(&self, claim: &Claim) -> StoreResult<Claimed> {
        self.faults.meet("claim", self.shares.claim(claim)).await
    }

    async fn preview(&self, id: &ShareId, session: &Session) -> StoreResult<bool> {
        self.faults.meet("preview", self.shares.preview(id, session)).await
    }

    async fn session(&self, id: &ShareId, token: &Digest) -> StoreResult<Option<Session>> {
        self.faults.meet("session", self.shares.session(id, token)).await
    }

    async fn session_of_nonce(&self, id: &ShareId, nonce: &Digest) -> StoreResult<Option<Session>> {
        self.faults.meet("session_of_nonce", self.shares.session_of_nonce(id, nonce)).await
    }

    async fn touch(
        &self,
        id: &ShareId,
        session: SessionId,
        ends_at: Timestamp,
        seen: u32,
    ) -> StoreResult<()> {
        self.faults.meet("touch", self.shares.touch(id, session, ends_at, seen)).await
    }

    async fn sessions(
        &self,
        id: &ShareId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> StoreResult<Vec<Session>> {
        self.faults.meet("sessions", self.shares.sessions(id, after, limit)).await
    }

    async fn extend(
        &self,
        id: &ShareId,
        now: Timestamp,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<bool> {
        self.faults.meet("extend", self.shares.extend(id, now, from, to)).await
    }

    async fn keep_ledger(&self, id: &ShareId, keep_ms: i64, ledger_until: Timestamp) -> StoreResult<()> {
        self.faults.meet("keep_ledger", self.shares.keep_ledger(id, keep_ms, ledger_until)).await
    }

    async fn end(&self, id: &ShareId, status: Status, at: Timestamp) -> StoreResult<bool> {
        self.faults.meet("end", self.shares.end(id, status, at)).await
    }

    async fn count_blocked(&self, id: &ShareId, blocked: &Blocked) -> StoreResult<()> {
        self.faults.meet("count_blocked", self.shares.count_blocked(id, blocked)).await
    }

    async fn attempt(&self, attempt: &Attempt) -> StoreResult<Attempted> {
        self.faults.meet("attempt", self.shares.attempt(attempt)).await
    }

    async fn forgive(&self, attempt: i64) -> StoreResult<()> {
        self.faults.meet("forgive", self.shares.forgive(attempt)).await
    }

    async fn lease_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> StoreResult<Vec<Share>> {
        self.faults.meet("lease_due", self.shares.lease_due(now, until, limit)).await
    }

    async fn postpone(&self, id: &ShareId, due: Timestamp) -> StoreResult<()> {
        self.faults.meet("postpone", self.shares.postpone(id, due)).await
    }

    async fn last_session_end(&self, id: &ShareId) -> StoreResult<Option<Timestamp>> {
        self.faults.meet("last_session_end", self.shares.last_session_end(id)).await
    }

    async fn note_purge(&self, id: &ShareId, purge: &Purge, due: Timestamp) -> StoreResult<()> {
        self.faults.meet("note_purge", self.shares.note_purge(id, purge, due)).await
    }

    async fn note_copy(
        &self,
        id: &ShareId,
        session: SessionId,
        folder: &Folder,
        bytes: u64,
    ) -> StoreResult<bool> {
        self.faults.meet("note_copy", self.shares.note_copy(id, session, folder, bytes)).await
    }

    async fn copies(&self, id: &ShareId) -> StoreResult<Vec<Copies>> {
        self.faults.meet("copies", self.shares.copies(id)).await
    }

    async fn forget_copies(&self, folders: &[Folder]) -> StoreResult<()> {
        self.faults.meet("forget_copies", self.shares.forget_copies(folders)).await
    }

    async fn stored_bytes(&self) -> StoreResult<u64> {
        self.faults.meet("stored_bytes", self.shares.stored_bytes()).await
    }

    async fn report(&self, report: &Report, per_share: u32) -> StoreResult<()> {
        self.faults.meet("report", self.shares.report(report, per_share)).await
    }

    async fn reports(&self, limit: usize) -> StoreResult<Vec<Report>> {
        self.faults.meet("reports", self.shares.reports(limit)).await
    }

    async fn forget(&self, id: &ShareId) -> StoreResult<()> {
        self.faults.meet("forget", self.shares.forget(id)).await
    }

    async fn tidy(&self, now: Timestamp, old: Timestamp) -> StoreResult<()> {
        self.faults.meet("tidy", self.shares.tidy(now, old)).await
    }

    async fn folders_in_use(&self, folders: &[Folder]) -> StoreResult<Vec<Folder>> {
        self.faults.meet("folders_in_use", self.shares.folders_in_use(folders)).await
    }

    async fn ledger(&self, after: Option<ShareId>, limit: usize) -> StoreResult<Vec<Share>> {
        self.faults.meet("ledger", self.shares.ledger(after, limit)).await
    }

    async fn fingerprint(&self, fingerprint: &Digest) -> StoreResult<Digest> {
        self.faults.meet("fingerprint", self.shares.fingerprint(fingerprint)).await
    }
}

/// A blob store that goes wrong when it is told to.
#[derive(Clone, Debug)]
pub struct FaultyBlobs {
    blobs: Arc<dyn BlobStore>,
    faults: Faults,
}

impl FaultyBlobs {
    /// A sound store and what befalls it.
    pub fn new(blobs: Arc<dyn BlobStore>, faults: Faults) -> Self {
        Self { blobs, faults }
    }
}

#[async_trait]
impl BlobStore for FaultyBlobs {
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
        self.faults.meet("put", self.blobs.put(folder, name, sealed)).await
    }

    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
        self.faults.meet("get", self.blobs.get(folder, name)).await
    }

    async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64> {
        self.faults.meet("delete_folder", self.blobs.delete_folder(folder)).await
    }

    async fn count(&self, folder: &Folder) -> StoreResult<u64> {
        self.faults.meet("count", self.blobs.count(folder)).await
    }

    async fn has_room(&self, free_percent: u8) -> StoreResult<bool> {
        self.faults.meet("has_room", self.blobs.has_room(free_percent)).await
    }

    /// A listing that loses its answer breaks off after half of the folders.
    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
        let listed = async {
            let whole = async { Ok(self.blobs.folders().collect::<Vec<_>>().await) };
            let fault = self.faults.next();
            let mut listed = match self.faults.befall(fault, "folders", whole).await {
                Ok(folders) => return folders,
                Err(_) if fault == Some(Fault::Fails) => Vec::new(),
                Err(_) => self.blobs.folders().collect().await,
            };
            listed.truncate(listed.len() / 2);
            listed.push(Err(failed("folders")));
            listed
        };
        stream::once(listed).flat_map(stream::iter).boxed()
    }
}
