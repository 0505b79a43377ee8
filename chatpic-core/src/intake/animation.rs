//! Animated GIF and WebP: frames are decoded one at a time, each composed onto the canvas, and scaled. A colour profile is
//! left aside, as browsers do in animations.

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, RgbImage, RgbaImage};
use std::io::Cursor;

use super::container::Container;
use super::{Pixels, Rejection, Working, check_size, contained, reason, webp};
use crate::limits::Limits;
use crate::mark::{Size, leak_size};
use crate::{scale, transparency};

/// Pixels of all uploaded frames for each one of [`Limits::animation_pixels`]; more cost time without being seen.
const SOURCE_PIXELS: u64 = 8;
/// Milliseconds up to which browsers take a delay for a mistake, and what they take instead.
const LEAST_DELAY: u32 = 10;
const DEFAULT_DELAY: u32 = 100;
/// The longest delay that the WebP container holds.
const LONGEST_DELAY: u32 = 0xFF_FFFF;
/// The longest side that a WebP bitstream holds, less a band below for the visible ID.
const LONGEST_SIDE: u32 = 16_000;
/// Bytes a pixel while a frame is decoded and drawn onto a copy of the canvas, besides the frame.
pub(super) const DRAWING: u64 = 13;
/// Bytes a pixel more while it is scaled or summed up.
const SUMMING: u64 = 6;
/// Frames of an animated leak that are looked at one by one.
const SAMPLES: usize = 3;

/// An animation of which nothing is decoded yet.
pub(crate) struct Animation<'a> {
    pub(super) format: Format,
    pub(super) container: Container,
    pub(super) limits: &'a Limits,
}

/// The format of an animation.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Gif,
    WebP {
        /// Whether the header says that there is transparency.
        is_alpha_announced: bool,
    },
}

/// Frames at the size of the canvas, and for how many milliseconds each is shown.
type Composed<'a> = Box<dyn Iterator<Item = Result<(RgbaImage, u32), Rejection>> + 'a>;

/// Frames as they are shown, one after the other.
pub(crate) struct Frames<'a> {
    /// How many there are.
    pub(crate) count: usize,
    size: Size,
    composed: Composed<'a>,
    taken: usize,
}

/// A frame as it is shown: composed with those before it.
pub(crate) struct Frame {
    /// Its pixels, as [`Pixels::Alpha`] holds them.
    pub(crate) pixels: RgbaImage,
    /// How long it is shown, in milliseconds.
    pub(crate) delay: u32,
}

impl Animation<'_> {
    /// How often it is played; 0 is without end.
    pub(crate) fn loops(&self) -> u16 {
        self.container.loops
    }

    /// All frames, as viewers get them.
    ///
    /// # Errors
    /// When there are more frames, or more pixels in them together, than the limits allow.
    pub(crate) fn frames(&self) -> Result<Frames<'_>, Rejection> {
        let (count, limits) = (self.container.count, self.limits);
        if count > limits.animation_frames {
            return Err(Rejection::TooManyFrames { found: count, limit: limits.animation_frames });
        }
        let limit = limits.animation_pixels.saturating_mul(SOURCE_PIXELS);
        let drawn @ Size { width, height } = self.container.drawn();
        if drawn.pixels().saturating_mul(count as u64) > limit {
            return Err(Rejection::TooManyPixelsInFrames { frames: count, width, height, limit });
        }
        self.decoded(count, shown_size(self.container.canvas, count, limits))
    }

    /// The pictures by which an animated leak is traced, at its own size: the mean of the first frames, then some of these
    /// frames. Marks stay in place while the picture moves, so the mean keeps the mark and blurs the picture. The limits
    /// decide how many frames are looked at.
    ///
    /// # Errors
    /// A [`Rejection`] when it can't be decoded so far.
    pub(crate) fn sample(&self) -> Result<Vec<RgbImage>, Rejection> {
        let limits = self.limits;
        let affordable =
            limits.animation_pixels.saturating_mul(SOURCE_PIXELS) / self.container.drawn().pixels().max(1);
        // 257 bytes are the most whose sum fits into 16 bits.
        let most = affordable.min(limits.animation_frames as u64).clamp(1, 257);
        let count = (self.container.count as u64).min(most) as usize;
        let size = leak_size(self.container.canvas);
        let Size { width, height } = size;
        let place = |sample: usize| (2 * sample + 1) * count / (2 * SAMPLES);
        let mut wanted: Vec<usize> = (0..SAMPLES).map(place).collect();
        wanted.dedup();
        let mut sums = vec![0u16; 3 * width as usize * height as usize];
        let mut samples = vec![RgbImage::new(0, 0)];
        for (index, frame) in self.decoded(count, self.container.canvas)?.enumerate() {
            let colours = Pixels::Alpha(frame?.pixels).resized(size).into_rgb();
            sums.iter_mut().zip(colours.iter()).for_each(|(sum, v)| *sum += u16::from(*v));
            if wanted.contains(&index) {
                samples.push(colours);
            }
        }
        let mean = sums.iter().map(|sum| (sum / count as u16) as u8).collect();
        samples[0] = RgbImage::from_raw(width, height, mean).ok_or(Rejection::Corrupt)?;
        Ok(samples)
    }

    /// For each picture the frame, as viewers get it, that looks most like it. Thumbnails are compared, so a picture
    /// cropped from a frame may be taken for another frame's. The animation is decoded once.
    ///
    /// # Errors
    /// A [`Rejection`] that says what was found.
    pub(crate) fn most_like(&self, pictures: &[RgbImage]) -> Result<Vec<RgbaImage>, Rejection> {
        let wanted: Vec<Vec<f32>> = pictures.iter().map(thumbnail).collect();
        let mut best = vec![(f32::NEG_INFINITY, RgbaImage::new(0, 0)); pictures.len()];
        for frame in self.frames()? {
            let pixels = frame?.pixels;
            let own = thumbnail(&Pixels::Alpha(pixels.clone()).into_rgb());
            for (wanted, (most, found)) in wanted.iter().zip(&mut best) {
                let likeness = wanted.iter().zip(&own).map(|(a, b)| a * b).sum();
                if likeness > *most {
                    (*most, *found) = (likeness, pixels.clone());
                }
            }
        }
        Ok(best.into_iter().map(|(_, pixels)| pixels).collect())
    }

    /// The first frames, scaled to a size.
    fn decoded(&self, count: usize, size: Size) -> Result<Frames<'_>, Rejection> {
        self.check(DRAWING + SUMMING)?;
        Ok(Frames { count, size, composed: self.composed()?, taken: 0 })
    }

    /// Checks the sizes of canvas and frames, and the memory that decoding takes; `canvas_bytes` is what the canvas takes for
    /// each pixel besides the frame that is given away.
    pub(super) fn check(&self, canvas_bytes: u64) -> Result<(), Rejection> {
        let Container { canvas, largest, .. } = self.container;
        let working = Working { decoder: DRAWING, raw: 4, eight: 4, ..Working::default() };
        check_size(largest, working, self.limits)?;
        let mut working = Working { decoder: canvas_bytes, ..working };
        check_size(canvas, working, self.limits)?;
        // Walking through tables takes time for each pixel, so sizes come first.
        if let Format::WebP { .. } = self.format {
            working.fixed = contained(|| webp::tables(&self.container, self.limits.decode_bytes))?;
            check_size(canvas, working, self.limits)?;
        }
        Ok(())
    }

    /// All frames that were kept, one by one.
    pub(super) fn composed(&self) -> Result<Composed<'_>, Rejection> {
        match self.format {
            Format::Gif => {
                let decoder =
                    contained(|| GifDecoder::new(Cursor::new(&self.container.file)).map_err(reason))?;
                let composed = decoder.into_frames().map(|frame| {
                    let frame = frame.map_err(reason)?;
                    let (numerator, denominator) = frame.delay().numer_denom_ms();
                    Ok((frame.into_buffer(), numerator / denominator.max(1)))
                });
                Ok(Box::new(composed))
            }
            Format::WebP { is_alpha_announced } => {
                Ok(Box::new(webp::Frames::new(&self.container, is_alpha_announced)))
            }
        }
    }
}

/// A small copy whose values have a mean of 0 and together a power of 1.
fn thumbnail(picture: &RgbImage) -> Vec<f32> {
    const SIDE: u32 = 24;
    let small = scale::rgb(picture, Size { width: SIDE, height: SIDE });
    let values: Vec<f32> = small.iter().map(|v| f32::from(*v)).collect();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let power: f32 = values.iter().map(|v| (v - mean).powi(2)).sum();
    values.iter().map(|v| (v - mean) / power.sqrt().max(1.0)).collect()
}

/// The size in which an animation is shown: never larger, the same shape.
fn shown_size(canvas: Size, frames: usize, limits: &Limits) -> Size {
    let long = f64::from(canvas.width.max(canvas.height).max(1));
    let by_side = f64::from(limits.animation_side.min(LONGEST_SIDE)) / long;
    let all = canvas.pixels() as f64 * frames as f64;
    let by_pixels = (limits.animation_pixels as f64 / all.max(1.0)).sqrt();
    let scale = by_side.min(by_pixels).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).floor() as u32).max(1);
    Size { width: side(canvas.width), height: side(canvas.height) }
}

impl Frames<'_> {
    fn frame(&mut self) -> Result<Frame, Rejection> {
        let (mut pixels, delay) = self.composed.next().ok_or(Rejection::Incomplete)??;
        let delay = match delay {
            ..=LEAST_DELAY => DEFAULT_DELAY,
            delay => delay.min(LONGEST_DELAY),
        };
        if pixels.dimensions() == (self.size.width, self.size.height) {
            transparency::settle(&mut pixels);
        } else {
            pixels = scale::rgba(&pixels, self.size);
        }
        Ok(Frame { pixels, delay })
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Rejection>;

    /// The next frame; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.count {
            return None;
        }
        let frame = contained(|| self.frame());
        self.taken = if frame.is_ok() { self.taken + 1 } else { self.count };
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::{GifEncoder, Repeat};
    use image::{Delay, DynamicImage, RgbImage, Rgba};
    use proptest::prelude::*;

    use super::super::tests::without_a_panic;
    use super::super::{Picture, decode};
    use super::*;
    use crate::testing::samples;

    fn limits() -> Limits {
        Limits::default()
    }

    fn pan(width: u32, height: u32, count: u32) -> Vec<RgbImage> {
        samples::pan(&samples::photograph(width + 2 * count, height, 5), width, height, count)
    }

    fn webp(frames: Vec<RgbImage>) -> Vec<u8> {
        let frames: Vec<_> = frames.into_iter().map(|f| DynamicImage::ImageRgb8(f).into_rgba8()).collect();
        samples::webp(&frames, 70)
    }

    fn both(width: u32, height: u32, count: u32) -> [Vec<u8>; 2] {
        [samples::gif(&pan(width, height, count), 70), webp(pan(width, height, count))]
    }

    fn opened<'a>(bytes: &'a [u8], limits: &'a Limits) -> Animation<'a> {
        match Picture::open(bytes, limits).unwrap() {
            Picture::Animation(animation) => animation,
            Picture::Still(_) => panic!("a still"),
        }
    }

    /// All frames; a still has one.
    fn all(bytes: &[u8]) -> Result<Vec<Frame>, Rejection> {
        all_within(bytes, &limits())
    }

    fn all_within(bytes: &[u8], limits: &Limits) -> Result<Vec<Frame>, Rejection> {
        match Picture::open(bytes, limits)? {
            Picture::Animation(animation) => animation.frames()?.collect(),
            Picture::Still(still) => Ok(vec![Frame { pixels: still.decode()?.into_rgba(), delay: 0 }]),
        }
    }

    fn refused(bytes: &[u8], limits: &Limits) -> Rejection {
        all_within(bytes, limits).err().expect("a refusal")
    }

    /// A GIF of one-pixel frames on a canvas of this size.
    fn tiny_frames(width: u16, height: u16, count: usize) -> Vec<u8> {
        let mut gif = b"GIF89a".to_vec();
        gif.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
        gif.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
        for _ in 0..count {
            gif.extend([0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4C, 1, 0]);
        }
        gif.push(0x3B);
        gif
    }

    #[test]
    fn frames_come_composed_with_timing_and_loops() {
        for bytes in both(90, 60, 5) {
            assert_eq!(opened(&bytes, &limits()).loops(), 0);
            let frames = all(&bytes).unwrap();
            assert_eq!(frames.len(), 5);
            for (frame, original) in frames.iter().zip(pan(90, 60, 5)) {
                assert_eq!((frame.delay, frame.pixels.dimensions()), (70, (90, 60)));
                let off = frame.pixels.pixels().zip(original.pixels());
                let off = off.map(|(a, b)| f64::from(a.0[1].abs_diff(b.0[1]))).sum::<f64>() / (90.0 * 60.0);
                assert!(off < 6.0, "{off}");
            }
        }
    }

    #[test]
    fn how_often_an_animation_is_played_is_kept() {
        let frames = pan(20, 20, 2);
        let gif = |repeat: Option<Repeat>| {
            let mut bytes = Vec::new();
            let mut encoder = GifEncoder::new(&mut bytes);
            if let Some(repeat) = repeat {
                encoder.set_repeat(repeat).unwrap();
            }
            for frame in &frames {
                let frame = DynamicImage::ImageRgb8(frame.clone()).into_rgba8();
                encoder.encode_frame(image::Frame::new(frame)).unwrap();
            }
            drop(encoder);
            opened(&bytes, &limits()).loops()
        };
        assert_eq!(gif(Some(Repeat::Infinite)), 0);
        assert_eq!(gif(Some(Repeat::Finite(2))), 3, "GIF counts repeats, WebP plays");
        assert_eq!(gif(None), 1);
    }

    #[test]
    fn a_delay_of_nothing_becomes_what_browsers_make_of_it() {
        for delay in [0, 10] {
            let bytes = samples::gif(&pan(20, 20, 3), delay);
            assert!(all(&bytes).unwrap().iter().all(|frame| frame.delay == 100), "{delay} ms");
        }
        let bytes = samples::gif(&pan(20, 20, 3), 20);
        assert!(all(&bytes).unwrap().iter().all(|frame| frame.delay == 20));
    }

    #[test]
    fn what_a_frame_leaves_shows_in_the_next_as_its_disposal_says() {
        // A white canvas; then a black corner that is kept, or taken away again before the third frame.
        let gif = |disposal: u8| {
            let mut gif = b"GIF89a\x04\0\x04\0\x80\0\0\0\0\0\xFF\xFF\xFF".to_vec();
            let mut frame = |side: u8, disposal: u8, colour: u16| {
                gif.extend([0x21, 0xF9, 4, disposal << 2, 5, 0, 0, 0]);
                let x = if side == 2 { 2 } else { 0 };
                gif.extend([0x2C, x, 0, 0, 0, side, 0, side, 0, 0, 2]);
                // Codes of three bits: before each pixel a 4, which clears the table, and a 5 at the end.
                let pixels = usize::from(side) * usize::from(side);
                let codes = [4, colour].repeat(pixels).into_iter().chain([5]);
                let bits: Vec<u16> = codes.flat_map(|code| [code & 1, code >> 1 & 1, code >> 2]).collect();
                let byte = |bits: &[u16]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8);
                let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
                gif.push(bytes.len() as u8);
                gif.extend(bytes);
                gif.push(0);
            };
            frame(4, 1, 1);
            frame(1, disposal, 0);
            // Beside the corner, so that it shows what became of that.
            frame(2, 1, 1);
            gif.push(0x3B);
            gif
        };
        let corner = |bytes: &[u8], frame: usize| all(bytes).unwrap()[frame].pixels.get_pixel(0, 0).0;
        let (white, black, nothing) = ([255; 4], [0, 0, 0, 255], [0; 4]);
        // Kept, kept, cleared to what shows through, taken back.
        for (disposal, left) in [(0, black), (1, black), (2, nothing), (3, white)] {
            let bytes = gif(disposal);
            assert_eq!([0, 1, 2].map(|frame| corner(&bytes, frame)), [white, black, left], "{disposal}");
        }
    }

    #[test]
    fn a_large_animation_is_scaled_so_that_all_frames_keep_the_limits() {
        let size = |width, height, frames| {
            let size = shown_size(Size { width, height }, frames, &limits());
            (size.width, size.height)
        };
        assert_eq!(size(480, 270, 100), (480, 270));
        assert_eq!(size(1920, 1080, 10), (960, 540));
        assert_eq!(size(1, 5000, 10), (1, 960));
        let (width, height) = size(1920, 1080, 100);
        assert!((31_000_000..=32_000_000).contains(&(width * height * 100)), "{width} x {height}");
        let bytes = samples::gif(&pan(1000, 40, 3), 50);
        assert!(all(&bytes).unwrap().iter().all(|frame| frame.pixels.dimensions() == (960, 38)));
    }

    #[test]
    fn one_frame_is_a_still() {
        let [gif, webp] = both(40, 30, 1);
        for bytes in [gif, webp] {
            let pixels = decode(&bytes, &limits()).unwrap();
            assert_eq!(pixels.size(), Size { width: 40, height: 30 });
            assert!(matches!(pixels, Pixels::Opaque(_)));
        }
        let [gif, webp] = both(40, 30, 2);
        assert_eq!(decode(&gif, &limits()), Err(Rejection::Animated));
        assert_eq!(decode(&webp, &limits()), Err(Rejection::Animated));
    }

    #[test]
    fn bombs_are_refused_before_a_frame_is_decoded() {
        let many = tiny_frames(10, 10, 100_000);
        assert_eq!(refused(&many, &limits()), Rejection::TooManyFrames { found: 100_000, limit: 300 });
        assert_eq!(all(&tiny_frames(10, 10, 300)).unwrap().len(), 300);
        assert!(matches!(refused(&tiny_frames(10, 10, 301), &limits()), Rejection::TooManyFrames { .. }));
        // A huge canvas with a pixel a frame is drawn whole each time.
        let huge = refused(&tiny_frames(60_000, 60_000, 2), &limits());
        assert!(matches!(huge, Rejection::TooManyPixelsInFrames { frames: 2, .. }), "{huge}");
        let large = refused(&tiny_frames(5000, 5000, 11), &limits());
        assert!(matches!(large, Rejection::TooManyPixelsInFrames { .. }), "{large}");
        let tight = Limits { decode_bytes: 100 * 1024 * 1024, ..limits() };
        assert!(matches!(refused(&tiny_frames(5000, 5000, 2), &tight), Rejection::TooMuchMemory { .. }));
        // So is a frame that is larger than its canvas, and it is the one that is named.
        let mut frame = tiny_frames(10, 10, 2);
        let second = frame.len() - 1 - 15;
        frame[second + 5..second + 9].fill(0xFF);
        let refusal = refused(&frame, &limits());
        assert!(
            matches!(refusal, Rejection::TooManyPixelsInFrames { width: 65_535, height: 65_535, .. }),
            "{refusal}"
        );
        for rejection in [huge, large] {
            assert!(rejection.is_too_large());
        }
    }

    #[test]
    fn a_webp_that_lies_about_its_frames_is_refused() {
        let [_, bytes] = both(40, 30, 3);
        let frame = |n: usize| bytes.windows(4).enumerate().filter(|(_, w)| w == b"ANMF").nth(n).unwrap().0;
        let changed = |at: usize, new: &[u8]| {
            let mut lying = bytes.clone();
            lying[at..at + new.len()].copy_from_slice(new);
            all(&lying).err()
        };
        // Wider than its bitstream, outside the canvas, and a bitstream that names itself huge.
        assert_eq!(changed(frame(1) + 14, &[2]), Some(Rejection::Corrupt));
        assert_eq!(changed(frame(1) + 8, &[200]), Some(Rejection::Corrupt));
        let code = bytes.windows(3).rposition(|code| code == [0x9D, 0x01, 0x2A]).unwrap();
        assert_eq!(changed(code + 3, &[0xFF, 0x3F, 0xFF, 0x3F]), Some(Rejection::Corrupt));
        // A frame that ends within its picture; and a picture under another name behind an alpha channel, where a decoder
        // may take whatever it finds.
        let mut odd = bytes.clone();
        let length = odd[frame(1) + 4..frame(1) + 8].to_vec();
        let length = u32::from_le_bytes(length.try_into().unwrap());
        odd[frame(1) + 4..frame(1) + 8].copy_from_slice(&(length - 1).to_le_bytes());
        assert_eq!(all(&odd).err(), Some(Rejection::Incomplete));
        let picture = frame(1) + 24;
        assert_eq!(&bytes[picture..picture + 4], b"VP8 ");
        let mut nameless = bytes.clone();
        nameless[picture..picture + 4].copy_from_slice(b"none");
        nameless.splice(picture..picture, *b"ALPH\x02\0\0\0\0\0");
        nameless[frame(1) + 4..frame(1) + 8].copy_from_slice(&(length + 10).to_le_bytes());
        let whole = nameless.len() as u32 - 8;
        nameless[4..8].copy_from_slice(&whole.to_le_bytes());
        assert_eq!(all(&nameless).err(), Some(Rejection::Corrupt));
        // A canvas that nobody could pay for.
        assert!(matches!(changed(24, &[0xFF; 6]), Some(Rejection::TooManyPixelsInFrames { .. })));
        // Frames that are not there, and a file that says it is longer.
        let mut short = bytes[..frame(2)].to_vec();
        assert_eq!(all(&short).err(), Some(Rejection::Incomplete));
        let length = short.len() as u32 - 8;
        short[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(all(&short).unwrap().len(), 2, "an honest shorter file is another animation");
    }

    #[test]
    fn an_animation_cut_anywhere_but_between_two_frames_is_refused() {
        for bytes in both(31, 23, 4) {
            let whole = all(&bytes).unwrap();
            let mut cut_short = Vec::new();
            for cut in 0..bytes.len() {
                match all(&bytes[..cut]) {
                    Err(rejection) => assert!(!rejection.is_too_large(), "cut to {cut}: {rejection}"),
                    Ok(frames) => {
                        let is_same = frames.iter().zip(&whole).all(|(a, b)| a.pixels == b.pixels);
                        assert!(is_same, "cut to {cut}: taken with other pixels");
                        if frames.len() < whole.len() {
                            cut_short.push(frames.len());
                        }
                    }
                }
            }
            // A GIF does not say how many frames it has, and browsers don't ask for its trailer. A WebP says its length.
            let is_gif = bytes.starts_with(b"GIF");
            assert_eq!(cut_short, if is_gif { vec![1, 2, 3] } else { vec![] });
            assert!(matches!(refused(&bytes[..bytes.len() * 2 / 3], &limits()), Rejection::Incomplete));
            let trailing = [&bytes[..], b"trailing"].concat();
            assert_eq!(all(&trailing).unwrap().len(), whole.len());
        }
    }

    #[test]
    fn a_long_leak_is_sampled_from_its_first_frames() {
        let limits = Limits { animation_frames: 100, ..limits() };
        let long = samples::gif(&pan(30, 20, 130), 50);
        assert!(matches!(refused(&long, &limits), Rejection::TooManyFrames { .. }));
        let sampled = opened(&long, &limits).sample().unwrap();
        assert_eq!(sampled.len(), 1 + SAMPLES);
        assert!(sampled.iter().all(|picture| picture.dimensions() == (30, 20)));
    }

    #[test]
    fn the_first_sample_is_the_mean_of_all_frames() {
        let greys = [10, 20, 90, 200].map(|v| RgbImage::from_pixel(9, 7, image::Rgb([v; 3])));
        let sampled = opened(&samples::gif(&greys, 50), &limits()).sample().unwrap();
        assert!(sampled[0].pixels().all(|pixel| pixel.0 == [80; 3]));
        assert_eq!(sampled[1..], [greys[0].clone(), greys[2].clone(), greys[3].clone()]);
    }

    #[test]
    fn every_picture_finds_its_own_frame() {
        let frames = pan(160, 90, 9);
        let bytes = samples::gif(&frames, 50);
        let leak = |frame: &RgbImage| scale::rgb(frame, Size { width: 100, height: 56 });
        let leaks: Vec<RgbImage> = frames.iter().rev().map(leak).collect();
        let found = opened(&bytes, &limits()).most_like(&leaks).unwrap();
        let own: Vec<RgbaImage> = all(&bytes).unwrap().into_iter().rev().map(|frame| frame.pixels).collect();
        assert_eq!(found, own);
    }

    #[test]
    fn transparent_frames_stay_transparent() {
        let frames: Vec<RgbaImage> = (0..3)
            .map(|i| {
                RgbaImage::from_fn(24, 24, |x, y| Rgba([200, 40, 40, if x + y > 20 + i { 255 } else { 0 }]))
            })
            .collect();
        let mut gif = Vec::new();
        let mut encoder = GifEncoder::new(&mut gif);
        let delay = Delay::from_numer_denom_ms(50, 1);
        let all_frames = frames.iter().map(|f| image::Frame::from_parts(f.clone(), 0, 0, delay));
        encoder.encode_frames(all_frames.take(1)).unwrap();
        let frame = image::Frame::from_parts(frames[1].clone(), 0, 0, delay);
        encoder.encode_frame(frame).unwrap();
        drop(encoder);
        for bytes in [gif, samples::webp(&frames, 50)] {
            let first = all(&bytes).unwrap().remove(0).pixels;
            assert_eq!((first.get_pixel(2, 2).0[3], first.get_pixel(22, 22).0[3]), (0, 255));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(which in 0usize..2, at in 0usize..6000, value: u8, cut in 0usize..6000) {
            let mut bytes = both(31, 23, 3)[which].clone();
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(length - cut % (length / 4));
            without_a_panic(|| drop(all(&bytes)));
            if let Ok(Picture::Animation(animation)) = Picture::open(&bytes, &limits()) {
                without_a_panic(|| drop(animation.sample()));
            }
        }
    }
}
