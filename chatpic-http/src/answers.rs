//! What the JSON API answers, as types: the OpenAPI document is made from them.

use chatpic_core::{
    Blocked, Cover, Created, Current, Dashboard, ImageInfo, Opened, Pulse, Receipt, SessionInfo, ShareId,
    TraceReport,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::client::Origin;
use crate::time::rfc3339;

/// A share that was made. Its keys are shown once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedShare {
    share_id: String,
    /// The link for viewers; the key stands in its fragment.
    link: String,
    /// The link for the uploader.
    dashboard: String,
    link_key: String,
    dashboard_key: String,
    #[schema(format = DateTime)]
    expires_at: String,
    max_views: Option<u32>,
    password_required: bool,
    images: Vec<SharedImage>,
}

/// One image of a new share.
#[derive(Serialize, ToSchema)]
struct SharedImage {
    index: usize,
    width: u32,
    height: u32,
    media_type: &'static str,
    frames: u32,
    /// Whether a copy can be traced without its drawn ID.
    traceable: bool,
}

impl CreatedShare {
    pub(crate) fn new(origin: &Origin, created: &Created) -> Self {
        let (link_key, dashboard_key) = (created.link_key.reveal(), created.dashboard_key.reveal());
        let image = |info: &ImageInfo| SharedImage {
            index: info.index,
            width: info.width,
            height: info.height,
            media_type: info.media_type,
            frames: info.frames,
            traceable: info.traceable,
        };
        Self {
            share_id: created.share_id.to_string(),
            link: origin.link('s', &created.share_id, &link_key),
            dashboard: origin.link('d', &created.share_id, &dashboard_key),
            link_key,
            dashboard_key,
            expires_at: rfc3339(created.expires_at),
            max_views: created.max_views,
            password_required: created.password_required,
            images: created.images.iter().map(image).collect(),
        }
    }
}

/// How a share stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes answers for the OpenAPI document, as the enums below do")]
pub(crate) enum ShareStatus {
    Active,
    Exhausted,
    Expired,
    Burned,
}

/// A viewer's kind of device.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code)]
pub(crate) enum DeviceKind {
    Phone,
    Tablet,
    Desktop,
    Unknown,
}

/// Whether a trace found anything.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code)]
pub(crate) enum Verdict {
    Match,
    NoMatch,
}

/// What a match rests on: `blind`, the leak alone; `original`, the leak less the original; `inverse`, the reverse of the
/// session's mark, whose copy was taken away from others; `triple`, three copies put together.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code)]
pub(crate) enum EvidenceKind {
    Blind,
    Original,
    Inverse,
    Triple,
}

/// What an event of a stream tells of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code)]
pub(crate) enum EventName {
    Counts,
    Trace,
    Session,
    End,
}

/// What anybody may know of an active share.
#[derive(Serialize, ToSchema)]
pub(crate) struct CoverAnswer {
    #[schema(value_type = ShareStatus)]
    status: &'static str,
    password_required: bool,
    image_count: usize,
    #[schema(format = DateTime)]
    expires_at: String,
    seconds_left: u64,
    /// Null when views are not limited.
    views_left: Option<u32>,
}

impl From<Cover> for CoverAnswer {
    fn from(cover: Cover) -> Self {
        Self {
            status: "active",
            password_required: cover.password_required,
            image_count: cover.image_count,
            expires_at: rfc3339(cover.expires_at),
            seconds_left: cover.seconds_left,
            views_left: cover.views_left,
        }
    }
}

/// A viewing session that was opened.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenedSession {
    /// The session's ID, as it is drawn on the images.
    session: String,
    /// Proves the session; send it as `Authorization: Bearer`.
    token: String,
    #[schema(format = DateTime)]
    ends_at: String,
    seconds_left: u64,
    views_before: u32,
    /// Null when views are not limited.
    views_left: Option<u32>,
    images: Vec<SessionImage>,
}

/// One image that the session may load.
#[derive(Serialize, ToSchema)]
struct SessionImage {
    index: usize,
    /// Its path on the site's host.
    url: String,
    width: u32,
    height: u32,
    media_type: &'static str,
}

impl OpenedSession {
    pub(crate) fn new(origin: &Origin, id: &ShareId, opened: &Opened) -> Self {
        let api = origin.api();
        let image = |info: &ImageInfo| SessionImage {
            index: info.index,
            url: format!("{api}/shares/{id}/images/{}", info.index),
            width: info.width,
            height: info.height,
            media_type: info.media_type,
        };
        Self {
            session: opened.session.to_string(),
            token: opened.token.reveal(),
            ends_at: rfc3339(opened.ends_at),
            seconds_left: opened.seconds_left,
            views_before: opened.views_before,
            views_left: opened.views_left,
            images: opened.images.iter().map(image).collect(),
        }
    }
}

/// How a viewing session stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct CurrentSession {
    session: String,
    seconds_left: u64,
}

impl From<&Current> for CurrentSession {
    fn from(current: &Current) -> Self {
        Self { session: current.session.to_string(), seconds_left: current.seconds_left }
    }
}

/// Everything that an uploader may know.
#[derive(Serialize, ToSchema)]
pub(crate) struct DashboardAnswer {
    #[schema(value_type = ShareStatus)]
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    seconds_left: u64,
    max_views: Option<u32>,
    views: u32,
    views_left: Option<u32>,
    image_count: usize,
    /// Most views first.
    countries: Vec<CountryViews>,
    /// At most 200 steps of time that have views.
    timeline: Vec<TimelineStep>,
    /// Newest first, at most 1000.
    sessions: Vec<SessionRow>,
    /// The `after` of the next page of sessions.
    next: Option<String>,
    blocked: BlockedTries,
    /// The share link; null after the end.
    link: Option<String>,
    /// Until when a leak can be traced.
    #[schema(format = DateTime)]
    ledger_until: String,
    receipt: Option<ReceiptAnswer>,
}

/// Views from one country; null is unknown.
#[derive(Serialize, ToSchema)]
struct CountryViews {
    country: Option<String>,
    views: u32,
}

/// Views in one step of time, by its start.
#[derive(Serialize, ToSchema)]
struct TimelineStep {
    #[schema(format = DateTime)]
    at: String,
    views: u32,
}

/// One viewing session.
#[derive(Serialize, ToSchema)]
struct SessionRow {
    session: String,
    #[schema(format = DateTime)]
    opened_at: String,
    country: Option<String>,
    #[schema(value_type = DeviceKind)]
    device: &'static str,
    images_seen: u32,
}

/// Tries that were no views, by those who held the link key.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct BlockedTries {
    wrong_password: u64,
    throttled: u64,
    after_end: u64,
}

impl From<Blocked> for BlockedTries {
    fn from(blocked: Blocked) -> Self {
        let Blocked { wrong_password, throttled, after_end } = blocked;
        Self { wrong_password, throttled, after_end }
    }
}

impl DashboardAnswer {
    pub(crate) fn new(origin: &Origin, id: &ShareId, dashboard: &Dashboard) -> Self {
        let countries = dashboard.countries.iter();
        let sessions = dashboard.sessions.iter();
        Self {
            status: dashboard.status.as_str(),
            created_at: rfc3339(dashboard.created_at),
            expires_at: rfc3339(dashboard.expires_at),
            seconds_left: dashboard.seconds_left,
            max_views: dashboard.max_views,
            views: dashboard.views,
            views_left: dashboard.views_left,
            image_count: dashboard.image_count,
            countries: countries
                .map(|(country, views)| CountryViews {
                    country: country.map(|country| country.to_string()),
                    views: *views,
                })
                .collect(),
            timeline: dashboard
                .timeline
                .iter()
                .map(|(at, views)| TimelineStep { at: rfc3339(*at), views: *views })
                .collect(),
            sessions: sessions
                .map(|s| SessionRow {
                    session: s.session.to_string(),
                    opened_at: rfc3339(s.opened_at),
                    country: s.country.map(|country| country.to_string()),
                    device: s.device.as_str(),
                    images_seen: s.images_seen,
                })
                .collect(),
            next: dashboard.next.map(|next| next.to_string()),
            blocked: dashboard.blocked.into(),
            link: dashboard.link_key.as_ref().map(|key| origin.link('s', id, &key.reveal())),
            ledger_until: rfc3339(dashboard.ledger_until),
            receipt: dashboard.receipt.as_ref().map(|r| ReceiptAnswer::new(r, dashboard.keys_destroyed)),
        }
    }
}

/// One line of the sessions' CSV.
pub(crate) fn csv_line(session: &SessionInfo) -> String {
    format!(
        "{},{},{},{},{}\r\n",
        session.session,
        rfc3339(session.opened_at),
        session.country.map(|country| country.to_string()).unwrap_or_default(),
        session.device.as_str(),
        session.images_seen
    )
}

/// The first line of the sessions' CSV.
pub(crate) const CSV_HEADER: &str = "session,opened_at,country,device,images_seen\r\n";

/// What became of a share's data.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptAnswer {
    #[schema(format = DateTime)]
    burned_at: Option<String>,
    /// Whether every key to the data is destroyed: what is pending can't be read by anybody.
    keys_destroyed: bool,
    objects_deleted: u64,
    /// Objects that a failing store may still hold; they are deleted when it works again.
    objects_pending: u64,
    #[schema(format = DateTime)]
    purged_at: Option<String>,
}

impl ReceiptAnswer {
    pub(crate) fn new(receipt: &Receipt, keys_destroyed: bool) -> Self {
        Self {
            burned_at: receipt.burned_at.map(rfc3339),
            keys_destroyed,
            objects_deleted: receipt.objects_deleted,
            objects_pending: receipt.objects_pending,
            purged_at: receipt.purged_at.map(rfc3339),
        }
    }
}

/// A share's new end.
#[derive(Serialize, ToSchema)]
pub(crate) struct Extended {
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

/// Until when a leak can be traced.
#[derive(Serialize, ToSchema)]
pub(crate) struct LedgerKept {
    #[schema(format = DateTime)]
    pub(crate) ledger_until: String,
}

/// What a trace found, in JSON, for the API and for commands; no match proves nobody's innocence.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceAnswer {
    #[schema(value_type = Verdict)]
    verdict: &'static str,
    /// Best first.
    matches: Vec<TraceMatch>,
    /// How many sessions were compared.
    candidates: usize,
    /// Whether the search was not cut short because its work was used up.
    complete: bool,
}

/// A session that the picture was served to.
#[derive(Debug, Serialize, ToSchema)]
struct TraceMatch {
    /// The share's id.
    share: String,
    session: String,
    image: usize,
    /// Standard deviations above chance, to tenths.
    score: f64,
    /// An upper bound on the probability that any innocent candidate would score so high: three digits, rounded up, never below
    /// 1e-100.
    false_alarm: f64,
    #[schema(value_type = EvidenceKind)]
    evidence: &'static str,
    /// Null for the uploader's own preview.
    #[schema(format = DateTime)]
    opened_at: Option<String>,
    country: Option<String>,
}

impl From<&TraceReport> for TraceAnswer {
    fn from(report: &TraceReport) -> Self {
        let found = report.matches.iter();
        Self {
            verdict: if report.matches.is_empty() { "no_match" } else { "match" },
            matches: found
                .map(|found| TraceMatch {
                    share: found.share_id.to_string(),
                    session: found.session.to_string(),
                    image: found.image,
                    score: found.score,
                    false_alarm: found.false_alarm,
                    evidence: found.evidence.as_str(),
                    opened_at: found.opened_at.map(rfc3339),
                    country: found.country.map(|country| country.to_string()),
                })
                .collect(),
            candidates: report.candidates,
            complete: report.complete,
        }
    }
}

/// What the event `counts` of a dashboard's stream tells.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counts {
    #[schema(value_type = ShareStatus)]
    status: &'static str,
    seconds_left: u64,
    views: u32,
    views_left: Option<u32>,
    blocked: BlockedTries,
}

impl Counts {
    pub(crate) fn new(pulse: &Pulse, now: chatpic_core::Timestamp) -> Self {
        let active = pulse.status == chatpic_core::Status::Active;
        Self {
            status: pulse.status.as_str(),
            seconds_left: if active { now.until(pulse.expires_at).as_secs() } else { 0 },
            views: pulse.views,
            views_left: pulse.views_left,
            blocked: pulse.blocked.into(),
        }
    }
}
