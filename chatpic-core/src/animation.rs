//! Animated WebP, as viewers get animations: written frame by frame, marked anew for each session.
//!
//! An animation is kept as such a file of high quality, without marks. A session's copy is made of it once: every
//! frame is decoded, marked with the same codeword and key, and encoded. The decoder is memory-safe; the encoder,
//! libwebp, only ever sees our own pixels.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, RgbaImage};

use crate::error::Error;
use crate::id::SessionId;
use crate::intake::animation::{Animation, Frame};
use crate::intake::{Pixels, Rejection};
use crate::mark::record::if_markable;
use crate::mark::visible::VisibleMark;
use crate::mark::{self, ImageKey, Label, MarkError, MarkRecord, Size};
use crate::share::{ImageForm, ImageRecord};
use crate::transparency::{WHITE, drawn_on, ground, is_in_alpha};

/// WebP quality of what is kept.
const KEPT_QUALITY: f32 = 95.0;
/// WebP quality of a session's copy. At 84, with a fifth fewer bytes, small frames lose up to a quarter of a trace's score.
const COPY_QUALITY: f32 = 90.0;
/// How hard libwebp tries, 0 to 6: above this, time grows faster than files shrink.
const EFFORT: i32 = 2;

/// An animation encoded to be kept, and its first frame alone.
type Kept = (ImageRecord, [Vec<u8>; 2]);

/// Encodes an animation to be kept, and its first frame alone, and finds out how strongly its frames must be marked;
/// `None` when what `open` opens is no animation. Where the picture lies in the alpha channel it is drawn on white.
///
/// # Errors
/// Those of `open`; what `rejected` makes of a frame that can't be decoded; [`MarkError`].
pub(crate) fn prepare<'a>(
    open: impl Fn() -> Result<Option<Animation<'a>>, Error>,
    visible: Option<&VisibleMark>,
    key: &ImageKey,
    rejected: impl Fn(Rejection) -> Error,
) -> Result<Option<Kept>, Error> {
    let Some(animation) = open()? else { return Ok(None) };
    let transparent = encode_all(animation, visible, key, &rejected, false)?;
    if transparent.is_some() {
        return Ok(transparent);
    }
    let Some(animation) = open()? else { return Ok(None) };
    encode_all(animation, visible, key, &rejected, true)
}

/// The animation as it is kept, on white or with its transparency; `None` where that holds the picture, which could be
/// marked on white.
fn encode_all(
    animation: Animation<'_>,
    visible: Option<&VisibleMark>,
    key: &ImageKey,
    rejected: impl Fn(Rejection) -> Error,
    on_white: bool,
) -> Result<Option<Kept>, Error> {
    let (count, loops) = (animation.count, animation.loops);
    // One codeword and one strength serve all frames, so that any of them names its session: the greatest strength that
    // the trial finds for one of these.
    let tried = [0, count / 2, count - 1];
    let mut mark: Option<MarkRecord> = None;
    let mut framed = false;
    let (mut all, mut still) = (Writer::new(KEPT_QUALITY), Writer::new(KEPT_QUALITY));
    for (index, frame) in animation.enumerate() {
        let Frame { pixels, delay } = frame.map_err(&rejected)?;
        let pixels = if on_white { Pixels::Opaque(drawn_on(WHITE, &pixels)) } else { Pixels::Alpha(pixels) };
        let pixels = match visible {
            Some(visible) => {
                let (pixels, is_framed) = visible.frame(pixels);
                framed = is_framed;
                pixels.into_rgba()
            }
            None => pixels.into_rgba(),
        };
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
    let record = ImageRecord { sizes: vec![all.size], framed, form, mark };
    Ok(Some((record, [all.finish(loops), still.finish(1)])))
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

/// A session's copy of a file made by [`prepare`]: every frame bears both marks. The same session and labels give the
/// same bytes.
///
/// # Errors
/// [`Error::Damaged`] for other files; [`MarkError`].
pub(crate) fn copy(
    kept: &[u8],
    mark: Option<&MarkRecord>,
    key: &ImageKey,
    session: SessionId,
    labels: &[Label],
) -> Result<Vec<u8>, Error> {
    let decoder = WebPDecoder::new(Cursor::new(kept)).map_err(|_| Error::Damaged)?;
    let loops = match decoder.loop_count() {
        image::metadata::LoopCount::Infinite => 0,
        image::metadata::LoopCount::Finite(times) => u16::try_from(times.get()).unwrap_or(u16::MAX),
    };
    let mut copy = Writer::new(COPY_QUALITY);
    for frame in decoder.into_frames() {
        let frame = frame.map_err(|_| Error::Damaged)?;
        let (milliseconds, _) = frame.delay().numer_denom_ms();
        let pixels = frame.into_buffer();
        let marked = mark::copy_rgba(pixels.clone(), mark, 0, key, session, labels)?;
        copy.push(&pixels, &marked, milliseconds)?;
    }
    Ok(copy.finish(loops))
}

/// Writes an animated WebP file; every frame but the first replaces the rectangle in which it differs from the one
/// before.
pub(crate) struct Writer {
    quality: f32,
    size: Size,
    before: Option<RgbaImage>,
    has_alpha: bool,
    frames: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(quality: f32) -> Self {
        let size = Size { width: 0, height: 0 };
        Self { quality, size, before: None, has_alpha: false, frames: Vec::new() }
    }

    /// Adds a frame. What changes is told by `source`, of which `shown` may be a marked copy: marks that stay as they
    /// are in what stands still cost no bytes.
    pub(crate) fn push(
        &mut self,
        source: &RgbaImage,
        shown: &RgbaImage,
        milliseconds: u32,
    ) -> Result<(), MarkError> {
        let changed = match &self.before {
            None => Rectangle::of(source),
            Some(before) => Rectangle::of_changes(before, source),
        };
        let Rectangle { x, y, width, height } = changed;
        let piece = image::imageops::crop_imm(shown, x, y, width, height).to_image();
        let bitstreams = encode(&piece, self.quality)?;
        self.append(&piece, changed, &bitstreams, milliseconds);
        self.before = Some(source.clone());
        Ok(())
    }

    /// Adds a frame that is encoded already: what it shows of the canvas, of which the first frame shows all.
    pub(crate) fn append(&mut self, piece: &RgbaImage, at: Rectangle, bitstreams: &[u8], milliseconds: u32) {
        let Rectangle { x, y, width, height } = at;
        if self.frames.is_empty() {
            self.size = Size { width, height };
        }
        self.has_alpha |= piece.pixels().any(|pixel| pixel.0[3] < 255);
        self.frames.extend(b"ANMF");
        self.frames.extend((bitstreams.len() as u32 + 16).to_le_bytes());
        for number in [x / 2, y / 2, width - 1, height - 1, milliseconds] {
            self.frames.extend(&number.to_le_bytes()[..3]);
        }
        // It is not blended with what was there, and stays.
        self.frames.push(0b10);
        self.frames.extend(bitstreams);
    }

    /// The file (WebP container specification, "Extended File Format"), played so often, 0 without end.
    pub(crate) fn finish(self, loops: u16) -> Vec<u8> {
        const ANIMATED: u8 = 0x02;
        const ALPHA: u8 = 0x10;
        let mut file = Vec::with_capacity(self.frames.len() + 44);
        file.extend(b"RIFF");
        file.extend((self.frames.len() as u32 + 36).to_le_bytes());
        file.extend(b"WEBPVP8X\x0A\0\0\0");
        file.extend([if self.has_alpha { ANIMATED | ALPHA } else { ANIMATED }, 0, 0, 0]);
        for side in [self.size.width, self.size.height] {
            file.extend(&side.saturating_sub(1).to_le_bytes()[..3]);
        }
        file.extend(b"ANIM\x06\0\0\0\0\0\0\0");
        file.extend(loops.to_le_bytes());
        file.extend(self.frames);
        file
    }
}

/// A part of a frame; its left and upper edges are even, as the container wants them.
pub(crate) struct Rectangle {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Rectangle {
    /// All of a frame.
    pub(crate) fn of(frame: &RgbaImage) -> Self {
        Self { x: 0, y: 0, width: frame.width(), height: frame.height() }
    }

    /// The smallest one that holds every pixel in which two frames differ; one corner when they are the same.
    fn of_changes(before: &RgbaImage, after: &RgbaImage) -> Self {
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
        for (y, (old, new)) in before.rows().zip(after.rows()).enumerate() {
            let differs = |(x, (old, new))| (old != new).then_some(x as u32);
            let mut differing = old.zip(new).enumerate().filter_map(differs);
            if let Some(first) = differing.next() {
                left = left.min(first);
                right = right.max(differing.next_back().unwrap_or(first) + 1);
                top = top.min(y as u32);
                bottom = y as u32 + 1;
            }
        }
        if right == 0 {
            return Self { x: 0, y: 0, width: 1, height: 1 };
        }
        let (x, y) = (left / 2 * 2, top / 2 * 2);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// The chunks that hold a frame's pixels.
fn encode(pixels: &RgbaImage, quality: f32) -> Result<Vec<u8>, MarkError> {
    let mut config = webp::WebPConfig::new().map_err(|()| MarkError::WebP)?;
    (config.quality, config.method) = (quality, EFFORT);
    let encoder = webp::Encoder::from_rgba(pixels, pixels.width(), pixels.height());
    let file = encoder.encode_advanced(&config).map_err(|_| MarkError::WebP)?;
    // A file of its own: RIFF header, perhaps an extended header, then the chunks.
    let chunks = file.get(12..).ok_or(MarkError::WebP)?;
    Ok(if chunks.starts_with(b"VP8X") { chunks.get(18..).unwrap_or_default() } else { chunks }.to_vec())
}
