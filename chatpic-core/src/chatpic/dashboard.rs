//! What uploaders do with their dashboard: look, extend, set the ledger's life, burn.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ChatPic;
use super::upload::{ImageInfo, image_infos};
use crate::clock::Timestamp;
use crate::error::{Conflict, Error, Invalid};
use crate::id::{ParseIdError, SessionId, ShareId};
use crate::secret::{DashboardAccess, LinkKey};
use crate::share::{Blocked, Country, Device, Receipt, Session, Share, Status, check_ledger};
use crate::store::StoreResult;

/// Sessions on one page of the dashboard.
const SESSIONS_PER_PAGE: usize = 1000;

/// Where the next page of sessions begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    opened_at: Timestamp,
    session: SessionId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08X}", self.opened_at.0, self.session.0)
    }
}

impl FromStr for Cursor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (opened_at, session) = text.split_once('-').ok_or(ParseIdError)?;
        let opened_at = opened_at.parse().map_err(|_| ParseIdError)?;
        Ok(Self { opened_at: Timestamp(opened_at), session: session.parse()? })
    }
}

/// What the dashboard tells of one viewing session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// Its name.
    pub session: SessionId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where from, if known.
    pub country: Option<Country>,
    /// What kind of device.
    pub device: Device,
    /// How many images were loaded.
    pub images_seen: u32,
}

impl From<&Session> for SessionInfo {
    fn from(session: &Session) -> Self {
        Self {
            session: session.id,
            opened_at: session.opened_at,
            country: session.country,
            device: session.device,
            images_seen: session.images_seen.count_ones(),
        }
    }
}

impl SessionInfo {
    /// Where the sessions begin that were opened before this one, for pages shorter than the core's.
    pub fn cursor(&self) -> Cursor {
        Cursor { opened_at: self.opened_at, session: self.session }
    }
}

/// Everything that an uploader may know; never a viewer's address.
#[derive(Debug)]
pub struct Dashboard {
    /// How the share stands.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, or would have ended.
    pub expires_at: Timestamp,
    /// Seconds until then; 0 once ended.
    pub seconds_left: u64,
    /// How much later its end can be made by now, in whole seconds; zero once ended.
    pub extendable_by: Duration,
    /// Its view limit.
    pub max_views: Option<u32>,
    /// Views so far.
    pub views: u32,
    /// Views still to be had; `None` without a limit.
    pub views_left: Option<u32>,
    /// How many images it has.
    pub image_count: usize,
    /// Its images.
    pub images: Vec<ImageInfo>,
    /// Whether it has a password.
    pub password_required: bool,
    /// Views by country, most first; `None` is unknown.
    pub countries: Vec<(Option<Country>, u32)>,
    /// Views over time: at most 200 steps that have views, each by its start.
    pub timeline: Vec<(Timestamp, u32)>,
    /// A page of sessions, newest first.
    pub sessions: Vec<SessionInfo>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// Tries that were no views.
    pub blocked: Blocked,
    /// The secret of the share link; `None` after the end.
    pub link_key: Option<LinkKey>,
    /// How long the ledger is kept after the end.
    pub keep_ledger: Duration,
    /// When the ledger is destroyed.
    pub ledger_until: Timestamp,
    /// What became of the data, after the end.
    pub receipt: Option<Receipt>,
    /// Whether every key to the data is destroyed, so that nobody can read what is left of it. After the last view it
    /// is not before the last viewers' sessions end.
    pub keys_destroyed: bool,
}

/// What changes on a dashboard while it is looked at; cheap to find out for many shares at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// The share.
    pub share_id: ShareId,
    /// How it stands.
    pub status: Status,
    /// When it ends, or would have ended.
    pub expires_at: Timestamp,
    /// Views so far.
    pub views: u32,
    /// Views still to be had; `None` without a limit.
    pub views_left: Option<u32>,
    /// Tries that were no views.
    pub blocked: Blocked,
    /// Whether no session goes on: it has expired, or was burned, perhaps after its last view was spent.
    pub sessions_over: bool,
    /// How far a trace that runs on this node has come, in percent.
    pub trace: Option<u8>,
}

impl ChatPic {
    /// How shares stand, in one look at the store; unknown ones are left out. For live pages: whoever asks has shown
    /// a key or token for each before.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn pulses(&self, ids: &[ShareId]) -> Result<Vec<Pulse>, Error> {
        let now = self.now();
        let pulse = |share: &Share| Pulse {
            share_id: share.id,
            status: share.status(now),
            sessions_over: matches!(share.status(now), Status::Expired | Status::Burned)
                || now >= share.expires_at
                || share.receipt.burned_at.is_some()
                || share.receipt.purged_at.is_some(),
            expires_at: share.expires_at,
            views: share.views,
            views_left: share.views_left(),
            blocked: share.blocked,
            trace: self.trace_progress(&share.id),
        };
        let mut shares = self.0.shares.find_all(ids).await?;
        shares.iter_mut().for_each(|share| self.0.unwritten.complete(share, now));
        Ok(shares.iter().map(pulse).collect())
    }

    /// All sessions of a share, a page at a time: the page after `after`, newest first, and where the next begins.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key), also when the share is unknown; [`Error::Store`].
    pub async fn sessions(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        after: Option<Cursor>,
    ) -> Result<(Vec<SessionInfo>, Option<Cursor>), Error> {
        self.owned(id, access).await?;
        self.page_of_sessions(id, after).await
    }

    async fn page_of_sessions(
        &self,
        id: &ShareId,
        after: Option<Cursor>,
    ) -> Result<(Vec<SessionInfo>, Option<Cursor>), Error> {
        let after = after.map(|cursor| (cursor.opened_at, cursor.session));
        let mut sessions = self.0.shares.sessions(id, after, SESSIONS_PER_PAGE + 1).await?;
        let more = sessions.len() > SESSIONS_PER_PAGE;
        sessions.truncate(SESSIONS_PER_PAGE);
        let next = sessions.last().filter(|_| more);
        let next = next.map(|last| Cursor { opened_at: last.opened_at, session: last.id });
        sessions.iter_mut().for_each(|session| self.0.unwritten.complete_session(id, session));
        Ok((sessions.iter().map(SessionInfo::from).collect(), next))
    }

    /// The dashboard of a share, active or ended, with the page of sessions after `after`.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key), also when the share is unknown; [`Error::Store`].
    pub async fn dashboard(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        after: Option<Cursor>,
    ) -> Result<Dashboard, Error> {
        let share = self.owned(id, access).await?;
        let now = self.now();
        let status = share.status(now);
        let (sessions, next) = self.page_of_sessions(id, after).await?;
        let share_wraps = [&share.link_wrap, &share.dashboard_wrap, &share.sealed_link];
        let keys_destroyed = share_wraps.into_iter().all(Option::is_none)
            && (share.receipt.purged_at.is_some() || self.0.shares.last_session_end(id).await?.is_none());

        let sealed_link = share.sealed_link.as_ref().filter(|_| status == Status::Active);
        let link_key = sealed_link
            .map(|sealed| self.0.derivation.link_seal(id, access).open(sealed).map(LinkKey::from_bytes))
            .transpose()?;
        Ok(Dashboard {
            status,
            created_at: share.created_at,
            expires_at: share.expires_at,
            seconds_left: if status == Status::Active { now.until(share.expires_at).as_secs() } else { 0 },
            extendable_by: self.extendable_by(&share, now),
            max_views: share.max_views,
            views: share.views,
            views_left: share.views_left(),
            image_count: share.images.len(),
            images: image_infos(&share),
            password_required: share.password_salt.is_some(),
            countries: share.tally.countries(),
            timeline: share.tally.timeline(share.created_at),
            sessions,
            next,
            blocked: share.blocked,
            link_key,
            keep_ledger: share.keep_ledger,
            ledger_until: share.ledger_until(),
            receipt: (status != Status::Active).then_some(share.receipt),
            keys_destroyed,
        })
    }

    /// How much later a share's end can be made at `now`, in whole seconds.
    fn extendable_by(&self, share: &Share, now: Timestamp) -> Duration {
        let active = share.status(now) == Status::Active;
        let room = share.expires_at.until(now + self.0.limits.max_expiry);
        if active { Duration::from_secs(room.as_secs()) } else { Duration::ZERO }
    }

    /// Moves a share's end away as far as possible, and answers the new one.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key); [`Conflict::Ended`]; [`Error::Store`].
    pub async fn extend_fully(&self, id: &ShareId, access: &DashboardAccess) -> Result<Timestamp, Error> {
        self.extend_to(id, access, |share, now| Ok(share.expires_at + self.extendable_by(share, now))).await
    }

    /// Moves a share's end away by `by`, and answers the new one.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key); [`Conflict::Ended`]; [`Invalid::Expiry`] when the new
    /// end lies too far ahead; [`Error::Store`].
    pub async fn extend(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        by: Duration,
    ) -> Result<Timestamp, Error> {
        let limits = &self.0.limits;
        let extended = |share: &Share, now| {
            let extended = share.expires_at + by;
            if by.is_zero() || extended > now + limits.max_expiry {
                return Err(Invalid::Expiry { min: limits.min_expiry, max: limits.max_expiry });
            }
            Ok(extended)
        };
        self.extend_to(id, access, extended).await
    }

    /// Moves a share's end to where `extended` says.
    async fn extend_to(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        extended: impl Fn(&Share, Timestamp) -> Result<Timestamp, Invalid>,
    ) -> Result<Timestamp, Error> {
        loop {
            let share = self.owned(id, access).await?;
            let now = self.now();
            if share.status(now) != Status::Active {
                return Err(Conflict::Ended.into());
            }
            let extended = extended(&share, now)?;
            if extended == share.expires_at
                || self.0.shares.extend(id, now, share.expires_at, extended).await?
            {
                return Ok(extended);
            }
            // The end came, or another extension won: look again.
        }
    }

    /// Sets how long the ledger is kept after the end, and answers until when.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key); [`Invalid::Ledger`]; [`Error::Store`].
    pub async fn keep_ledger(
        &self,
        id: &ShareId,
        access: &DashboardAccess,
        keep: Duration,
    ) -> Result<Timestamp, Error> {
        check_ledger(keep, &self.0.limits)?;
        let share = self.owned(id, access).await?;
        let until = Share { keep_ledger: keep, ..share }.ledger_until();
        let keep_ms = i64::try_from(keep.as_millis()).map_err(|_| Invalid::Ledger { max: keep })?;
        self.0.shares.keep_ledger(id, keep_ms, until).await?;
        Ok(until)
    }

    /// Ends a share now: its keys are destroyed first, then its objects. Doing it again gives the same
    /// receipt; a failing blob store leaves objects pending, which the sweep deletes.
    ///
    /// Where the share store can't be written, this node refuses the share all the same, from the first instant, and its
    /// objects are deleted; the keys are destroyed by doing it again, or by this node's next sweep that can.
    ///
    /// # Errors
    /// [`Unauthorized::Key`](crate::Unauthorized::Key); [`Error::Store`] when the keys are not destroyed yet.
    pub async fn burn(&self, id: &ShareId, access: &DashboardAccess) -> Result<Receipt, Error> {
        self.owned(id, access).await?;
        self.burn_as_operator(id).await
    }

    /// Ends a share now, by the operator's power.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Store`].
    pub async fn burn_as_operator(&self, id: &ShareId) -> Result<Receipt, Error> {
        let share = self.find(id).await?.ok_or(Error::NotFound)?;
        if share.receipt.purged_at.is_some() {
            return Ok(share.receipt);
        }
        let now = self.0.unwritten.burn(id, self.now());
        if self.destroy_keys(&share, now).await.is_err() {
            // Without its objects nothing is left to be read, and a full disk may have room.
            drop(self.delete_objects(&share).await);
            self.destroy_keys(&share, now).await?;
        }
        self.0.unwritten.ended(id);
        let share = self.find(id).await?.ok_or(Error::NotFound)?;
        let deleted = self.delete_objects(&share).await?;
        let share = self.note_purge(id, &deleted).await?;
        let receipt = share.receipt;
        if receipt.purged_at.is_some() {
            // What fails here, the sweep does a minute later.
            drop(self.keep_until_due(share).await);
        }
        Ok(receipt)
    }

    /// Ends a share in the store: as expired if its time was up before, else as burned.
    async fn destroy_keys(&self, share: &Share, now: Timestamp) -> StoreResult<()> {
        let shares = &self.0.shares;
        let expired = share.status(now) == Status::Expired
            && shares.end(&share.id, Status::Expired, share.expires_at).await?;
        if !expired {
            shares.end(&share.id, Status::Burned, now).await?;
        }
        Ok(())
    }
}
