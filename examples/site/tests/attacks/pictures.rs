//! Pictures that cost a server much, and some that honest people share.

use std::io::Cursor;

use chatpic_core::testing::samples;
use image::imageops::replace;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

/// A number that looks random, always the same for one place.
fn scattered(seed: u32, x: u32, y: u32) -> u32 {
    let mut bits = seed ^ x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    bits ^ (bits >> 15)
}

pub(crate) fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Noise.
pub(crate) fn noise(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([scattered(1, x, y) as u8]))
}

/// Bars that repeat: a few kilobytes as a PNG file at any length.
pub(crate) fn bars(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([if (x / 3 + y / 5) % 2 == 0 { 40 } else { 215 }]))
}

/// A scroll capture, as phones make them: lines of text on white, and now and then a photograph.
pub(crate) fn scroll_capture(width: u32, height: u32, seed: u32) -> RgbImage {
    const CELL: (u32, u32) = (12, 22);
    let margin = width / 18;
    let mut page = RgbImage::from_fn(width, height, |x, y| {
        let (column, line) = (x / CELL.0, y / CELL.1);
        // Six strokes of a letter, each there or not.
        let (stroke_x, stroke_y) = (x % CELL.0 / 3, y % CELL.1 / 5);
        let is_written = !scattered(seed, column / 7, line).is_multiple_of(6) && line % 9 < 7;
        let is_stroke = stroke_x < 3
            && stroke_y < 3
            && scattered(seed, column * 4 + stroke_x, line * 5 + stroke_y).is_multiple_of(2);
        let is_text = x > margin && x < width - margin && is_written && is_stroke;
        if is_text { Rgb([34, 36, 40]) } else { Rgb([252, 252, 250]) }
    });
    let picture = samples::photograph(width - 2 * margin, width / 2, u64::from(seed));
    for top in (width..height.saturating_sub(width / 2)).step_by(3 * width as usize) {
        replace(&mut page, &picture, i64::from(margin), i64::from(top));
    }
    page
}

/// A picture whose corners are transparent.
pub(crate) fn cut_out(width: u32, height: u32) -> Vec<u8> {
    let picture = samples::photograph(width, height, 7);
    let round = |x: u32, y: u32| {
        let (x, y) = (f64::from(x) / f64::from(width) - 0.5, f64::from(y) / f64::from(height) - 0.5);
        if x.hypot(y) < 0.5 { 255 } else { 0 }
    };
    png(RgbaImage::from_fn(width, height, |x, y| {
        let Rgb([r, g, b]) = *picture.get_pixel(x, y);
        Rgba([r, g, b, round(x, y)])
    }))
}

/// A GIF of a walk over a landscape.
pub(crate) fn animation(width: u32, height: u32, frames: u32, seed: u64) -> Vec<u8> {
    let landscape = samples::photograph(width + 4 * frames, height, seed);
    samples::gif(&samples::pan(&landscape, width, height, frames), 80)
}

/// A progressive JPEG of even grey in 99 scans: some kilobytes and one bit a block, and a decoder visits each block 99
/// times.
pub(crate) fn many_scans(width: u16, height: u16) -> Vec<u8> {
    const SCANNED_BANDS: [(u8, u8); 7] = [(1, 9), (10, 18), (19, 27), (28, 36), (37, 45), (46, 54), (55, 63)];
    /// The bit at which a band begins; each further scan sends the next lower one.
    const FIRST_BIT: u8 = 13;
    let blocks = u32::from(width.div_ceil(8)) * u32::from(height.div_ceil(8));
    let mut file = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, body: &[u8]| {
        file.extend([0xFF, marker]);
        file.extend((body.len() as u16 + 2).to_be_bytes());
        file.extend(body);
    };
    segment(0xDB, &[&[0][..], &[1; 64]].concat());
    segment(0xC2, &[&[8][..], &height.to_be_bytes(), &width.to_be_bytes(), &[1, 1, 0x11, 0]].concat());
    // One code of one bit: no difference to the block before.
    segment(0xC4, &[&[0x00, 1][..], &[0; 15], &[0]].concat());
    // Fifteen codes of four bits: at least 2^0 to 2^14 blocks with nothing in this band.
    let runs: Vec<u8> = (0..15).map(|power| power << 4).collect();
    segment(0xC4, &[&[0x10, 0, 0, 0, 15][..], &[0; 12], &runs].concat());

    let mut even = Bits::default();
    (0..blocks).for_each(|_| even.push(0, 1));
    let mut empty = Bits::default();
    let mut left = blocks;
    while left > 0 {
        let run = left.min(32_767);
        let power = run.ilog2();
        empty.push(power, 4);
        empty.push(run - (1 << power), power);
        left -= run;
    }
    let (even, empty) = (even.finish(), empty.finish());
    segment(0xDA, &[1, 1, 0x00, 0, 0, 0x00]);
    file.extend(even);
    for bit in (0..=FIRST_BIT).rev() {
        let before = if bit == FIRST_BIT { 0 } else { bit + 1 };
        for (first, last) in SCANNED_BANDS {
            file.extend([0xFF, 0xDA, 0, 8, 1, 1, 0x00, first, last, before << 4 | bit]);
            file.extend(&empty);
        }
    }
    file.extend([0xFF, 0xD9]);
    file
}

/// Bits of a JPEG scan.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// Adds the lowest `count` bits, at most 15 of them.
    fn push(&mut self, bits: u32, count: u32) {
        self.pending = self.pending << count | bits;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
        self.pending &= (1 << self.count) - 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let missing = (8 - self.count) % 8;
        self.push((1 << missing) - 1, missing);
        self.bytes
    }
}
