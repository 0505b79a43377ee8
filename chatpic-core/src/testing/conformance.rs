//! The stores' contracts as tests: whoever writes a store stamps them onto it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use chatpic_core::ShareStore;
//! use chatpic_core::store::memory::MemoryShares;
//! use chatpic_core::testing::conformance::Open;
//!
//! /// A fresh substrate; what is answered opens one more handle onto it.
//! fn memory() -> Open<dyn ShareStore> {
//!     let shares = MemoryShares::default();
//!     Box::new(move || {
//!         let handle: Arc<dyn ShareStore> = Arc::new(shares.clone());
//!         Box::pin(async move { handle })
//!     })
//! }
//!
//! chatpic_core::share_store_conformance!(memory);
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::TryStreamExt;

use super::SeededEntropy;
use crate::clock::Timestamp;
use crate::entropy::Entropy;
use crate::id::{Folder, SessionId, ShareId};
use crate::mark::Size;
use crate::secret::{Digest, Sealed};
use crate::share::{
    Blocked, BlockedTry, Country, Device, ImageForm, ImageRecord, Receipt, Report, Session, Share, Status,
    Tally,
};
use crate::store::{Attempt, Attempted, BlobStore, Claim, Claimed, Inserted, Purge, ShareStore, StoreResult};

/// Opens one more handle onto the same substrate; handles that were dropped lose nothing.
pub type Open<S> = Box<dyn Fn() -> BoxFuture<'static, Arc<S>> + Send + Sync>;

/// Stamps the contract of [`ShareStore`] as tests: one for each clause, each on the fresh substrate of one
/// call of the given function, which answers an [`Open`].
///
/// A store that needs a server which may be missing says so after the function's name: the tests are then ignored,
/// and counted as such, unless they are asked for.
#[macro_export]
macro_rules! share_store_conformance {
    ($open:path $(, needs = $server:literal)?) => {
        $crate::stamp_conformance! { $open, [$(#[ignore = $server])?];
            a_share_is_found_as_it_was_inserted
            a_taken_id_changes_nothing
            a_claim_grants_one_view
            ten_of_64_racing_claims_are_granted
            one_nonce_is_granted_once_however_often_it_races
            a_repeated_nonce_is_found_before_the_limit
            a_taken_session_id_counts_nothing
            exhaustion_destroys_the_shares_wraps_and_keeps_its_sessions
            an_expired_or_unknown_share_refuses
            a_claim_goes_by_its_callers_clock
            a_preview_counts_nothing_and_replaces_the_earlier_one
            an_ended_share_has_no_preview
            no_preview_outlives_an_end_that_races_with_it
            sessions_are_found_by_token_and_nonce_of_their_share_only
            a_live_session_is_touched_and_a_dead_one_is_not
            sessions_come_in_pages_newest_first_without_the_uploader
            views_are_tallied_by_country_and_time
            several_shares_are_found_at_once
            an_expiry_moves_only_from_where_it_stands_and_before_it
            one_of_many_racing_extensions_is_done
            an_end_destroys_every_wrap
            an_ended_share_keeps_its_first_status
            the_first_burn_stays_on_the_receipt
            blocked_tries_are_counted_apart
            attempts_count_within_their_window
            racing_attempts_never_pass_their_cap
            a_forgiven_attempt_no_longer_counts
            due_shares_are_leased_earliest_first
            a_lease_excludes_until_it_lapses
            racing_leases_are_disjoint
            a_postponed_share_is_due_when_it_was_said
            a_purge_is_noted_and_due_when_it_was_said
            a_purge_loses_no_burn_noted_in_between
            the_first_whole_purge_stays_on_the_receipt
            what_is_stored_is_summed_up_until_it_is_purged
            reports_come_newest_first_and_not_too_many_of_one_share
            a_kept_ledger_moves_only_a_purged_shares_due
            the_last_session_end_is_that_of_a_live_one
            a_forgotten_share_leaves_nothing
            ended_sessions_lose_their_wraps_and_old_attempts_are_forgotten
            a_folder_is_in_use_until_it_is_purged
            the_ledger_comes_in_pages_by_id
            the_first_fingerprint_stays
            reopening_keeps_everything
        }
    };
}

/// Stamps the contract of [`BlobStore`] as tests, as [`share_store_conformance!`](crate::share_store_conformance) does.
#[macro_export]
macro_rules! blob_store_conformance {
    ($open:path $(, needs = $server:literal)?) => {
        $crate::stamp_conformance! { $open, [$(#[ignore = $server])?];
            an_object_is_read_as_it_was_put
            an_object_is_never_changed
            a_folder_is_deleted_with_its_count_and_again_without
            every_folder_with_an_object_is_listed
            an_empty_store_has_room
            objects_outlive_their_handle
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! stamp_conformance {
    ($open:path, $attributes:tt; $($case:ident)+) => {
        $( $crate::stamp_conformance! { $open, $attributes, $case } )+
    };
    ($open:path, [$($attribute:tt)*], $case:ident) => {
        $($attribute)*
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $case() -> ::std::result::Result<(), $crate::StoreError> {
            $crate::testing::conformance::$case(&$open()).await
        }
    };
}

/// When sample shares are made.
pub const START: Timestamp = Timestamp(1_790_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

type Shares = Open<dyn ShareStore>;
type Blobs = Open<dyn BlobStore>;

/// The `number`th sample share: two images, a limit of ten views, one hour to live.
pub fn sample_share(number: u64) -> Share {
    let entropy = SeededEntropy::new(number);
    let entropy: &dyn Entropy = &entropy;
    let sealed = || Some(Sealed(entropy.bytes::<60>().to_vec()));
    let image = |form| ImageRecord {
        sizes: vec![Size { width: 1600, height: 1200 }, Size { width: 640, height: 480 }],
        framed: false,
        form,
        mark: None,
    };
    Share {
        id: ShareId::random(entropy),
        created_at: START,
        expires_at: START + HOUR,
        max_views: Some(10),
        views: 0,
        recorded_status: Status::Active,
        ended_at: None,
        folder: Folder::new(START, entropy),
        objects: 8,
        bytes: 1000 * (number + 1),
        images: vec![image(ImageForm::Jpeg), image(ImageForm::Png)],
        tally: Tally::default(),
        upload_digest: entropy.bytes(),
        link_digest: entropy.bytes(),
        dashboard_digest: entropy.bytes(),
        password_salt: Some(entropy.bytes()),
        link_wrap: sealed(),
        dashboard_wrap: sealed(),
        sealed_link: sealed(),
        sealed_mark_key: Sealed(entropy.bytes::<60>().to_vec()),
        keep_ledger: 24 * HOUR,
        blocked: Blocked::default(),
        receipt: Receipt::default(),
    }
}

/// The `number`th sample session, opened `number` seconds after [`START`] for ten minutes; the one with
/// number 0 is the uploader's.
pub fn sample_session(number: u32) -> Session {
    let entropy = SeededEntropy::new(u64::from(number) << 32);
    let entropy: &dyn Entropy = &entropy;
    let opened_at = START + number * SECOND;
    Session {
        id: SessionId(number),
        token_digest: entropy.bytes(),
        nonce_digest: entropy.bytes(),
        wrap: Some(Sealed(entropy.bytes::<60>().to_vec())),
        views_before: 0,
        opened_at,
        ends_at: opened_at + 600 * SECOND,
        country: "NZ".parse().ok(),
        device: Device::Phone,
        images_seen: 0,
    }
}

fn claim(share: &Share, session: u32) -> Claim {
    Claim { share: share.id, session: sample_session(session), ceiling: 10 }
}

fn attempt(share: &Share, who: u8, at: Timestamp) -> Attempt {
    Attempt {
        share: share.id,
        kind: "password",
        who: [who; 32],
        since: at - 60 * SECOND,
        at,
        per_who: 3,
        per_share: 5,
    }
}

async fn stored(shares: &dyn ShareStore, number: u64) -> StoreResult<Share> {
    let share = sample_share(number);
    assert_eq!(shares.insert(&share).await?, Inserted::Done);
    Ok(share)
}

/// The share after this many views by sample sessions with ascending numbers.
fn viewed(share: &Share, sessions: &[u32]) -> Share {
    let mut share = share.clone();
    for number in sessions {
        let session = sample_session(*number);
        share.views += 1;
        share.tally.count(share.created_at, session.opened_at, session.country);
    }
    share
}

async fn found(shares: &dyn ShareStore, share: &Share) -> StoreResult<Share> {
    Ok(shares.find(&share.id).await?.expect("the share is stored"))
}

async fn opened(shares: &dyn ShareStore, share: &Share, session: u32) -> StoreResult<Session> {
    let claimed = shares.claim(&claim(share, session)).await?;
    let Claimed::Opened(session) = claimed else { unreachable!("the view is granted, not {claimed:?}") };
    Ok(session)
}

fn has_share_wraps(share: &Share) -> [bool; 3] {
    [&share.link_wrap, &share.dashboard_wrap, &share.sealed_link].map(Option::is_some)
}

fn ids(shares: &[Share]) -> Vec<ShareId> {
    shares.iter().map(|share| share.id).collect()
}

/// Runs `work` 64 times at once, 32 times on each of two handles.
async fn racing<T, F>(open: &Shares, work: impl Fn(Arc<dyn ShareStore>, u32) -> F) -> StoreResult<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = StoreResult<T>> + Send + 'static,
{
    let handles = [open().await, open().await];
    let tasks: Vec<_> = (0..64)
        .zip(handles.iter().cycle())
        .map(|(n, handle)| tokio::spawn(work(handle.clone(), n)))
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("the task ends")?);
    }
    Ok(results)
}

#[expect(missing_docs, reason = "the names say it all")]
mod share_cases {
    use super::*;

    pub async fn a_share_is_found_as_it_was_inserted(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let plain = Share {
            max_views: None,
            password_salt: None,
            keep_ledger: Duration::ZERO,
            images: Vec::new(),
            ..sample_share(2)
        };
        let ended = Share {
            recorded_status: Status::Burned,
            ended_at: Some(START + SECOND),
            views: 3,
            link_wrap: None,
            dashboard_wrap: None,
            sealed_link: None,
            blocked: Blocked { wrong_password: 1, throttled: 2, after_end: 3 },
            receipt: Receipt {
                burned_at: Some(START + SECOND),
                objects_deleted: 7,
                objects_pending: 1,
                purged_at: Some(START + HOUR),
            },
            ..sample_share(3)
        };
        for share in [sample_share(1), plain, ended] {
            assert_eq!(shares.find(&share.id).await?, None);
            assert_eq!(shares.insert(&share).await?, Inserted::Done);
            assert_eq!(shares.find(&share.id).await?, Some(share));
        }
        Ok(())
    }

    pub async fn a_taken_id_changes_nothing(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let other = Share { id: share.id, ..sample_share(2) };
        assert_eq!(shares.insert(&other).await?, Inserted::IdTaken);
        assert_eq!(found(&*shares, &share).await?, share);
        Ok(())
    }

    pub async fn a_claim_grants_one_view(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        for (views_before, number) in (1..=3).enumerate() {
            let session = opened(&*shares, &share, number).await?;
            assert_eq!(session, Session { views_before: views_before as u32, ..sample_session(number) });
            assert_eq!(shares.session(&share.id, &session.token_digest).await?, Some(session));
        }
        assert_eq!(found(&*shares, &share).await?, viewed(&share, &[1, 2, 3]));
        Ok(())
    }

    pub async fn ten_of_64_racing_claims_are_granted(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let claimed = racing(open, |shares, n| {
            let claim = claim(&share, n + 1);
            async move { shares.claim(&claim).await }
        });
        let claimed = claimed.await?;
        let mut views_before: Vec<_> = claimed
            .iter()
            .filter_map(|claimed| match claimed {
                Claimed::Opened(session) => Some(session.views_before),
                refused => {
                    assert_eq!(*refused, Claimed::Refused);
                    None
                }
            })
            .collect();
        views_before.sort_unstable();
        assert_eq!(views_before, (0..10).collect::<Vec<_>>());
        let share = found(&*shares, &share).await?;
        assert_eq!((share.views, share.recorded_status), (10, Status::Exhausted));
        assert_eq!(shares.sessions(&share.id, None, 100).await?.len(), 10);
        Ok(())
    }

    pub async fn one_nonce_is_granted_once_however_often_it_races(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let claimed = racing(open, |shares, n| {
            let mut claim = claim(&share, n + 1);
            claim.session.nonce_digest = [7; 32];
            async move { shares.claim(&claim).await }
        });
        let (mut granted, mut repeated) = (Vec::new(), Vec::new());
        for claimed in claimed.await? {
            match claimed {
                Claimed::Opened(session) => granted.push(session),
                Claimed::Repeated(session) => repeated.push(session),
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!((granted.len(), repeated.len()), (1, 63));
        assert!(repeated.iter().all(|session| *session == granted[0]));
        assert_eq!(found(&*shares, &share).await?.views, 1);
        Ok(())
    }

    pub async fn a_repeated_nonce_is_found_before_the_limit(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let last = Claim { ceiling: 1, ..claim(&share, 1) };
        let Claimed::Opened(session) = shares.claim(&last).await? else { unreachable!("there is a view") };
        let late = Session { opened_at: START + 2 * HOUR, ..sample_session(2) };
        let again = Session { nonce_digest: session.nonce_digest, ..late };
        let repeated = shares.claim(&Claim { session: again, ..last }).await?;
        assert_eq!(repeated, Claimed::Repeated(session));
        assert_eq!(found(&*shares, &share).await?.views, 1);
        Ok(())
    }

    pub async fn a_taken_session_id_counts_nothing(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        let first = opened(&*shares, &share, 1).await?;
        let same_id = Session { id: first.id, ..sample_session(2) };
        let taken = Claim { session: same_id, ..claim(&share, 2) };
        assert_eq!(shares.claim(&taken).await?, Claimed::IdTaken);
        assert_eq!(found(&*shares, &share).await?.views, 1);
        assert_eq!(shares.sessions(&share.id, None, 9).await?, [first]);
        let elsewhere = shares.claim(&Claim { share: other.id, ..taken }).await?;
        assert!(matches!(elsewhere, Claimed::Opened(_)), "ids are names within one share");
        Ok(())
    }

    pub async fn exhaustion_destroys_the_shares_wraps_and_keeps_its_sessions(
        open: &Shares,
    ) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        for number in 1..=9 {
            opened(&*shares, &share, number).await?;
        }
        let before = found(&*shares, &share).await?;
        assert_eq!((before.recorded_status, has_share_wraps(&before)), (Status::Active, [true; 3]));
        let last = opened(&*shares, &share, 10).await?;
        let exhausted = Share {
            recorded_status: Status::Exhausted,
            ended_at: Some(last.opened_at),
            link_wrap: None,
            dashboard_wrap: None,
            sealed_link: None,
            ..viewed(&share, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        };
        assert_eq!(found(&*shares, &share).await?, exhausted);
        let sessions = shares.sessions(&share.id, None, 100).await?;
        assert!(sessions.len() == 10 && sessions.iter().all(|session| session.wrap.is_some()));
        let due = shares.lease_due(last.opened_at, START + HOUR, 9).await?;
        assert_eq!(due, [exhausted], "due at once");
        Ok(())
    }

    pub async fn an_expired_or_unknown_share_refuses(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let unknown = claim(&sample_share(9), 1);
        assert_eq!(shares.claim(&unknown).await?, Claimed::Refused);
        for (number, status) in [(1, Status::Expired), (2, Status::Burned)] {
            let share = stored(&*shares, number).await?;
            shares.end(&share.id, status, START).await?;
            assert_eq!(shares.claim(&claim(&share, 1)).await?, Claimed::Refused);
            assert_eq!(found(&*shares, &share).await?.views, 0);
            assert_eq!(shares.sessions(&share.id, None, 9).await?, []);
        }
        Ok(())
    }

    pub async fn a_claim_goes_by_its_callers_clock(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let at = |opened_at, number| Claim {
            session: Session { opened_at, ..sample_session(number) },
            ..claim(&share, number)
        };
        assert_eq!(shares.claim(&at(share.expires_at, 1)).await?, Claimed::Refused);
        let in_time = shares.claim(&at(Timestamp(share.expires_at.0 - 1), 2)).await?;
        assert!(matches!(in_time, Claimed::Opened(_)));
        assert_eq!(found(&*shares, &share).await?.recorded_status, Status::Active, "nobody said it expired");
        Ok(())
    }

    pub async fn a_preview_counts_nothing_and_replaces_the_earlier_one(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let view = opened(&*shares, &share, 1).await?;
        let first = sample_session(0);
        let second = Session { id: SessionId::UPLOADER, ..sample_session(2) };
        for preview in [&first, &second] {
            assert!(shares.preview(&share.id, preview).await?);
            assert_eq!(shares.session(&share.id, &preview.token_digest).await?.as_ref(), Some(preview));
        }
        assert_eq!(shares.session(&share.id, &first.token_digest).await?, None);
        assert_eq!(shares.session(&share.id, &view.token_digest).await?, Some(view));
        assert_eq!(found(&*shares, &share).await?, viewed(&share, &[1]));
        Ok(())
    }

    pub async fn an_ended_share_has_no_preview(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let preview = sample_session(0);
        let late = Session { opened_at: START + HOUR, ..sample_session(0) };
        let (burned, expired) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        shares.end(&burned.id, Status::Burned, START).await?;
        assert!(!shares.preview(&burned.id, &preview).await?);
        assert!(!shares.preview(&expired.id, &late).await?, "its time is up, swept or not");
        assert!(!shares.preview(&sample_share(9).id, &preview).await?, "unknown");
        for share in [burned, expired] {
            assert_eq!(shares.session(&share.id, &preview.token_digest).await?, None);
        }
        Ok(())
    }

    pub async fn no_preview_outlives_an_end_that_races_with_it(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let id = share.id;
        let raced = racing(open, |shares, n| async move {
            if n == 40 {
                shares.end(&id, Status::Burned, START).await?;
                return Ok(false);
            }
            let numbered = sample_session(n + 1);
            shares.preview(&id, &Session { id: SessionId::UPLOADER, ..numbered }).await
        });
        let previewed = raced.await?;
        for n in (0..64).filter(|n| previewed[*n as usize]) {
            let session = shares.session(&id, &sample_session(n + 1).token_digest).await?;
            assert!(session.is_none_or(|session| session.wrap.is_none()), "the wrap of preview {n} is left");
        }
        Ok(())
    }

    pub async fn several_shares_are_found_at_once(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let stored = [stored(&*shares, 1).await?, stored(&*shares, 2).await?, stored(&*shares, 3).await?];
        let unknown = sample_share(9).id;
        let mut found = shares.find_all(&[stored[2].id, unknown, stored[0].id]).await?;
        found.sort_by_key(|share| share.bytes);
        assert_eq!(found, [stored[0].clone(), stored[2].clone()]);
        assert_eq!(shares.find_all(&[]).await?, []);
        Ok(())
    }

    pub async fn sessions_are_found_by_token_and_nonce_of_their_share_only(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        let session = opened(&*shares, &share, 1).await?;
        let (token, nonce) = (session.token_digest, session.nonce_digest);
        assert_eq!(shares.session(&share.id, &token).await?.as_ref(), Some(&session));
        assert_eq!(shares.session_of_nonce(&share.id, &nonce).await?, Some(session));
        assert_eq!(shares.session(&share.id, &nonce).await?, None);
        assert_eq!(shares.session_of_nonce(&share.id, &token).await?, None);
        assert_eq!(shares.session(&other.id, &token).await?, None);
        assert_eq!(shares.session_of_nonce(&other.id, &nonce).await?, None);
        Ok(())
    }

    pub async fn a_live_session_is_touched_and_a_dead_one_is_not(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let (session, bystander) = (opened(&*shares, &share, 1).await?, opened(&*shares, &share, 2).await?);
        shares.touch(&share.id, session.id, START + HOUR, 0b01).await?;
        shares.touch(&share.id, session.id, START + SECOND, 0b10).await?;
        let touched = Session { ends_at: START + SECOND, images_seen: 0b11, ..session.clone() };
        assert_eq!(shares.sessions(&share.id, None, 9).await?, [bystander, touched.clone()]);
        shares.end(&share.id, Status::Burned, START).await?;
        shares.touch(&share.id, session.id, START + HOUR, 0b100).await?;
        let dead = Session { wrap: None, ..touched };
        assert_eq!(shares.session(&share.id, &session.token_digest).await?, Some(dead));
        Ok(())
    }

    pub async fn sessions_come_in_pages_newest_first_without_the_uploader(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        opened(&*shares, &other, 1).await?;
        shares.preview(&share.id, &sample_session(0)).await?;
        // The three in the middle were opened at the same instant; ids reach beyond 31 bits.
        let times_and_ids = [(5, 3), (7, 1), (7, u32::MAX), (7, 0x8000_0000), (9, 2)];
        for (n, (at, id)) in (1..).zip(times_and_ids) {
            let session = Session { id: SessionId(id), opened_at: START + at * SECOND, ..sample_session(n) };
            let claimed = shares.claim(&Claim { session, ..claim(&share, n) }).await?;
            assert!(matches!(claimed, Claimed::Opened(_)));
        }
        let newest_first = [2, u32::MAX, 0x8000_0000, 1, 3].map(SessionId);
        let listed = |page: Vec<Session>| page.iter().map(|session| session.id).collect::<Vec<_>>();
        assert_eq!(listed(shares.sessions(&share.id, None, usize::MAX).await?), newest_first);
        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = shares.sessions(&share.id, after, 2).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.opened_at, last.id));
            paged.extend(listed(page));
        }
        assert_eq!(paged, newest_first);
        Ok(())
    }

    pub async fn views_are_tallied_by_country_and_time(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        shares.preview(&share.id, &sample_session(0)).await?;
        let views = [(0, "NZ"), (59, "FR"), (60, "NZ"), (61, "XX"), (3599, "DE")];
        for (n, (seconds, country)) in (1..).zip(views) {
            let opened_at = START + seconds * SECOND;
            let session = Session { opened_at, country: country.parse().ok(), ..sample_session(n) };
            shares.claim(&Claim { session, ..claim(&share, n) }).await?;
        }
        let tally = found(&*shares, &share).await?.tally;
        let country = |code: &str| code.parse::<Country>().ok();
        let countries = [(country("NZ"), 2), (None, 1), (country("DE"), 1), (country("FR"), 1)];
        assert_eq!(tally.countries(), countries);
        let at = |seconds: u32| START + seconds * SECOND;
        assert_eq!(tally.timeline(START), [(at(0), 2), (at(60), 2), (at(3540), 1)]);
        Ok(())
    }

    pub async fn an_expiry_moves_only_from_where_it_stands_and_before_it(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let (from, to) = (share.expires_at, share.expires_at + HOUR);
        assert!(!shares.extend(&share.id, START, from + SECOND, to).await?, "from elsewhere");
        assert!(!shares.extend(&share.id, from, from, to).await?, "its time is up");
        assert!(!shares.extend(&sample_share(9).id, START, from, to).await?, "unknown");
        assert_eq!(found(&*shares, &share).await?, share);
        assert!(shares.extend(&share.id, Timestamp(from.0 - 1), from, to).await?);
        assert_eq!(found(&*shares, &share).await?, Share { expires_at: to, ..share.clone() });
        assert_eq!(shares.lease_due(Timestamp(to.0 - 1), to, 9).await?, []);
        assert_eq!(ids(&shares.lease_due(to, to + HOUR, 9).await?), [share.id], "due when it expires");
        shares.end(&share.id, Status::Burned, START).await?;
        assert!(!shares.extend(&share.id, START, to, to + HOUR).await?, "ended");
        Ok(())
    }

    pub async fn one_of_many_racing_extensions_is_done(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let (id, from) = (share.id, share.expires_at);
        let extended = racing(open, |shares, n| async move {
            shares.extend(&id, START, from, from + (n + 1) * SECOND).await
        });
        assert_eq!(extended.await?.into_iter().filter(|done| *done).count(), 1);
        Ok(())
    }

    pub async fn an_end_destroys_every_wrap(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        opened(&*shares, &share, 1).await?;
        shares.preview(&share.id, &sample_session(0)).await?;
        let untouched = opened(&*shares, &other, 2).await?;
        let at = START + 60 * SECOND;
        shares.end(&share.id, Status::Burned, at).await?;
        let ended = found(&*shares, &share).await?;
        assert_eq!((ended.recorded_status, ended.ended_at), (Status::Burned, Some(at)));
        assert_eq!(has_share_wraps(&ended), [false; 3]);
        assert_eq!(ended.sealed_mark_key, share.sealed_mark_key, "the ledger stays traceable");
        for number in [0, 1] {
            let session = shares.session(&share.id, &sample_session(number).token_digest).await?;
            assert_eq!(session.expect("the ledger keeps its sessions").wrap, None);
        }
        assert_eq!(ids(&shares.lease_due(at, at + HOUR, 9).await?), [share.id], "due at once");
        assert_eq!(has_share_wraps(&found(&*shares, &other).await?), [true; 3]);
        assert_eq!(shares.sessions(&other.id, None, 9).await?, [untouched]);
        Ok(())
    }

    pub async fn an_ended_share_keeps_its_first_status(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let last = Claim { ceiling: 1, ..claim(&share, 1) };
        assert!(matches!(shares.claim(&last).await?, Claimed::Opened(_)));
        let burned_at = START + 60 * SECOND;
        shares.end(&share.id, Status::Burned, burned_at).await?;
        let ended = found(&*shares, &share).await?;
        assert_eq!((ended.recorded_status, ended.ended_at), (Status::Exhausted, Some(START + SECOND)));
        assert_eq!(ended.receipt.burned_at, Some(burned_at));
        let session = shares.session(&share.id, &last.session.token_digest).await?;
        assert_eq!(session.expect("the ledger keeps its sessions").wrap, None);
        Ok(())
    }

    pub async fn the_first_burn_stays_on_the_receipt(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        shares.end(&share.id, Status::Expired, START).await?;
        assert_eq!(found(&*shares, &share).await?.receipt.burned_at, None);
        for seconds in [1, 2] {
            shares.end(&share.id, Status::Burned, START + seconds * SECOND).await?;
        }
        let ended = found(&*shares, &share).await?;
        assert_eq!((ended.recorded_status, ended.ended_at), (Status::Expired, Some(START)));
        assert_eq!(ended.receipt.burned_at, Some(START + SECOND));
        Ok(())
    }

    pub async fn blocked_tries_are_counted_apart(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        for (blocked, times) in
            [(BlockedTry::WrongPassword, 1), (BlockedTry::Throttled, 2), (BlockedTry::AfterEnd, 3)]
        {
            for _ in 0..times {
                shares.count_blocked(&share.id, blocked).await?;
            }
        }
        let blocked = Blocked { wrong_password: 1, throttled: 2, after_end: 3 };
        assert_eq!(found(&*shares, &share).await?, Share { blocked, ..share });
        Ok(())
    }

    pub async fn attempts_count_within_their_window(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        let at = |seconds: u32| START + seconds * SECOND;
        let counted = |attempted| matches!(attempted, Attempted::Counted(_));
        for seconds in 1..=3 {
            assert!(counted(shares.attempt(&attempt(&share, 1, at(seconds))).await?));
        }
        assert_eq!(shares.attempt(&attempt(&share, 1, at(4))).await?, Attempted::Refused(at(1)));
        let trace = Attempt { kind: "trace", ..attempt(&share, 1, at(4)) };
        assert!(counted(shares.attempt(&trace).await?), "another kind is counted apart");
        assert!(counted(shares.attempt(&attempt(&other, 1, at(4))).await?), "and so is another share");
        for who in [2, 3] {
            assert!(counted(shares.attempt(&attempt(&share, who, at(5))).await?));
        }
        let full = shares.attempt(&attempt(&share, 4, at(6))).await?;
        assert_eq!(full, Attempted::Refused(at(1)), "everybody's attempts are too many");
        let oldest_counts = shares.attempt(&attempt(&share, 1, at(61))).await?;
        assert_eq!(oldest_counts, Attempted::Refused(at(1)), "the window's first instant counts");
        assert!(
            counted(shares.attempt(&attempt(&share, 1, at(62))).await?),
            "the oldest has left the window"
        );
        Ok(())
    }

    pub async fn racing_attempts_never_pass_their_cap(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        for (who_of, cap) in [((|_| 1) as fn(u32) -> u8, 3), (|n| n as u8, 5)] {
            let later = if cap == 3 { START } else { START + HOUR };
            let attempted = racing(open, |shares, n| {
                let attempt = attempt(&share, who_of(n), later);
                async move { shares.attempt(&attempt).await }
            });
            let mut counted = BTreeSet::new();
            for attempted in attempted.await? {
                match attempted {
                    Attempted::Counted(id) => assert!(counted.insert(id), "each has its own id"),
                    Attempted::Refused(oldest) => assert_eq!(oldest, later),
                }
            }
            assert_eq!(counted.len(), cap);
        }
        Ok(())
    }

    pub async fn a_forgiven_attempt_no_longer_counts(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        for _ in 0..9 {
            let attempted = shares.attempt(&attempt(&share, 1, START)).await?;
            let Attempted::Counted(id) = attempted else { unreachable!("all before were forgiven") };
            shares.forgive(id).await?;
            shares.forgive(id).await?;
        }
        Ok(())
    }

    pub async fn due_shares_are_leased_earliest_first(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        for (number, hours) in [(1, 3), (2, 1), (3, 2), (4, 9)] {
            let share = Share { expires_at: START + hours * HOUR, ..sample_share(number) };
            shares.insert(&share).await?;
        }
        assert_eq!(shares.lease_due(START, START + HOUR, 9).await?, []);
        let now = START + 3 * HOUR;
        let first = shares.lease_due(now, now + HOUR, 2).await?;
        assert_eq!(ids(&first), [2, 3].map(|number| sample_share(number).id));
        let rest = shares.lease_due(now, now + HOUR, 2).await?;
        assert_eq!(ids(&rest), [sample_share(1).id]);
        Ok(())
    }

    pub async fn a_lease_excludes_until_it_lapses(open: &Shares) -> StoreResult<()> {
        let (shares, others) = (open().await, open().await);
        let share = stored(&*shares, 1).await?;
        let now = share.expires_at;
        assert_eq!(shares.lease_due(now, now + HOUR, 9).await?, std::slice::from_ref(&share));
        for handle in [&shares, &others] {
            assert_eq!(handle.lease_due(Timestamp(now.0 + 3_599_999), now + 9 * HOUR, 9).await?, []);
        }
        assert_eq!(
            others.lease_due(now + HOUR, now + 2 * HOUR, 9).await?,
            [share],
            "whoever held it is gone"
        );
        Ok(())
    }

    pub async fn racing_leases_are_disjoint(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        for number in 0..40 {
            stored(&*shares, number).await?;
        }
        let now = START + HOUR;
        let leased = racing(open, |shares, _| async move { shares.lease_due(now, now + HOUR, 3).await });
        let leased: Vec<_> = leased.await?.iter().flat_map(|leased| ids(leased)).collect();
        assert_eq!(leased.len(), 40);
        assert_eq!(leased.into_iter().collect::<BTreeSet<_>>().len(), 40, "nobody is given what another has");
        Ok(())
    }

    pub async fn a_postponed_share_is_due_when_it_was_said(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let (now, due) = (share.expires_at, share.expires_at + 60 * SECOND);
        shares.lease_due(now, now + HOUR, 9).await?;
        shares.postpone(&share.id, due).await?;
        assert_eq!(shares.lease_due(Timestamp(due.0 - 1), due + HOUR, 9).await?, []);
        assert_eq!(shares.lease_due(due, due + HOUR, 9).await?, [share], "the lease is over");
        Ok(())
    }

    pub async fn a_purge_is_noted_and_due_when_it_was_said(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        shares.end(&share.id, Status::Burned, START).await?;
        let ended = shares.lease_due(START, START + HOUR, 9).await?.remove(0);
        let purge = Purge { objects_deleted: 7, objects_pending: 1, purged_at: Some(START + SECOND) };
        let due = START + 60 * SECOND;
        shares.note_purge(&share.id, &purge, due).await?;
        let receipt = Receipt {
            burned_at: Some(START),
            objects_deleted: 7,
            objects_pending: 1,
            purged_at: Some(START + SECOND),
        };
        let purged = Share { receipt, ..ended };
        assert_eq!(found(&*shares, &share).await?, purged);
        assert_eq!(shares.lease_due(Timestamp(due.0 - 1), due + HOUR, 9).await?, []);
        assert_eq!(shares.lease_due(due, due + HOUR, 9).await?, [purged], "the lease is over");
        Ok(())
    }

    pub async fn a_purge_loses_no_burn_noted_in_between(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        shares.end(&share.id, Status::Expired, START).await?;
        // Whoever purges has read the row by now; then somebody burns.
        shares.end(&share.id, Status::Burned, START + SECOND).await?;
        let purge = Purge { objects_deleted: 8, purged_at: Some(START + SECOND), ..Purge::default() };
        shares.note_purge(&share.id, &purge, START + HOUR).await?;
        let receipt = found(&*shares, &share).await?.receipt;
        assert_eq!((receipt.burned_at, receipt.purged_at), (Some(START + SECOND), Some(START + SECOND)));
        Ok(())
    }

    pub async fn the_first_whole_purge_stays_on_the_receipt(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        shares.end(&share.id, Status::Burned, START).await?;
        let pending = Purge { objects_pending: 8, ..Purge::default() };
        let whole = Purge { objects_deleted: 8, purged_at: Some(START + SECOND), ..Purge::default() };
        let late = Purge { objects_deleted: 0, purged_at: Some(START + HOUR), ..Purge::default() };
        for purge in [pending, whole, late, pending] {
            shares.note_purge(&share.id, &purge, START + HOUR).await?;
        }
        let receipt = Receipt {
            burned_at: Some(START),
            objects_deleted: 8,
            objects_pending: 0,
            purged_at: Some(START + SECOND),
        };
        assert_eq!(found(&*shares, &share).await?.receipt, receipt);
        Ok(())
    }

    pub async fn what_is_stored_is_summed_up_until_it_is_purged(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        assert_eq!(shares.stored_bytes().await?, 0);
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        assert_eq!(shares.stored_bytes().await?, share.bytes + other.bytes);
        shares.end(&share.id, Status::Burned, START).await?;
        shares.note_purge(&share.id, &Purge { objects_pending: 8, ..Purge::default() }, START).await?;
        assert_eq!(shares.stored_bytes().await?, share.bytes + other.bytes, "objects are still there");
        shares.note_purge(&share.id, &Purge { purged_at: Some(START), ..Purge::default() }, START).await?;
        assert_eq!(shares.stored_bytes().await?, other.bytes);
        Ok(())
    }

    pub async fn reports_come_newest_first_and_not_too_many_of_one_share(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        let report = |share: &Share, seconds: u32| Report {
            share: share.id,
            at: START + seconds * SECOND,
            reason: format!("after {seconds} s, \u{e9}'\"\n"),
            sealed_key: seconds.is_multiple_of(2).then(|| Sealed(vec![7; 44])),
        };
        for seconds in 0..5 {
            shares.report(&report(&share, seconds), 3).await?;
        }
        shares.report(&report(&other, 9), 3).await?;
        shares.report(&report(&sample_share(9), 1), 3).await?;
        let all = [report(&other, 9), report(&share, 2), report(&share, 1), report(&share, 0)];
        assert_eq!(shares.reports(10).await?, all);
        assert_eq!(shares.reports(2).await?, all[..2]);
        shares.forget(&share.id).await?;
        assert_eq!(shares.reports(10).await?, all[..1]);
        Ok(())
    }

    pub async fn a_kept_ledger_moves_only_a_purged_shares_due(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let kept = 5 * HOUR;
        let (keep_ms, until) = (5 * 60 * 60 * 1000, share.expires_at + kept);
        shares.keep_ledger(&share.id, keep_ms, until).await?;
        let active = Share { keep_ledger: kept, ..share.clone() };
        assert_eq!(shares.lease_due(share.expires_at, until, 9).await?, [active], "still due at its expiry");
        let purge = Purge { purged_at: Some(share.expires_at), ..Purge::default() };
        shares.note_purge(&share.id, &purge, until).await?;
        let sooner = share.expires_at + SECOND;
        shares.keep_ledger(&share.id, 1000, sooner).await?;
        assert_eq!(ids(&shares.lease_due(sooner, until, 9).await?), [share.id]);
        Ok(())
    }

    pub async fn the_last_session_end_is_that_of_a_live_one(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        assert_eq!(shares.last_session_end(&share.id).await?, None);
        let ends = [opened(&*shares, &share, 1).await?.ends_at, opened(&*shares, &share, 5).await?.ends_at];
        assert_eq!(shares.last_session_end(&share.id).await?, Some(ends[1]));
        shares.touch(&share.id, SessionId(5), START, 0).await?;
        shares.expire_sessions(START, START).await?;
        assert_eq!(shares.last_session_end(&share.id).await?, Some(ends[0]));
        shares.end(&share.id, Status::Burned, START).await?;
        assert_eq!(shares.last_session_end(&share.id).await?, None);
        Ok(())
    }

    pub async fn a_forgotten_share_leaves_nothing(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
        let session = opened(&*shares, &share, 1).await?;
        let kept = opened(&*shares, &other, 1).await?;
        for _ in 0..3 {
            shares.attempt(&attempt(&share, 1, START)).await?;
        }
        for _ in 0..2 {
            shares.forget(&share.id).await?;
            assert_eq!(shares.find(&share.id).await?, None);
            assert_eq!(shares.session(&share.id, &session.token_digest).await?, None);
            assert_eq!(shares.session_of_nonce(&share.id, &session.nonce_digest).await?, None);
            assert_eq!(shares.sessions(&share.id, None, 9).await?, []);
        }
        let due = shares.lease_due(START + HOUR, START + 2 * HOUR, 9).await?;
        assert_eq!(ids(&due), [other.id]);
        assert!(matches!(shares.attempt(&attempt(&share, 1, START)).await?, Attempted::Counted(_)));
        assert_eq!(shares.sessions(&other.id, None, 9).await?, [kept]);
        assert_eq!(shares.insert(&share).await?, Inserted::Done, "its id is free");
        assert_eq!(shares.sessions(&share.id, None, 9).await?, []);
        Ok(())
    }

    pub async fn ended_sessions_lose_their_wraps_and_old_attempts_are_forgotten(
        open: &Shares,
    ) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let (first, second) = (opened(&*shares, &share, 1).await?, opened(&*shares, &share, 2).await?);
        for seconds in 0..3 {
            shares.attempt(&attempt(&share, 1, START + seconds * SECOND)).await?;
        }
        shares.expire_sessions(first.ends_at, START + SECOND).await?;
        let over = Session { wrap: None, ..first };
        assert_eq!(shares.sessions(&share.id, None, 9).await?, [second, over]);
        assert_eq!(has_share_wraps(&found(&*shares, &share).await?), [true; 3]);
        let at = START + 3 * SECOND;
        assert!(matches!(shares.attempt(&attempt(&share, 1, at)).await?, Attempted::Counted(_)));
        assert_eq!(shares.attempt(&attempt(&share, 1, at)).await?, Attempted::Refused(START + SECOND));
        Ok(())
    }

    pub async fn a_folder_is_in_use_until_it_is_purged(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        assert!(!shares.folder_in_use(&sample_share(2).folder).await?);
        assert!(shares.folder_in_use(&share.folder).await?);
        shares.end(&share.id, Status::Burned, START).await?;
        assert!(shares.folder_in_use(&share.folder).await?);
        let pending = Purge { objects_pending: 8, ..Purge::default() };
        shares.note_purge(&share.id, &pending, START).await?;
        assert!(shares.folder_in_use(&share.folder).await?, "objects are still there");
        let purged = Purge { purged_at: Some(START), ..Purge::default() };
        shares.note_purge(&share.id, &purged, START).await?;
        assert!(!shares.folder_in_use(&share.folder).await?);
        Ok(())
    }

    pub async fn the_ledger_comes_in_pages_by_id(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let mut all: Vec<_> = (0..7).map(sample_share).collect();
        // The least id of all is on the first page too.
        all[0].id = ShareId::from_bytes([0; 12]);
        for share in &all {
            shares.insert(share).await?;
        }
        all.sort_by_key(|share| share.id);
        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = shares.ledger(after, 3).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            paged.extend(page);
        }
        assert_eq!(paged, all);
        Ok(())
    }

    pub async fn the_first_fingerprint_stays(open: &Shares) -> StoreResult<()> {
        let noted = racing(open, |shares, n| async move { shares.fingerprint(&[n as u8; 32]).await });
        let noted: BTreeSet<Digest> = noted.await?.into_iter().collect();
        assert_eq!(noted.len(), 1, "one wins, and everybody is told which");
        assert_eq!(Some(open().await.fingerprint(&[99; 32]).await?), noted.into_iter().next());
        Ok(())
    }

    pub async fn reopening_keeps_everything(open: &Shares) -> StoreResult<()> {
        let shares = open().await;
        let share = stored(&*shares, 1).await?;
        let session = opened(&*shares, &share, 1).await?;
        for _ in 0..3 {
            shares.attempt(&attempt(&share, 1, START)).await?;
        }
        shares.fingerprint(&[1; 32]).await?;
        shares.lease_due(START + HOUR, START + 2 * HOUR, 9).await?;
        drop(shares);

        let shares = open().await;
        assert_eq!(found(&*shares, &share).await?, viewed(&share, &[1]));
        assert_eq!(shares.sessions(&share.id, None, 9).await?, [session]);
        assert_eq!(shares.attempt(&attempt(&share, 1, START)).await?, Attempted::Refused(START));
        assert_eq!(shares.fingerprint(&[2; 32]).await?, [1; 32]);
        assert_eq!(
            shares.lease_due(START + HOUR, START + 2 * HOUR, 9).await?,
            [],
            "leases outlive their holder"
        );
        Ok(())
    }
}

#[expect(missing_docs, reason = "the names say it all")]
mod blob_cases {
    use super::*;

    fn folder(number: u64) -> Folder {
        sample_share(number).folder
    }

    pub async fn an_object_is_read_as_it_was_put(open: &Blobs) -> StoreResult<()> {
        let (blobs, others) = (open().await, open().await);
        let large = Bytes::from(vec![7; 3_000_000]);
        for (name, sealed) in [("0-full", large), ("empty", Bytes::new())] {
            assert_eq!(blobs.get(&folder(1), name).await?, None);
            blobs.put(&folder(1), name, sealed.clone()).await?;
            assert_eq!(others.get(&folder(1), name).await?, Some(sealed));
            assert_eq!(blobs.get(&folder(2), name).await?, None);
        }
        Ok(())
    }

    pub async fn an_object_is_never_changed(open: &Blobs) -> StoreResult<()> {
        let blobs = open().await;
        let first = Bytes::from_static(b"first");
        blobs.put(&folder(1), "0", first.clone()).await?;
        // Whether putting it again is an error is the store's to say.
        for again in [first.clone(), Bytes::from_static(b"second")] {
            drop(blobs.put(&folder(1), "0", again).await);
            assert_eq!(blobs.get(&folder(1), "0").await?.as_ref(), Some(&first));
        }
        Ok(())
    }

    pub async fn a_folder_is_deleted_with_its_count_and_again_without(open: &Blobs) -> StoreResult<()> {
        let blobs = open().await;
        assert_eq!(blobs.delete_folder(&folder(1)).await?, 0);
        for name in ["0", "1", "2"] {
            blobs.put(&folder(1), name, Bytes::from_static(b"one")).await?;
        }
        blobs.put(&folder(2), "0", Bytes::from_static(b"two")).await?;
        assert_eq!(blobs.delete_folder(&folder(1)).await?, 3);
        assert_eq!(blobs.delete_folder(&folder(1)).await?, 0);
        assert_eq!(blobs.get(&folder(1), "0").await?, None);
        assert_eq!(blobs.get(&folder(2), "0").await?, Some(Bytes::from_static(b"two")));
        Ok(())
    }

    pub async fn an_empty_store_has_room(open: &Blobs) -> StoreResult<()> {
        assert!(open().await.has_room().await?);
        Ok(())
    }

    pub async fn every_folder_with_an_object_is_listed(open: &Blobs) -> StoreResult<()> {
        let blobs = open().await;
        let listed = async || blobs.folders().try_collect::<BTreeSet<_>>().await;
        assert_eq!(listed().await?, BTreeSet::new());
        for number in 0..9 {
            for name in ["0", "1"] {
                blobs.put(&folder(number), name, Bytes::from_static(b"sealed")).await?;
            }
        }
        assert_eq!(listed().await?, (0..9).map(folder).collect());
        for number in 0..8 {
            blobs.delete_folder(&folder(number)).await?;
        }
        assert_eq!(listed().await?, BTreeSet::from([folder(8)]));
        blobs.delete_folder(&folder(8)).await?;
        assert_eq!(listed().await?, BTreeSet::new());
        Ok(())
    }

    pub async fn objects_outlive_their_handle(open: &Blobs) -> StoreResult<()> {
        open().await.put(&folder(1), "0", Bytes::from_static(b"sealed")).await?;
        assert_eq!(open().await.get(&folder(1), "0").await?, Some(Bytes::from_static(b"sealed")));
        Ok(())
    }
}

pub use blob_cases::*;
pub use share_cases::*;
