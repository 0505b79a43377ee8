//! GIF files, written by hand: stills and animations as programs write them, whole or not, within the format or not.

use image::{DynamicImage, Rgba, RgbaImage};

use crate::compare::{Case, check};
use crate::samples::{HEIGHT, WIDTH, frame, picture};

/// The index that transparent pixels have.
const CLEAR: u8 = 255;
const TRAILER: &[u8] = &[0x3B];
/// Repeats an animation without end.
const ENDLESS: &[u8] = b"\x21\xFF\x0BNETSCAPE2.0\x03\x01\0\0\0";

/// Six levels of each colour; a local palette is the same from its other end.
fn palette(is_local: bool) -> Vec<u8> {
    let colour = |index: u32| [index / 36 % 6, index / 6 % 6, index % 6].map(|level| (level * 51) as u8);
    (0..256).flat_map(|index| colour(if is_local { 255 - index } else { index })).collect()
}

fn index(Rgba([r, g, b, alpha]): Rgba<u8>, is_local: bool) -> u8 {
    if alpha == 0 {
        return CLEAR;
    }
    let level = |v: u8| (u32::from(v) + 25) / 51;
    // The cube ends at 215, so a local palette's begins at 40.
    let index = (level(r) * 36 + level(g) * 6 + level(b)) as u8;
    if is_local { 255 - index.max(1) } else { index }
}

pub(crate) fn header(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width, height].map(u16::to_le_bytes);
    [&b"GIF89a"[..], &w, &h, &[0xF7, 0, 0], &palette(false)].concat()
}

fn control(disposal: u8, hundredths: u16) -> Vec<u8> {
    let [low, high] = hundredths.to_le_bytes();
    vec![0x21, 0xF9, 4, disposal << 2 | 1, low, high, CLEAR, 0]
}

/// A frame's place and how it is written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) left: u16,
    pub(crate) top: u16,
    pub(crate) has_palette: bool,
    pub(crate) is_interlaced: bool,
}

fn blocks(data: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        data.chunks(255).flat_map(|chunk| [&[chunk.len() as u8], chunk].concat()).collect();
    bytes.push(0);
    bytes
}

/// A frame's descriptor and data: each pixel is a code of nine bits, and the table starts anew before it grows to ten.
pub(crate) fn drawn(image: &RgbaImage, place: Place) -> Vec<u8> {
    let rows: Vec<u32> = if place.is_interlaced {
        [(0, 8), (4, 8), (2, 4), (1, 2)]
            .iter()
            .flat_map(|(first, step)| (*first..image.height()).step_by(*step))
            .collect()
    } else {
        (0..image.height()).collect()
    };
    let (mut data, mut held, mut bits) = (Vec::new(), 0u32, 0);
    let mut put = |code: u32| {
        held |= code << bits;
        bits += 9;
        while bits >= 8 {
            data.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    };
    let pixels = rows.iter().flat_map(|y| (0..image.width()).map(|x| *image.get_pixel(x, *y)));
    for (at, pixel) in pixels.enumerate() {
        if at % 250 == 0 {
            put(256);
        }
        put(index(pixel, place.has_palette).into());
    }
    put(257);
    put(0);
    let [x, y, w, h] =
        [place.left, place.top, image.width() as u16, image.height() as u16].map(u16::to_le_bytes);
    let flags = if place.has_palette { 0x87 } else { 0 } | if place.is_interlaced { 0x40 } else { 0 };
    let colours = if place.has_palette { palette(true) } else { Vec::new() };
    [&[0x2C][..], &x, &y, &w, &h, &[flags], &colours, &[8], &blocks(&data)].concat()
}

pub(crate) fn opaque(width: u32, height: u32, index: u32) -> RgbaImage {
    DynamicImage::ImageRgb8(frame(width, height, index)).into_rgba8()
}

fn full(index: u32) -> Vec<u8> {
    [control(1, 10), drawn(&opaque(WIDTH, HEIGHT, index), Place::default())].concat()
}

fn whole() -> Vec<u8> {
    header(WIDTH as u16, HEIGHT as u16)
}

/// A box with a hole in it.
fn patch(width: u32, height: u32, index: u32) -> RgbaImage {
    let mut image = opaque(width, height, index);
    for (x, y) in (width / 3..width / 2).flat_map(|x| (height / 3..height / 2).map(move |y| (x, y))) {
        image.put_pixel(x, y, Rgba([0; 4]));
    }
    image
}

fn part(index: u32, disposal: u8, place: Place) -> Vec<u8> {
    [control(disposal, 10), drawn(&patch(210, 180, index), place)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn stills_are_shown_whatever_stands_around_the_frame() {
    let image = DynamicImage::ImageRgb8(picture(WIDTH, HEIGHT)).into_rgba8();
    let plain = drawn(&image, Place::default());
    let shown = |name: &str, parts: &[&[u8]]| Case::shown("GIF still", name, parts.concat());
    let small = header(WIDTH as u16 / 2, HEIGHT as u16 / 2);
    let text = b"\x21\x01\x0C\0\0\0\0\x40\0\x10\0\x08\x08\x01\x02\x05hello\0";
    let no_global = |flags: u8| {
        let [w, h] = [WIDTH as u16, HEIGHT as u16].map(u16::to_le_bytes);
        [&b"GIF89a"[..], &w, &h, &[flags, 0, 0]].concat()
    };
    let local = drawn(&image, Place { has_palette: true, ..Place::default() });
    let interlaced = drawn(&image, Place { is_interlaced: true, ..Place::default() });
    let clear = [control(0, 0), drawn(&patch(WIDTH, HEIGHT, 0), Place::default())].concat();
    let cut = &plain[..plain.len() / 2];
    check(vec![
        shown("plain", &[&whole(), &plain, TRAILER]),
        shown("GIF87a", &[b"GIF87a", &whole()[6..], &plain, TRAILER]),
        shown("interlaced", &[&whole(), &interlaced, TRAILER]),
        shown("local palette", &[&whole(), &local, TRAILER]),
        shown("local palette alone", &[&no_global(0x70), &local, TRAILER]),
        shown("transparency", &[&whole(), &clear, TRAILER]),
        shown("no trailer", &[&whole(), &plain]),
        shown("zeros for a trailer", &[&whole(), &plain, &[0; 9]]),
        shown("zeros after the trailer", &[&whole(), &plain, TRAILER, &[0; 4000]]),
        shown("unknown extension before", &[&whole(), b"\x21\x42\x03abc\0", &plain, TRAILER]),
        shown("unknown extension after", &[&whole(), &plain, b"\x21\x42\x03abc\0", TRAILER]),
        shown("comment", &[&whole(), b"\x21\xFE\x05hello\0", &plain, TRAILER]),
        shown("plain text", &[&whole(), &plain, text, TRAILER]),
        shown("canvas of 0 x 0", &[&header(0, 0), &plain, TRAILER]),
        shown("canvas of 1 x 1", &[&header(1, 1), &plain, TRAILER]),
        shown("canvas of half the frame", &[&small, &plain, TRAILER]),
        shown(
            "frame smaller than its canvas",
            &[
                &whole(),
                &drawn(&opaque(360, 300, 0), Place { left: 120, top: 90, ..Place::default() }),
                TRAILER,
            ],
        ),
        Case::refused("GIF still", "half of the frame", [&whole(), cut].concat(), "end early"),
        Case::refused(
            "GIF still",
            "half of the frame, and a trailer",
            [&whole(), cut, &[0], TRAILER].concat(),
            "end early",
        ),
        Case::refused("GIF still", "no frame", [&whole(), TRAILER].concat(), "end early"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn animations_are_shown_as_far_as_their_frames_are_whole() {
    let [a, b, c] = [0, 1, 2].map(full);
    let shown = |name: &str, parts: &[&[u8]]| Case::shown("GIF animation", name, parts.concat());
    let empty = [&control(1, 10)[..], &[0x2C, 0, 0, 0, 0, 20, 0, 20, 0, 0, 8, 0]].concat();
    let [w, h] = [WIDTH as u16, HEIGHT as u16];
    let local = part(3, 1, Place { left: 20, top: 30, has_palette: true, is_interlaced: false });
    let beyond = part(3, 1, Place { left: w - 30, top: h - 20, ..Place::default() });
    let outside = part(3, 1, Place { left: w + 10, top: 5, ..Place::default() });
    let whole = [whole(), ENDLESS.to_vec()].concat();
    let without_loop = header(w, h);
    let of_canvas = |width, height| [header(width, height), ENDLESS.to_vec()].concat();
    let at_offset = |first: Vec<u8>| {
        [&without_loop[..], &first, &part(1, 1, Place { left: 9, top: 60, ..Place::default() }), TRAILER]
            .concat()
    };
    let mut cases = vec![
        shown("three frames", &[&whole, &a, &b, &c, TRAILER]),
        shown("played once", &[&without_loop, &a, &b, &c, TRAILER]),
        shown("no trailer", &[&whole, &a, &b, &c]),
        shown("a zero before the trailer", &[&whole, &a, &b, &c, &[0], TRAILER]),
        shown("zeros for a trailer", &[&whole, &a, &b, &c, &[0; 7]]),
        shown("junk for a trailer", &[&whole, &a, &b, &c, b"junk"]),
        shown("a zero between frames", &[&whole, &a, &b, &[0], &c, TRAILER]),
        shown("junk between frames", &[&whole, &a, &b, b"junk", &c, TRAILER]),
        shown("bytes after the trailer", &[&whole, &a, &b, &c, TRAILER, b"and more"]),
        shown("unknown extension between frames", &[&whole, &a, &b, b"\x21\x42\x03abc\0", &c, TRAILER]),
        shown("unknown extension before all", &[&whole, b"\x21\x99\x02ab\x01c\0", &a, &b, TRAILER]),
        shown(
            "plain text between frames",
            &[&whole, &a, b"\x21\x01\x0C\0\0\0\0\x40\0\x10\0\x08\x08\x01\x02\x05hello\0", &b, TRAILER],
        ),
        shown("an empty frame in the middle", &[&whole, &a, &empty, &b, &c, TRAILER]),
        shown("an empty frame at the end", &[&whole, &a, &b, &empty, TRAILER]),
        shown("canvas of 0 x 0", &[&of_canvas(0, 0), &a, &b, &c, TRAILER]),
        shown("canvas of 1 x 1", &[&of_canvas(1, 1), &a, &b, &c, TRAILER]),
        shown("canvas of half the first frame", &[&of_canvas(w / 2, h / 2), &a, &b, &c, TRAILER]),
        shown("a later frame partly beyond the canvas", &[&whole, &a, &beyond, TRAILER]),
        shown("a later frame outside of the canvas", &[&whole, &a, &outside, &c, TRAILER]),
        shown("local palettes", &[&whole, &a, &local, &c, TRAILER]),
        Case::shown(
            "GIF animation",
            "a first frame smaller than its canvas",
            at_offset(part(0, 1, Place { left: 50, top: 40, ..Place::default() })),
        ),
    ];
    for (name, disposal) in
        [("none", 0), ("kept", 1), ("to the ground", 2), ("to what was before", 3), ("unknown", 5)]
    {
        let places = [(30, 60), (270, 210), (180, 120)];
        let parts = places
            .map(|(left, top)| part(u32::from(left), disposal, Place { left, top, ..Place::default() }));
        cases.push(shown(&format!("disposal {name}"), &[&whole, &a, &parts.concat(), TRAILER]));
        let interlaced = places.map(|(left, top)| {
            part(
                u32::from(left),
                disposal,
                Place { left, top, is_interlaced: true, has_palette: left == 270 },
            )
        });
        cases.push(shown(
            &format!("disposal {name}, interlaced"),
            &[&whole, &a, &interlaced.concat(), TRAILER],
        ));
    }
    for hundredths in [0, 1, 2, 500] {
        let frames = [0, 1].map(|index| {
            [control(1, hundredths), drawn(&opaque(WIDTH, HEIGHT, index), Place::default())].concat()
        });
        cases.push(shown(
            &format!("{hundredths} hundredths of a second"),
            &[&whole, &frames.concat(), TRAILER],
        ));
    }
    let broken = &c[..c.len() / 2];
    cases.push(Case::refused(
        "GIF animation",
        "broken off in the third frame",
        [&whole, &a, &b, broken].concat(),
        "end early",
    ));
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_frames_are_taken_and_no_more() {
    let (width, height) = (483, 327);
    let still = [control(1, 4), drawn(&opaque(width, height, 0), Place::default())].concat();
    let walk = |frames: u16| {
        let part = |index: u16| {
            let place = Place { left: index % 340, top: index % 210, ..Place::default() };
            [control(1, 4), drawn(&patch(40, 30, index.into()), place)].concat()
        };
        let parts: Vec<u8> = (1..frames).flat_map(part).collect();
        [&header(width as u16, height as u16)[..], ENDLESS, &still, &parts, TRAILER].concat()
    };
    let many = "GIF animation of many frames";
    check(vec![
        Case::shown(many, "101 frames", walk(101)),
        Case::shown(many, "120 frames", walk(120)),
        Case::shown(many, "300 frames", walk(300)),
        Case::refused(many, "301 frames", walk(301), "301 frames"),
    ])
    .await;
}

/// Small files for the fuzzer to change.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (width, height) = (40, 30);
    let head = header(40, 30);
    let frame = |index| [control(1, 10), drawn(&opaque(width, height, index), Place::default())].concat();
    let part =
        |disposal, place| [control(disposal, 10), drawn(&patch(20, 16, u32::from(disposal)), place)].concat();
    let place = Place { left: 6, top: 5, ..Place::default() };
    let interlaced = Place { is_interlaced: true, ..place };
    let local = Place { has_palette: true, ..place };
    let still = |picture: &RgbaImage, place| [&head[..], &drawn(picture, place), TRAILER].concat();
    let mut seeds = vec![
        still(&opaque(width, height, 0), Place::default()),
        still(&opaque(width, height, 0), Place { is_interlaced: true, ..Place::default() }),
        still(&opaque(width, height, 0), Place { has_palette: true, ..Place::default() }),
        [&head[..], &control(0, 0), &drawn(&patch(width, height, 1), Place::default()), TRAILER].concat(),
    ];
    for places in [[place, interlaced, local], [interlaced, local, place], [local, place, place]] {
        let parts: Vec<u8> = (1..).zip(places).flat_map(|(disposal, place)| part(disposal, place)).collect();
        seeds.push([&head[..], ENDLESS, &frame(0), &parts, &frame(1), TRAILER].concat());
    }
    seeds
}
