//! Random lives of several shares on several nodes at once, while any call of either store may fail, come late, or be
//! done and lose its answer: nothing promised is lost, and the sweeps leave nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chatpic_core::store::memory::{MemoryBlobs, MemoryShares};
use chatpic_core::testing::faults::{Fault, Faults, FaultyBlobs, FaultyShares};
use chatpic_core::testing::{ManualClock, SeededEntropy, samples};
use chatpic_core::{
    AccessPolicy, BlobStore, ChatPic, Clock, Conflict, Created, DashboardAccess, Error, Folder,
    InstallationSecret, LinkAccess, Opening, SessionId, SessionToken, Share, ShareId, ShareStore, Status,
    Timestamp, VisibleMark,
};
use chatpic_storage::{ObjectBlobs, SqliteShares};
use futures::future::join_all;
use futures::stream::TryStreamExt;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::site::{DAY, MINUTE};

/// Nodes that act at the same time, at most.
const NODES: usize = 3;
/// Longer than any story.
const LONG_LEDGER: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// What somebody does; shares and sessions are numbered modulo those that are known.
#[derive(Clone, Debug)]
enum Act {
    /// Uploads with the same key are the same upload.
    Create {
        key: Option<u8>,
        limit: u32,
        minutes: u32,
        ledger: bool,
    },
    Open {
        share: usize,
        nonce: u8,
    },
    Look {
        share: usize,
        session: usize,
    },
    Preview {
        share: usize,
    },
    Extend {
        share: usize,
        minutes: u32,
    },
    DropLedger {
        share: usize,
    },
    Burn {
        share: usize,
    },
    Sweep,
    Reconcile,
}

/// What happens at the same time, each on a node of its own, with what befalls its calls; and how long nothing
/// happens before.
#[derive(Clone, Debug)]
struct Step {
    minutes: u32,
    acts: Vec<(Act, Vec<Option<Fault>>)>,
}

fn act() -> impl Strategy<Value = Act> {
    let share = 0usize..6;
    prop_oneof![
        3 => (prop::option::of(0u8..2), 1u32..4, 1u32..90, any::<bool>())
            .prop_map(|(key, limit, minutes, ledger)| Act::Create { key, limit, minutes, ledger }),
        8 => (share.clone(), 0u8..6).prop_map(|(share, nonce)| Act::Open { share, nonce }),
        4 => (share.clone(), 0usize..4).prop_map(|(share, session)| Act::Look { share, session }),
        1 => share.clone().prop_map(|share| Act::Preview { share }),
        3 => (share.clone(), 1u32..60).prop_map(|(share, minutes)| Act::Extend { share, minutes }),
        1 => share.clone().prop_map(|share| Act::DropLedger { share }),
        2 => share.prop_map(|share| Act::Burn { share }),
        4 => Just(Act::Sweep),
        1 => Just(Act::Reconcile),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Fails)),
        1 => Just(Some(Fault::LosesItsAnswer)),
        1 => (1u64..60).prop_map(|seconds| Some(Fault::Takes(Duration::from_secs(seconds)))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let acts = prop::collection::vec((act(), prop::collection::vec(fault(), 0..12)), 1..=NODES);
    (prop_oneof![2 => Just(0u32), 1 => 0u32..30], acts).prop_map(|(minutes, acts)| Step { minutes, acts })
}

/// How far a burn has come, as far as its uploader knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Burn {
    No,
    Asked,
    Done,
}

/// A viewing session that a viewer was told of.
struct Told {
    session: SessionId,
    token: SessionToken,
    /// No earlier than that it ends by itself.
    lasts_until: Timestamp,
}

/// A share that its uploader was told of, and all that was promised of it.
struct Known {
    id: ShareId,
    link: LinkAccess,
    dashboard: DashboardAccess,
    keyed: bool,
    limit: u32,
    /// By nonce.
    told: BTreeMap<u8, Told>,
    /// Nonces whose opening failed, and may have spent a view.
    unsure: BTreeSet<u8>,
    /// Between these its end lies.
    expires: (Timestamp, Timestamp),
    burn: Burn,
    ledger_dropped: bool,
    status: Status,
}

impl Known {
    fn views(&self) -> (u32, u32) {
        let unsure = self.unsure.iter().filter(|nonce| !self.told.contains_key(nonce)).count();
        (self.told.len() as u32, (self.told.len() + unsure) as u32)
    }

    fn may_have_ended(&self, now: Timestamp) -> bool {
        self.burn > Burn::No || now >= self.expires.0 || self.views().1 >= self.limit
    }

    fn may_be_forgotten(&self, now: Timestamp) -> bool {
        self.ledger_dropped && self.may_have_ended(now)
    }
}

/// How a share stood before a step.
struct Before {
    over: bool,
    /// No session that is opened now ends earlier by itself.
    sessions_until: Timestamp,
}

/// What came of an act.
enum Done {
    Created(Box<Result<Created, Error>>, u32),
    /// The upload did not come as far as its commit.
    NotUploaded(Error),
    Opened(usize, u8, Result<chatpic_core::Opened, Error>),
    Looked(usize, u8, Result<(), Error>),
    Previewed(usize, Result<(), Error>),
    Extended(usize, Result<Timestamp, Error>),
    LedgerDropped(usize, Result<(), Error>),
    Burned(usize, Result<chatpic_core::Receipt, Error>),
    Swept(Result<(), Error>),
    Nothing,
}

struct World {
    clock: Arc<ManualClock>,
    nodes: Vec<(ChatPic, Faults)>,
    /// A node on which nothing fails, and its stores.
    sound: ChatPic,
    shares: Arc<dyn ShareStore>,
    blobs: Arc<dyn BlobStore>,
    known: Vec<Known>,
    /// Uploads whose commit failed, and that may have been made all the same.
    unsure: usize,
}

type Stores = (Arc<dyn ShareStore>, Arc<dyn BlobStore>);

fn stores(shares: impl ShareStore, blobs: impl BlobStore) -> Stores {
    (Arc::new(shares), Arc::new(blobs))
}

impl World {
    async fn new(open: impl AsyncFn() -> Stores) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_000)));
        let node = async |seed, (shares, blobs): Stores| {
            ChatPic::builder(InstallationSecret::from_bytes([1; 32]))
                .stores(shares, blobs)
                .clock(clock.clone())
                .entropy(Arc::new(SeededEntropy::new(seed)))
                .visible_mark(None::<VisibleMark>)
                .sweep_every(None)
                .build()
                .await
                .unwrap()
        };
        let mut nodes = Vec::new();
        for seed in 1..=NODES {
            let faults = Faults::new(clock.clone());
            let (shares, blobs) = open().await;
            let shares = FaultyShares::new(shares, faults.clone());
            let faulty = stores(shares, FaultyBlobs::new(blobs, faults.clone()));
            nodes.push((node(seed as u64, faulty).await, faults));
        }
        let (shares, blobs) = open().await;
        let sound = node(9, (shares.clone(), blobs.clone())).await;
        Self { clock, nodes, sound, shares, blobs, known: Vec::new(), unsure: 0 }
    }

    fn pick(&self, share: usize) -> Option<usize> {
        share.checked_rem(self.known.len())
    }

    /// Notes what may come of an act before its answer is known.
    fn intend(&mut self, act: &Act) {
        let Some(known) = (match act {
            Act::Open { share, .. } | Act::Extend { share, .. } => self.pick(*share),
            Act::DropLedger { share } | Act::Burn { share } => self.pick(*share),
            _ => None,
        }) else {
            return;
        };
        let known = &mut self.known[known];
        match act {
            Act::Extend { minutes, .. } => known.expires.1 = known.expires.1 + *minutes * MINUTE,
            Act::DropLedger { .. } => known.ledger_dropped |= !known.keyed,
            Act::Burn { .. } => known.burn = known.burn.max(Burn::Asked),
            _ => {}
        }
    }

    async fn act(&self, chatpic: &ChatPic, act: &Act) -> Done {
        match *act {
            Act::Create { key, limit, minutes, ledger } => {
                // One key, one upload.
                let (limit, minutes, ledger) = match key {
                    Some(key) => (2 + u32::from(key), 30 + u32::from(key), true),
                    None => (limit, minutes, ledger),
                };
                let name = key.map(|key| format!("the upload with key {key}"));
                let mut upload = chatpic.upload(name.as_deref()).unwrap();
                let picture = samples::jpeg(&samples::photograph(40, 30, 1), 80);
                if let Err(error) = upload.add(picture).await {
                    upload.abort().await;
                    return Done::NotUploaded(error);
                }
                let policy = AccessPolicy {
                    expires_in: Some(minutes * MINUTE),
                    max_views: Some(limit),
                    keep_ledger: Some(if ledger { LONG_LEDGER } else { Duration::ZERO }),
                    ..AccessPolicy::default()
                };
                Done::Created(Box::new(upload.commit(policy).await), u32::from(ledger))
            }
            Act::Open { share, nonce } => {
                let Some(at) = self.pick(share) else { return Done::Nothing };
                let opening = Opening { nonce: Some(vec![nonce; 16]), ..Opening::default() };
                Done::Opened(at, nonce, chatpic.open(&self.known[at].id, &self.known[at].link, opening).await)
            }
            Act::Look { share, session } => {
                let Some(at) = self.pick(share) else { return Done::Nothing };
                let known = &self.known[at];
                let Some(session) = session.checked_rem(known.told.len()) else { return Done::Nothing };
                let Some((nonce, told)) = known.told.iter().nth(session) else { return Done::Nothing };
                let looked = chatpic.image(&known.id, &told.token, 0, None).await;
                Done::Looked(at, *nonce, looked.map(drop))
            }
            Act::Preview { share } => {
                let Some(at) = self.pick(share) else { return Done::Nothing };
                let known = &self.known[at];
                Done::Previewed(at, chatpic.preview(&known.id, &known.dashboard).await.map(drop))
            }
            Act::Extend { share, minutes } => {
                let Some(at) = self.pick(share) else { return Done::Nothing };
                let known = &self.known[at];
                let extended = chatpic.extend(&known.id, &known.dashboard, minutes * MINUTE).await;
                Done::Extended(at, extended)
            }
            Act::DropLedger { share } => {
                let Some(at) = self.pick(share).filter(|at| !self.known[*at].keyed) else {
                    return Done::Nothing;
                };
                let known = &self.known[at];
                let dropped = chatpic.keep_ledger(&known.id, &known.dashboard, Duration::ZERO).await;
                Done::LedgerDropped(at, dropped.map(drop))
            }
            Act::Burn { share } => {
                let Some(at) = self.pick(share) else { return Done::Nothing };
                Done::Burned(at, chatpic.burn(&self.known[at].id, &self.known[at].dashboard).await)
            }
            Act::Sweep => Done::Swept(chatpic.sweep().await.map(drop)),
            Act::Reconcile => {
                // What it reports as incomplete would be found missing by the check too.
                Done::Swept(chatpic.reconcile(|incomplete| panic!("{incomplete:?}")).await.map(drop))
            }
        }
    }

    async fn step(&mut self, step: Step) {
        self.clock.advance(step.minutes * MINUTE);
        let began = self.clock.now();
        // Of what was over before, nobody may be told anything else; and no session ends before the share did then.
        let before: Vec<Before> = self
            .known
            .iter()
            .map(|known| Before {
                over: known.burn == Burn::Done || began >= known.expires.1,
                sessions_until: (began + 10 * MINUTE).min(known.expires.0),
            })
            .collect();
        for (act, _) in &step.acts {
            self.intend(act);
        }
        let acting = step.acts.iter().zip(&self.nodes).map(|((act, faults), (chatpic, befall))| {
            befall.plan(faults.clone());
            let world = &*self;
            async move { world.act(chatpic, act).await }
        });
        let done = join_all(acting.collect::<Vec<_>>()).await;
        let now = self.clock.now();
        for (_, faults) in &self.nodes {
            faults.plan([]);
        }
        // A view that failed may have been spent, which the others must be judged by.
        for done in &done {
            if let Done::Opened(at, nonce, Ok(_) | Err(Error::Store(_))) = done {
                self.known[*at].unsure.insert(*nonce);
            }
        }
        for (done, (act, faults)) in done.into_iter().zip(&step.acts) {
            let failing = faults.iter().any(|f| matches!(f, Some(Fault::Fails | Fault::LosesItsAnswer)));
            self.learn(done, &before, now, failing, act);
        }
        self.check(now).await;
    }

    /// Compares an answer with what was promised, and notes what it promises.
    fn learn(&mut self, done: Done, before: &[Before], now: Timestamp, failing: bool, act: &Act) {
        let store_failed = |error: &Error| {
            assert!(failing, "{act:?} failed though no call did: {error}");
            assert!(matches!(error, Error::Store(_)), "{act:?}: {error:?}");
        };
        match done {
            Done::Nothing => {}
            Done::NotUploaded(error) => store_failed(&error),
            Done::Created(created, ledger) => match *created {
                Ok(created) => {
                    if self.known.iter().any(|known| known.id == created.share_id) {
                        assert!(matches!(act, Act::Create { key: Some(_), .. }));
                        return;
                    }
                    let (id, sound) = (created.share_id, &self.sound);
                    self.known.push(Known {
                        id,
                        link: sound.link_access(&id, &created.link_key),
                        dashboard: sound.dashboard_access(&id, &created.dashboard_key),
                        keyed: matches!(act, Act::Create { key: Some(_), .. }),
                        limit: created.max_views.unwrap(),
                        told: BTreeMap::new(),
                        unsure: BTreeSet::new(),
                        expires: (created.expires_at, created.expires_at),
                        burn: Burn::No,
                        ledger_dropped: ledger == 0,
                        status: Status::Active,
                    });
                }
                Err(error) => {
                    store_failed(&error);
                    self.unsure += 1;
                }
            },
            Done::Opened(at, nonce, opened) => {
                let known = &mut self.known[at];
                match opened {
                    Ok(opened) => {
                        assert!(!before[at].over, "{act:?}: a view of what is over");
                        let lasts_until = before[at].sessions_until;
                        let told = Told { session: opened.session, token: opened.token, lasts_until };
                        if let Some(earlier) = known.told.insert(nonce, told) {
                            assert_eq!(earlier.session, opened.session, "{act:?}: one nonce, one session");
                            known.told.get_mut(&nonce).unwrap().lasts_until = earlier.lasts_until;
                        }
                    }
                    Err(Error::NotFound) => assert!(known.may_have_ended(now), "{act:?} was refused"),
                    Err(Error::Conflict(Conflict::NonceSpent)) => {
                        let used = known.told.contains_key(&nonce) || known.unsure.contains(&nonce);
                        assert!(used, "{act:?}: the nonce was never used");
                    }
                    Err(error) => store_failed(&error),
                }
            }
            Done::Looked(at, nonce, looked) => {
                let known = &self.known[at];
                match looked {
                    Ok(()) => assert!(!before[at].over, "{act:?}: an image of what is over"),
                    Err(Error::Unauthorized(_)) => {
                        let gone = known.burn > Burn::No || now >= known.told[&nonce].lasts_until;
                        assert!(gone, "{act:?}: the session goes on");
                    }
                    Err(error) => store_failed(&error),
                }
            }
            Done::Previewed(at, previewed) => match previewed {
                Ok(()) => assert!(!before[at].over, "{act:?}"),
                Err(error) => self.owner_refused(at, now, &error, act, store_failed),
            },
            Done::Extended(at, extended) => match extended {
                Ok(to) => {
                    assert!(!before[at].over, "{act:?}: what is over was revived");
                    self.known[at].expires.0 = self.known[at].expires.0.max(to);
                }
                Err(error) => self.owner_refused(at, now, &error, act, store_failed),
            },
            Done::LedgerDropped(at, dropped) => {
                if let Err(error) = dropped {
                    self.owner_refused(at, now, &error, act, store_failed);
                }
            }
            Done::Burned(at, burned) => match burned {
                Ok(receipt) => {
                    self.known[at].burn = Burn::Done;
                    assert_eq!(receipt.objects_pending == 0, receipt.purged_at.is_some(), "{receipt:?}");
                }
                // It was forgotten before it could be burned, or while it was.
                Err(Error::NotFound) => assert!(self.known[at].may_be_forgotten(now), "{act:?}"),
                Err(error) => self.owner_refused(at, now, &error, act, store_failed),
            },
            Done::Swept(Ok(())) => {}
            Done::Swept(Err(error)) => store_failed(&error),
        }
    }

    fn owner_refused(&self, at: usize, now: Timestamp, error: &Error, act: &Act, failed: impl Fn(&Error)) {
        let known = &self.known[at];
        match error {
            Error::Conflict(Conflict::Ended) => assert!(known.may_have_ended(now), "{act:?}"),
            Error::Unauthorized(_) => assert!(known.may_be_forgotten(now), "{act:?}"),
            error => failed(error),
        }
    }

    /// Compares what stands in the stores with all that was promised.
    async fn check(&mut self, now: Timestamp) {
        let rows = self.shares.ledger(None, 1000).await.unwrap();
        for known in &mut self.known {
            let Some(row) = rows.iter().find(|row| row.id == known.id) else {
                assert!(known.may_be_forgotten(now), "an acknowledged share is lost");
                continue;
            };
            let (told, at_most) = known.views();
            assert!(row.views <= known.limit && (told..=at_most).contains(&row.views), "{row:?}");
            let (soonest, latest) = known.expires;
            assert!((soonest..=latest).contains(&row.expires_at), "{soonest:?} {latest:?} {row:?}");
            known.expires = (row.expires_at, row.expires_at);
            assert!(known.status == Status::Active || known.status == row.recorded_status, "{row:?}");
            known.status = row.recorded_status;
            match row.recorded_status {
                Status::Active => assert!(row.views < known.limit, "{row:?}"),
                Status::Exhausted => assert_eq!(row.views, known.limit, "{row:?}"),
                Status::Expired => assert!(now >= row.expires_at, "{row:?}"),
                Status::Burned => assert!(known.burn > Burn::No, "{row:?}"),
            }
            assert!(known.burn < Burn::Done || row.status(now) != Status::Active, "{row:?}");
            let covered = self.sound.cover(&known.id).await.is_ok();
            assert_eq!(covered, row.status(now) == Status::Active);
        }
        let unknown = |row: &&Share| self.known.iter().all(|known| known.id != row.id);
        assert!(rows.iter().filter(unknown).count() <= self.unsure, "a share that nobody made");
        for row in &rows {
            self.check_data(row, now).await;
        }
    }

    async fn check_data(&self, row: &Share, now: Timestamp) {
        let wraps = [&row.link_wrap, &row.dashboard_wrap, &row.sealed_link].map(Option::is_some);
        let objects = self.blobs.count(&row.folder).await.unwrap();
        let receipt = row.receipt;
        if row.recorded_status == Status::Active {
            assert_eq!(wraps, [true; 3], "{row:?}");
            let asked = self.known.iter().any(|known| known.id == row.id && known.burn > Burn::No);
            assert!(objects == row.objects || asked, "a share without its objects: {row:?}");
        } else {
            assert_eq!(wraps, [false; 3], "{row:?}");
        }
        if matches!(row.recorded_status, Status::Expired | Status::Burned) || receipt.burned_at.is_some() {
            let sessions = self.shares.sessions(&row.id, None, 100).await.unwrap();
            assert!(
                sessions.iter().all(|session| session.wrap.is_none()),
                "a key is left at {now:?}: {row:?}"
            );
        }
        if receipt.purged_at.is_some() {
            assert_eq!((objects, receipt.objects_pending, receipt.objects_deleted), (0, 0, row.objects));
        } else {
            assert!(objects <= row.objects && receipt.objects_pending <= row.objects, "{row:?}");
        }
    }

    async fn folders(&self) -> BTreeSet<Folder> {
        self.blobs.folders().try_collect().await.unwrap()
    }

    /// Once everything works, the sweeps leave what lives and nothing else; and in the end nothing at all.
    async fn end(mut self) {
        self.clock.advance(61 * MINUTE);
        // A node that was asked for a burn and could not destroy the keys does so now.
        for chatpic in self.nodes.iter().map(|(chatpic, _)| chatpic).chain([&self.sound, &self.sound]) {
            assert_eq!(chatpic.sweep().await.unwrap().failed, 0);
        }
        let now = self.clock.now();
        self.check(now).await;
        let rows = self.shares.ledger(None, 1000).await.unwrap();
        let unpurged = rows.iter().filter(|row| row.receipt.purged_at.is_none());
        let used: BTreeSet<Folder> = unpurged.clone().map(|row| row.folder.clone()).collect();
        assert_eq!(self.folders().await, used, "an orphan object, or a row that dangles");
        for row in unpurged {
            assert_eq!(row.status(now), Status::Active, "what has ended is purged");
        }
        for known in &self.known {
            if rows.iter().any(|row| row.id == known.id && row.status(now) == Status::Active) {
                let opening = Opening { nonce: Some(vec![99; 16]), ..Opening::default() };
                let opened = self.sound.open(&known.id, &known.link, opening).await.unwrap();
                self.sound.image(&known.id, &opened.token, 0, None).await.unwrap();
            }
        }
        self.clock.advance(200 * DAY);
        for _ in 0..2 {
            assert_eq!(self.sound.sweep().await.unwrap().failed, 0);
        }
        assert_eq!(self.shares.ledger(None, 1000).await.unwrap(), []);
        assert_eq!(self.folders().await, BTreeSet::new());
    }
}

/// Lives `CHATPIC_TEST_LIVES` random lives, or so many when it is not set.
fn live(lives: u32, begin: impl AsyncFn(&Path) -> World) {
    let cases = std::env::var("CHATPIC_TEST_LIVES").map_or(lives, |lives| lives.parse().unwrap());
    let config = ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(cases) };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..24))| {
        // One thread, so that a story that fails can be told again.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = TempDir::new().unwrap();
        runtime.block_on(async {
            let mut world = begin(folder.path()).await;
            for step in steps {
                world.step(step).await;
            }
            world.end().await;
        });
    });
}

#[test]
fn nothing_promised_is_lost_in_memory_whatever_call_fails() {
    live(200, async |_| {
        let (shares, blobs) = (MemoryShares::default(), MemoryBlobs::default());
        World::new(async || stores(shares.clone(), blobs.clone())).await
    });
}

#[test]
fn nothing_promised_is_lost_in_sqlite_and_files_whatever_call_fails() {
    live(16, async |folder| {
        let open = async || {
            let shares = SqliteShares::open(&folder.join("chatpic.sqlite")).await.unwrap();
            stores(shares, ObjectBlobs::local(&folder.join("blobs")).unwrap())
        };
        World::new(open).await
    });
}
