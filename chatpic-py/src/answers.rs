//! What calls answer, as Python classes named like the core's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chatpic_core::{ImageInfo as CoreImage, Timestamp};
use pyo3::prelude::*;

/// An instant as Python has it: a `datetime` in UTC.
pub(crate) fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or_default())
}

/// One image of a share.
#[pyclass(frozen, get_all, module = "chatpic")]
#[derive(Clone)]
pub(crate) struct ImageInfo {
    /// Its place in the share, from 0.
    index: usize,
    /// Width of its rendition in pixels.
    width: u32,
    /// Height of its rendition in pixels.
    height: u32,
    /// Media type of the copies that viewers get.
    media_type: &'static str,
    /// Frames; 1 for a still.
    frames: u32,
    /// Whether it bears the forensic mark.
    traceable: bool,
}

pub(crate) fn images(images: &[CoreImage]) -> Vec<ImageInfo> {
    let image = |info: &CoreImage| ImageInfo {
        index: info.index,
        width: info.width,
        height: info.height,
        media_type: info.media_type,
        frames: info.frames,
        traceable: info.traceable,
    };
    images.iter().map(image).collect()
}

/// A share that was made. Its keys are told this once.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Share {
    /// Its name.
    id: String,
    /// The secret of the share link, for viewers.
    link_key: String,
    /// The secret of the dashboard link, for the uploader.
    dashboard_key: String,
    /// When it ends.
    expires_at: SystemTime,
    /// Its view limit; None without one.
    max_views: Option<u32>,
    /// Whether it has a password.
    password_required: bool,
    /// Its images.
    images: Vec<ImageInfo>,
}

impl From<chatpic_core::Created> for Share {
    fn from(created: chatpic_core::Created) -> Self {
        Self {
            id: created.share_id.to_string(),
            link_key: created.link_key.reveal(),
            dashboard_key: created.dashboard_key.reveal(),
            expires_at: instant(created.expires_at),
            max_views: created.max_views,
            password_required: created.password_required,
            images: images(&created.images),
        }
    }
}

/// What a cover page shows; looking at it spends nothing.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Cover {
    /// Whether a password is asked for.
    password_required: bool,
    /// How many images there are.
    image_count: usize,
    /// When the share ends.
    expires_at: SystemTime,
    /// Views so far.
    views: u32,
    /// Views still to be had; None without a limit.
    views_left: Option<u32>,
}

impl From<chatpic_core::Cover> for Cover {
    fn from(cover: chatpic_core::Cover) -> Self {
        Self {
            password_required: cover.password_required,
            image_count: cover.image_count,
            expires_at: instant(cover.expires_at),
            views: cover.views,
            views_left: cover.views_left,
        }
    }
}

/// One viewing session on the dashboard.
#[pyclass(frozen, get_all, module = "chatpic")]
#[derive(Clone)]
pub(crate) struct SessionInfo {
    /// The session ID, 8 hex digits.
    session: String,
    /// When it was opened.
    opened_at: SystemTime,
    /// Where from, by two letters, if known.
    country: Option<String>,
    /// `phone`, `tablet`, `desktop` or `unknown`.
    device: &'static str,
    /// How many images were loaded.
    images_seen: u32,
}

impl From<&chatpic_core::SessionInfo> for SessionInfo {
    fn from(info: &chatpic_core::SessionInfo) -> Self {
        Self {
            session: info.session.to_string(),
            opened_at: instant(info.opened_at),
            country: info.country.map(String::from),
            device: info.device.as_str(),
            images_seen: info.images_seen,
        }
    }
}

/// Tries that were no views, by those who held the link key.
#[pyclass(frozen, get_all, module = "chatpic")]
#[derive(Clone)]
pub(crate) struct Blocked {
    /// With a wrong password.
    wrong_password: u64,
    /// After too many wrong passwords.
    throttled: u64,
    /// After the end.
    after_end: u64,
}

/// What became of a share's data.
#[pyclass(frozen, get_all, module = "chatpic")]
#[derive(Clone)]
pub(crate) struct Receipt {
    /// When it was burned; None if it ended otherwise.
    burned_at: Option<SystemTime>,
    /// Whether every key to the data is destroyed: what is pending can't be read by anybody.
    keys_destroyed: bool,
    /// Objects that were deleted.
    objects_deleted: u64,
    /// Objects that a failing store may still hold; they are deleted when it works again.
    objects_pending: u64,
    /// When the last object was deleted.
    purged_at: Option<SystemTime>,
}

impl Receipt {
    pub(crate) fn new(receipt: &chatpic_core::Receipt, keys_destroyed: bool) -> Self {
        Self {
            burned_at: receipt.burned_at.map(instant),
            keys_destroyed,
            objects_deleted: receipt.objects_deleted,
            objects_pending: receipt.objects_pending,
            purged_at: receipt.purged_at.map(instant),
        }
    }
}

/// Everything that an uploader may know; never a viewer's address.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Dashboard {
    /// `active`, `exhausted`, `expired` or `burned`.
    status: &'static str,
    /// When the share was made.
    created_at: SystemTime,
    /// When it ends, or would have ended.
    expires_at: SystemTime,
    /// Its view limit; None without one.
    max_views: Option<u32>,
    /// Views so far.
    views: u32,
    /// Views still to be had; None without a limit.
    views_left: Option<u32>,
    /// Its images.
    images: Vec<ImageInfo>,
    /// Whether it has a password.
    password_required: bool,
    /// Views by country, most first; None is unknown.
    countries: Vec<(Option<String>, u32)>,
    /// Views over time: at most 200 steps that have views, each by its start.
    timeline: Vec<(SystemTime, u32)>,
    /// A page of sessions, newest first, at most 1000.
    sessions: Vec<SessionInfo>,
    /// The `after` of the next page of sessions, if there is one.
    next: Option<String>,
    /// Tries that were no views.
    blocked: Blocked,
    /// The secret of the share link; None after the end.
    link_key: Option<String>,
    /// When the ledger is destroyed, after which no leak can be traced.
    ledger_until: SystemTime,
    /// What became of the data; None before the end.
    receipt: Option<Receipt>,
}

impl From<chatpic_core::Dashboard> for Dashboard {
    fn from(dashboard: chatpic_core::Dashboard) -> Self {
        let chatpic_core::Blocked { wrong_password, throttled, after_end } = dashboard.blocked;
        let countries = dashboard.countries.into_iter();
        let timeline = dashboard.timeline.into_iter();
        Self {
            status: dashboard.status.as_str(),
            created_at: instant(dashboard.created_at),
            expires_at: instant(dashboard.expires_at),
            max_views: dashboard.max_views,
            views: dashboard.views,
            views_left: dashboard.views_left,
            images: images(&dashboard.images),
            password_required: dashboard.password_required,
            countries: countries.map(|(country, views)| (country.map(String::from), views)).collect(),
            timeline: timeline.map(|(at, views)| (instant(at), views)).collect(),
            sessions: dashboard.sessions.iter().map(SessionInfo::from).collect(),
            next: dashboard.next.map(|next| next.to_string()),
            blocked: Blocked { wrong_password, throttled, after_end },
            link_key: dashboard.link_key.map(|key| key.reveal()),
            ledger_until: instant(dashboard.ledger_until),
            receipt: dashboard.receipt.map(|receipt| Receipt::new(&receipt, dashboard.keys_destroyed)),
        }
    }
}

/// What a sweep did.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Swept {
    /// Shares whose time was up.
    ended: usize,
    /// Shares whose objects were deleted.
    purged: usize,
    /// Shares whose ledger was destroyed.
    forgotten: usize,
    /// Objects deleted of uploads that were never committed.
    orphans: u64,
    /// Shares and folders that a store failed on; the next sweep tries again.
    failed: usize,
    /// What the stores failed at, each once.
    failures: Vec<String>,
}

impl From<chatpic_core::Swept> for Swept {
    fn from(swept: chatpic_core::Swept) -> Self {
        let chatpic_core::Swept { ended, purged, forgotten, orphans, failed, failures } = swept;
        Self { ended, purged, forgotten, orphans, failed, failures: failures.into_iter().collect() }
    }
}

/// A session of a share that a leaked picture was served to.
#[pyclass(frozen, get_all, module = "chatpic")]
#[derive(Clone)]
pub(crate) struct TraceMatch {
    /// The session ID, 8 hex digits.
    session: String,
    /// Which image of the share, from 0.
    image: usize,
    /// How far the evidence stands out, in standard deviations, to tenths.
    score: f64,
    /// An upper bound on the probability that any innocent candidate would score so high: three digits, rounded up, never below
    /// 1e-100.
    false_alarm: f64,
    /// When the session was opened; None for the uploader's own preview.
    opened_at: Option<SystemTime>,
    /// Where it was opened, by two letters, if known.
    country: Option<String>,
    /// What names it: `blind` the leak alone, `original` the leak less the original, `inverse` the reverse of the
    /// session's mark, whose copy was taken away from others, `triple` three sessions' copies put together.
    evidence: &'static str,
}

/// What a trace found; no match proves nobody's innocence.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct TraceReport {
    /// The sessions past the threshold, best first.
    matches: Vec<TraceMatch>,
    /// How many sessions were compared.
    candidates: usize,
    /// Whether the search was not cut short because its work was used up.
    complete: bool,
}

impl From<chatpic_core::TraceReport> for TraceReport {
    fn from(report: chatpic_core::TraceReport) -> Self {
        let found = |found: chatpic_core::TraceMatch| TraceMatch {
            session: found.session.to_string(),
            image: found.image,
            score: found.score,
            false_alarm: found.false_alarm,
            opened_at: found.opened_at.map(instant),
            country: found.country.map(String::from),
            evidence: found.evidence.as_str(),
        };
        let chatpic_core::TraceReport { matches, candidates, complete } = report;
        Self { matches: matches.into_iter().map(found).collect(), candidates, complete }
    }
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ImageInfo>()?;
    module.add_class::<Share>()?;
    module.add_class::<Cover>()?;
    module.add_class::<SessionInfo>()?;
    module.add_class::<Blocked>()?;
    module.add_class::<Receipt>()?;
    module.add_class::<Dashboard>()?;
    module.add_class::<Swept>()?;
    module.add_class::<TraceMatch>()?;
    module.add_class::<TraceReport>()
}
