//! Files that break off, or lie about their size, in every format and coding.

use std::io::Cursor;

use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, GrayImage};
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use proptest::prelude::*;

use super::*;
use crate::testing::samples;

const SIDE: usize = 61;

fn limits() -> Limits {
    Limits::default()
}

fn picture() -> RgbImage {
    samples::photograph(SIDE as u32, SIDE as u32, 5)
}

fn jpegs() -> Vec<(&'static str, Vec<u8>)> {
    let rgb = picture();
    let encoder =
        || Encoder::new(&rgb, SIDE, SIDE, PixelFormat::Rgb).quality(90).subsampling(Subsampling::S420);
    let grey: GrayImage = DynamicImage::ImageRgb8(rgb.clone()).into_luma8();
    let ink: Vec<u8> =
        rgb.pixels().flat_map(|p| [255 - p.0[0], 255 - p.0[1], 255 - p.0[2], p.0[0] / 3]).collect();
    [
        ("baseline", encoder()),
        ("baseline 4:4:4", encoder().subsampling(Subsampling::S444)),
        ("optimised", encoder().optimize_huffman(true)),
        ("progressive", encoder().progressive(true)),
        ("progressive with restarts", encoder().progressive(true).restart_blocks(3)),
        ("restarts by row", encoder().restart_rows(1)),
        ("restarts by block", encoder().restart_blocks(1)),
        ("grey", Encoder::new(&grey, SIDE, SIDE, PixelFormat::Grayscale)),
        ("grey progressive", Encoder::new(&grey, SIDE, SIDE, PixelFormat::Grayscale).progressive(true)),
        ("CMYK", Encoder::new(&ink, SIDE, SIDE, PixelFormat::Cmyk)),
    ]
    .map(|(name, encoder)| (name, encoder.encode().unwrap()))
    .into()
}

fn others() -> Vec<(&'static str, Vec<u8>)> {
    let rgb = picture();
    let mut clear = DynamicImage::ImageRgb8(rgb.clone()).into_rgba8();
    clear.pixels_mut().for_each(|pixel| pixel.0[3] = pixel.0[0]);
    let written = |image: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let webp = |pixels: &[u8], color| {
        let mut bytes = Vec::new();
        WebPEncoder::new_lossless(&mut bytes).encode(pixels, SIDE as u32, SIDE as u32, color).unwrap();
        bytes
    };
    let grey = DynamicImage::ImageLuma8(DynamicImage::ImageRgb8(rgb.clone()).into_luma8());
    vec![
        ("PNG", written(&rgb.clone().into(), ImageFormat::Png)),
        ("PNG grey", written(&grey, ImageFormat::Png)),
        ("PNG 16 bit", written(&DynamicImage::ImageRgb16(grey.to_rgb16()), ImageFormat::Png)),
        ("PNG alpha", written(&clear.clone().into(), ImageFormat::Png)),
        ("PNG interlaced", include_bytes!("samples/interlaced.png").to_vec()),
        ("PNG palette", include_bytes!("samples/palette.png").to_vec()),
        ("GIF", written(&rgb.clone().into(), ImageFormat::Gif)),
        ("WebP lossless", webp(&rgb, ExtendedColorType::Rgb8)),
        ("WebP lossless alpha", webp(&clear, ExtendedColorType::Rgba8)),
        ("WebP lossy", include_bytes!("samples/lossy.webp").to_vec()),
        ("WebP lossy alpha", include_bytes!("samples/lossy-alpha.webp").to_vec()),
    ]
}

/// Decodes what is left: the same pixels as the whole file, or a refusal.
fn assert_whole_or_refused(name: &str, whole: &Pixels, bytes: &[u8], what: &str) {
    match decode(bytes, &limits()) {
        Ok(pixels) => assert!(pixels == *whole, "{name}, {what}: taken with other pixels"),
        Err(rejection) => assert!(!rejection.is_too_large(), "{name}, {what}: {rejection}"),
    }
}

/// Where a progressive file may end, if an end marker is put there: between segments, or behind the first byte of a
/// marker, once a scan has sent the first coefficients of all components. What was cut off can't be told from what was
/// never announced.
fn legal_ends(bytes: &[u8]) -> Vec<usize> {
    if !bytes.windows(2).any(|pair| pair == [0xFF, 0xC2]) {
        return Vec::new();
    }
    let is_segment = |pair: &[u8]| pair[0] == 0xFF && matches!(pair[1], 0xC4 | 0xDA);
    let starts = (0..bytes.len() - 1).filter(|at| is_segment(&bytes[*at..]));
    let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    starts.filter(|at| *at > scan).flat_map(|at| [at, at + 1]).collect()
}

#[test]
fn a_jpeg_cut_anywhere_is_refused_unless_no_pixel_is_missing() {
    for (name, bytes) in jpegs() {
        let whole = decode(&bytes, &limits()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let legal_ends = legal_ends(&bytes);
        assert_eq!(legal_ends.is_empty(), !name.contains("progressive"));
        for cut in 0..bytes.len() {
            let what = format!("cut to {cut} of {}", bytes.len());
            assert_whole_or_refused(name, &whole, &bytes[..cut], &what);
            let ended = [&bytes[..cut], &[0xFF, 0xD9]].concat();
            if legal_ends.contains(&cut) {
                assert_eq!(decode(&ended, &limits()).unwrap().size(), whole.size(), "{name}, {what}");
            } else {
                assert_whole_or_refused(name, &whole, &ended, &format!("{what}, with an end marker"));
            }
        }
        let half = [&bytes[..bytes.len() / 2], &[0xFF, 0xD9]].concat();
        assert_eq!(decode(&half, &limits()), Err(Rejection::Incomplete), "{name}");
        let trailing = [&bytes[..], b"trailing garbage \xFF\xDA\xFF"].concat();
        assert_eq!(decode(&trailing, &limits()).as_ref(), Ok(&whole), "{name}");
    }
}

#[test]
fn a_jpeg_with_a_piece_missing_is_refused() {
    for (name, bytes) in jpegs() {
        let middle = bytes.len() * 2 / 3;
        for length in [1, 7, 40, 200] {
            let pieces = [&bytes[..middle], bytes.get(middle + length..).unwrap_or_default()].concat();
            // One byte more or less may leave another legal picture; it must only not be called whole and grey.
            if let Err(rejection) = decode(&pieces, &limits()) {
                assert!(!rejection.is_too_large(), "{name}: {rejection}");
            }
        }
        let rows =
            bytes.windows(2).filter(|pair| pair[0] == 0xFF && (0xD0..=0xD7).contains(&pair[1])).count();
        if name == "restarts by row" {
            let restart = |n: u8| bytes.windows(2).position(|pair| pair == [0xFF, 0xD0 + n]).unwrap();
            let pieces = [&bytes[..restart(1)], &bytes[restart(2)..]].concat();
            assert!(rows >= 3);
            assert_eq!(
                decode(&pieces, &limits()),
                Err(Rejection::Incomplete),
                "a restart interval is missing"
            );
        }
    }
}

#[test]
fn stray_bytes_before_a_marker_cost_no_pixel() {
    let (_, bytes) = jpegs().swap_remove(5);
    let whole = decode(&bytes, &limits()).unwrap();
    let end = bytes.len() - 2;
    let stray = [&bytes[..end], &[0, 0, 0], &bytes[end..]].concat();
    assert_eq!(decode(&stray, &limits()), Ok(whole));
}

#[test]
fn other_formats_cut_anywhere_are_refused_unless_no_pixel_is_missing() {
    for (name, bytes) in others() {
        let whole = decode(&bytes, &limits()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for cut in (0..bytes.len()).step_by(if bytes.len() > 4000 { 5 } else { 1 }) {
            let what = format!("cut to {cut} of {}", bytes.len());
            assert_whole_or_refused(name, &whole, &bytes[..cut], &what);
            let end: &[u8] = match name.split(' ').next() {
                Some("PNG") => b"\0\0\0\0IEND\xAE\x42\x60\x82",
                Some("GIF") => b"\0\x3B",
                // WebP has no end marker, and a chunk says how long it is.
                _ => b"",
            };
            assert_whole_or_refused(name, &whole, &[&bytes[..cut], end].concat(), &format!("{what}, ended"));
        }
        assert!(decode(&bytes[..bytes.len() / 2], &limits()).is_err(), "{name}");
        assert_eq!(decode(&[&bytes[..], b"garbage"].concat(), &limits()).as_ref(), Ok(&whole), "{name}");
    }
}

#[test]
fn a_size_that_lies_costs_no_memory_and_is_refused() {
    for (name, bytes) in jpegs() {
        let frame = bytes.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2));
        let at = frame.unwrap() + 5;
        let sized = |height: u16, width: u16| {
            let mut lying = bytes.clone();
            lying[at..at + 2].copy_from_slice(&height.to_be_bytes());
            lying[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
            decode(&lying, &limits())
        };
        assert_eq!(sized(8000, 7000), Err(Rejection::Incomplete), "{name}");
        assert_eq!(sized(SIDE as u16 + 64, SIDE as u16), Err(Rejection::Incomplete), "{name}");
        assert!(matches!(sized(50_000, 50_000), Err(Rejection::TooManyPixels { .. })), "{name}");
        assert!(sized(0, SIDE as u16).is_err() && sized(SIDE as u16, 0).is_err(), "{name}");
    }
    let mut gif = others().into_iter().find(|(name, _)| *name == "GIF").unwrap().1;
    let frame = gif.windows(10).position(|w| w[0] == 0x2C && w[5..9] == [61, 0, 61, 0]).unwrap();
    gif[frame + 5..frame + 9].fill(0xFF);
    assert!(matches!(decode(&gif, &limits()), Err(Rejection::TooManyPixels { width: 65_535, .. })));
    let huge = |webp: &[u8]| {
        let frame = webp.windows(3).position(|code| code == [0x9D, 0x01, 0x2A]).unwrap();
        [&webp[..frame + 3], &[0xFF, 0x3F, 0xFF, 0x3F], &webp[frame + 7..]].concat()
    };
    let simple = huge(include_bytes!("samples/lossy.webp"));
    assert!(matches!(decode(&simple, &limits()), Err(Rejection::TooManyPixels { width: 16_383, .. })));
    // An extended file says its size twice.
    let extended = huge(include_bytes!("samples/lossy-alpha.webp"));
    assert_eq!(decode(&extended, &limits()), Err(Rejection::Corrupt));
}

#[test]
fn a_picture_that_would_take_too_much_memory_is_refused_from_its_header() {
    // Of 61 megapixels, fewer than allowed: the coefficients of a progressive file take two bytes each, and a plane
    // of samples one more.
    let rgb = picture();
    let sized = |mut bytes: Vec<u8>| {
        let frame = bytes.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0 | 0xC2));
        let at = frame.unwrap();
        bytes[at + 5..at + 9].copy_from_slice(&[0x1F, 0x40, 0x1E, 0x00]);
        (decode(&bytes, &limits()), at, bytes)
    };
    let ink: Vec<u8> = rgb.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2], 255]).collect();
    let encoder = Encoder::new(&ink, SIDE, SIDE, PixelFormat::Cmyk).subsampling(Subsampling::S444);
    let four = encoder.encode().unwrap();
    let (baseline, at, mut bytes) = sized(four);
    assert_eq!(baseline, Err(Rejection::Incomplete), "its blocks are gone one by one");
    bytes[at + 1] = 0xC2;
    assert!(matches!(decode(&bytes, &limits()), Err(Rejection::TooMuchMemory { .. })));
    let encoder = Encoder::new(&rgb, SIDE, SIDE, PixelFormat::Rgb).subsampling(Subsampling::S444);
    let three = encoder.progressive(true).encode().unwrap();
    assert_eq!(sized(three).0, Err(Rejection::Incomplete), "three components are few enough");
    // A sideways one needs a second copy, which a tighter budget can't pay.
    let side = SIDE as u64;
    let tight = Limits { decode_bytes: side * side * 5, ..limits() };
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let sideways =
        |exif: &[u8]| Encoder::new(&rgb, SIDE, SIDE, PixelFormat::Rgb).exif_data(exif).encode().unwrap();
    assert!(matches!(decode(&sideways(&exif), &tight), Err(Rejection::TooMuchMemory { .. })));
    assert!(decode(&sideways(&exif), &limits()).is_ok());
    exif[18] = 1;
    assert!(decode(&sideways(&exif), &Limits { decode_bytes: side * side * 7, ..limits() }).is_ok());
}

#[test]
fn a_profile_that_unpacks_a_thousandfold_is_not_unpacked() {
    let png = include_bytes!("samples/profile-bomb.png");
    assert!(png.len() < 25_000);
    // Taken without its profile or refused, but never at the price of its memory.
    if let Err(rejection) = decode(png, &limits()) {
        assert!(!rejection.is_too_large(), "{rejection}");
    }
}

/// Where the pieces of a file begin, after its head: segments up to the first scan, chunks, or blocks.
fn pieces(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().fold(0usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let little = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut places = Vec::new();
    match image::guess_format(bytes).unwrap() {
        ImageFormat::Jpeg => {
            let mut at = 2;
            while places.last().is_none_or(|last| bytes[last + 1] != 0xDA) {
                places.push(at);
                at += 2 + number(at + 2, 2);
            }
        }
        ImageFormat::Png => {
            let mut at = 8;
            while at < bytes.len() {
                places.push(at);
                at += 12 + number(at, 4);
            }
        }
        ImageFormat::WebP => {
            let mut at = 12;
            while at < bytes.len() {
                places.push(at);
                at += 8 + little(at + 4).next_multiple_of(2);
            }
        }
        _ => places.extend((13..bytes.len()).filter(|at| matches!(bytes[*at], 0x21 | 0x2C | 0x3B))),
    }
    places
}

/// Pieces that say a picture is of another size, or hide that from one reader and not from another.
fn lies(format: ImageFormat, width: u16, height: u16) -> Vec<Vec<u8>> {
    let (wide, high) = (u32::from(width), u32::from(height));
    match format {
        ImageFormat::Jpeg => {
            let frame = |kind: u8| {
                let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
                [&[0xFF, kind, 0, 17, 8], &size[..], &[3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]].concat()
            };
            let frames = [0xC0, 0xC1, 0xC2].map(frame);
            // Within a segment of a marker that stands alone, behind stuffing, and behind one that is read too far.
            let hidden = [0xD0, 0xD7, 0xD8, 0x01, 0x02, 0xF0]
                .map(|marker| [&[0xFF, marker, 0, 21], &frames[0][..]].concat());
            let stuffed = [&[0xFF, 0x00], &frames[0][1..]].concat();
            let behind = [&[0xFF, 0xE0, 0, 6, 1, 2, 3, 4], &frames[0][..]].concat();
            [&frames[..], &hidden[..], &[stuffed, behind]].concat()
        }
        ImageFormat::Png => {
            let size = [wide.to_be_bytes(), high.to_be_bytes()].concat();
            let control = [&[0; 4], &size[..], &[0; 8], &[0, 1, 0, 1, 0, 0]].concat();
            vec![
                png::chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat()),
                png::chunk(b"fcTL", &control),
                [png::chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), png::chunk(b"fcTL", &control)].concat(),
            ]
        }
        ImageFormat::WebP => {
            let chunk = |name: &[u8], body: &[u8]| {
                [name, &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat()
            };
            let sides = (wide & 0x3FFF | high << 14).to_le_bytes();
            let lossy =
                [&[0x50, 1, 0, 0x9D, 1, 0x2A], &width.to_le_bytes()[..], &height.to_le_bytes()].concat();
            let lossless = [&[0x2F], &sides[..], &[0; 20]].concat();
            let three = |value: u32| value.to_le_bytes()[..3].to_vec();
            let pictures = [chunk(b"VP8 ", &lossy), chunk(b"VP8L", &lossless), chunk(b"ALPH", &[1; 9])];
            let frame = |picture: &Vec<u8>| {
                let size = [three(wide), three(high)].concat();
                chunk(b"ANMF", &[&[0; 6], &size[..], &[0; 4], &picture[..]].concat())
            };
            let frames = pictures.each_ref().map(frame);
            let odd = chunk(b"ANMF", &[0; 33]);
            let canvas = chunk(b"VP8X", &[&[2, 0, 0, 0], &three(wide)[..], &three(high)].concat());
            let nameless = chunk(b"none", &lossy);
            [&pictures[..], &frames[..], &[odd, canvas, nameless]].concat()
        }
        _ => {
            let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
            let frame = [&[0x2C, 0, 0, 0, 0], &size[..], &[0, 2, 2, 0x4C, 1, 0]].concat();
            let long_name = [&[0x21, 0xFF, 10], &frame[..10]].concat();
            let control = [&[0x21, 0xF9, 3], &frame[..]].concat();
            vec![frame, long_name, control]
        }
    }
}

/// Every kind of file with two pieces that lie put in; RIFF files say how long they are.
fn lying(bytes: &[u8], at: [usize; 2], which: [usize; 2], width: u16, height: u16) -> Vec<u8> {
    let lies = lies(image::guess_format(bytes).unwrap(), width, height);
    let mut lying = bytes.to_vec();
    let places = pieces(bytes);
    let [mut first, mut second] = at.map(|place| places[place % places.len()]);
    (first, second) = (first.min(second), first.max(second));
    for (place, lie) in [(second, which[0]), (first, which[1])] {
        lying.splice(place..place, lies[lie % lies.len()].iter().copied());
    }
    if bytes.starts_with(b"RIFF") {
        let length = lying.len() as u32 - 8;
        lying[4..8].copy_from_slice(&length.to_le_bytes());
    }
    lying
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_second_size_is_decoded_but_the_one_that_was_checked(
        file in 0usize..21,
        at: [usize; 2],
        which: [usize; 2],
        width in 62u16..,
        height in 62u16..,
    ) {
        let files = [jpegs(), others()].concat();
        let (name, bytes) = &files[file % files.len()];
        // The picture's own size is all that may be decoded.
        let limits = Limits { image_pixels: (SIDE * SIDE) as u64, ..limits() };
        prop_assert!(decode(bytes, &limits).is_ok(), "{}", name);
        if let Ok(pixels) = decode(&lying(bytes, at, which, width, height), &limits) {
            prop_assert_eq!(pixels.size(), Size { width: SIDE as u32, height: SIDE as u32 }, "{}", name);
        }
    }
}

#[test]
fn a_jpeg_whose_size_is_hidden_from_one_reader_is_refused() {
    for (name, bytes) in jpegs() {
        let frame = bytes.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2));
        let frame = frame.unwrap();
        let end = frame + 2 + usize::from(bytes[frame + 3]);
        let own = &bytes[frame..end];
        let hide = |marker: u8| [&[0xFF, marker, 0, own.len() as u8 + 2], own].concat();
        let mut huge = own.to_vec();
        huge[5..9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
        // Some readers see the frame within a segment that they take for none, others the one between.
        for marker in [0xD0, 0xD7, 0xD8, 0x01] {
            let hidden = hide(marker);
            let file = [&bytes[..frame], &hidden, &huge, &hidden, &bytes[end..]].concat();
            assert_eq!(decode(&file, &limits()), Err(Rejection::Corrupt), "{name}, {marker:X}");
        }
        // Stuffing before a marker, and a segment whose length some read by a byte too far.
        let whole = decode(&bytes, &limits()).unwrap();
        let stuffed = [&[0xFF, 0x00], &huge[1..]].concat();
        let behind = [&[0xFF, 0xE0, 0, 6, 1, 2, 3, 4], &huge[..]].concat();
        let with = |lie: &[u8]| decode(&[&bytes[..frame], lie, &bytes[frame..]].concat(), &limits());
        assert_eq!(with(&stuffed), Ok(whole), "{name}: no segment of the file");
        assert_eq!(with(&behind), Err(Rejection::Corrupt), "{name}");
    }
}

#[test]
fn a_second_frame_header_is_refused_before_it_is_walked() {
    let (_, bytes) = jpegs().swap_remove(3);
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC2]).unwrap();
    let scan = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
    let mut second = bytes[frame..frame + 19].to_vec();
    second[5..9].fill(0xFF);
    let file = [&bytes[..scan], &second, &bytes[scan..]].concat();
    assert_eq!(decode(&file, &limits()), Err(Rejection::Corrupt));
}

#[test]
fn a_baseline_file_whose_components_come_one_by_one_takes_no_more_memory() {
    let rgb = picture();
    let mut bytes =
        Encoder::new(&rgb, SIDE, SIDE, PixelFormat::Rgb).subsampling(Subsampling::S444).encode().unwrap();
    let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    bytes.truncate(scan);
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    // Three bytes a pixel for planes, which are filled up to whole blocks, and three for the picture.
    let needed = (3 * 64 * 64 + 3 * SIDE * SIDE) as u64;
    let within = |decode_bytes: u64| decode(&bytes, &Limits { decode_bytes, ..limits() });
    assert_eq!(within(needed), Err(Rejection::Incomplete));
    assert!(matches!(within(needed - 1), Err(Rejection::TooMuchMemory { .. })));
}

#[test]
fn a_webp_picture_is_refused_where_decoders_could_take_another() {
    let bytes = include_bytes!("samples/lossy-alpha.webp");
    let whole = decode(bytes, &limits()).unwrap();
    let places = pieces(bytes);
    let named = |name: &[u8]| places.iter().copied().find(|at| bytes[*at..].starts_with(name)).unwrap();
    let with = |at: usize, chunk: &[u8]| {
        let mut file = [&bytes[..at], chunk, &bytes[at..]].concat();
        let length = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&length.to_le_bytes());
        decode(&file, &limits())
    };
    let huge = &lies(ImageFormat::WebP, 0x3FFF, 0x3FFF);
    // Two pictures, of which the first or the last may count; one within a frame; one under another name.
    for lie in &huge[..6] {
        assert!(with(named(b"VP8 "), lie).is_err());
        assert_eq!(with(bytes.len(), lie), Err(Rejection::Corrupt));
    }
    assert_eq!(with(named(b"VP8 "), &huge[8]), Err(Rejection::Corrupt));
    // What stands behind the end, where the decoder still looks for chunks, is no part of the file.
    let profile = [&b"ICCP"[..], &[0xFF; 4]].concat();
    assert_eq!(decode(&[&bytes[..], &profile].concat(), &limits()), Ok(whole));
}

/// A progressive file of three components at 4:4:4 that says next to nothing: a scan of all first coefficients, then
/// `scans` of the others, one component each.
fn empty_scans(width: u16, height: u16, scans: usize) -> Vec<u8> {
    let segment = |marker: u8, body: &[u8]| {
        [&[0xFF, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat()
    };
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame = [&[8], &size[..], &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
    // One code each, of one bit: no difference, and 16,384 blocks or more without a coefficient.
    let code = |kind: u8, value: u8| [&[kind, 1][..], &[0; 15], &[value]].concat();
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    let zeros = |bits: usize| vec![0; bits.div_ceil(8)];
    let mut file = [
        vec![0xFF, 0xD8],
        segment(0xDB, &[&[0][..], &[1; 64]].concat()),
        segment(0xC2, &frame),
        segment(0xC4, &[code(0x00, 0), code(0x10, 0xE0)].concat()),
        segment(0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, 0, 0]),
        zeros(3 * blocks),
    ]
    .concat();
    for component in [1, 2, 3].iter().cycle().take(scans) {
        file.extend(segment(0xDA, &[1, *component, 0, 1, 63, 0]));
        file.extend(zeros(15 * blocks.div_ceil(1 << 14)));
    }
    file.extend([0xFF, 0xD9]);
    file
}

#[test]
fn the_scans_of_a_jpeg_are_priced_before_they_are_decoded() {
    // The largest there can be, with as many scans as mozjpeg makes.
    assert!(decode(&empty_scans(7680, 7552, 13), &limits()).is_ok());
    let bomb = empty_scans(7680, 7552, 99);
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    let refused = decode(&bomb, &limits()).unwrap_err();
    assert!(matches!(refused, Rejection::TooMuchWork { .. }) && refused.is_too_large(), "{refused}");
    assert!(decode(&empty_scans(1024, 768, 99), &limits()).is_ok(), "a small picture may have many");
    let endless = decode(&empty_scans(16, 16, 100), &limits());
    assert!(matches!(endless, Err(Rejection::TooMuchWork { .. })), "but not without end");
}
