//! What the ledger keeps about a marked image, and what can go wrong.

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The number of pixels.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// How finely the JPEG files keep colour.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chroma {
    /// 4:2:0, half the resolution in both directions: photographs. Units of 16 x 16 pixels.
    Half,
    /// 4:4:4, full resolution: drawings, screens and small images. Units of 8 x 8 pixels.
    Full,
}

impl Chroma {
    /// The side of a minimum coded unit in pixels (ITU-T T.81, A.2).
    pub fn mcu(self) -> usize {
        match self {
            Self::Half => 16,
            Self::Full => 8,
        }
    }
}

/// Everything besides the key that is needed to rebuild pilot, carriers and segments of a marked image. It holds no
/// pixels.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct MarkRecord {
    /// The construction; [`MarkRecord::VERSION`] is the one described here.
    pub version: u16,
    /// The sizes of the served renditions: the full one first, then the smaller ones.
    pub sizes: Vec<Size>,
    /// The factor on the default amplitude of the mark; 1 unless said otherwise.
    pub strength: f32,
    /// The chroma resolution of all renditions, which sets the segments' units.
    pub chroma: Chroma,
    /// How clearly a poor leak (half the size, JPEG quality 50) could be read when the image was marked, in units of
    /// what a trace needs: below 1 such a leak would be lost. `None` if it was not measured.
    pub margin: Option<f32>,
}

impl MarkRecord {
    /// The construction this code writes and reads.
    pub const VERSION: u16 = 1;
}

/// Why an image could not be marked, prepared, copied or traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The image has too few pixels to carry a forensic mark.
    #[error("the image is too small to carry a forensic mark")]
    TooSmall,
    /// The image is one flat colour, where a mark would be seen and could be wiped away.
    #[error("the image is too flat to carry a forensic mark")]
    TooFlat,
    /// A mark that nobody would see could not be read back from the image.
    #[error("the image does not carry a forensic mark")]
    Unreadable,
    /// Stored bytes are not a prepared rendition, or are damaged.
    #[error("the prepared rendition is damaged: {0}")]
    NotPrepared(&'static str),
    /// A mark record that this version cannot read, or whose sizes make no sense.
    #[error("the mark record cannot be read")]
    Record,
    /// The JPEG codec refused.
    #[error("JPEG: {0}")]
    Jpeg(String),
    /// The WebP encoder refused.
    #[error("WebP: the encoder refused")]
    WebP,
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl MarkError {
    /// Whether the image can't carry a forensic mark; any other error says that something went wrong.
    #[must_use]
    pub fn is_unmarkable(&self) -> bool {
        matches!(self, Self::TooSmall | Self::TooFlat | Self::Unreadable)
    }
}

/// The record, or none for an image that can't carry the mark and is served with the visible one alone.
pub(crate) fn if_markable(record: Result<MarkRecord, MarkError>) -> Result<Option<MarkRecord>, MarkError> {
    match record {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.is_unmarkable() => Ok(None),
        Err(error) => Err(error),
    }
}
