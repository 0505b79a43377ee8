//! [`ChatPic`]: the one place where rules, stores, clock and randomness meet. One file a flow.

mod copies;
pub(crate) mod dashboard;
pub(crate) mod reports;
pub(crate) mod sweep;
mod sweeper;
pub(crate) mod trace;
mod unwritten;
pub(crate) mod upload;
pub(crate) mod viewing;

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::entropy::{Entropy, OsEntropy};
use crate::error::{Error, Unauthorized};
use crate::fair::{Client, Holder};
use crate::id::ShareId;
use crate::isolation::{Isolation, WorkerProgram};
use crate::limits::{Limits, check_visible};
use crate::mark::visible::VisibleMark;
use crate::secret::{
    DashboardAccess, DashboardKey, Derivation, InstallationSecret, LinkAccess, LinkKey, Secret, digests_match,
};
use crate::share::{Door, Share, Status};
use crate::store::memory::{MemoryBlobs, MemoryShares};
use crate::store::{BlobStore, ShareStore, StoreResult};
use crate::workers::{Bounds, Workers};

/// Sealed objects in memory at the same time that wait to be spliced or unsealed.
const LOADED: usize = 64;
/// How many times as many images that paid views ask for may wait as jobs of other kinds: they wait their turn.
const WAITING_IMAGES: usize = 16;
/// How often it sweeps by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Private, temporary image sharing. Cheap to clone; clones share everything.
///
/// While one of them is held it sweeps by itself, every ten seconds, in the tokio runtime in which it is used: it ends what
/// is due and deletes what is left of it. See [`Builder::sweep_every`].
#[derive(Clone, Debug)]
pub struct ChatPic(Arc<Inner>, Client);

#[derive(Debug)]
struct Inner {
    shares: Arc<dyn ShareStore>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    visible_mark: Option<VisibleMark>,
    derivation: Derivation,
    // Pools apart, so that nobody waits for slower work than his own.
    /// Take in what is uploaded.
    intake: Workers,
    /// Places for sealed objects in memory: while one waits to be spliced or unsealed, and no longer.
    loading: Workers,
    /// Splice JPEG copies and unseal kept ones.
    serving: Workers,
    /// Make copies pixel by pixel.
    copiers: Workers,
    /// Trace leaks.
    traces: Workers,
    passwords: Workers,
    /// Keys of the hashes by which clients' addresses are known to the pools.
    client_keys: RandomState,
    isolation: Isolation,
    turns: copies::Turns,
    unwritten: unwritten::Unwritten,
    sweeper: sweeper::Sweeper,
    /// What goes on behind answers that were given.
    behind: Mutex<JoinSet<()>>,
    /// Shares being traced, each with how far its trace has come.
    tracing: Mutex<HashMap<ShareId, Arc<trace::Progress>>>,
}

/// Puts a [`ChatPic`] together; see [`ChatPic::builder`].
#[derive(Debug)]
pub struct Builder {
    secret: InstallationSecret,
    shares: Arc<dyn ShareStore>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    visible_mark: Option<VisibleMark>,
    isolation: Isolation,
    sweep_every: Option<Duration>,
}

impl Builder {
    /// Where shares and sealed images are kept; in memory unless this is called.
    pub fn stores(self, shares: Arc<dyn ShareStore>, blobs: Arc<dyn BlobStore>) -> Self {
        Self { shares, blobs, ..self }
    }

    /// Where instants come from; the computer's clock unless this is called.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Where random bytes come from; the operating system unless this is called.
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// The bounds to keep.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How the session ID is drawn; `None` draws none and leaves the forensic mark alone.
    pub fn visible_mark(self, visible_mark: Option<VisibleMark>) -> Self {
        Self { visible_mark, ..self }
    }

    /// Has files decoded and leaks searched by this program, in a process for each, so that one that goes wrong ends
    /// nothing else; in this process unless this is called.
    pub fn worker(self, program: WorkerProgram) -> Self {
        Self { isolation: Isolation::Process(program), ..self }
    }

    /// How often it sweeps by itself: every ten seconds unless this is called, and at the start. The sweep needs a tokio
    /// runtime with time; it begins where the `ChatPic` is built, or first used after that runtime is gone.
    ///
    /// With `None` the sweep is left to the host, which calls [`ChatPic::sweep`] as often: until a share is swept after its
    /// end, its keys and images are still there. Unless the host does so once a minute, [`ChatPic::check_ready`] reports the
    /// sweep as overdue.
    pub fn sweep_every(self, sweep_every: Option<Duration>) -> Self {
        Self { sweep_every: sweep_every.map(|every| every.max(Duration::from_millis(1))), ..self }
    }

    /// Checks the limits, and that the secret fits the share store, and is done.
    ///
    /// # Errors
    /// [`Error::Limit`] when a limit is out of its range or does not fit another; [`Error::ForeignSecret`] when the store
    /// was made with another secret; [`Error::Store`].
    pub async fn build(self) -> Result<ChatPic, Error> {
        self.limits.check()?;
        self.visible_mark.as_ref().map(check_visible).transpose()?;
        let derivation = Derivation::new(&self.secret);
        let fingerprint = derivation.fingerprint();
        if !digests_match(&self.shares.fingerprint(&fingerprint).await?, &fingerprint) {
            return Err(Error::ForeignSecret);
        }
        let Limits { workers, queue, traces, .. } = self.limits;
        // Where a job takes long, an address leaves one place to the others.
        let slow = Bounds { workers, each: workers.saturating_sub(1), queue };
        let images = queue.saturating_mul(WAITING_IMAGES);
        let chatpic = ChatPic(
            Arc::new(Inner {
                sweeper: sweeper::Sweeper::new(self.sweep_every, self.clock.now()),
                shares: self.shares,
                blobs: self.blobs,
                clock: self.clock,
                entropy: self.entropy,
                limits: self.limits,
                visible_mark: self.visible_mark,
                derivation,
                intake: Workers::new(slow),
                loading: Workers::new(Bounds { workers: LOADED, each: LOADED / 2, queue: images }),
                serving: Workers::new(Bounds { workers, each: workers, queue: LOADED }),
                copiers: Workers::new(Bounds { queue: images, ..slow }),
                traces: Workers::new(Bounds { workers: traces, each: traces.saturating_sub(1), queue }),
                passwords: Workers::new(slow),
                client_keys: RandomState::new(),
                isolation: self.isolation,
                turns: copies::Turns::default(),
                unwritten: unwritten::Unwritten::default(),
                behind: Mutex::default(),
                tracing: Mutex::default(),
            }),
            Client::Host,
        );
        chatpic.keep_sweeping();
        Ok(chatpic)
    }
}

impl ChatPic {
    /// Begins with an installation's secret; everything else has a default, stores in memory included.
    pub fn builder(secret: InstallationSecret) -> Builder {
        Builder {
            secret,
            shares: Arc::new(MemoryShares::default()),
            blobs: Arc::new(MemoryBlobs::default()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            limits: Limits::default(),
            visible_mark: Some(VisibleMark::default()),
            isolation: Isolation::None,
            sweep_every: Some(SWEEP_EVERY),
        }
    }

    /// The same, on behalf of a client with this address: work that takes long is done for all addresses in turn, and for
    /// one at a time only a part of what is done at all. What the host asks for itself, it may have all of.
    pub fn for_client(&self, address: &str) -> ChatPic {
        Self(self.0.clone(), Client::of(address, &self.0.client_keys))
    }

    /// For whom work on this share is done.
    fn holder(&self, share: &ShareId) -> Holder {
        Holder { client: self.1, share: *share }
    }

    /// The bounds that are kept.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The present instant on the injected clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Exchanges a link key, right or wrong, for what a cookie carries.
    pub fn link_access(&self, id: &ShareId, key: &LinkKey) -> LinkAccess {
        self.0.derivation.link_access(id, key)
    }

    /// Exchanges a dashboard key, right or wrong, for what a cookie carries.
    pub fn dashboard_access(&self, id: &ShareId, key: &DashboardKey) -> DashboardAccess {
        self.0.derivation.dashboard_access(id, key)
    }

    /// An access as text, for a cookie that is good until an instant; see [`ChatPic::read_dated_access`].
    pub fn dated_access<K>(&self, access: &Secret<K, 32>, until: Timestamp) -> String {
        self.0.derivation.dated(access, until)
    }

    /// The access that such a text holds, and its instant; `None` after that, and for any other text. It does not tell link
    /// from dashboard accesses.
    pub fn read_dated_access<K>(&self, text: &str) -> Option<(Secret<K, 32>, Timestamp)> {
        self.0.derivation.read_dated(text, self.now())
    }

    /// Whether a link access opens this active share.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is unknown or has ended; [`Unauthorized::Key`].
    pub async fn check_link(&self, id: &ShareId, access: &LinkAccess) -> Result<(), Error> {
        let door = self.door(id).await?;
        if door.status(self.now()) != Status::Active {
            return Err(Error::NotFound);
        }
        if self.opens(&door, id, access) { Ok(()) } else { Err(Unauthorized::Key.into()) }
    }

    /// Whether a dashboard access belongs to this share, active or ended.
    ///
    /// # Errors
    /// [`Unauthorized::Key`], for wrong accesses and unknown shares alike.
    pub async fn check_dashboard(&self, id: &ShareId, access: &DashboardAccess) -> Result<(), Error> {
        self.owned(id, access).await.map(drop)
    }

    /// What decides who may come in at this id. Whoever may not is refused by this alone, so that all who are refused,
    /// at ended shares and at none, are refused by the same work.
    async fn door(&self, id: &ShareId) -> StoreResult<Door> {
        self.keep_sweeping();
        let mut door = self.0.shares.door(id).await?;
        self.0.unwritten.complete_door(id, &mut door, self.now());
        Ok(door)
    }

    /// The share of this id, with what this node knows and its row does not say yet.
    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>> {
        let mut share = self.0.shares.find(id).await?;
        if let Some(share) = &mut share {
            self.0.unwritten.complete(share, self.now());
        }
        Ok(share)
    }

    async fn active(&self, id: &ShareId) -> Result<Share, Error> {
        if self.door(id).await?.status(self.now()) != Status::Active {
            return Err(Error::NotFound);
        }
        let share = self.find(id).await?.ok_or(Error::NotFound)?;
        // It may have ended meanwhile.
        if share.status(self.now()) == Status::Active { Ok(share) } else { Err(Error::NotFound) }
    }

    /// Whether a link access is the right one.
    fn opens(&self, door: &Door, id: &ShareId, access: &LinkAccess) -> bool {
        digests_match(&self.0.derivation.link_digest(id, access), &door.link_digest)
    }

    async fn owned(&self, id: &ShareId, access: &DashboardAccess) -> Result<Share, Error> {
        let door = self.door(id).await?;
        if !digests_match(&self.0.derivation.dashboard_digest(id, access), &door.dashboard_digest) {
            return Err(Unauthorized::Key.into());
        }
        Ok(self.find(id).await?.ok_or(Unauthorized::Key)?)
    }

    /// Does something that no answer waits for; [`ChatPic::flush`] does.
    fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut behind = self.0.behind.lock().unwrap_or_else(PoisonError::into_inner);
        while behind.try_join_next().is_some() {}
        behind.spawn(work);
    }

    fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }
}
