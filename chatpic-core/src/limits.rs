//! Every bound that ChatPic keeps, in one value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mark::TRACE_WORK;
use crate::mark::visible::VisibleMark;

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
    /// A viewing session ends after this long without an image loaded or a page in view.
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

/// Images of one share, at most, that sessions can be noted to have seen.
const IMAGES: usize = 32;
/// The least long side of a rendition in pixels: the smallest width that viewers can ask for.
const LEAST_SIDE: u32 = 320;
/// The greatest side in pixels of a JPEG and a WebP alike.
const GREATEST_SIDE: u32 = 16_383;
/// Nothing is kept for longer, so that no instant is out of the range of stores and dates.
const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// Which limit is out of its range, or does not fit another; the message names it like the field of [`Limits`] or
/// [`VisibleMark`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{limit} must be from {least} to {greatest}, not {value}")]
pub struct InvalidLimit {
    limit: &'static str,
    value: String,
    least: String,
    greatest: String,
}

/// The end of a range: a value, perhaps of another limit.
#[derive(Clone, Copy)]
enum End<T> {
    Of(&'static str, T),
    At(T),
}

impl<T: Copy> End<T> {
    fn value(self) -> T {
        match self {
            Self::Of(_, value) | Self::At(value) => value,
        }
    }

    fn told(self, tell: impl Fn(T) -> String) -> String {
        match self {
            Self::Of(limit, value) => format!("{limit} ({})", tell(value)),
            Self::At(value) => tell(value),
        }
    }
}

fn within<T: Copy + PartialOrd>(
    limit: &'static str,
    value: T,
    least: End<T>,
    greatest: End<T>,
    tell: impl Fn(T) -> String,
) -> Result<(), InvalidLimit> {
    if value >= least.value() && value <= greatest.value() {
        return Ok(());
    }
    Err(InvalidLimit { limit, value: tell(value), least: least.told(&tell), greatest: greatest.told(&tell) })
}

fn count<T: Copy + PartialOrd + ToString>(
    limit: &'static str,
    value: T,
    least: End<T>,
    greatest: End<T>,
) -> Result<(), InvalidLimit> {
    within(limit, value, least, greatest, |value| value.to_string())
}

fn time(
    limit: &'static str,
    value: Duration,
    least: End<Duration>,
    greatest: End<Duration>,
) -> Result<(), InvalidLimit> {
    within(limit, value, least, greatest, |value| match value.as_secs() {
        0 => format!("{} ms", value.as_millis()),
        86_400 => "1 day".to_owned(),
        seconds if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds => format!("{seconds} s"),
    })
}

/// Checks that the opacity and the size of a visible mark are within their ranges; what is no number is not.
pub(crate) fn check_visible(mark: &VisibleMark) -> Result<(), InvalidLimit> {
    let tell = |value: f32| value.to_string();
    within("opacity", mark.opacity, End::At(0.0), End::At(1.0), tell)?;
    within("size", mark.size, End::At(0.0), End::At(0.2), tell)
}

impl Limits {
    /// Checks that every limit is within its range and fits the others; [`Builder::build`](crate::Builder::build) does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use chatpic_core::Limits;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let limits = Limits { max_expiry: hour, ..Limits::default() };
    /// let told = limits.check().unwrap_err().to_string();
    /// assert_eq!(told, "default_expiry must be from min_expiry (60 s) to max_expiry (3600 s), not 7 days");
    /// assert!(Limits { default_expiry: hour, ..limits }.check().is_ok());
    /// ```
    ///
    /// # Errors
    /// The first limit that is not right.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        use End::{At, Of};

        let Self {
            images,
            image_bytes,
            image_pixels,
            decode_bytes,
            long_side,
            short_side,
            longest_side,
            rendition_pixels,
            animation_frames,
            animation_pixels,
            animation_side,
            default_expiry,
            min_expiry,
            max_expiry,
            max_views,
            unlimited_views,
            password_chars,
            session_idle,
            session_absolute,
            nonce_replay,
            default_ledger,
            max_ledger,
            wrong_passwords_per_address,
            wrong_passwords_per_share,
            wrong_password_window,
            traces_per_day,
            trace_work,
            reports_per_share,
            report_chars,
            max_stored: _,
            free_percent,
            upload_timeout,
            workers,
            traces,
            queue: _,
        } = *self;
        let least_pixels = u64::from(LEAST_SIDE * LEAST_SIDE);

        count("images", images, At(1), At(IMAGES))?;
        count("image_bytes", image_bytes, At(1024), At(1 << 30))?;
        count("image_pixels", image_pixels, At(least_pixels), At(1 << 32))?;
        // What the smallest rendition takes at four bytes a pixel, decoded and scaled.
        count("decode_bytes", decode_bytes, At(8 * least_pixels), At(1 << 40))?;
        count("longest_side", longest_side, At(LEAST_SIDE), At(GREATEST_SIDE))?;
        count("long_side", long_side, At(LEAST_SIDE), Of("longest_side", longest_side))?;
        count("short_side", short_side, At(1), Of("long_side", long_side))?;
        count("rendition_pixels", rendition_pixels, At(least_pixels), At(1 << 28))?;
        count("animation_frames", animation_frames, At(1), At(10_000))?;
        count("animation_pixels", animation_pixels, At(least_pixels), At(1 << 30))?;
        count("animation_side", animation_side, At(LEAST_SIDE), At(GREATEST_SIDE))?;

        time("max_expiry", max_expiry, At(SECOND), At(TEN_YEARS))?;
        time("min_expiry", min_expiry, At(SECOND), Of("max_expiry", max_expiry))?;
        time("default_expiry", default_expiry, Of("min_expiry", min_expiry), Of("max_expiry", max_expiry))?;
        count("unlimited_views", unlimited_views, At(1), At(i32::MAX as u32))?;
        count("max_views", max_views, At(1), Of("unlimited_views", unlimited_views))?;
        count("password_chars", password_chars, At(1), At(1024))?;
        time("session_absolute", session_absolute, At(SECOND), At(TEN_YEARS))?;
        time("session_idle", session_idle, At(SECOND), Of("session_absolute", session_absolute))?;
        time("nonce_replay", nonce_replay, At(SECOND), Of("session_absolute", session_absolute))?;
        time("max_ledger", max_ledger, At(Duration::ZERO), At(TEN_YEARS))?;
        time("default_ledger", default_ledger, At(Duration::ZERO), Of("max_ledger", max_ledger))?;

        count("wrong_passwords_per_share", wrong_passwords_per_share, At(1), At(1_000_000))?;
        let per_share = Of("wrong_passwords_per_share", wrong_passwords_per_share);
        count("wrong_passwords_per_address", wrong_passwords_per_address, At(1), per_share)?;
        // The sweep forgets tries after a day.
        time("wrong_password_window", wrong_password_window, At(SECOND), At(DAY))?;
        count("traces_per_day", traces_per_day, At(1), At(1_000_000))?;
        count("trace_work", trace_work, At(1), At(u64::MAX))?;
        count("reports_per_share", reports_per_share, At(1), At(1_000_000))?;
        // A form or JSON has 64 KiB at most.
        count("report_chars", report_chars, At(1), At(10_000))?;
        count("free_percent", free_percent, At(0), At(99))?;
        time("upload_timeout", upload_timeout, At(SECOND), At(TEN_YEARS))?;
        count("workers", workers, At(1), At(1024))?;
        count("traces", traces, At(1), At(1024))
    }

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
            animation_frames: 300,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn what_would_break_uploads_or_views_is_refused_by_name() {
        let sane = Limits::default;
        for (limits, told) in [
            (
                Limits { default_expiry: 90 * DAY, ..sane() },
                "default_expiry must be from min_expiry (60 s) to max_expiry (30 days), not 90 days",
            ),
            (
                Limits { default_expiry: Duration::ZERO, ..sane() },
                "default_expiry must be from min_expiry (60 s) to max_expiry (30 days), not 0 ms",
            ),
            (
                Limits { max_expiry: 30 * SECOND, ..sane() },
                "min_expiry must be from 1 s to max_expiry (30 s), not 60 s",
            ),
            (Limits { images: 0, ..sane() }, "images must be from 1 to 32, not 0"),
            (Limits { images: 33, ..sane() }, "images must be from 1 to 32, not 33"),
            (
                Limits { max_views: 0, ..sane() },
                "max_views must be from 1 to unlimited_views (100000), not 0",
            ),
            (
                Limits { unlimited_views: 10, ..sane() },
                "max_views must be from 1 to unlimited_views (10), not 10000",
            ),
            (
                Limits { session_idle: Duration::ZERO, ..sane() },
                "session_idle must be from 1 s to session_absolute (3600 s), not 0 ms",
            ),
            (
                Limits { long_side: 319, ..sane() },
                "long_side must be from 320 to longest_side (8192), not 319",
            ),
            (
                Limits { default_ledger: 91 * DAY, ..sane() },
                "default_ledger must be from 0 ms to max_ledger (90 days), not 91 days",
            ),
            (Limits { free_percent: 100, ..sane() }, "free_percent must be from 0 to 99, not 100"),
        ] {
            assert_eq!(limits.check().unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_visible_mark_that_is_no_number_is_refused() {
        assert_eq!(check_visible(&VisibleMark::default()), Ok(()));
        for wrong in [f32::NAN, -0.1, 1.1] {
            assert!(check_visible(&VisibleMark { opacity: wrong, ..VisibleMark::default() }).is_err());
            assert!(check_visible(&VisibleMark { size: wrong, ..VisibleMark::default() }).is_err());
        }
    }
}
