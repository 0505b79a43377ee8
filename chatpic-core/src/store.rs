//! The two storage traits and their contracts.
//!
//! Stores are dumb: every rule stands in [`ChatPic`](crate::ChatPic), every instant is passed in, and each
//! method is one atomic step. Users of ChatPic never call a store.

pub mod memory;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{Folder, SessionId, ShareId};
use crate::secret::Digest;
use crate::share::{Blocked, Door, Report, Session, Share, Status};

/// What stores answer.
pub type StoreResult<T> = Result<T, StoreError>;

/// What became of [`ShareStore::insert`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// The share is stored, durably.
    Done,
    /// A share of that id exists; nothing was changed.
    IdTaken,
}

/// A view to be granted by [`ShareStore::claim`].
#[derive(Clone, Debug)]
pub struct Claim {
    /// The share to open.
    pub share: ShareId,
    /// The session to store; its `views_before` is set by the store.
    pub session: Session,
    /// The count of views that exhausts the share.
    pub ceiling: u32,
}

/// What became of [`ShareStore::claim`].
#[derive(Clone, PartialEq, Debug)]
pub enum Claimed {
    /// The view is counted and the session stored.
    Opened(Session),
    /// The same nonce opened this session before; nothing was counted.
    Repeated(Session),
    /// Another session of the share has this session ID; claim again with another one.
    IdTaken,
    /// The share is unknown, has ended or has no view left; nothing was changed.
    Refused,
}

/// Something counted within a window of time: wrong passwords, traces.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Whose attempts are counted.
    pub share: ShareId,
    /// What is counted, such as `password`; at most 16 ASCII letters.
    pub kind: &'static str,
    /// Keyed hash of who tries.
    pub who: Digest,
    /// Attempts before this instant no longer count.
    pub since: Timestamp,
    /// The present instant.
    pub at: Timestamp,
    /// Attempts of `who` on the share that may stand in the window, this one included.
    pub per_who: u32,
    /// Attempts of everybody on the share that may stand in the window, this one included.
    pub per_share: u32,
}

/// What became of [`ShareStore::attempt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// The attempt is counted; [`ShareStore::forgive`] takes it back.
    Counted(i64),
    /// There were too many; the oldest that counts was made at this instant.
    Refused(Timestamp),
}

/// What became of an ended share's objects, for [`ShareStore::note_purge`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purge {
    /// Objects that were deleted.
    pub objects_deleted: u64,
    /// Objects that a failing store still holds.
    pub objects_pending: u64,
    /// When the last object was gone; `None` while some are pending.
    pub purged_at: Option<Timestamp>,
}

/// Copies that are kept in one folder for sessions of one share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Copies {
    /// Where they lie.
    pub folder: Folder,
    /// How many were noted, each before it was put there; one that two nodes made at once was noted twice.
    pub objects: u64,
}

/// Metadata, counters and sessions.
///
/// 1. Each method is atomic and durable when it answers `Ok`, on any number of handles and processes.
/// 2. Stores never read a clock; every instant is an argument.
/// 3. What is set to `None` or deleted is overwritten, not only unlinked, as far as the store can.
#[async_trait]
pub trait ShareStore: Debug + Send + Sync + 'static {
    /// Stores a new share; due at its expiry. A taken id changes nothing.
    async fn insert(&self, share: &Share) -> StoreResult<Inserted>;

    /// What decides who may come in at this id: [`Door::SHUT`] if no share has it. The work is the same whether a
    /// share has it or not, and whatever it holds.
    async fn door(&self, id: &ShareId) -> StoreResult<Door>;

    /// The share of this id.
    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>>;

    /// The shares of these ids that exist, in any order, in one step.
    async fn find_all(&self, ids: &[ShareId]) -> StoreResult<Vec<Share>>;

    /// Grants one view: counts it and stores its session in one step.
    ///
    /// 1. A session with the same nonce digest is found before anything else is looked at.
    /// 2. A view is granted only while the share is recorded active, `session.opened_at < expires_at` and
    ///    `views < ceiling`; never more than `ceiling`, under any concurrency.
    /// 3. `views_before` of the stored session is the count before it.
    /// 4. The view is counted in the share's tally, by [`Tally::count`](crate::share::Tally::count).
    /// 5. The view that reaches the ceiling sets the share to exhausted at `session.opened_at`, destroys its
    ///    three wraps and makes it due at once; sessions keep theirs.
    async fn claim(&self, claim: &Claim) -> StoreResult<Claimed>;

    /// Stores the uploader's preview session, in place of an earlier one; counts nothing. Like a view, it is stored
    /// only while the share is recorded active and `session.opened_at < expires_at`. Answers whether it was.
    async fn preview(&self, id: &ShareId, session: &Session) -> StoreResult<bool>;

    /// The session whose token has this digest.
    async fn session(&self, id: &ShareId, token: &Digest) -> StoreResult<Option<Session>>;

    /// The session that this nonce opened.
    async fn session_of_nonce(&self, id: &ShareId, nonce: &Digest) -> StoreResult<Option<Session>>;

    /// Notes that a live session was used: its new end, and bits of images seen.
    async fn touch(&self, id: &ShareId, session: SessionId, ends_at: Timestamp, seen: u32)
    -> StoreResult<()>;

    /// Sessions of a share without the uploader's preview, newest first (then by id), after `after`.
    async fn sessions(
        &self,
        id: &ShareId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> StoreResult<Vec<Session>>;

    /// Moves an active share's expiry from exactly `from` to `to`, if `now < from`; makes it due then.
    /// Answers whether it did.
    async fn extend(&self, id: &ShareId, now: Timestamp, from: Timestamp, to: Timestamp)
    -> StoreResult<bool>;

    /// Sets how long the ledger is kept after the end; a purged share becomes due at `ledger_until`.
    async fn keep_ledger(&self, id: &ShareId, keep_ms: i64, ledger_until: Timestamp) -> StoreResult<()>;

    /// Ends a share: destroys its three wraps and those of all its sessions and makes it due at once.
    /// An active share gets the status and `ended_at = at`; an ended one keeps its own. When `status` is
    /// burned and the receipt has no `burned_at`, it becomes `at`.
    ///
    /// An active share does not expire before its time: with the status expired, one whose `expires_at` is later
    /// than `at`, because an extension came first, is left alone. Answers whether the share is ended now; `false`
    /// for an unknown one.
    async fn end(&self, id: &ShareId, status: Status, at: Timestamp) -> StoreResult<bool>;

    /// Adds tries that were no views.
    async fn count_blocked(&self, id: &ShareId, blocked: &Blocked) -> StoreResult<()>;

    /// Counts an attempt unless there were too many within the window; forgets older ones of the share.
    async fn attempt(&self, attempt: &Attempt) -> StoreResult<Attempted>;

    /// Takes an attempt back.
    async fn forgive(&self, attempt: i64) -> StoreResult<()>;

    /// Leases at most `limit` shares that are due at `now` and not leased, earliest due first; nobody else is
    /// given them until `until`.
    async fn lease_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> StoreResult<Vec<Share>>;

    /// Ends a lease; the share is due again at `due`.
    async fn postpone(&self, id: &ShareId, due: Timestamp) -> StoreResult<()>;

    /// The latest end of the share's sessions that still have a wrap.
    async fn last_session_end(&self, id: &ShareId) -> StoreResult<Option<Timestamp>>;

    /// Notes what became of an ended share's objects, ends a lease, and makes the share due at `due`. What was noted
    /// with a `purged_at` stays; `burned_at` is never touched, so that a burn in between is not lost.
    async fn note_purge(&self, id: &ShareId, purge: &Purge, due: Timestamp) -> StoreResult<()>;

    /// Notes that one more copy, of so many bytes, is about to be put into this folder for a session of the share.
    /// Answers whether it was noted: it is not when the session has no wrap any more.
    async fn note_copy(
        &self,
        id: &ShareId,
        session: SessionId,
        folder: &Folder,
        bytes: u64,
    ) -> StoreResult<bool>;

    /// The folders in which copies of a share were noted, in any order.
    async fn copies(&self, id: &ShareId) -> StoreResult<Vec<Copies>>;

    /// Forgets the copies in these folders, which are deleted. Those of ended shares stay, since their receipts count
    /// them; they go with their share.
    async fn forget_copies(&self, folders: &[Folder]) -> StoreResult<()>;

    /// The sum of [`Share::bytes`] and the bytes of noted copies over all shares that are not purged.
    async fn stored_bytes(&self) -> StoreResult<u64>;

    /// Stores a report unless there are `per_share` of its share; of those that come at the same time, a few more may
    /// be stored. The work is the same whether the share exists or not, and whether the report is stored or not.
    async fn report(&self, report: &Report, per_share: u32) -> StoreResult<()>;

    /// The newest reports of shares that exist, newest first.
    async fn reports(&self, limit: usize) -> StoreResult<Vec<Report>>;

    /// Deletes the share with its sessions, attempts and reports: the ledger's end.
    async fn forget(&self, id: &ShareId) -> StoreResult<()>;

    /// Destroys the wraps of sessions that ended by `now`, and forgets what was made before `old`: attempts, and reports
    /// of shares that don't exist.
    async fn tidy(&self, now: Timestamp, old: Timestamp) -> StoreResult<()>;

    /// Those of these folders, in any order, in which a share that is not purged has its objects.
    async fn folders_in_use(&self, folders: &[Folder]) -> StoreResult<Vec<Folder>>;

    /// Shares by id after `after`, for a trace over everything.
    async fn ledger(&self, after: Option<ShareId>, limit: usize) -> StoreResult<Vec<Share>>;

    /// Notes the fingerprint of the installation's secret if none is noted yet; answers the noted one.
    async fn fingerprint(&self, fingerprint: &Digest) -> StoreResult<Digest>;
}

/// Sealed bytes by folder and name.
///
/// 1. [`BlobStore::put`] is durable when it answers `Ok`; a reader sees the whole object or none.
/// 2. A name is written once and never changed.
/// 3. Deleting is idempotent.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync + 'static {
    /// Stores an object.
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()>;

    /// The object's bytes, if it exists.
    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>>;

    /// Deletes every object of a folder and says how many there were.
    async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64>;

    /// How many objects a folder holds; an error, not 0, when the place of all folders is missing.
    async fn count(&self, folder: &Folder) -> StoreResult<u64>;

    /// Whether it takes more objects: a store that fills a disk says no when less than so many percent are free.
    async fn has_room(&self, free_percent: u8) -> StoreResult<bool>;

    /// Every folder that holds an object, in any order, perhaps more than once, without holding them all in memory.
    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>>;
}
