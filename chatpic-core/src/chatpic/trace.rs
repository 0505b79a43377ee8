//! From a leaked picture to the viewing session it was served to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::ChatPic;
use super::upload::image_name;
use crate::clock::Timestamp;
use crate::error::{Conflict, Error};
use crate::id::{SessionId, ShareId};
use crate::intake::{decode, intake};
use crate::mark::{self, Evidence, ImageKey, MarkRecord, Suspect};
use crate::secret::DashboardAccess;
use crate::share::{Country, Share};
use crate::store::{Attempt, Attempted};

/// The greatest probability with which a trace may accuse an innocent session, over all its candidates.
pub const FALSE_ALARM: f64 = 1e-6;

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Rows read at a time.
const PAGE: usize = 1000;

/// A session that a leaked picture was served to.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceMatch {
    /// The share.
    pub share_id: ShareId,
    /// The session.
    pub session: SessionId,
    /// Which image of the share, from 0.
    pub image: usize,
    /// How far the evidence stands out, in standard deviations, rounded to tenths.
    pub score: f32,
    /// The probability that any innocent candidate of this trace would score so high.
    pub false_alarm: f64,
    /// When the session was opened; `None` for the uploader's own preview.
    pub opened_at: Option<Timestamp>,
    /// Where it was opened, if known.
    pub country: Option<Country>,
    /// What names it.
    pub evidence: Evidence,
}

/// What a trace found; no match proves nobody's innocence.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceReport {
    /// The sessions past the threshold, best first.
    pub matches: Vec<TraceMatch>,
    /// How many sessions were looked at.
    pub candidates: usize,
}

impl ChatPic {
    /// Traces a leaked picture among the sessions of one share, active or ended. The uploader's original, if
    /// given, makes the search surer.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key); [`Error::Rejected`] when a picture can't be read;
    /// [`Error::Throttled`] after too many traces in a day; [`Conflict::Tracing`]; [`Error::Busy`].
    pub async fn trace(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        leak: Vec<u8>,
        original: Option<Vec<u8>>,
    ) -> Result<TraceReport, Error> {
        let share = self.owned(id, access).await?;
        let running = Tracing::begin(self, *id)?;
        let now = self.now();
        let limits = &self.0.limits;
        let attempt = Attempt {
            share: *id,
            kind: "trace",
            who: [0; 32],
            since: now - DAY,
            at: now,
            per_who: limits.traces_per_day,
            per_share: limits.traces_per_day,
        };
        if let Attempted::Refused(oldest) = self.0.shares.attempt(&attempt).await? {
            return Err(Error::Throttled { retry_after: now.until(oldest + DAY) });
        }
        self.trace_shares(vec![share], None, leak, original, &running.state).await
    }

    /// How far the running trace of a share is, 0 to 1; `None` while none runs.
    pub fn trace_progress(&self, id: &ShareId) -> Option<f32> {
        let tracing = self.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tracing.get(id).map(|state| state.thousandths.load(Ordering::Relaxed) as f32 / 1000.0)
    }

    /// Traces a leaked picture in one share or in all, among all sessions or those of one session ID.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown share; [`Error::Rejected`]; [`Error::Busy`]; [`Error::Store`].
    pub async fn trace_as_operator(
        &self,
        leak: Vec<u8>,
        original: Option<Vec<u8>>,
        share: Option<ShareId>,
        session: Option<SessionId>,
    ) -> Result<TraceReport, Error> {
        let mut shares = Vec::new();
        if let Some(id) = share {
            shares.push(self.0.shares.find(&id).await?.ok_or(Error::NotFound)?);
        } else {
            let mut after = None;
            loop {
                let page = self.0.shares.ledger(after, PAGE).await?;
                after = page.last().map(|share| share.id);
                let done = page.len() < PAGE;
                shares.extend(page);
                if done {
                    break;
                }
            }
        }
        let running = Stopping(Arc::default());
        self.trace_shares(shares, session, leak, original, &running.0).await
    }

    async fn trace_shares(
        &self,
        shares: Vec<Share>,
        only: Option<SessionId>,
        leak: Vec<u8>,
        original: Option<Vec<u8>>,
        state: &Arc<TraceState>,
    ) -> Result<TraceReport, Error> {
        let mut subjects = Vec::new();
        let mut known = Vec::new();
        for share in shares {
            let first = known.len();
            let mut after = None;
            loop {
                let page = self.0.shares.sessions(&share.id, after, PAGE).await?;
                after = page.last().map(|session| (session.opened_at, session.id));
                let done = page.len() < PAGE;
                known.extend(page.iter().map(|s| (share.id, s.id, s.opened_at, s.country)));
                if done {
                    break;
                }
            }
            let mut sessions: Vec<SessionId> = known[first..].iter().map(|(_, id, ..)| *id).collect();
            sessions.push(SessionId::UPLOADER);
            sessions.retain(|id| only.is_none_or(|only| only == *id));
            let mark_key = self.mark_key(&share)?;
            for (index, image) in share.images.iter().enumerate() {
                if let (Some(record), false) = (&image.mark, sessions.is_empty()) {
                    subjects.push(Subject {
                        share: share.id,
                        image: index,
                        key: mark_key.image(&image_name(index)),
                        record: record.clone(),
                        sessions: sessions.clone(),
                    });
                }
            }
        }

        let state = Arc::clone(state);
        let (limits, visible) = (self.0.limits.clone(), self.0.visible_mark.clone());
        let job = move || {
            let rejected = |rejection| Error::Rejected { index: 0, rejection };
            let leak = decode(&leak, &limits).map_err(rejected)?.into_rgb();
            let original = original.map(|bytes| intake(&bytes, &limits).map_err(rejected)).transpose()?;
            // The original goes through the intake that made the rendition, which always does the same.
            let original = original.map(|pixels| match &visible {
                Some(visible) => visible.frame(pixels).0.into_rgb(),
                None => pixels.into_rgb(),
            });
            let suspects: Vec<Suspect<'_>> = subjects
                .iter()
                .map(|subject| Suspect {
                    key: &subject.key,
                    record: &subject.record,
                    original: original.as_ref(),
                    sessions: &subject.sessions,
                })
                .collect();
            let trace = mark::trace(&leak, &suspects, FALSE_ALARM, &|share| state.tell(share))?;
            let found: Vec<_> = trace
                .matches
                .into_iter()
                .filter_map(|found| {
                    let subject = subjects.get(found.image)?;
                    Some((subject.share, subject.image, found))
                })
                .collect();
            Ok((found, trace.candidates))
        };
        let (found, candidates) = self.0.images.run(job).await?;
        let matches = found
            .into_iter()
            .map(|(share_id, image, found)| {
                let session = known.iter().find(|(share, id, ..)| *share == share_id && *id == found.session);
                TraceMatch {
                    share_id,
                    session: found.session,
                    image,
                    score: (found.score * 10.0).round() / 10.0,
                    false_alarm: found.false_alarm,
                    opened_at: session.map(|(_, _, opened_at, _)| *opened_at),
                    country: session.and_then(|(.., country)| *country),
                    evidence: found.evidence,
                }
            })
            .collect();
        Ok(TraceReport { matches, candidates })
    }
}

/// One image and the sessions that it may have been served to.
struct Subject {
    share: ShareId,
    image: usize,
    key: ImageKey,
    record: MarkRecord,
    sessions: Vec<SessionId>,
}

/// How far a trace is, and whether anybody still waits for it.
#[derive(Debug, Default)]
pub(crate) struct TraceState {
    thousandths: AtomicU32,
    stop: AtomicBool,
}

impl TraceState {
    fn tell(&self, share: f32) -> ControlFlow<()> {
        self.thousandths.store((share * 1000.0) as u32, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Stops a trace when the caller no longer waits for it.
struct Stopping(Arc<TraceState>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Holds a share's turn to be traced: one trace of a share runs at a time.
struct Tracing<'a> {
    chatpic: &'a ChatPic,
    id: ShareId,
    state: Arc<TraceState>,
}

impl<'a> Tracing<'a> {
    fn begin(chatpic: &'a ChatPic, id: ShareId) -> Result<Self, Error> {
        let mut tracing = chatpic.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tracing.contains_key(&id) {
            return Err(Conflict::Tracing.into());
        }
        let state: Arc<TraceState> = Arc::default();
        tracing.insert(id, Arc::clone(&state));
        Ok(Self { chatpic, id, state })
    }
}

impl Drop for Tracing<'_> {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let mut tracing = self.chatpic.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tracing.remove(&self.id);
    }
}
