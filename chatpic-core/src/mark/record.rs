//! What the ledger keeps about a marked image, and what can go wrong.

use serde::{Deserialize, Serialize};

use super::embed::carries;
use crate::limits::Limits;

/// Width and height in pixels.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
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

    /// The record as bytes, a few hundred, to be kept until a leak is traced.
    ///
    /// ```
    /// use chatpic_core::Limits;
    /// use chatpic_core::mark::{MarkRecord, Size, record_of};
    ///
    /// let record = record_of(&[Size { width: 640, height: 480 }]).ok_or("too small")?;
    /// assert_eq!(MarkRecord::from_bytes(&record.to_bytes(), &Limits::default())?, record);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers and names alone can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`MarkRecord::to_bytes`] gave.
    ///
    /// # Errors
    /// [`MarkError::Record`] for anything else, for another version, and for sizes that no image within the limits has:
    /// a trace costs what the sizes say.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, MarkError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|_| MarkError::Record)?;
        let full = record.sizes.first().ok_or(MarkError::Record)?;
        let fits = |size: &Size| carries(*size) && size.width <= full.width && size.height <= full.height;
        let sound = record.version == Self::VERSION
            && full.pixels() <= limits.image_pixels
            && record.sizes.len() <= MOST_SIZES
            && record.sizes.iter().all(fits)
            && record.strength.is_finite()
            && record.strength > 0.0;
        if sound { Ok(record) } else { Err(MarkError::Record) }
    }
}

/// Sizes that one image is served in, at most.
const MOST_SIZES: usize = 16;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::record_of;

    #[test]
    fn a_record_that_no_image_has_is_refused() {
        let limits = Limits::default();
        let full = Size { width: 640, height: 480 };
        let record = record_of(&[full]).unwrap();
        let read = |record: &MarkRecord| MarkRecord::from_bytes(&record.to_bytes(), &limits);
        assert_eq!(read(&record), Ok(record.clone()));
        let with = |sizes: &[Size]| MarkRecord { sizes: sizes.to_vec(), ..record.clone() };
        for wrong in [
            with(&[]),
            with(&[Size { width: 20_000, height: 20_000 }]),
            with(&[Size { width: 640, height: 95 }]),
            with(&[full, Size { width: 641, height: 480 }]),
            with(&[full; MOST_SIZES + 1]),
            MarkRecord { version: MarkRecord::VERSION + 1, ..record.clone() },
            MarkRecord { strength: 0.0, ..record.clone() },
        ] {
            assert_eq!(read(&wrong), Err(MarkError::Record), "{wrong:?}");
        }
        assert_eq!(MarkRecord::from_bytes(b"no record", &limits), Err(MarkError::Record));
    }
}
