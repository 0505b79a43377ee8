//! A share and its viewing sessions, and the rules of their lives (SPEC section 3): pure, without I/O.

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
}

impl ImageForm {
    /// The media type that viewers get.
    pub fn media_type(self) -> &'static str {
        match self {
            ImageForm::Jpeg => "image/jpeg",
            ImageForm::Png => "image/png",
        }
    }
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
    /// Its images.
    pub images: Vec<ImageRecord>,
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
    /// How the share stands at `now`: an active one whose time is up has expired, swept or not.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.recorded_status == Status::Active && now >= self.expires_at {
            Status::Expired
        } else {
            self.recorded_status
        }
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

    /// When a session opened at `opened_at` and last used at `seen_at` ends.
    pub fn session_end(&self, opened_at: Timestamp, seen_at: Timestamp, limits: &Limits) -> Timestamp {
        (seen_at + limits.session_idle).min(opened_at + limits.session_absolute).min(self.expires_at)
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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Country([u8; 2]);

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
    /// When it ends unless it is used again.
    pub ends_at: Timestamp,
    /// Where from, if known.
    pub country: Option<Country>,
    /// What kind of device.
    pub device: Device,
    /// Bit *n* is set when image *n* was loaded.
    pub images_seen: u32,
}

impl Session {
    /// Whether the session can still load images.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.wrap.is_some() && now < self.ends_at
    }
}

/// A stored text that is no value of its column.
pub fn corrupt(store: &'static str, operation: &'static str) -> StoreError {
    StoreError { store, operation, source: "a stored value can't be read".into() }
}
