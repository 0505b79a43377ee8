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
use crate::mark::{self, ImageKey, Label, MarkError, MarkRecord, Size};
use crate::riff;

/// WebP quality of a session's copy. At 84, with a fifth fewer bytes, small frames lose up to a quarter of a trace's score.
const COPY_QUALITY: f32 = 90.0;
/// How hard libwebp tries, 0 to 6: above this, time grows faster than files shrink.
const EFFORT: i32 = 2;

/// A session's copy of a file made by [`prepare`](crate::prepare::prepare): every frame bears both marks. The same session
/// and labels give the same bytes.
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

    /// The size of its frames; of none before the first.
    pub(crate) fn size(&self) -> Size {
        self.size
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
        let mut frame = Vec::with_capacity(bitstreams.len() + 16);
        for number in [x / 2, y / 2, width - 1, height - 1, milliseconds] {
            frame.extend(&number.to_le_bytes()[..3]);
        }
        // It stays.
        frame.push(riff::NOT_BLENDED);
        frame.extend(bitstreams);
        riff::append(&mut self.frames, "ANMF", &frame);
    }

    /// The file (WebP container specification, "Extended File Format"), played so often, 0 without end.
    pub(crate) fn finish(self, loops: u16) -> Vec<u8> {
        let mut chunks = Vec::with_capacity(self.frames.len() + 14);
        riff::append(&mut chunks, "ANIM", &[&[0; 4], &loops.to_le_bytes()[..]].concat());
        chunks.extend(self.frames);
        let alpha = if self.has_alpha { riff::ALPHA } else { 0 };
        riff::file(riff::ANIMATED | alpha, self.size, &chunks)
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
