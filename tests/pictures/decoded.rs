//! What ChatPic decodes of a file, before it is marked, and whether Chromium shows the same.

use std::sync::Arc;

use chatpic_core::testing::{frames, samples as encoded};
use chatpic_core::{Limits, Rejection};
use image::RgbaImage;

use crate::chromium::{Compared, Drawn, Size};

/// A still, or the first and the last frame of an animation.
pub(crate) struct Decoded {
    /// How many frames there are.
    pub(crate) frames: u32,
    /// Pictures with their frames' indices.
    pub(crate) pictures: Vec<(u32, RgbaImage)>,
}

/// Decodes a file by its content.
pub(crate) fn decode(file: &[u8], limits: &Limits) -> Result<Decoded, Rejection> {
    match chatpic_core::decode(file, limits) {
        Ok(pixels) => Ok(Decoded { frames: 1, pictures: vec![(0, pixels.into_rgba())] }),
        Err(Rejection::Animated) => {
            let (mut count, mut pictures) = (0, Vec::new());
            frames(file, limits, |frame| {
                pictures.truncate(1);
                pictures.push((count, frame));
                count += 1;
            })?;
            Ok(Decoded { frames: count, pictures })
        }
        Err(refusal) => Err(refusal),
    }
}

impl Decoded {
    /// What Chromium is asked to compare: the file as a page shows it at first, or a later frame, and what was decoded.
    pub(crate) fn pairs(&self, file: &Arc<Vec<u8>>) -> Vec<(Drawn, Drawn)> {
        let pair = |(index, picture): &(u32, RgbaImage)| {
            let drawn = if *index > 0 { Drawn::frame(file, *index) } else { Drawn::image(file) };
            (drawn, Drawn::image(&Arc::new(encoded::png_rgba(picture))))
        };
        self.pictures.iter().map(pair).collect()
    }

    /// How Chromium shows the file in another way, once it compared all pairs; levels of 255 up to the tolerance are none.
    /// Where it shows nothing there is nothing to differ from.
    pub(crate) fn fault(&self, compared: &[Compared], tolerance: f64) -> Option<String> {
        self.pictures.iter().zip(compared).find_map(|((index, _), Compared { sizes, difference })| {
            let [Some(one), Some(other)] = *sizes else { return None };
            let is_same =
                if self.frames > 1 { is_scaled(one, other) } else { (one.0, one.1) == (other.0, other.1) };
            if !is_same {
                return Some(format!(
                    "another size: {} x {} instead of {} x {}",
                    other.0, other.1, one.0, one.1
                ));
            }
            if *index > 0 && one.2 != self.frames {
                return Some(format!("another number of frames: {} instead of {}", self.frames, one.2));
            }
            let off = difference.unwrap_or(f64::INFINITY);
            (off > tolerance).then(|| format!("another picture: {off:.1} levels off"))
        })
    }
}

/// Whether a picture has the other's shape and is no larger: animations are scaled down to a limit.
fn is_scaled(from: Size, to: Size) -> bool {
    let scale = f64::from(to.0.max(to.1)) / f64::from(from.0.max(from.1));
    let is_near = |from: u32, to: u32| (f64::from(from) * scale - f64::from(to)).abs() <= 1.0;
    scale <= 1.0 && is_near(from.0, to.0) && is_near(from.1, to.1)
}
