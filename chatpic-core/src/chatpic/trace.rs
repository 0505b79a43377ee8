//! From a leaked picture to the viewing session it was served to.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use super::ChatPic;
use super::upload::image_name;
use crate::clock::Timestamp;
use crate::error::{Conflict, Error};
use crate::fair::Holder;
use crate::id::{SessionId, ShareId};
use crate::intake::{Picture, Pixels};
use crate::isolation::{Request, Running, Task, Tell};
use crate::limits::Limits;
use crate::mark::visible::VisibleMark;
use crate::mark::{self, Evidence, ImageKey, MarkRecord, Match, Suspect};
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
    pub score: f64,
    /// An upper bound on the probability that any innocent candidate of this trace would score so high: three digits, rounded
    /// up, never below 1e-100.
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
    /// Whether the search was not cut short. If it was, likely places were searched and others were not, and no match
    /// says the less.
    pub complete: bool,
}

/// What an operator's trace looks at; everything by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceScope {
    /// This share only.
    pub share: Option<ShareId>,
    /// Sessions of this ID only.
    pub session: Option<SessionId>,
    /// Sessions opened at this instant or later only.
    pub from: Option<Timestamp>,
    /// Sessions opened before this instant only.
    pub until: Option<Timestamp>,
}

impl TraceScope {
    fn includes(&self, session: SessionId, opened_at: Timestamp) -> bool {
        self.session.is_none_or(|only| only == session)
            && self.from.is_none_or(|from| opened_at >= from)
            && self.until.is_none_or(|until| opened_at < until)
    }

    /// The uploader's preview has no opening that is kept, so dates leave it out.
    fn includes_preview(&self) -> bool {
        self.from.is_none() && self.until.is_none() && self.session.is_none_or(|s| s == SessionId::UPLOADER)
    }
}

/// How much an operator's trace has to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceWork {
    /// Images to search the picture for; this decides how long it takes.
    pub images: usize,
    /// Sessions to compare with.
    pub sessions: usize,
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
        self.begin_trace(id, access).await?.trace(leak, original).await
    }

    /// Takes a share's turn to be traced and counts the trace, before its pictures are there: whoever receives them need
    /// not keep them waiting.
    ///
    /// # Errors
    /// As [`ChatPic::trace`].
    pub async fn begin_trace(&self, id: &ShareId, access: &DashboardAccess) -> Result<TraceTurn, Error> {
        self.owned(id, access).await?;
        let turn = TraceTurn::take(self, *id)?;
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
        match self.0.shares.attempt(&attempt).await? {
            Attempted::Counted(_) => Ok(turn),
            Attempted::Refused(oldest) => Err(Error::Throttled { retry_after: now.until(oldest + DAY) }),
        }
    }

    /// How far the trace of a share that runs on this node has come, in percent.
    pub(super) fn trace_progress(&self, id: &ShareId) -> Option<u8> {
        let tracing = self.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tracing.get(id).map(|progress| progress.percent.load(Ordering::Relaxed))
    }

    /// How much a trace as the operator would look at.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown share; [`Error::Store`].
    pub async fn trace_work(&self, scope: &TraceScope) -> Result<TraceWork, Error> {
        let Sought { subjects, shares: images, .. } = self.suspects(scope).await?;
        let mut shares = std::collections::BTreeMap::new();
        for ((share, _), subject) in images.iter().zip(&subjects) {
            shares.insert(*share, subject.sessions.len());
        }
        Ok(TraceWork { images: subjects.len(), sessions: shares.values().sum() })
    }

    /// Traces a leaked picture in one share or in all, among all sessions or those of one session ID or of some days.
    /// `progress` is told the share that is done, 0 to 1; every image takes the same part of it. It is called often, and
    /// from several threads. A caller who drops the future stops the trace.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown share; [`Error::Rejected`]; [`Error::Busy`]; [`Error::Store`].
    pub async fn trace_as_operator(
        &self,
        leak: Vec<u8>,
        original: Option<Vec<u8>>,
        scope: &TraceScope,
        progress: impl Fn(f32) + Send + Sync + 'static,
    ) -> Result<TraceReport, Error> {
        let sought = self.suspects(scope).await?;
        let work = self.0.limits.trace_work.saturating_mul(sought.subjects.len() as u64);
        // It may look at all shares.
        let holder = self.holder(&scope.share.unwrap_or(ShareId::from_bytes([0; 12])));
        self.trace_among(sought, (leak, original), work, holder, &Waiting::default(), progress).await
    }

    /// The images and sessions of a scope, from the ledger.
    async fn suspects(&self, scope: &TraceScope) -> Result<Sought, Error> {
        let mut sought = Sought::default();
        if let Some(id) = scope.share {
            let share = self.0.shares.find(&id).await?.ok_or(Error::NotFound)?;
            self.suspects_of(&share, scope, &mut sought).await?;
            return Ok(sought);
        }
        let mut after = None;
        loop {
            let page = self.0.shares.ledger(after, PAGE).await?;
            after = page.last().map(|share| share.id);
            for share in &page {
                self.suspects_of(share, scope, &mut sought).await?;
            }
            if page.len() < PAGE {
                return Ok(sought);
            }
        }
    }

    async fn suspects_of(&self, share: &Share, scope: &TraceScope, sought: &mut Sought) -> Result<(), Error> {
        // No session is opened before its share is made or after its end.
        if scope.until.is_some_and(|until| share.created_at >= until)
            || scope.from.is_some_and(|from| share.end() < from)
        {
            return Ok(());
        }
        let mut sessions = Vec::new();
        let mut after = None;
        loop {
            let page = self.0.shares.sessions(&share.id, after, PAGE).await?;
            after = page.last().map(|session| (session.opened_at, session.id));
            for session in page.iter().filter(|s| scope.includes(s.id, s.opened_at)) {
                sessions.push(session.id);
                sought.opened.insert((share.id, session.id), (session.opened_at, session.country));
            }
            if page.len() < PAGE {
                break;
            }
        }
        if scope.includes_preview() {
            sessions.push(SessionId::UPLOADER);
        }
        if sessions.is_empty() {
            return Ok(());
        }
        let mark_key = self.mark_key(share)?;
        let sessions: Arc<[SessionId]> = sessions.into();
        for (index, image) in share.images.iter().enumerate() {
            if let Some(record) = &image.mark {
                let key = *mark_key.image(&image_name(index)).as_bytes();
                sought.shares.push((share.id, index));
                sought.subjects.push(Subject { key, record: record.clone(), sessions: sessions.clone() });
            }
        }
        Ok(())
    }

    async fn trace_among(
        &self,
        sought: Sought,
        (leak, original): (Vec<u8>, Option<Vec<u8>>),
        work: u64,
        holder: Holder,
        waiting: &Waiting,
        progress: impl Fn(f32) + Send + Sync + 'static,
    ) -> Result<TraceReport, Error> {
        let Sought { subjects, shares, opened } = sought;
        let noted = Arc::clone(&waiting.0);
        let framed = self.0.visible_mark.clone();
        let text = TraceText { limits: self.0.limits.clone(), framed, subjects, work };
        let task = TraceTask { text, leak, original };
        let isolation = self.0.isolation.clone();
        let job = move || {
            let tell = |done: f32| {
                progress(done);
                noted.tell(done)
            };
            isolation.perform(task, 0, &noted.running, &tell)
        };
        let Searched { found, candidates, complete } = self.0.traces.run(holder, job).await?;
        let found = found.into_iter().filter_map(|found| {
            let (share, image) = shares.get(found.image)?;
            Some((*share, *image, found))
        });
        let matches = found
            .map(|(share_id, image, found)| {
                let session = opened.get(&(share_id, found.session)).copied();
                TraceMatch {
                    share_id,
                    session: found.session,
                    image,
                    score: found.score,
                    false_alarm: found.false_alarm,
                    opened_at: session.map(|(opened_at, _)| opened_at),
                    country: session.and_then(|(_, country)| country),
                    evidence: found.evidence,
                }
            })
            .collect();
        Ok(TraceReport { matches, candidates, complete })
    }
}

/// What a trace looks at, and when and where its sessions were opened.
#[derive(Default)]
struct Sought {
    subjects: Vec<Subject>,
    /// For each subject the share, and which image of it.
    shares: Vec<(ShareId, usize)>,
    opened: HashMap<(ShareId, SessionId), (Timestamp, Option<Country>)>,
}

/// One image and the sessions that it may have been served to.
#[derive(Serialize, Deserialize)]
struct Subject {
    /// The image's own mark key.
    key: [u8; 32],
    record: MarkRecord,
    sessions: Arc<[SessionId]>,
}

/// A leak to be searched.
pub(crate) struct TraceTask {
    text: TraceText,
    leak: Vec<u8>,
    original: Option<Vec<u8>>,
}

/// What a leak is searched for.
#[derive(Serialize, Deserialize)]
pub(crate) struct TraceText {
    limits: Limits,
    /// How renditions too small for labels were framed.
    framed: Option<VisibleMark>,
    subjects: Vec<Subject>,
    work: u64,
}

/// What a search found.
#[derive(Serialize, Deserialize)]
pub(crate) struct Searched {
    /// Each match with the subject's place.
    found: Vec<Match>,
    candidates: usize,
    complete: bool,
}

impl TraceTask {
    /// The task that was sent; see [`Task::into_request`].
    pub(crate) fn from_parts(text: TraceText, bytes: Vec<Vec<u8>>) -> Result<Self, Error> {
        let mut bytes = bytes.into_iter();
        let leak = bytes.next().ok_or(Error::Damaged)?;
        Ok(Self { text, leak, original: bytes.next() })
    }
}

impl Task for TraceTask {
    type Answer = Searched;

    fn into_request(self) -> (Request, Vec<Vec<u8>>) {
        let bytes = std::iter::once(self.leak).chain(self.original).collect();
        (Request::Trace(self.text), bytes)
    }

    fn perform(self, tell: &Tell<'_>) -> Result<Searched, Error> {
        let Self { text: TraceText { limits, framed, subjects, work }, leak, original } = self;
        // An animated leak gives several pictures, which share the false-alarm probability and the work.
        let leaks = match Picture::open(&leak, &limits)? {
            Picture::Animation(animation) => animation.sample()?,
            Picture::Still(still) => {
                let pixels = still.decode()?;
                vec![pixels.resized(mark::leak_size(pixels.size())).into_rgb()]
            }
        };
        let framed = |pixels| match &framed {
            Some(visible) => visible.frame(pixels).0.into_rgb(),
            None => pixels.into_rgb(),
        };
        // The original goes through the intake that made the rendition, which always does the same. Of an animated
        // one each picture has a frame of its own.
        let original = original.as_deref().map(|bytes| Picture::open(bytes, &limits)).transpose()?;
        let originals: Vec<_> = match original {
            None => Vec::new(),
            Some(Picture::Animation(animation)) => {
                animation.most_like(&leaks)?.into_iter().map(Pixels::Alpha).map(framed).collect()
            }
            Some(Picture::Still(still)) => vec![framed(still.rendition()?)],
        };
        let keys: Vec<ImageKey> = subjects.iter().map(|subject| ImageKey::from_bytes(subject.key)).collect();
        let pictures = leaks.len().max(1);
        let mut searched = Searched { found: Vec::new(), candidates: 0, complete: true };
        for (index, leak) in leaks.iter().enumerate() {
            let suspect = |(subject, key)| {
                let Subject { record, sessions, .. }: &Subject = subject;
                Suspect { key, record, original: originals.get(index).or(originals.first()), sessions }
            };
            let suspects: Vec<Suspect<'_>> = subjects.iter().zip(&keys).map(suspect).collect();
            let tell = |done: f32| tell((index as f32 + done) / pictures as f32);
            let trace =
                mark::trace(leak, &suspects, FALSE_ALARM / pictures as f64, work / pictures as u64, &tell)?;
            let of_all = |found: Match| Match {
                false_alarm: mark::stated(found.false_alarm * pictures as f64),
                ..found
            };
            searched.found = trace.matches.into_iter().map(of_all).collect();
            searched.candidates = trace.candidates;
            searched.complete &= trace.complete;
            if !searched.found.is_empty() {
                searched.complete = true;
                break;
            }
        }
        Ok(searched)
    }
}

/// A trace under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    percent: AtomicU8,
    running: Running,
}

impl Progress {
    /// Notes how far the trace is, 0 to 1; answers whether it is to go on.
    fn tell(&self, done: f32) -> ControlFlow<()> {
        self.percent.store((done * 100.0).clamp(0.0, 100.0) as u8, Ordering::Relaxed);
        if self.running.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Who waits for a trace; when nobody does any more, it stops.
#[derive(Debug, Default)]
struct Waiting(Arc<Progress>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.running.stop();
    }
}

/// A share's turn to be traced: one trace of a share runs at a time. Given back when dropped.
#[derive(Debug)]
pub struct TraceTurn {
    chatpic: ChatPic,
    id: ShareId,
    waiting: Waiting,
}

impl TraceTurn {
    fn take(chatpic: &ChatPic, id: ShareId) -> Result<Self, Error> {
        let mut tracing = chatpic.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tracing.contains_key(&id) {
            return Err(Conflict::Tracing.into());
        }
        let waiting = Waiting::default();
        tracing.insert(id, Arc::clone(&waiting.0));
        Ok(Self { chatpic: chatpic.clone(), id, waiting })
    }

    /// Traces a leaked picture among the sessions of the share.
    ///
    /// # Errors
    /// As [`ChatPic::trace`].
    pub async fn trace(self, leak: Vec<u8>, original: Option<Vec<u8>>) -> Result<TraceReport, Error> {
        let scope = TraceScope { share: Some(self.id), ..Default::default() };
        let sought = self.chatpic.suspects(&scope).await?;
        let work = self.chatpic.0.limits.trace_work;
        let holder = self.chatpic.holder(&self.id);
        self.chatpic.trace_among(sought, (leak, original), work, holder, &self.waiting, |_| ()).await
    }
}

impl Drop for TraceTurn {
    fn drop(&mut self) {
        let mut tracing = self.chatpic.0.tracing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tracing.remove(&self.id);
    }
}
