//! The contract of [`ShareStore`], one case for each clause.

use super::*;

type Shares = Open<dyn ShareStore>;

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

pub async fn a_door_is_the_shares_and_shut_where_there_is_none(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
    assert_eq!(shares.door(&share.id).await?, share.door());
    assert_eq!(shares.door(&sample_share(9).id).await?, Door::SHUT);
    shares.end(&share.id, Status::Burned, START).await?;
    assert_eq!(
        shares.door(&share.id).await?,
        Door { recorded_status: Status::Burned, ..share.door() },
        "its keys are still known"
    );
    assert_eq!(shares.door(&other.id).await?, other.door());
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

pub async fn exhaustion_destroys_the_shares_wraps_and_keeps_its_sessions(open: &Shares) -> StoreResult<()> {
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
        shares.end(&share.id, status, share.expires_at).await?;
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
    let extended =
        racing(
            open,
            |shares, n| async move { shares.extend(&id, START, from, from + (n + 1) * SECOND).await },
        );
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

pub async fn an_extended_share_does_not_expire_before_its_time(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let share = stored(&*shares, 1).await?;
    let (from, to) = (share.expires_at, share.expires_at + HOUR);
    assert!(shares.extend(&share.id, START, from, to).await?);
    // Somebody read the share before it was extended.
    assert!(!shares.end(&share.id, Status::Expired, from).await?);
    assert_eq!(found(&*shares, &share).await?, Share { expires_at: to, ..share.clone() });
    assert!(!shares.end(&sample_share(9).id, Status::Expired, to).await?, "unknown");
    assert!(shares.end(&share.id, Status::Expired, to).await?);
    let ended = found(&*shares, &share).await?;
    assert_eq!((ended.recorded_status, ended.ended_at), (Status::Expired, Some(to)));
    assert_eq!(has_share_wraps(&ended), [false; 3]);
    assert!(shares.end(&share.id, Status::Expired, from).await?, "it has ended");
    Ok(())
}

pub async fn the_first_burn_stays_on_the_receipt(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let share = stored(&*shares, 1).await?;
    let expired = share.expires_at;
    shares.end(&share.id, Status::Expired, expired).await?;
    assert_eq!(found(&*shares, &share).await?.receipt.burned_at, None);
    for seconds in [1, 2] {
        shares.end(&share.id, Status::Burned, expired + seconds * SECOND).await?;
    }
    let ended = found(&*shares, &share).await?;
    assert_eq!((ended.recorded_status, ended.ended_at), (Status::Expired, Some(expired)));
    assert_eq!(ended.receipt.burned_at, Some(expired + SECOND));
    Ok(())
}

pub async fn blocked_tries_are_counted_apart(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let share = stored(&*shares, 1).await?;
    let mut once = Blocked::default();
    once.count(BlockedTry::WrongPassword);
    shares.count_blocked(&share.id, &once).await?;
    shares.count_blocked(&share.id, &Blocked { throttled: 2, after_end: 3, ..once }).await?;
    shares.count_blocked(&sample_share(9).id, &once).await?;
    let blocked = Blocked { wrong_password: 2, throttled: 2, after_end: 3 };
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
    assert!(counted(shares.attempt(&attempt(&share, 1, at(62))).await?), "the oldest has left the window");
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
    assert_eq!(others.lease_due(now + HOUR, now + 2 * HOUR, 9).await?, [share], "whoever held it is gone");
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
    shares.end(&share.id, Status::Expired, share.expires_at).await?;
    // Whoever purges has read the row by now; then somebody burns.
    let later = share.expires_at + SECOND;
    shares.end(&share.id, Status::Burned, later).await?;
    let purge = Purge { objects_deleted: 8, purged_at: Some(later), ..Purge::default() };
    shares.note_purge(&share.id, &purge, later + HOUR).await?;
    let receipt = found(&*shares, &share).await?.receipt;
    assert_eq!((receipt.burned_at, receipt.purged_at), (Some(later), Some(later)));
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

/// The folders of a share's copies in order, each with how many were noted.
async fn copies(shares: &dyn ShareStore, share: &Share) -> StoreResult<Vec<Copies>> {
    let mut copies = shares.copies(&share.id).await?;
    copies.sort();
    Ok(copies)
}

pub async fn copies_are_noted_for_live_sessions_only(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
    let (live, over) = (opened(&*shares, &share, 5).await?, opened(&*shares, &share, 1).await?);
    let [first, second] = [sample_share(3).folder, sample_share(4).folder];
    assert!(shares.note_copy(&share.id, over.id, &first, 10).await?);
    shares.tidy(over.ends_at, START).await?;
    assert!(!shares.note_copy(&share.id, over.id, &first, 10).await?, "it is over");
    assert!(!shares.note_copy(&other.id, live.id, &first, 10).await?, "it is another share's");
    assert!(!shares.note_copy(&sample_share(9).id, live.id, &first, 10).await?);
    for folder in [&first, &second] {
        assert!(shares.note_copy(&share.id, live.id, folder, 100).await?);
    }
    let mut noted = vec![Copies { folder: first.clone(), objects: 2 }, Copies { folder: second, objects: 1 }];
    noted.sort();
    assert_eq!(copies(&*shares, &share).await?, noted);
    assert_eq!(copies(&*shares, &other).await?, []);
    assert_eq!(shares.stored_bytes().await?, share.bytes + other.bytes + 210, "they count as stored");
    shares.end(&share.id, Status::Burned, START).await?;
    assert!(!shares.note_copy(&share.id, live.id, &first, 10).await?);
    shares.note_purge(&share.id, &Purge { purged_at: Some(START), ..Purge::default() }, START).await?;
    assert_eq!(shares.stored_bytes().await?, other.bytes);
    shares.forget(&share.id).await?;
    assert_eq!(copies(&*shares, &share).await?, []);
    Ok(())
}

pub async fn racing_copies_are_all_noted(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let share = stored(&*shares, 1).await?;
    let session = opened(&*shares, &share, 1).await?;
    let folder = sample_share(3).folder;
    let noted = racing(open, |shares, _| {
        let (id, session, folder) = (share.id, session.id, folder.clone());
        async move { shares.note_copy(&id, session, &folder, 1).await }
    });
    assert!(noted.await?.into_iter().all(|noted| noted));
    assert_eq!(copies(&*shares, &share).await?, [Copies { folder, objects: 64 }]);
    assert_eq!(shares.stored_bytes().await?, share.bytes + 64);
    Ok(())
}

pub async fn deleted_copies_are_forgotten_unless_a_receipt_counts_them(open: &Shares) -> StoreResult<()> {
    let shares = open().await;
    let (share, ended) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
    let [first, second, third] = [3, 4, 5].map(|number| sample_share(number).folder);
    for (share, folder) in [(&share, &first), (&share, &second), (&ended, &third)] {
        let session = opened(&*shares, share, if folder == &second { 2 } else { 1 }).await?;
        assert!(shares.note_copy(&share.id, session.id, folder, 10).await?);
    }
    shares.end(&ended.id, Status::Burned, START).await?;
    shares.forget_copies(&[]).await?;
    shares.forget_copies(&[second, third.clone(), sample_share(9).folder]).await?;
    assert_eq!(copies(&*shares, &share).await?, [Copies { folder: first, objects: 1 }]);
    assert_eq!(copies(&*shares, &ended).await?, [Copies { folder: third, objects: 1 }]);
    assert_eq!(shares.stored_bytes().await?, share.bytes + ended.bytes + 20);
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
    let all = [report(&other, 9), report(&share, 2), report(&share, 1), report(&share, 0)];
    assert_eq!(shares.reports(10).await?, all);
    assert_eq!(shares.reports(2).await?, all[..2]);
    shares.forget(&share.id).await?;
    assert_eq!(shares.reports(10).await?, all[..1]);
    Ok(())
}

pub async fn reports_of_no_share_are_not_shown_and_forgotten_when_they_are_old(
    open: &Shares,
) -> StoreResult<()> {
    let shares = open().await;
    let (share, none) = (stored(&*shares, 1).await?, sample_share(9));
    let report = |share: &Share, seconds: u32| Report {
        share: share.id,
        at: START + seconds * SECOND,
        reason: format!("after {seconds} s"),
        sealed_key: None,
    };
    for seconds in 0..5 {
        shares.report(&report(&none, seconds), 3).await?;
    }
    shares.report(&report(&share, 0), 3).await?;
    assert_eq!(shares.reports(10).await?, [report(&share, 0)]);
    shares.tidy(START, START + SECOND).await?;
    assert_eq!(shares.reports(10).await?, [report(&share, 0)], "those of shares stay");
    // What is left of the others, and what was not kept, shows when there is such a share.
    shares.insert(&none).await?;
    assert_eq!(shares.reports(10).await?, [report(&none, 2), report(&none, 1), report(&share, 0)]);
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
    shares.tidy(START, START).await?;
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
    shares.tidy(first.ends_at, START + SECOND).await?;
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
    let (share, other) = (stored(&*shares, 1).await?, stored(&*shares, 2).await?);
    let folders = [sample_share(3).folder, share.folder.clone(), other.folder.clone()];
    let used = async || {
        let mut used = shares.folders_in_use(&folders).await?;
        used.sort();
        StoreResult::Ok(used)
    };
    let mut both = [share.folder.clone(), other.folder.clone()];
    both.sort();
    assert_eq!(used().await?, both);
    assert_eq!(shares.folders_in_use(&folders[..1]).await?, []);
    assert_eq!(shares.folders_in_use(&[]).await?, []);
    shares.end(&share.id, Status::Burned, START).await?;
    assert_eq!(used().await?, both);
    let pending = Purge { objects_pending: 8, ..Purge::default() };
    shares.note_purge(&share.id, &pending, START).await?;
    assert_eq!(used().await?, both, "objects are still there");
    let purged = Purge { purged_at: Some(START), ..Purge::default() };
    shares.note_purge(&share.id, &purged, START).await?;
    assert_eq!(used().await?, std::slice::from_ref(&other.folder));
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
    assert_eq!(shares.lease_due(START + HOUR, START + 2 * HOUR, 9).await?, [], "leases outlive their holder");
    Ok(())
}
