//! GIF files (GIF89a specification), walked once and written anew without quirks: what browsers ignore is left out, and
//! what they assume is written out.

use image::codecs::gif::GifDecoder;
use image::metadata::Orientation;
use std::io::Cursor;

use super::animation::{Animation, Format};
use super::colour::Conversion;
use super::container::Container;
use super::{Picture, Rejection, Still, reason};
use crate::limits::Limits;
use crate::mark::Size;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2C;
const TRAILER: u8 = 0x3B;
/// The label of an extension that says how the next image is shown.
const CONTROL: u8 = 0xF9;
/// The label of an extension that says how often an animation is repeated, among other things.
const APPLICATION: u8 = 0xFF;
/// Flags of a control extension: the frame stays, and has a transparent colour.
const KEPT_TRANSPARENT: u8 = 1 << 2 | 1;
/// An image of one transparent pixel: descriptor, then its code by LZW.
const NOTHING: [u8; 15] = [IMAGE, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];

/// Opens a GIF file.
///
/// # Errors
/// [`Rejection::Incomplete`] when it breaks off within a frame; [`Rejection::Corrupt`]; a refusal of its size.
pub(super) fn open<'a>(bytes: &[u8], limits: &'a Limits) -> Result<Picture<'a>, Rejection> {
    let container = walked(bytes, limits.animation_frames)?;
    if container.count > 1 {
        let animation = Animation { format: Format::Gif, container, limits };
        return Ok(Picture::Animation(animation));
    }
    let decoder = GifDecoder::new(Cursor::new(container.file)).map_err(reason)?;
    // Inside the decoder, a frame smaller than its canvas takes four bytes a pixel, and one of indices.
    Still::new(Box::new(decoder), 5, 0, Orientation::NoTransforms, Conversion::None, limits)
        .map(Picture::Still)
}

/// Walks through a file and writes it anew with its first `kept` frames.
fn walked(bytes: &[u8], kept: usize) -> Result<Container, Rejection> {
    let mut blocks = Blocks { bytes, at: 6 };
    let [width, wide, height, high, flags, _, _] = blocks.take()?;
    let palette = blocks.palette(flags)?;
    let mut canvas =
        (u32::from(u16::from_le_bytes([width, wide])), u32::from(u16::from_le_bytes([height, high])));
    let mut container = Container { loops: 1, ..Container::default() };
    let (mut images, mut is_empty) = (Vec::new(), true);
    let mut control: Option<[u8; 4]> = None;
    while let Some(&kind) = bytes.get(blocks.at) {
        blocks.at += 1;
        match kind {
            EXTENSION => {
                let [label] = blocks.take()?;
                match (label, blocks.data()?) {
                    (CONTROL, &[4, flags, delay, longer, transparent, 0]) => {
                        control = Some([flags, delay, longer, transparent]);
                    }
                    // Browsers read no further.
                    (CONTROL, _) => break,
                    (APPLICATION, application) => {
                        if let Some(repeats) = repeats(application) {
                            // A GIF counts repeats, `loops` counts plays: one more, at most 65 535.
                            container.loops = if repeats == 0 { 0 } else { repeats.saturating_add(1) };
                        }
                    }
                    _ => {}
                }
            }
            IMAGE => {
                let [x, x2, y, y2, width, wide, height, high, flags] = blocks.take()?;
                let own_palette = blocks.palette(flags)?;
                let start = blocks.at;
                let [code_size] = blocks.take()?;
                if code_size > 8 {
                    return Err(Rejection::Corrupt);
                }
                let has_data = blocks.data()?.len() > 1;
                let [x, y, width, height] = [[x, x2], [y, y2], [width, wide], [height, high]]
                    .map(|pair| u32::from(u16::from_le_bytes(pair)));
                if container.count == 0 {
                    // Where the first frame sticks out of the canvas, Chromium makes the canvas larger.
                    canvas = (canvas.0.max(x + width), canvas.1.max(y + height));
                }
                let has_pixels = has_data && width > 0 && height > 0;
                is_empty &= !has_pixels;
                container.add(Size { width, height });
                let [flags_of_control, delay, longer, transparent] = control.take().unwrap_or_default();
                if container.count > kept {
                    continue;
                }
                // A frame without pixels becomes one transparent pixel, so that the picture before it is shown for its time.
                let shown = if has_pixels { as_browsers_dispose(flags_of_control) } else { KEPT_TRANSPARENT };
                let transparent = if has_pixels { transparent } else { 0 };
                images.extend([EXTENSION, CONTROL, 4, shown, delay, longer, transparent, 0]);
                if !has_pixels {
                    images.extend(NOTHING);
                    continue;
                }
                images.push(IMAGE);
                images.extend([x, y, width, height].iter().flat_map(|side| (*side as u16).to_le_bytes()));
                let interlaced = flags & 0x40;
                match own_palette {
                    Some(palette) => {
                        images.push(0x87 | interlaced);
                        images.extend(full(palette));
                    }
                    None => images.push(interlaced),
                }
                images.extend(&bytes[start..blocks.at]);
            }
            // The trailer, or something else at which browsers stop reading.
            _ => break,
        }
    }
    // A frame was announced, and the file breaks off.
    let is_cut = control.is_some() && blocks.at == bytes.len();
    if is_empty || is_cut {
        return Err(Rejection::Incomplete);
    }
    container.canvas = Size { width: canvas.0, height: canvas.1 };
    let side = |side: u32| u16::try_from(side).map_err(|_| Rejection::Corrupt);
    let (width, height) = (side(canvas.0)?.to_le_bytes(), side(canvas.1)?.to_le_bytes());
    let palette = full(palette.unwrap_or_default());
    container.file = [b"GIF89a", &width[..], &height, &[0x87, 0, 0], &palette, &images, &[TRAILER]].concat();
    Ok(container)
}

/// The flags of a control extension, with a way to dispose of the frame that decoders know: browsers take 4 for 3, to
/// restore what was there, and others for none.
fn as_browsers_dispose(flags: u8) -> u8 {
    let disposal = match flags >> 2 & 7 {
        known @ 0..=3 => known,
        4 => 3,
        _ => 0,
    };
    disposal << 2 | flags & 1
}

/// A palette of 256 colours: those that a file does not give are black, as browsers make them.
fn full(palette: &[u8]) -> [u8; 768] {
    let mut full = [0; 768];
    full[..palette.len()].copy_from_slice(palette);
    full
}

/// The number in an application extension that says how often an animation is repeated; 0 is without end.
fn repeats(application: &[u8]) -> Option<u16> {
    let name = application.strip_prefix(&[11])?;
    let number = name.strip_prefix(b"NETSCAPE2.0").or_else(|| name.strip_prefix(b"ANIMEXTS1.0"))?;
    number.strip_prefix(&[3, 1])?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

/// Reads a file from a place on.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Blocks<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Incomplete)?;
        self.at += N;
        Ok(*taken)
    }

    /// The palette that flags announce: three bytes a colour.
    fn palette(&mut self, flags: u8) -> Result<Option<&'a [u8]>, Rejection> {
        if flags & 0x80 == 0 {
            return Ok(None);
        }
        let end = self.at + (3 << ((flags & 7) + 1));
        let palette = self.bytes.get(self.at..end).ok_or(Rejection::Incomplete)?;
        self.at = end;
        Ok(Some(palette))
    }

    /// Sub-blocks, each behind a byte that says its length, up to one of length 0.
    fn data(&mut self) -> Result<&'a [u8], Rejection> {
        let start = self.at;
        loop {
            let [length] = self.take()?;
            self.at += usize::from(length);
            if length == 0 {
                return self.bytes.get(start..self.at).ok_or(Rejection::Incomplete);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [u8; 4] = [255; 4];
    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLACK: [u8; 4] = [0, 0, 0, 255];
    const CLEAR: [u8; 4] = [0; 4];

    /// A file of 2 x 2 pixels whose palette is black, white and red.
    fn file(blocks: &[&[u8]]) -> Vec<u8> {
        file_of((2, 2), blocks)
    }

    fn file_of((width, height): (u8, u8), blocks: &[&[u8]]) -> Vec<u8> {
        let head = [
            b"GIF89a",
            &[width, 0, height, 0, 0x81, 0, 0][..],
            &[0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255],
        ];
        [head.concat(), blocks.concat()].concat()
    }

    /// A frame of 2 x 2 pixels in one colour of the palette, shown for `delay` hundredths of a second.
    fn frame(colour: u8, delay: u8) -> Vec<u8> {
        [&[EXTENSION, CONTROL, 4, 4, delay, 0, 0, 0], &image((0, 0), (2, 2), colour)[..]].concat()
    }

    fn image((x, y): (u8, u8), (width, height): (u8, u8), colour: u8) -> Vec<u8> {
        // Codes of three bits: before each pixel a 4, which clears the table, and a 5 at the end.
        let codes = [4, colour].repeat(usize::from(width * height)).into_iter().chain([5]);
        let bits: Vec<u8> = codes.flat_map(|code| [code & 1, code >> 1 & 1, code >> 2]).collect();
        let data: Vec<u8> =
            bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect();
        [&[IMAGE, x, 0, y, 0, width, 0, height, 0, 0, 2, data.len() as u8], &data[..], &[0]].concat()
    }

    /// The first pixel and delay in milliseconds of each frame that is shown.
    fn shown(bytes: &[u8]) -> Result<Vec<([u8; 4], u32)>, Rejection> {
        let limits = Limits::default();
        match open(bytes, &limits)? {
            Picture::Still(still) => Ok(vec![(still.decode()?.into_rgba().get_pixel(0, 0).0, 0)]),
            Picture::Animation(animation) => {
                let first = |frame: Result<super::super::animation::Frame, _>| {
                    frame.map(|frame| (frame.pixels.get_pixel(0, 0).0, frame.delay))
                };
                animation.frames()?.map(first).collect()
            }
        }
    }

    fn size(bytes: &[u8]) -> (u32, u32) {
        let limits = Limits::default();
        let pixels = match open(bytes, &limits).unwrap() {
            Picture::Still(still) => still.decode().unwrap().into_rgba(),
            Picture::Animation(animation) => animation.frames().unwrap().next().unwrap().unwrap().pixels,
        };
        pixels.dimensions()
    }

    const END: &[u8] = &[TRAILER];

    #[test]
    fn a_file_ends_where_browsers_stop_reading() {
        let (white, red) = (frame(1, 20), frame(2, 30));
        let both = Ok(vec![(WHITE, 200), (RED, 300)]);
        assert_eq!(shown(&file(&[&white, &red])), both, "no trailer");
        assert_eq!(shown(&file(&[&white, &red, &[0], END])), both, "NUL before the trailer");
        assert_eq!(shown(&file(&[&white, &red, END, &white])), both, "a frame behind the trailer");
        assert_eq!(shown(&file(&[&white, &red, &[0x77], &white, END])), both, "a stray byte between frames");
        let ill_formed = [EXTENSION, CONTROL, 3, 0, 10, 0, 0];
        assert_eq!(shown(&file(&[&white, &red, &ill_formed, &white, END])), both);
        assert_eq!(shown(&file(&[&white])), Ok(vec![(WHITE, 0)]), "a still");
    }

    #[test]
    fn a_file_that_breaks_off_is_refused() {
        let (white, red) = (frame(1, 20), frame(2, 30));
        for cut in 1..red.len() {
            assert_eq!(shown(&file(&[&white, &red[..cut]])), Err(Rejection::Incomplete), "{cut}");
        }
        assert_eq!(shown(&file(&[&[0], &white, END])), Err(Rejection::Incomplete), "nothing is shown");
        assert_eq!(shown(b"GIF89a"), Err(Rejection::Incomplete));
        // Three of four pixels, and then the end of the data.
        let three = image((0, 0), (3, 1), 1);
        let short = [&image((0, 0), (2, 2), 1)[..10], &three[10..]].concat();
        assert_eq!(shown(&file(&[&short, END])), Err(Rejection::Incomplete));
    }

    #[test]
    fn extensions_that_say_nothing_of_pixels_are_passed_over() {
        let (white, red) = (frame(1, 20), frame(2, 30));
        let comment = [EXTENSION, 0xFE, 2, b'h', b'i', 0];
        let unknown = [EXTENSION, 0x77, 2, b'h', b'i', 0];
        let text = [&[EXTENSION, 0x01, 12][..], &[0; 12], &[2, b'h', b'i', 0]].concat();
        // Between a control extension and its image, too.
        let (control, red_image) = red.split_at(8);
        let file = file(&[&unknown, &white, &comment, control, &text, &unknown, red_image, END]);
        assert_eq!(shown(&file), Ok(vec![(WHITE, 200), (RED, 300)]));
    }

    #[test]
    fn a_frame_that_shows_nothing_leaves_what_was_there_for_its_time() {
        let (white, red) = (frame(1, 20), frame(2, 30));
        let control = [EXTENSION, CONTROL, 4, 2 << 2, 50, 0, 0, 0];
        let without_data = [&control, &[IMAGE, 0, 0, 0, 0, 2, 0, 2, 0, 0, 2, 0][..]].concat();
        let without_sides = [&control, &[IMAGE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0][..]].concat();
        for nothing in [&without_data, &without_sides] {
            let shown = |blocks: &[&[u8]]| shown(&file(blocks));
            assert_eq!(
                shown(&[&white, nothing, &red, END]),
                Ok(vec![(WHITE, 200), (WHITE, 500), (RED, 300)])
            );
            assert_eq!(shown(&[nothing, &red, END]), Ok(vec![(CLEAR, 500), (RED, 300)]));
            assert_eq!(shown(&[nothing, nothing, END]), Err(Rejection::Incomplete));
        }
    }

    #[test]
    fn a_canvas_is_as_large_as_its_first_frame_at_least() {
        let large = [frame(1, 20), frame(2, 30)].concat();
        for canvas in [(0, 0), (1, 1), (0, 2), (2, 0), (2, 2)] {
            assert_eq!(size(&file_of(canvas, &[&large, END])), (2, 2), "{canvas:?}");
            assert_eq!(size(&file_of(canvas, &[&frame(1, 0), END])), (2, 2), "{canvas:?}");
        }
        let beside = image((1, 2), (2, 2), 1);
        assert_eq!(size(&file_of((2, 2), &[&beside, END])), (3, 4), "Chromium makes the canvas larger");
        let later = image((0, 0), (4, 4), 2);
        assert_eq!(size(&file_of((2, 2), &[&frame(1, 0), &later, END])), (2, 2), "later frames are cut off");
        let too_far = [IMAGE, 0xFF, 0xFF, 0, 0, 2, 0, 2, 0, 0, 2, 1, 0, 0];
        assert_eq!(shown(&file_of((2, 2), &[&too_far, END])), Err(Rejection::Corrupt));
    }

    #[test]
    fn codes_of_more_than_eight_bits_are_refused() {
        for (frame, size) in
            [(image((0, 0), (2, 2), 1), 9), (vec![IMAGE, 0, 0, 0, 0, 2, 0, 2, 0, 0, 2, 0], 255)]
        {
            let mut frame = frame;
            frame[10] = size;
            assert_eq!(shown(&file(&[&self::frame(1, 0), &frame, END])), Err(Rejection::Corrupt), "{size}");
        }
    }

    #[test]
    fn colours_that_no_palette_gives_are_black() {
        let mut none = file(&[&image((0, 0), (2, 2), 1), END]);
        none.drain(13..25);
        none[10] = 0;
        assert_eq!(shown(&none), Ok(vec![(BLACK, 0)]), "no palette at all");
        let mut short = file(&[&image((0, 0), (2, 2), 2), END]);
        short.drain(19..25);
        short[10] = 0x80;
        assert_eq!(shown(&short), Ok(vec![(BLACK, 0)]), "a palette of two colours");
    }

    #[test]
    fn a_way_to_dispose_that_the_format_does_not_name_is_the_one_that_browsers_take() {
        for (given, taken) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 0), (7, 0)] {
            assert_eq!(as_browsers_dispose(given << 2 | 1), taken << 2 | 1, "{given}");
        }
    }

    #[test]
    fn no_more_frames_are_written_anew_than_may_be_shown() {
        let palette = [255; 6];
        let own =
            [&[IMAGE, 0, 0, 0, 0, 2, 0, 2, 0, 0x80], &palette[..], &image((0, 0), (2, 2), 1)[10..]].concat();
        let container = walked(&file(&[&own.repeat(1000), END]), 10).unwrap();
        assert_eq!(container.count, 1000);
        assert!(container.file.len() < 10_000, "a palette is filled up to 768 bytes");
    }
}
