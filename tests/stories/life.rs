//! Random lives of a share, driven through two handles while the blob store fails, against a plain and exact model.

use std::sync::Arc;
use std::time::Duration;

use chatpic_core::store::memory::{MemoryBlobs, MemoryShares};
use chatpic_core::testing::faults::{Fault, Faults, FaultyBlobs};
use chatpic_core::testing::{ManualClock, SeededEntropy, samples};
use chatpic_core::{
    AccessPolicy, BlobStore, ChatPic, Conflict, DashboardAccess, Error, InstallationSecret, LinkAccess,
    Opening, SessionToken, ShareId, Status, Timestamp, VisibleMark,
};
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const START: i64 = 1_790_000_000_000;
const KEEP: i64 = 24 * 60 * MINUTE;

/// What can happen to a share; times in minutes.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open { nonce: u8 },
    Look { session: usize },
    Seen { session: usize },
    Preview,
    Extend { by: i64 },
    Burn,
    Sweep,
    Wait { minutes: i64 },
    BlobsFail(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u8..12).prop_map(|nonce| Act::Open { nonce }),
        4 => (0usize..8).prop_map(|session| Act::Look { session }),
        2 => (0usize..8).prop_map(|session| Act::Seen { session }),
        1 => Just(Act::Preview),
        2 => (1i64..200).prop_map(|by| Act::Extend { by }),
        1 => Just(Act::Burn),
        3 => Just(Act::Sweep),
        5 => (0i64..40).prop_map(|minutes| Act::Wait { minutes }),
        1 => any::<bool>().prop_map(Act::BlobsFail),
    ]
}

struct Session {
    nonce: u8,
    token: SessionToken,
    opened: i64,
    ends: i64,
}

impl Session {
    fn use_at(&mut self, now: i64) {
        self.ends = (now + 10 * MINUTE).min(self.opened + 60 * MINUTE);
    }
}

/// What the contract says of one share, in a few plain fields.
struct Model {
    now: i64,
    expires: i64,
    max: u32,
    views: u32,
    ended: Option<(Status, i64)>,
    sessions: Vec<Session>,
    purged: bool,
    forgotten: bool,
}

impl Model {
    fn status(&self) -> Status {
        match self.ended {
            Some((status, _)) => status,
            None if self.now >= self.expires => Status::Expired,
            None => Status::Active,
        }
    }

    fn is_live(&self, session: &Session) -> bool {
        let ends = session.ends.min(self.expires);
        !matches!(self.status(), Status::Burned | Status::Expired) && !self.purged && self.now < ends
    }

    fn end(&self) -> i64 {
        self.ended.map_or(self.expires, |(_, at)| at.min(self.expires))
    }
}

struct Life {
    handles: [ChatPic; 2],
    turn: usize,
    clock: Arc<ManualClock>,
    blobs: MemoryBlobs,
    blob_faults: Faults,
    blobs_fail: bool,
    id: ShareId,
    link: LinkAccess,
    dashboard: DashboardAccess,
    model: Model,
}

impl Life {
    async fn begin(max: u32, minutes: i64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let (shares, blobs) = (MemoryShares::default(), MemoryBlobs::default());
        let blob_faults = Faults::new(clock.clone());
        let handle = async |seed| {
            let faulty = FaultyBlobs::new(Arc::new(blobs.clone()), blob_faults.clone());
            ChatPic::builder(InstallationSecret::from_bytes([1; 32]))
                .stores(Arc::new(shares.clone()), Arc::new(faulty))
                .clock(clock.clone())
                .entropy(Arc::new(SeededEntropy::new(seed)))
                .visible_mark(None::<VisibleMark>)
                .sweep_every(None)
                .build()
                .await
                .unwrap()
        };
        let handles = [handle(1).await, handle(2).await];
        let mut upload = handles[0].upload(None).unwrap();
        upload.add(samples::jpeg(&samples::photograph(40, 30, 1), 80)).await.unwrap();
        let policy = AccessPolicy {
            expires_in: Some(Duration::from_secs(60 * minutes as u64)),
            max_views: Some(max),
            keep_ledger: Some(Duration::from_millis(KEEP as u64)),
            ..AccessPolicy::default()
        };
        let made = upload.commit(policy).await.unwrap();
        let model = Model {
            now: START,
            expires: START + minutes * MINUTE,
            max,
            views: 0,
            ended: None,
            sessions: Vec::new(),
            purged: false,
            forgotten: false,
        };
        Self {
            link: handles[0].link_access(&made.share_id, &made.link_key),
            dashboard: handles[0].dashboard_access(&made.share_id, &made.dashboard_key),
            id: made.share_id,
            turn: 0,
            handles,
            clock,
            blobs,
            blob_faults,
            blobs_fail: false,
            model,
        }
    }

    async fn act(&mut self, act: Act) {
        self.turn += 1;
        let chatpic = self.handles[self.turn % 2].clone();
        let model = &mut self.model;
        let (id, now) = (self.id, model.now);
        let blobs_fail = self.blobs_fail;
        match act {
            Act::Wait { minutes } => {
                model.now += minutes * MINUTE;
                self.clock.advance(Duration::from_millis((minutes * MINUTE) as u64));
            }
            Act::BlobsFail(fails) => {
                self.blobs_fail = fails;
                self.blob_faults.plan(std::iter::repeat(fails.then_some(Fault::Fails)));
            }
            Act::Open { nonce } => {
                let opening = Opening { nonce: Some(vec![nonce; 16]), ..Opening::default() };
                let opened = chatpic.open(&id, &self.link, opening).await;
                let earlier = model.sessions.iter().find(|session| session.nonce == nonce);
                match (model.status(), earlier) {
                    _ if model.forgotten => assert!(matches!(opened, Err(Error::NotFound))),
                    (Status::Active | Status::Exhausted, Some(session)) if model.is_live(session) => {
                        if now <= session.opened + MINUTE {
                            let opened = opened.unwrap();
                            assert!(opened.repeated);
                            assert_eq!(opened.token.reveal(), session.token.reveal());
                        } else {
                            assert!(matches!(opened, Err(Error::Conflict(Conflict::NonceSpent))));
                        }
                    }
                    (Status::Active, Some(_)) => {
                        assert!(matches!(opened, Err(Error::Conflict(Conflict::NonceSpent))));
                    }
                    (Status::Active, None) => {
                        let opened = opened.unwrap();
                        assert!(!opened.repeated && opened.views_before == model.views);
                        model.views += 1;
                        let ends = now + 10 * MINUTE;
                        model.sessions.push(Session { nonce, token: opened.token, opened: now, ends });
                        if model.views == model.max {
                            model.ended = Some((Status::Exhausted, now));
                        }
                    }
                    _ => assert!(matches!(opened, Err(Error::NotFound))),
                }
            }
            Act::Look { session } => {
                let Some(at) = session.checked_rem(model.sessions.len()) else { return };
                let looked = chatpic.image(&id, &model.sessions[at].token, 0, None).await;
                if model.forgotten || !model.is_live(&model.sessions[at]) {
                    assert!(matches!(looked, Err(Error::Unauthorized(_))));
                } else if blobs_fail {
                    assert!(matches!(looked, Err(Error::Store(_))), "and that is no activity");
                } else {
                    looked.unwrap();
                    model.sessions[at].use_at(now);
                }
            }
            Act::Seen { session } => {
                let Some(at) = session.checked_rem(model.sessions.len()) else { return };
                let seen = chatpic.seen(&id, &model.sessions[at].token).await;
                if model.forgotten || !model.is_live(&model.sessions[at]) {
                    assert!(matches!(seen, Err(Error::Unauthorized(_))));
                } else {
                    model.sessions[at].use_at(now);
                    let ends = model.sessions[at].ends.min(model.expires);
                    assert_eq!(seen.unwrap().ends_at, Timestamp(ends));
                }
            }
            Act::Preview => {
                let previewed = chatpic.preview(&id, &self.dashboard).await;
                match model.status() {
                    _ if model.forgotten => assert!(matches!(previewed, Err(Error::Unauthorized(_)))),
                    Status::Active => assert_eq!(previewed.unwrap().views_before, model.views),
                    _ => assert!(matches!(previewed, Err(Error::Conflict(Conflict::Ended)))),
                }
            }
            Act::Extend { by } => {
                let length = Duration::from_secs(60 * by as u64);
                let extended = chatpic.extend(&id, &self.dashboard, length).await;
                match model.status() {
                    _ if model.forgotten => assert!(matches!(extended, Err(Error::Unauthorized(_)))),
                    Status::Active => {
                        model.expires += by * MINUTE;
                        assert_eq!(extended.unwrap(), Timestamp(model.expires));
                    }
                    _ => assert!(matches!(extended, Err(Error::Conflict(Conflict::Ended)))),
                }
            }
            Act::Burn => {
                let receipt = chatpic.burn(&id, &self.dashboard).await;
                if model.forgotten {
                    assert!(matches!(receipt, Err(Error::Unauthorized(_))));
                    return;
                }
                let receipt = receipt.unwrap();
                if model.status() == Status::Active {
                    model.ended = Some((Status::Burned, now));
                } else if model.status() == Status::Expired && model.ended.is_none() {
                    model.ended = Some((Status::Expired, model.expires));
                }
                // Whatever it was, its keys are gone, and no session goes on.
                model.sessions.iter_mut().for_each(|session| session.ends = session.ends.min(now));
                model.purged |= !blobs_fail;
                assert_eq!(receipt.purged_at.is_some(), model.purged);
                assert_eq!(receipt.objects_pending > 0, !model.purged);
            }
            Act::Sweep => {
                chatpic.sweep().await.unwrap();
                let over = match model.status() {
                    Status::Active => false,
                    Status::Exhausted => {
                        now >= model.expires || model.sessions.iter().all(|session| session.ends <= now)
                    }
                    Status::Expired | Status::Burned => true,
                };
                if over && model.ended.is_none() {
                    model.ended = Some((Status::Expired, model.expires));
                }
                // A store that fails is asked again a minute later, so only one that works is sure to be purged,
                // and that not before its turn.
                if over && !blobs_fail && !model.purged {
                    let dashboard = chatpic.dashboard(&id, &self.dashboard, None).await;
                    let receipt = dashboard.ok().and_then(|dashboard| dashboard.receipt);
                    model.purged = receipt.is_none_or(|receipt| receipt.purged_at.is_some());
                }
                let forgets = model.purged && now >= model.end() + KEEP;
                if forgets && chatpic.check_dashboard(&id, &self.dashboard).await.is_err() {
                    model.forgotten = true;
                }
            }
        }
    }

    /// What must hold after every act, seen from the other handle.
    async fn check(&self) {
        let model = &self.model;
        let chatpic = &self.handles[(self.turn + 1) % 2];
        assert!(model.views <= model.max);
        let dashboard = chatpic.dashboard(&self.id, &self.dashboard, None).await;
        if model.forgotten {
            assert!(matches!(dashboard, Err(Error::Unauthorized(_))));
            return;
        }
        let dashboard = dashboard.unwrap();
        assert_eq!(dashboard.status, model.status());
        assert_eq!(dashboard.views, model.views);
        assert_eq!(dashboard.sessions.len(), model.views as usize);
        assert_eq!(dashboard.link_key.is_some(), model.status() == Status::Active);
        assert_eq!(dashboard.timeline.iter().map(|(_, views)| views).sum::<u32>(), model.views);
        assert_eq!(chatpic.cover(&self.id).await.is_ok(), model.status() == Status::Active);
        for session in &model.sessions {
            assert_eq!(chatpic.current(&self.id, &session.token).await.is_ok(), model.is_live(session));
        }
    }

    /// Whatever happened, sweeps with a working store end it without a trace.
    async fn end(mut self) {
        self.blob_faults.plan([]);
        self.clock.advance(Duration::from_millis((600 * 60 * MINUTE) as u64));
        self.model.now += 600 * 60 * MINUTE;
        for _ in 0..3 {
            self.handles[0].sweep().await.unwrap();
            self.clock.advance(Duration::from_millis((KEEP + MINUTE) as u64));
        }
        assert!(self.handles[1].check_dashboard(&self.id, &self.dashboard).await.is_err());
        let left = futures::StreamExt::count(self.blobs.folders()).await;
        assert_eq!(left, 0, "no object is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_shares_life_is_the_models(
        max in 1u32..5,
        minutes in 1i64..120,
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::begin(max, minutes).await;
            for act in acts {
                life.act(act).await;
                // What a node writes behind its answers, the other one sees a moment later.
                life.handles[life.turn % 2].flush().await.unwrap();
                life.check().await;
            }
            life.end().await;
        });
    }
}
