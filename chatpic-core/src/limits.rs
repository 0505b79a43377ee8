//! Every bound that ChatPic keeps, in one value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mark::TRACE_WORK;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Every bound that ChatPic keeps; each field can be set, the defaults are the contract's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Images in one share, at most.
    pub images: usize,
    /// Bytes of one uploaded image, at most.
    pub image_bytes: usize,
    /// Pixels of one uploaded still, at most; checked from the header.
    pub image_pixels: u64,
    /// Bytes that decoding one image may take, at most; checked from the header.
    pub decode_bytes: u64,
    /// Long side of a rendition in pixels, at most.
    pub long_side: u32,
    /// Short side in pixels under which a rendition may grow longer than [`Limits::long_side`].
    pub short_side: u32,
    /// Long side in pixels, at most, of such a long and narrow rendition.
    pub longest_side: u32,
    /// Pixels of a rendition, at most.
    pub rendition_pixels: u64,
    /// Frames of an animation, at most; counted before one is decoded.
    pub animation_frames: usize,
    /// Pixels of all frames of an animation together, at most, as viewers get them: larger ones are scaled down. The
    /// uploaded frames may have eight times as many.
    pub animation_pixels: u64,
    /// Long side in pixels, at most, of an animation as viewers get it.
    pub animation_side: u32,
    /// How long a share lives when its uploader says nothing.
    pub default_expiry: Duration,
    /// The shortest life of a share.
    pub min_expiry: Duration,
    /// How far ahead a share's end may lie, at any time.
    pub max_expiry: Duration,
    /// The greatest view limit that an uploader can set.
    pub max_views: u32,
    /// Views of a share without a view limit, at most.
    pub unlimited_views: u32,
    /// Characters of a password after NFC, at most.
    pub password_chars: usize,
    /// A viewing session ends when for so long nothing was loaded and no page was in view.
    pub session_idle: Duration,
    /// A viewing session ends after so long whatever is done.
    pub session_absolute: Duration,
    /// A nonce opens the same session again for so long.
    pub nonce_replay: Duration,
    /// How long the ledger is kept after a share's end when its uploader says nothing.
    pub default_ledger: Duration,
    /// How long the ledger can be kept at most.
    pub max_ledger: Duration,
    /// Wrong passwords of one address for one share within [`Limits::wrong_password_window`].
    pub wrong_passwords_per_address: u32,
    /// Wrong passwords of all addresses for one share within [`Limits::wrong_password_window`].
    pub wrong_passwords_per_share: u32,
    /// The time over which wrong passwords are counted.
    pub wrong_password_window: Duration,
    /// Traces of one share within a day.
    pub traces_per_day: u32,
    /// Work of one trace of a share, in the steps of [`mark::trace`](crate::mark::trace); an operator's trace has as much
    /// for each image. When it is used up the search is cut short.
    pub trace_work: u64,
    /// Reports of one share that are kept; as many again are, if they come with the right link key.
    pub reports_per_share: u32,
    /// Characters of a report, at most.
    pub report_chars: usize,
    /// Sealed bytes of all shares above which nothing can be uploaded; no such limit when `None`.
    pub max_stored: Option<u64>,
    /// Free space of the blob store's disk, in percent, under which nothing can be uploaded.
    pub free_percent: u8,
    /// An upload not committed after so long is given up, and the sweep deletes what it left.
    pub upload_timeout: Duration,
    /// Images taken in at the same time, and as many copies spliced, copies made pixel by pixel, and passwords hashed. Where
    /// such work takes long, an address leaves one place to the others.
    pub workers: usize,
    /// Traces at the same time, each on all cores and with up to 700 MB; an address leaves one place to the others.
    pub traces: usize,
    /// Jobs of each of these kinds that may wait for a worker, and 16 times as many images that viewers ask for. When more
    /// would, the one that came last of the address with the most is refused as busy.
    pub queue: usize,
}

impl Limits {
    /// When a viewing session ends that was opened at `opened_at` and used at `used_at`, if its share goes on.
    pub(crate) fn session_end(&self, opened_at: Timestamp, used_at: Timestamp) -> Timestamp {
        (used_at + self.session_idle).min(opened_at + self.session_absolute)
    }

    /// How often a page in view says so, see [`ChatPic::seen`](crate::ChatPic::seen): every third of
    /// [`Limits::session_idle`], at least once a minute.
    pub fn seen_interval(&self) -> Duration {
        (self.session_idle / 3).min(Duration::from_secs(60))
    }

    /// How much later a session must end before that is written: a quarter of [`Limits::session_idle`], at most 20 s.
    pub(crate) fn activity_interval(&self) -> Duration {
        (self.session_idle / 4).min(Duration::from_secs(20))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            images: 10,
            image_bytes: 10 * 1024 * 1024,
            image_pixels: 64_000_000,
            decode_bytes: 512 * 1024 * 1024,
            long_side: 2048,
            short_side: 1080,
            longest_side: 8192,
            rendition_pixels: 8_000_000,
            animation_frames: 100,
            animation_pixels: 32_000_000,
            animation_side: 960,
            default_expiry: 7 * DAY,
            min_expiry: Duration::from_secs(60),
            max_expiry: 30 * DAY,
            max_views: 10_000,
            unlimited_views: 100_000,
            password_chars: 128,
            session_idle: Duration::from_secs(10 * 60),
            session_absolute: Duration::from_secs(60 * 60),
            nonce_replay: Duration::from_secs(60),
            default_ledger: 90 * DAY,
            max_ledger: 90 * DAY,
            wrong_passwords_per_address: 10,
            wrong_passwords_per_share: 100,
            wrong_password_window: Duration::from_secs(10 * 60),
            traces_per_day: 30,
            trace_work: TRACE_WORK,
            reports_per_share: 20,
            report_chars: 2000,
            max_stored: None,
            free_percent: 5,
            upload_timeout: Duration::from_secs(60 * 60),
            workers: 2,
            traces: 2,
            queue: 64,
        }
    }
}
