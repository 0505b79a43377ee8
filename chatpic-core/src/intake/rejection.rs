//! Why an image is refused.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an image was refused: what was found, and which limit it breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rejection {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the file is larger than {}: save it smaller", Bytes(*limit as u64))]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// Not one of the supported formats, or a kind of them that browsers don't show.
    #[error("this file can't be shared, only JPEG, PNG, GIF and WebP that browsers show: {found}")]
    Unsupported {
        /// What it is or looks like, and what to do.
        found: Cow<'static, str>,
    },
    /// Several frames where a still is needed.
    #[error("the image is animated where a still is needed")]
    Animated,
    /// More frames than allowed.
    #[error("the animation has {found} frames, more than {limit}: make it shorter")]
    TooManyFrames {
        /// How many it has.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More pixels in all frames together than allowed.
    #[error(
        "the animation has {frames} frames of up to {width} x {height} pixels, more than {} together: make it smaller \
         or shorter",
        Pixels(*limit)
    )]
    TooManyPixelsInFrames {
        /// How many frames it has.
        frames: usize,
        /// Width of its canvas, or of its largest frame where that is larger.
        width: u32,
        /// Height of the same.
        height: u32,
        /// The limit, in pixels.
        limit: u64,
    },
    /// More pixels than allowed.
    #[error("the image has {width} x {height} pixels, more than {}: save it smaller", Pixels(*limit))]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit, in pixels.
        limit: u64,
    },
    /// Decoding would take more memory than allowed.
    #[error("decoding the image would take more than {} of memory: save it smaller", Bytes(*limit))]
    TooMuchMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// Decoding would take far longer than the image's size lets expect.
    #[error("decoding the image would take too long ({found}); save it again with another program")]
    TooMuchWork {
        /// Why, and what the limit is.
        found: Cow<'static, str>,
    },
    /// The pixel data end early.
    #[error("the image is not whole, as its data end early: send it again, or save it anew")]
    Incomplete,
    /// The data can't be decoded.
    #[error("the image is damaged and can't be decoded: open it in another program and save it anew")]
    Corrupt,
}

impl Rejection {
    /// Whether the image is too large, rather than not an image that can be shown.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Rejection::TooManyBytes { .. }
                | Rejection::TooManyPixels { .. }
                | Rejection::TooManyFrames { .. }
                | Rejection::TooManyPixelsInFrames { .. }
                | Rejection::TooMuchMemory { .. }
                | Rejection::TooMuchWork { .. }
        )
    }
}

/// A number of bytes in words, in megabytes of 1024 x 1024 where it is a round number of them.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEGA: u64 = 1024 * 1024;
        if self.0.is_multiple_of(MEGA) {
            write!(f, "{} MB", self.0 / MEGA)
        } else {
            write!(f, "{} bytes", self.0)
        }
    }
}

/// A number of pixels in words, in megapixels where it is a round number of them.
struct Pixels(u64);

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEGA: u64 = 1_000_000;
        if self.0.is_multiple_of(MEGA) {
            write!(f, "{} megapixels", self.0 / MEGA)
        } else {
            write!(f, "{} pixels", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_refusal_says_what_was_found_which_limit_it_breaks_and_what_to_do() {
        let limits = Limits::default();
        let (width, height) = (9000, 8000);
        for (rejection, said) in [
            (
                Rejection::TooManyBytes { limit: limits.image_bytes },
                "the file is larger than 10 MB: save it smaller",
            ),
            (
                Rejection::TooManyPixels { width, height, limit: limits.image_pixels },
                "the image has 9000 x 8000 pixels, more than 64 megapixels: save it smaller",
            ),
            (
                Rejection::TooManyPixelsInFrames { frames: 6, width, height, limit: 1234 },
                "the animation has 6 frames of up to 9000 x 8000 pixels, more than 1234 pixels together: make it \
                 smaller or shorter",
            ),
            (
                Rejection::TooMuchMemory { limit: limits.decode_bytes },
                "decoding the image would take more than 512 MB of memory: save it smaller",
            ),
            (
                Rejection::TooManyFrames { found: 301, limit: 300 },
                "the animation has 301 frames, more than 300: make it shorter",
            ),
            (
                Rejection::Unsupported { found: "this looks like TIFF, save it as JPEG or PNG".into() },
                "this file can't be shared, only JPEG, PNG, GIF and WebP that browsers show: this looks like TIFF, save \
                 it as JPEG or PNG",
            ),
            (
                Rejection::Incomplete,
                "the image is not whole, as its data end early: send it again, or save it anew",
            ),
            (
                Rejection::Corrupt,
                "the image is damaged and can't be decoded: open it in another program and save it anew",
            ),
        ] {
            assert_eq!(rejection.to_string(), said);
        }
    }
}
