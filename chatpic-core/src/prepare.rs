//! From a picture to what is kept of it: framed, marked and encoded.

use image::{ExtendedColorType, ImageEncoder, RgbImage, RgbaImage};

use crate::animation::Writer;
use crate::error::Error;
use crate::intake::animation::{Animation, Frame};
use crate::intake::{Picture, Pixels, Still};
use crate::mark::record::if_markable;
use crate::mark::visible::VisibleMark;
use crate::mark::{self, ImageKey, MarkRecord, Size};
use crate::share::{ImageForm, ImageRecord};
use crate::transparency::{WHITE, drawn_on, flat, ground, is_in_alpha};

/// Widths in pixels that a page may ask for besides the full one.
const SMALLER_WIDTHS: [u32; 2] = [1280, 640];
/// WebP quality of an animation as it is kept.
const ANIMATION_QUALITY: f32 = 95.0;

/// An image marked and encoded, not yet sealed: one object a size, or an animation and its first frame.
pub(crate) struct PreparedImage {
    pub(crate) record: ImageRecord,
    pub(crate) objects: Vec<Vec<u8>>,
}

/// Decodes, marks and encodes a picture.
///
/// # Errors
/// [`Error::Rejected`] where it can't be decoded, as the first image; [`Error::Mark`].
pub(crate) fn prepare(
    picture: Picture<'_>,
    visible: Option<&VisibleMark>,
    key: &ImageKey,
) -> Result<PreparedImage, Error> {
    match picture {
        Picture::Still(still) => prepare_still(still, visible, key),
        Picture::Animation(animation) => match prepare_animation(&animation, false, visible, key)? {
            Some(transparent) => Ok(transparent),
            // Opaque frames are never left for white.
            None => prepare_animation(&animation, true, visible, key)?.ok_or(Error::Damaged),
        },
    }
}

/// Pixels with room for the visible mark, and whether they were framed to have it.
fn with_room(pixels: Pixels, visible: Option<&VisibleMark>) -> (Pixels, bool) {
    match visible {
        Some(visible) => visible.frame(pixels),
        None => (pixels, false),
    }
}

fn prepare_still(
    still: Still<'_>,
    visible: Option<&VisibleMark>,
    key: &ImageKey,
) -> Result<PreparedImage, Error> {
    let (pixels, framed) = with_room(still.rendition()?, visible);
    let size = pixels.size();
    let widths: Vec<u32> = SMALLER_WIDTHS.into_iter().filter(|smaller| *smaller < size.width).collect();
    let smaller: Vec<Pixels> = match &pixels {
        Pixels::Opaque(full) => return opaque(full, &widths, framed, key),
        Pixels::Alpha(_) => widths.iter().map(|width| pixels.scaled(*width)).collect(),
    };
    let full = pixels.into_rgba();
    let sizes: Vec<Size> = std::iter::once(size).chain(smaller.iter().map(Pixels::size)).collect();
    let mark = if is_in_alpha(&full) { None } else { if_markable(mark::record_rgba(&full, &sizes, key))? };
    if mark.is_none() {
        // Drawn on its ground, it has more to mark.
        let on_ground = opaque(&flat(&full), &widths, framed, key)?;
        if on_ground.record.mark.is_some() {
            return Ok(on_ground);
        }
    }
    let renditions = std::iter::once(full).chain(smaller.into_iter().map(Pixels::into_rgba));
    let objects: Result<_, Error> = renditions.map(|rendition| png(&rendition)).collect();
    Ok(PreparedImage { record: ImageRecord { sizes, framed, form: ImageForm::Png, mark }, objects: objects? })
}

/// A still without transparency.
fn opaque(full: &RgbImage, widths: &[u32], framed: bool, key: &ImageKey) -> Result<PreparedImage, Error> {
    let prepared = mark::prepare(full, widths, key)?;
    let sizes = prepared.renditions.iter().map(|rendition| rendition.size()).collect();
    let objects = prepared.renditions.iter().map(|rendition| rendition.as_bytes().to_vec()).collect();
    let record = ImageRecord { sizes, framed, form: ImageForm::Jpeg, mark: prepared.record };
    Ok(PreparedImage { record, objects })
}

/// Encodes as PNG, quickly.
pub(crate) fn png(pixels: &RgbaImage) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgba8)
        .map_err(|_| Error::Damaged)?;
    Ok(bytes)
}

/// Encodes an animation and its first frame, on white or with transparency, and finds how strongly frames must be marked.
/// `None` if the picture lies in the alpha channel and could be marked on white.
fn prepare_animation(
    animation: &Animation<'_>,
    on_white: bool,
    visible: Option<&VisibleMark>,
    key: &ImageKey,
) -> Result<Option<PreparedImage>, Error> {
    let frames = animation.frames()?;
    let count = frames.count;
    // One codeword and one strength serve all frames, so that any of them names its session: the greatest strength that
    // the trial finds for one of these.
    let tried = [0, count / 2, count - 1];
    let mut mark: Option<MarkRecord> = None;
    let mut are_framed = false;
    let (mut all, mut still) = (Writer::new(ANIMATION_QUALITY), Writer::new(ANIMATION_QUALITY));
    for (index, frame) in frames.enumerate() {
        let Frame { pixels, delay } = frame?;
        let pixels = if on_white { Pixels::Opaque(drawn_on(WHITE, &pixels)) } else { Pixels::Alpha(pixels) };
        let (pixels, framed) = with_room(pixels, visible);
        let pixels = pixels.into_rgba();
        are_framed = framed;
        if tried.contains(&index) {
            if !is_in_alpha(&pixels) {
                let size = Size { width: pixels.width(), height: pixels.height() };
                mark = stronger(mark, if_markable(mark::record_rgba(&pixels, &[size], key))?);
            } else if ground(&pixels) == WHITE {
                let flat = mark::record_of_pixels(&drawn_on(WHITE, &pixels), key);
                if if_markable(flat)?.is_some() {
                    return Ok(None);
                }
            }
        }
        if index == 0 {
            still.push(&pixels, &pixels, delay)?;
        }
        all.push(&pixels, &pixels, delay)?;
    }
    let form = ImageForm::Animation { frames: count as u32 };
    let record = ImageRecord { sizes: vec![all.size()], framed: are_framed, form, mark };
    Ok(Some(PreparedImage { record, objects: vec![all.finish(animation.loops()), still.finish(1)] }))
}

/// The stronger of two marks, with the lesser margin.
fn stronger(one: Option<MarkRecord>, other: Option<MarkRecord>) -> Option<MarkRecord> {
    let (Some(one), Some(other)) = (&one, &other) else { return one.or(other) };
    let margin = match (one.margin, other.margin) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Some(MarkRecord { strength: one.strength.max(other.strength), margin, ..one.clone() })
}
