//! WebP files: what encoders write, taken apart into chunks and put together as other programs do.

use chatpic_core::testing::samples as encoded;
use image::RgbaImage;

use crate::compare::{Case, check};
use crate::icc;
use crate::samples::{HEIGHT, WIDTH, exif, frame, see_through};

// Flags of the first chunk of an extended file.
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;
const ANIMATION: u8 = 0x02;

pub(crate) type Chunk = ([u8; 4], Vec<u8>);

pub(crate) fn chunk(name: &[u8; 4], body: &[u8]) -> Chunk {
    (*name, body.to_vec())
}

/// Chunks of a whole file, or of what follows a frame's header.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Chunk> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, length @ ..] = *head;
        let length = (u32::from_le_bytes(length) as usize).min(after.len());
        chunks.push(([a, b, c, d], after[..length].to_vec()));
        rest = after.get(length + length % 2..).unwrap_or_default();
    }
    chunks
}

pub(crate) fn write(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, body) in chunks {
        bytes.extend(name);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    bytes
}

pub(crate) fn riff(chunks: &[Chunk]) -> Vec<u8> {
    let body = write(chunks);
    [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat()
}

fn three(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

pub(crate) fn extended(flags: u8, width: u32, height: u32) -> Chunk {
    chunk(b"VP8X", &[&[flags, 0, 0, 0][..], &three(width - 1), &three(height - 1)].concat())
}

pub(crate) fn animation() -> Chunk {
    chunk(b"ANIM", &[0; 6])
}

pub(crate) fn frame_chunk(
    picture: &[Chunk],
    (x, y): (u32, u32),
    (width, height): (u32, u32),
    how: u8,
) -> Chunk {
    let head = [&three(x / 2)[..], &three(y / 2), &three(width - 1), &three(height - 1), &three(100), &[how]]
        .concat();
    chunk(b"ANMF", &[head, write(picture)].concat())
}

fn opaque(width: u32, height: u32, index: u32) -> RgbaImage {
    image::DynamicImage::ImageRgb8(frame(width, height, index)).into_rgba8()
}

/// The picture's own chunks, with one for the alpha channel if there is one.
pub(crate) fn lossy(image: &RgbaImage) -> Vec<Chunk> {
    let file = encoded::webp(std::slice::from_ref(image), 100);
    let frame = parse(&file[12..]).into_iter().find(|(name, _)| name == b"ANMF").unwrap();
    parse(&frame.1[16..])
}

pub(crate) fn lossless(image: &RgbaImage) -> Vec<Chunk> {
    parse(&encoded::webp_rgba(image)[12..]).into_iter().filter(|(name, _)| name == b"VP8L").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stills_are_shown_whatever_their_flags_say() {
    let kind = "WebP still";
    let size = |flags| extended(flags, WIDTH, HEIGHT);
    let [flat, clear] = [lossy(&opaque(WIDTH, HEIGHT, 0)), lossy(&see_through(WIDTH, HEIGHT, 0))];
    let [exact, exact_clear] =
        [lossless(&opaque(WIDTH, HEIGHT, 0)), lossless(&see_through(WIDTH, HEIGHT, 0))];
    let unknown = chunk(b"NOPE", b"unknown");
    let xmp = chunk(b"XMP ", b"<x:xmpmeta/>");
    let shown = |name: &str, chunks: &[&[Chunk]]| Case::shown(kind, name, riff(&chunks.concat()));
    let preprocessed = |bits: u8| {
        let mut chunks = clear.clone();
        chunks[0].1[0] = chunks[0].1[0] & 0xCF | bits << 4;
        chunks
    };
    let raw_alpha = {
        let alpha: Vec<u8> = see_through(WIDTH, HEIGHT, 0).pixels().map(|pixel| pixel.0[3]).collect();
        vec![chunk(b"ALPH", &[&[0], &alpha[..]].concat()), clear[1].clone()]
    };
    assert_eq!((&clear[0].0, &clear[1].0), (b"ALPH", b"VP8 "));
    let mut cases = vec![
        shown("lossy", &[&flat]),
        shown("lossless", &[&exact]),
        shown("lossless with transparency", &[&exact_clear]),
        shown("lossy, extended", &[&[size(0)], &flat]),
        shown("lossless, extended", &[&[size(0)], &exact]),
        shown("lossy with transparency", &[&[size(ALPHA)], &clear]),
        shown("lossless with transparency, extended", &[&[size(ALPHA)], &exact_clear]),
        shown("alpha flag without alpha, lossy", &[&[size(ALPHA)], &flat]),
        shown("alpha flag without alpha, lossless", &[&[size(ALPHA)], &exact]),
        shown("alpha without its flag, lossy", &[&[size(0)], &clear]),
        shown("alpha without its flag, lossless", &[&[size(0)], &exact_clear]),
        shown("Exif flag without Exif, lossy", &[&[size(EXIF)], &flat]),
        shown("Exif flag without Exif, lossless", &[&[size(EXIF)], &exact]),
        shown("XMP flag without XMP", &[&[size(XMP)], &exact]),
        shown("all flags but animation, nothing there", &[&[size(PROFILE | ALPHA | EXIF | XMP)], &flat]),
        shown("Exif without its flag", &[&[size(0)], &flat, &[chunk(b"EXIF", &exif(6))]]),
        shown("XMP", &[&[size(XMP)], &flat, std::slice::from_ref(&xmp)]),
        shown("XMP before the picture", &[&[size(XMP)], &[xmp], &flat]),
        shown("unknown chunk before the picture", &[&[size(0)], std::slice::from_ref(&unknown), &flat]),
        shown("unknown chunk after the picture", &[&[size(0)], &flat, std::slice::from_ref(&unknown)]),
        shown("unknown chunk after a simple picture", &[&flat, std::slice::from_ref(&unknown)]),
        shown(
            "profile of Display P3, lossy",
            &[&[size(PROFILE)], &[chunk(b"ICCP", &icc::display_p3(2.2))], &flat],
        ),
        shown(
            "profile of Display P3, lossless",
            &[&[size(PROFILE)], &[chunk(b"ICCP", &icc::display_p3(2.2))], &exact],
        ),
        shown("profile of gamma 1.8", &[&[size(PROFILE)], &[chunk(b"ICCP", &icc::display_p3(1.8))], &exact]),
        shown("alpha, preprocessed", &[&[size(ALPHA)], &preprocessed(1)]),
        shown("alpha without compression", &[&[size(ALPHA)], &raw_alpha]),
        Case::shown(kind, "bytes behind the end", [riff(&flat), b"and more".to_vec()].concat()),
        Case::refused(
            kind,
            "broken off",
            {
                let file = riff(&flat);
                file[..file.len() / 2].to_vec()
            },
            "end early",
        ),
        Case::refused(
            kind,
            "lossless, broken off",
            {
                let file = riff(&exact);
                file[..file.len() / 2].to_vec()
            },
            "end early",
        ),
    ];
    for orientation in [1, 3, 6, 8] {
        for (name, prefix) in [("", &b""[..]), (" with a prefix", b"Exif\0\0")] {
            let chunk = chunk(b"EXIF", &[prefix, &exif(orientation)].concat());
            for (coding, picture) in [("lossy", &flat), ("lossless", &exact)] {
                let name = format!("{coding}, Exif orientation {orientation}{name}");
                cases.push(shown(&name, &[&[size(EXIF)], picture, std::slice::from_ref(&chunk)]));
            }
        }
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn animations_are_shown_whatever_stands_between_frames() {
    let kind = "WebP animation";
    let size = |flags| extended(flags | ANIMATION, WIDTH, HEIGHT);
    let whole = |picture: &[Chunk], how| frame_chunk(picture, (0, 0), (WIDTH, HEIGHT), how);
    let flat: Vec<_> = (0..3).map(|index| whole(&lossy(&opaque(WIDTH, HEIGHT, index)), 0)).collect();
    let exact: Vec<_> = (0..3).map(|index| whole(&lossless(&opaque(WIDTH, HEIGHT, index)), 0)).collect();
    let clear: Vec<_> = (0..3).map(|index| whole(&lossy(&see_through(WIDTH, HEIGHT, index)), 2)).collect();
    let exact_clear: Vec<_> =
        (0..3).map(|index| whole(&lossless(&see_through(WIDTH, HEIGHT, index)), 2)).collect();
    let parts = |how: u8| -> Vec<_> {
        let part = |index: u32| {
            frame_chunk(&lossless(&see_through(210, 180, index)), (60 + 90 * index, 120), (210, 180), how)
        };
        (0..3).map(part).collect()
    };
    let unknown = [chunk(b"NOPE", b"unknown!")];
    let odd = [chunk(b"NOPE", b"odd")];
    let details = [chunk(b"EXIF", &exif(6))];
    let animation = [animation()];
    let shown = |name: &str, chunks: &[&[Chunk]]| Case::shown(kind, name, riff(&chunks.concat()));
    let mut cases = vec![
        shown("lossy", &[&[size(0)], &animation, &flat]),
        shown("lossless", &[&[size(0)], &animation, &exact]),
        shown("mixed", &[&[size(0)], &animation, &flat[..1], &exact[1..]]),
        shown("alpha, lossy", &[&[size(ALPHA)], &animation, &clear]),
        shown("alpha, lossless", &[&[size(ALPHA)], &animation, &exact_clear]),
        // Chromium's decoder of frames draws later ones with such alpha otherwise than its pages do.
        shown("alpha without its flag, lossy", &[&[size(0)], &animation, &clear[..1], &flat[1..]]),
        shown("alpha without its flag, lossless", &[&[size(0)], &animation, &exact_clear[..1], &exact[1..]]),
        shown("alpha flag without alpha", &[&[size(ALPHA)], &animation, &flat]),
        shown("Exif and XMP flags without them", &[&[size(EXIF | XMP)], &animation, &flat]),
        shown("unknown chunk before the frames", &[&[size(0)], &animation, &unknown, &flat]),
        shown("unknown chunk between frames", &[&[size(0)], &animation, &flat[..2], &unknown, &flat[2..]]),
        shown(
            "unknown chunk of odd length between frames",
            &[&[size(0)], &animation, &flat[..2], &odd, &flat[2..]],
        ),
        shown("Exif between frames", &[&[size(EXIF)], &animation, &flat[..2], &details, &flat[2..]]),
        shown("unknown chunk and Exif behind", &[&[size(EXIF)], &animation, &flat, &unknown, &details]),
        shown("Exif orientation 6", &[&[size(EXIF)], &animation, &flat, &details]),
        shown("profile", &[&[size(PROFILE)], &[chunk(b"ICCP", &icc::display_p3(1.8))], &animation, &exact]),
        shown("one frame", &[&[size(0)], &animation, &flat[..1]]),
        shown("one frame with alpha", &[&[size(ALPHA)], &animation, &clear[..1]]),
        shown("one frame with alpha without its flag", &[&[size(0)], &animation, &exact_clear[..1]]),
        Case::shown(
            kind,
            "bytes behind the end",
            [riff(&[&[size(0)], &animation[..], &flat].concat()), b"and more".to_vec()].concat(),
        ),
    ];
    for (name, how) in
        [("blended, kept", 0), ("blended, cleared", 1), ("not blended, kept", 2), ("not blended, cleared", 3)]
    {
        cases.push(shown(&format!("parts {name}"), &[&[size(ALPHA)], &animation, &exact[..1], &parts(how)]));
        if how < 2 {
            let name = format!("parts {name}, without the alpha flag");
            cases.push(shown(&name, &[&[size(0)], &animation, &exact[..1], &parts(how)]));
        }
    }
    let broken = riff(&[&[size(0)], &animation[..], &flat].concat());
    cases.push(Case::refused(
        kind,
        "broken off in the third frame",
        broken[..broken.len() - 200].to_vec(),
        "end early",
    ));
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_frames_are_taken_and_no_more() {
    let kind = "WebP animation of many frames";
    let (width, height) = (484, 328);
    let first = frame_chunk(&lossless(&opaque(width, height, 0)), (0, 0), (width, height), 0);
    let kinds: Vec<_> = (0..7).map(|index| lossless(&opaque(40, 30, index))).collect();
    let walk = |frames: u32| {
        let parts = (1..frames).map(|index| {
            frame_chunk(&kinds[index as usize % 7], (index % 174 * 2, index % 109 * 2), (40, 30), 0)
        });
        let head = [extended(ANIMATION, width, height), animation(), first.clone()];
        riff(&head.into_iter().chain(parts).collect::<Vec<_>>())
    };
    check(vec![
        Case::shown(kind, "101 frames", walk(101)),
        Case::shown(kind, "300 frames", walk(300)),
        Case::refused(kind, "301 frames", walk(301), "301 frames"),
    ])
    .await;
}
