//! A share and its viewing sessions, and the rules of their lives: pure, without I/O.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Invalid, StoreError};
use crate::id::{Folder, ParseIdError, SessionId, ShareId};
use crate::limits::Limits;
use crate::mark::{MarkRecord, Size};
use crate::password::Password;
use crate::secret::{Digest, Sealed};

/// How a share stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It can be opened.
    Active,
    /// Its view limit was reached.
    Exhausted,
    /// Its time is up.
    Expired,
    /// Its uploader ended it.
    Burned,
}

impl Status {
    /// The status in one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Exhausted => "exhausted",
            Status::Expired => "expired",
            Status::Burned => "burned",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        [Status::Active, Status::Exhausted, Status::Expired, Status::Burned]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(ParseIdError)
    }
}

/// What an uploader chooses; `None` is the default of [`Limits`].
#[derive(Debug, Default)]
pub struct AccessPolicy {
    /// How long the share lives.
    pub expires_in: Option<Duration>,
    /// How many views it grants; without one, [`Limits::unlimited_views`].
    pub max_views: Option<u32>,
    /// What viewers must know besides the link.
    pub password: Option<Password>,
    /// How long the ledger is kept after the end; zero destroys it with the last session.
    pub keep_ledger: Option<Duration>,
}

impl AccessPolicy {
    /// Checks every option against its range.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        let expiry = self.expires_in.unwrap_or(limits.default_expiry);
        if expiry < limits.min_expiry || expiry > limits.max_expiry {
            return Err(Invalid::Expiry { min: limits.min_expiry, max: limits.max_expiry });
        }
        if self.max_views.is_some_and(|views| views == 0 || views > limits.max_views) {
            return Err(Invalid::MaxViews { max: limits.max_views });
        }
        let chars = self.password.as_ref().map_or(1, Password::chars);
        if chars == 0 || chars > limits.password_chars {
            return Err(Invalid::Password { max: limits.password_chars });
        }
        check_ledger(self.keep_ledger.unwrap_or(limits.default_ledger), limits)
    }
}

/// Checks how long a ledger is to be kept.
pub(crate) fn check_ledger(keep: Duration, limits: &Limits) -> Result<(), Invalid> {
    if keep > limits.max_ledger { Err(Invalid::Ledger { max: limits.max_ledger }) } else { Ok(()) }
}

/// What is known of one image after its upload; holds no pixels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The rendition's size, then the sizes of its smaller widths.
    pub sizes: Vec<Size>,
    /// Whether it was too small for labels and is set on a ground with the ID below.
    pub framed: bool,
    /// How a session's copy is made and served.
    pub form: ImageForm,
    /// What a trace needs; `None` when the image can't bear the forensic mark.
    pub mark: Option<MarkRecord>,
}

/// How a session's copy is made and served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageForm {
    /// Spliced from two prepared variants; served as `image/jpeg`.
    Jpeg,
    /// With transparency: marked and encoded for each session; served as `image/png`.
    Png,
    /// Several frames: each marked and encoded for each session; served as `image/webp`.
    Animation {
        /// How many.
        frames: u32,
    },
}

impl ImageForm {
    /// The media type that viewers get.
    pub fn media_type(self) -> &'static str {
        match self {
            ImageForm::Jpeg => "image/jpeg",
            ImageForm::Png => "image/png",
            ImageForm::Animation { .. } => "image/webp",
        }
    }
}

/// Views of a share summed up as they come, so that no look at a share reads all its sessions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tally {
    /// Views by country; `None` is unknown.
    countries: Vec<(Option<Country>, u32)>,
    /// Milliseconds of one step of time.
    step_ms: i64,
    /// Views by step of time since the share was made: which step, and how many; only steps that have views.
    steps: Vec<(i64, u32)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { countries: Vec::new(), step_ms: 60_000, steps: Vec::new() }
    }
}

impl Tally {
    /// Steps of time, at most: when a view comes later, every two steps become one.
    pub const STEPS: i64 = 200;

    /// Counts one view of a share made at `created_at`.
    pub fn count(&mut self, created_at: Timestamp, opened_at: Timestamp, country: Option<Country>) {
        match self.countries.iter_mut().find(|(known, _)| *known == country) {
            Some((_, views)) => *views = views.saturating_add(1),
            None => self.countries.push((country, 1)),
        }
        let since = opened_at.0.saturating_sub(created_at.0).max(0);
        while since / self.step_ms >= Self::STEPS {
            self.step_ms = self.step_ms.saturating_mul(2);
            let mut halved: Vec<(i64, u32)> = Vec::with_capacity(self.steps.len());
            for (step, views) in self.steps.drain(..) {
                match halved.last_mut() {
                    Some((last, sum)) if *last == step / 2 => *sum = sum.saturating_add(views),
                    _ => halved.push((step / 2, views)),
                }
            }
            self.steps = halved;
        }
        let step = since / self.step_ms;
        match self.steps.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(at) => self.steps[at].1 = self.steps[at].1.saturating_add(1),
            // Clocks of several nodes may differ a little, so a view need not come after the last one.
            Err(at) => self.steps.insert(at, (step, 1)),
        }
    }

    /// Views by country, most first; `None` is unknown.
    pub fn countries(&self) -> Vec<(Option<Country>, u32)> {
        let mut countries = self.countries.clone();
        countries.sort_by_key(|(country, views)| (std::cmp::Reverse(*views), *country));
        countries
    }

    /// Views over time of a share made at `created_at`: the start of each step that has views, and how many.
    pub fn timeline(&self, created_at: Timestamp) -> Vec<(Timestamp, u32)> {
        let start = |step: i64| Timestamp(created_at.0.saturating_add(step.saturating_mul(self.step_ms)));
        self.steps.iter().map(|(step, views)| (start(*step), *views)).collect()
    }
}

/// What somebody reported of a share to the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The share.
    pub share: ShareId,
    /// When it was reported.
    pub at: Timestamp,
    /// Why, in the reporter's words.
    pub reason: String,
    /// The link key for the operator, if the reporter gave it.
    pub sealed_key: Option<Sealed>,
}

/// Tries that were no views; kept apart from views.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Blocked {
    /// Wrong passwords.
    pub wrong_password: u64,
    /// Tries refused because of too many wrong passwords.
    pub throttled: u64,
    /// Tries after the share's end.
    pub after_end: u64,
}

impl Blocked {
    /// Counts one more.
    pub fn count(&mut self, blocked: BlockedTry) {
        match blocked {
            BlockedTry::WrongPassword => self.wrong_password += 1,
            BlockedTry::Throttled => self.throttled += 1,
            BlockedTry::AfterEnd => self.after_end += 1,
        }
    }

    /// Adds these.
    pub fn add(&mut self, more: &Blocked) {
        self.wrong_password += more.wrong_password;
        self.throttled += more.throttled;
        self.after_end += more.after_end;
    }
}

/// One kind of blocked try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockedTry {
    /// Counted in [`Blocked::wrong_password`].
    WrongPassword,
    /// Counted in [`Blocked::throttled`].
    Throttled,
    /// Counted in [`Blocked::after_end`].
    AfterEnd,
}

/// What became of a share's data after its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Receipt {
    /// When the uploader burned it.
    pub burned_at: Option<Timestamp>,
    /// Objects that were deleted.
    pub objects_deleted: u64,
    /// Objects that a failing store still holds; unreadable, for their key is gone.
    pub objects_pending: u64,
    /// When the last object was gone.
    pub purged_at: Option<Timestamp>,
}

/// What decides who may come in. An id that no share has is looked up by the same work and has a door too,
/// [`Door::SHUT`], so that no answer, and no time that it takes, tells an ended share from one that never was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// How the share stood when it was last written; see [`Door::status`].
    pub recorded_status: Status,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Keyed hash of the link access.
    pub link_digest: Digest,
    /// Keyed hash of the dashboard access.
    pub dashboard_digest: Digest,
}

impl Door {
    /// The door of an id that no share has: it has ended, and no key fits.
    pub const SHUT: Self = Self {
        recorded_status: Status::Burned,
        expires_at: Timestamp(0),
        link_digest: [0; 32],
        dashboard_digest: [0; 32],
    };

    /// How the share stands at `now`: an active one whose time is up has expired, swept or not.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.recorded_status == Status::Active && now >= self.expires_at {
            Status::Expired
        } else {
            self.recorded_status
        }
    }
}

/// A share as the share store keeps it.
///
/// The wraps are `None` once the share has ended; the rest is the ledger, which outlives it.
#[derive(Clone, PartialEq, Debug)]
pub struct Share {
    /// Its name.
    pub id: ShareId,
    /// When its upload was committed.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// The view limit, if one was set.
    pub max_views: Option<u32>,
    /// Views granted.
    pub views: u32,
    /// How it stood when it was last written; see [`Share::status`].
    pub recorded_status: Status,
    /// When it was exhausted or burned.
    pub ended_at: Option<Timestamp>,
    /// Where its objects lie.
    pub folder: Folder,
    /// Objects in the folder.
    pub objects: u64,
    /// Bytes of all its objects.
    pub bytes: u64,
    /// Its images.
    pub images: Vec<ImageRecord>,
    /// Its views by country and time.
    pub tally: Tally,
    /// Tells a retried upload from another one.
    pub upload_digest: Digest,
    /// Keyed hash of the link access.
    pub link_digest: Digest,
    /// Keyed hash of the dashboard access.
    pub dashboard_digest: Digest,
    /// Salt of the password, if one is set.
    pub password_salt: Option<[u8; 16]>,
    /// The data key for link holders.
    pub link_wrap: Option<Sealed>,
    /// The data key for the uploader.
    pub dashboard_wrap: Option<Sealed>,
    /// The link key for the uploader.
    pub sealed_link: Option<Sealed>,
    /// The mark key for the tracer.
    pub sealed_mark_key: Sealed,
    /// How long the ledger is kept after the end.
    pub keep_ledger: Duration,
    /// Tries that were no views.
    pub blocked: Blocked,
    /// What became of the data.
    pub receipt: Receipt,
}

impl Share {
    /// What decides who may come in.
    pub fn door(&self) -> Door {
        Door {
            recorded_status: self.recorded_status,
            expires_at: self.expires_at,
            link_digest: self.link_digest,
            dashboard_digest: self.dashboard_digest,
        }
    }

    /// How the share stands at `now`; see [`Door::status`].
    pub fn status(&self, now: Timestamp) -> Status {
        self.door().status(now)
    }

    /// When the share ended, or will end at the latest.
    pub fn end(&self) -> Timestamp {
        self.ended_at.unwrap_or(self.expires_at).min(self.expires_at)
    }

    /// When the ledger is destroyed.
    pub fn ledger_until(&self) -> Timestamp {
        self.end() + self.keep_ledger
    }

    /// Views still to be had; `None` without a limit.
    pub fn views_left(&self) -> Option<u32> {
        self.max_views.map(|max| max.saturating_sub(self.views))
    }

    /// The count of views at which the share is exhausted.
    pub fn view_ceiling(&self, limits: &Limits) -> u32 {
        self.max_views.unwrap_or(limits.unlimited_views)
    }
}

/// The kind of device that opened a session, told from its `User-Agent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A desktop or laptop computer.
    Desktop,
    /// Something else.
    #[default]
    Unknown,
}

impl Device {
    /// Tells the kind from a `User-Agent` header.
    pub fn from_user_agent(agent: &str) -> Self {
        let has = |word: &str| agent.contains(word);
        if has("iPad") || has("Tablet") || (has("Android") && !has("Mobile")) {
            Device::Tablet
        } else if has("Mobile") || has("iPhone") {
            Device::Phone
        } else if has("Windows NT") || has("Macintosh") || has("X11") || has("CrOS") {
            Device::Desktop
        } else {
            Device::Unknown
        }
    }

    /// The kind in one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Device::Phone => "phone",
            Device::Tablet => "tablet",
            Device::Desktop => "desktop",
            Device::Unknown => "unknown",
        }
    }
}

impl FromStr for Device {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        [Device::Phone, Device::Tablet, Device::Desktop, Device::Unknown]
            .into_iter()
            .find(|device| device.as_str() == text)
            .ok_or(ParseIdError)
    }
}

/// A country by its ISO 3166-1 alpha-2 code, two upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl TryFrom<String> for Country {
    type Error = ParseIdError;

    fn try_from(code: String) -> Result<Self, ParseIdError> {
        code.parse()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl Country {
    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for Country {
    type Err = ParseIdError;

    /// Reads two letters; `XX`, `T1` and `ZZ`, which proxies send for 'unknown', are no country.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let code: [u8; 2] =
            text.trim().to_ascii_uppercase().into_bytes().try_into().map_err(|_| ParseIdError)?;
        let letters = code.iter().all(u8::is_ascii_uppercase);
        if letters && &code != b"XX" && &code != b"ZZ" { Ok(Self(code)) } else { Err(ParseIdError) }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One spent view, as the share store keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Session {
    /// Its name within the share.
    pub id: SessionId,
    /// Keyed hash of its token.
    pub token_digest: Digest,
    /// Keyed hash of the nonce that opened it.
    pub nonce_digest: Digest,
    /// The data key for this session; `None` once it is over.
    pub wrap: Option<Sealed>,
    /// Views granted before it.
    pub views_before: u32,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends unless it is used again, or its share ends before.
    pub ends_at: Timestamp,
    /// Where from, if known.
    pub country: Option<Country>,
    /// What kind of device.
    pub device: Device,
    /// Bit *n* is set when image *n* was loaded.
    pub images_seen: u32,
}

impl Session {
    /// When the session ends in a share that ends at `expires_at`, which may still be extended.
    pub fn end(&self, expires_at: Timestamp) -> Timestamp {
        self.ends_at.min(expires_at)
    }

    /// Whether the session can still load images of a share that ends at `expires_at`.
    pub fn is_live(&self, now: Timestamp, expires_at: Timestamp) -> bool {
        self.wrap.is_some() && now < self.end(expires_at)
    }
}

/// A stored text that is no value of its column.
pub fn corrupt(store: &'static str, operation: &'static str) -> StoreError {
    StoreError { store, operation, source: "a stored value can't be read".into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tally_stays_small_and_loses_no_view(
            views in prop::collection::vec((0i64..40_000_000_000, 0usize..5), 0..400)
        ) {
            let made = Timestamp(1_790_000_000_000);
            let codes = ["NZ", "DE", "BR", "JP"].map(|code| code.parse().ok());
            let mut tally = Tally::default();
            for (since, country) in &views {
                tally.count(made, Timestamp(made.0 + since), codes.get(*country).copied().flatten());
            }
            let timeline = tally.timeline(made);
            prop_assert!(timeline.len() <= 200 && timeline.is_sorted());
            let sum = |counts: &mut dyn Iterator<Item = u32>| counts.sum::<u32>() as usize;
            prop_assert_eq!(sum(&mut timeline.iter().map(|(_, views)| *views)), views.len());
            prop_assert_eq!(sum(&mut tally.countries().iter().map(|(_, views)| *views)), views.len());
            // Each view is counted in the step that it fell into.
            for (at, counted) in &timeline {
                let inside = |since: &i64| (0..tally.step_ms).contains(&(made.0 + since - at.0));
                prop_assert_eq!(views.iter().filter(|(since, _)| inside(since)).count(), *counted as usize);
            }
        }
    }
}
