//! PNG files, written by hand: every colour type and depth, and what the file says that its colours are.

use crate::compare::{Case, check};
use crate::icc;
use crate::samples::{HEIGHT, WIDTH, exif, see_through};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";
// Colour types (PNG third edition, table 11.1).
const GREY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const GREY_ALPHA: u8 = 4;
const RGBA: u8 = 6;

pub(crate) type Chunk = ([u8; 4], Vec<u8>);

/// CRC-32 as PNG uses it (ISO 3309).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Packed by zlib's format, but in blocks as they are (RFC 1950 and 1951).
pub(crate) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x78, 0x01];
    let blocks: Vec<_> = bytes.chunks(0xFFFF).collect();
    for (at, block) in blocks.iter().enumerate() {
        packed.push(u8::from(at + 1 == blocks.len()));
        packed.extend((block.len() as u16).to_le_bytes());
        packed.extend((!(block.len() as u16)).to_le_bytes());
        packed.extend(*block);
    }
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    packed.extend((high << 16 | low).to_be_bytes());
    packed
}

/// What [`packed`] packed, as far as it can still be read.
pub(crate) fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), packed.get(2..)?);
    loop {
        let (head, after) = rest.split_first_chunk::<5>()?;
        let length = usize::from(u16::from_le_bytes([head[1], head[2]]));
        bytes.extend(after.get(..length)?);
        rest = &after[length..];
        if head[0] == 1 {
            return Some(bytes);
        }
    }
}

/// Chunks of a file that [`written`] wrote.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Chunk> {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let mut chunks = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [length @ .., a, b, c, d] = *head;
        let length = (u32::from_be_bytes(length) as usize).min(after.len());
        chunks.push(([a, b, c, d], after[..length].to_vec()));
        rest = after.get(length + 4..).unwrap_or_default();
    }
    chunks
}

pub(crate) fn written(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    for (name, body) in chunks {
        let checked = [&name[..], body].concat();
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(&checked);
        bytes.extend(checksum(&checked).to_be_bytes());
    }
    bytes
}

/// How a picture is stored.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) colour: u8,
    pub(crate) bits: u8,
    pub(crate) is_interlaced: bool,
}

/// A palette for so many bits, of which the first third is transparent to a degree if there is to be transparency.
fn palette(bits: u8) -> (Vec<u8>, Vec<u8>) {
    let count = 1u32 << bits;
    // Three bits of red, three of green and two of blue, or fewer of each.
    let colour = |index: u32| match bits {
        8 => [index >> 5 & 7, index >> 2 & 7, index & 3]
            .map(|v| v)
            .into_iter()
            .zip([7, 7, 3])
            .map(|(v, top)| (v * 255 / top) as u8)
            .collect::<Vec<_>>(),
        _ => [index & 1, index >> 1 & 1, index >> 2 & 1]
            .map(|bit| if bit == 1 { 255 - (index >> 3) as u8 * 60 } else { (index >> 3) as u8 * 80 })
            .to_vec(),
    };
    (
        (0..count).flat_map(colour).collect(),
        (0..count / 2).map(|index| (index * 255 / (count / 2).max(1)) as u8).collect(),
    )
}

/// A pixel's samples, as many bits each as the form says.
fn samples([r, g, b, a]: [u8; 4], form: Form) -> Vec<u16> {
    let top = (1u32 << form.bits) - 1;
    let scaled = |v: u8| ((u32::from(v) * top + 127) / 255) as u16;
    let grey = ((u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114) / 1000) as u8;
    match form.colour {
        GREY => vec![scaled(grey)],
        RGB => [r, g, b].map(scaled).to_vec(),
        PALETTE if form.bits == 8 => {
            vec![u16::from(r >> 5) << 5 | u16::from(g >> 5) << 2 | u16::from(b >> 6)]
        }
        PALETTE => vec![(u16::from(r >> 7) | u16::from(g >> 7) << 1 | u16::from(b >> 7) << 2) & top as u16],
        GREY_ALPHA => [grey, a].map(scaled).to_vec(),
        _ => [r, g, b, a].map(scaled).to_vec(),
    }
}

/// Rows of a picture or of one of its seven passes, each behind a byte that says that it is not filtered.
fn rows(
    form: Form,
    (left, across): (u32, usize),
    (top, down): (u32, usize),
    (width, height): (u32, u32),
) -> Vec<u8> {
    let image = see_through(width, height, 0);
    let mut bytes = Vec::new();
    if left >= width {
        return bytes;
    }
    for y in (top..height).step_by(down) {
        bytes.push(0);
        let (mut held, mut bits) = (0u32, 0);
        for sample in (left..width).step_by(across).flat_map(|x| samples(image.get_pixel(x, y).0, form)) {
            held = held << form.bits | u32::from(sample);
            bits += form.bits;
            while bits >= 8 {
                bits -= 8;
                bytes.push((held >> bits) as u8);
            }
        }
        if bits > 0 {
            bytes.push((held << (8 - bits)) as u8);
        }
    }
    bytes
}

/// The chunks of a picture in this form.
pub(crate) fn chunks(form: Form, (width, height): (u32, u32)) -> Vec<Chunk> {
    // Where each pass begins and how far its pixels lie apart (PNG third edition, 8.1).
    const PASSES: [((u32, usize), (u32, usize)); 7] = [
        ((0, 8), (0, 8)),
        ((4, 8), (0, 8)),
        ((0, 4), (4, 8)),
        ((2, 4), (0, 4)),
        ((0, 2), (2, 4)),
        ((1, 2), (0, 2)),
        ((0, 1), (1, 2)),
    ];
    let data: Vec<u8> = if form.is_interlaced {
        PASSES.iter().flat_map(|(across, down)| rows(form, *across, *down, (width, height))).collect()
    } else {
        rows(form, (0, 1), (0, 1), (width, height))
    };
    let head = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[form.bits, form.colour, 0, 0, form.is_interlaced.into()],
    ]
    .concat();
    let mut chunks = vec![(*b"IHDR", head)];
    if form.colour == PALETTE {
        chunks.push((*b"PLTE", palette(form.bits).0));
    }
    chunks.push((*b"IDAT", packed(&data)));
    chunks.push((*b"IEND", Vec::new()));
    chunks
}

/// With further chunks, before the pixels and behind a palette.
pub(crate) fn with(mut chunks: Vec<Chunk>, more: &[(&[u8; 4], Vec<u8>)]) -> Vec<Chunk> {
    let at = chunks.iter().position(|(name, _)| name == b"IDAT").unwrap();
    chunks.splice(at..at, more.iter().map(|(name, body)| (**name, body.clone())));
    chunks
}

pub(crate) fn forms() -> Vec<Form> {
    let depths = [
        (GREY, &[1, 2, 4, 8, 16][..]),
        (RGB, &[8, 16]),
        (PALETTE, &[1, 2, 4, 8]),
        (GREY_ALPHA, &[8, 16]),
        (RGBA, &[8, 16]),
    ];
    let forms = depths.iter().flat_map(|(colour, depths)| depths.iter().map(|bits| (*colour, *bits)));
    forms
        .flat_map(|(colour, bits)| [false, true].map(|is_interlaced| Form { colour, bits, is_interlaced }))
        .collect()
}

fn plain(colour: u8) -> Vec<Chunk> {
    chunks(Form { colour, bits: 8, is_interlaced: false }, (WIDTH, HEIGHT))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_colour_type_and_depth_interlaced_or_not() {
    let mut cases = Vec::new();
    for form in forms() {
        let Form { colour, bits, is_interlaced } = form;
        let kind = if is_interlaced { "PNG, interlaced" } else { "PNG" };
        let name = format!("colour type {colour}, {bits} bits");
        let plain = chunks(form, (WIDTH, HEIGHT));
        cases.push(Case::shown(kind, &name, written(&plain)));
        let clear = match colour {
            PALETTE => palette(bits).1,
            GREY => vec![0, 1],
            RGB => vec![0, 200, 0, 30, 0, 40],
            _ => continue,
        };
        cases.push(Case::shown(kind, format!("{name}, tRNS"), written(&with(plain, &[(b"tRNS", clear)]))));
    }
    check(cases).await;
}

fn gamma(of: u32) -> (&'static [u8; 4], Vec<u8>) {
    (b"gAMA", of.to_be_bytes().to_vec())
}

fn chromaticities(of: [u32; 8]) -> (&'static [u8; 4], Vec<u8>) {
    (b"cHRM", of.iter().flat_map(|v| v.to_be_bytes()).collect())
}

fn coding(primaries: u8, transfer: u8) -> (&'static [u8; 4], Vec<u8>) {
    (b"cICP", vec![primaries, transfer, 0, 1])
}

fn profile(bytes: &[u8]) -> (&'static [u8; 4], Vec<u8>) {
    (b"iCCP", [b"test\0\0".to_vec(), packed(bytes)].concat())
}

/// A chunk that says something of colours: its name and body.
type Said = (&'static [u8; 4], Vec<u8>);

/// White and primaries of sRGB and Display P3, in hundred-thousandths.
const SRGB: [u32; 8] = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
const DISPLAY_P3: [u32; 8] = [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000];

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_what_the_file_says_by_the_standards_order() {
    let srgb = || (b"sRGB", vec![0]);
    let p3 = || profile(&icc::display_p3(2.2));
    let says: Vec<(&str, Vec<Said>)> = vec![
        ("nothing", vec![]),
        ("gAMA 1.0", vec![gamma(100_000)]),
        ("gAMA 1/1.8", vec![gamma(55_556)]),
        ("gAMA 1/2.2", vec![gamma(45_455)]),
        ("gAMA 1/2.6", vec![gamma(38_462)]),
        ("gAMA 0", vec![gamma(0)]),
        ("cHRM of Display P3 alone", vec![chromaticities(DISPLAY_P3)]),
        ("gAMA 1/2.2 and cHRM of Display P3", vec![gamma(45_455), chromaticities(DISPLAY_P3)]),
        ("gAMA 1.0 and cHRM of Display P3", vec![gamma(100_000), chromaticities(DISPLAY_P3)]),
        ("gAMA 1/1.8 and cHRM of sRGB", vec![gamma(55_556), chromaticities(SRGB)]),
        ("gAMA and an impossible cHRM", vec![gamma(100_000), chromaticities([0; 8])]),
        ("sRGB", vec![srgb()]),
        ("sRGB over gAMA and cHRM", vec![gamma(100_000), chromaticities(DISPLAY_P3), srgb()]),
        ("iCCP of Display P3", vec![p3()]),
        ("iCCP of gamma 1.8", vec![profile(&icc::display_p3(1.8))]),
        ("iCCP of grey", vec![profile(&icc::grey(1.8))]),
        ("iCCP of inks", vec![profile(&icc::inks())]),
        ("iCCP, broken", vec![profile(&icc::display_p3(1.8)[..150])]),
        ("iCCP, broken, over gAMA", vec![profile(&icc::display_p3(1.8)[..150]), gamma(100_000)]),
        ("iCCP over gAMA", vec![gamma(100_000), p3()]),
        ("cICP of sRGB", vec![coding(1, 13)]),
        ("cICP of Display P3", vec![coding(12, 13)]),
        ("cICP of sRGB, linear", vec![coding(1, 8)]),
        ("cICP of BT.709", vec![coding(1, 1)]),
        ("cICP of gamma 2.2", vec![coding(1, 4)]),
        ("cICP of BT.2020", vec![coding(9, 14)]),
        ("cICP of BT.2020, PQ", vec![coding(9, 16)]),
        ("cICP of BT.2020, HLG", vec![coding(9, 18)]),
        ("cICP over iCCP", vec![coding(12, 13), profile(&icc::display_p3(1.0))]),
        ("cICP over sRGB", vec![coding(12, 13), srgb()]),
        ("cICP over gAMA", vec![coding(1, 8), gamma(45_455)]),
        ("cICP of unknown primaries, gAMA", vec![coding(200, 13), gamma(100_000)]),
    ];
    let mut cases = Vec::new();
    for (said, more) in &says {
        for (kind, colour) in
            [("PNG, colour", RGB), ("PNG, colour with transparency", RGBA), ("PNG, palette", PALETTE)]
        {
            // A palette has to come behind what says of which colours it is.
            let mut chunks = plain(colour);
            chunks.splice(1..1, more.iter().map(|(name, body)| (**name, body.clone())));
            cases.push(Case::shown(kind, *said, written(&chunks)));
        }
    }
    let grey: Vec<(&str, Vec<_>)> = vec![
        ("gAMA 1.0", vec![gamma(100_000)]),
        ("gAMA 1/1.8", vec![gamma(55_556)]),
        ("sRGB over gAMA", vec![gamma(100_000), srgb()]),
        ("iCCP of gamma 1.0", vec![profile(&icc::grey(1.0))]),
        ("iCCP of gamma 1.8", vec![profile(&icc::grey(1.8))]),
        ("iCCP of dot gain 20 %", vec![profile(&icc::dot_gain())]),
        ("iCCP of RGB", vec![profile(&icc::display_p3(1.8))]),
        ("cICP linear", vec![coding(1, 8)]),
    ];
    for (said, more) in &grey {
        cases.push(Case::shown("PNG, grey", *said, written(&with(plain(GREY), more))));
        cases.push(Case::shown(
            "PNG, grey with transparency",
            *said,
            written(&with(plain(GREY_ALPHA), more)),
        ));
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_checksums_and_what_is_no_pixel() {
    let kind = "PNG, ends and other chunks";
    let plain = plain(RGBA);
    let bytes = written(&plain);
    let wrong_checksum = |name: &[u8; 4], chunks: &[Chunk]| {
        let mut bytes = written(chunks);
        let at = bytes.windows(4).position(|four| four == name).unwrap();
        let length =
            u32::from_be_bytes([bytes[at - 4], bytes[at - 3], bytes[at - 2], bytes[at - 1]]) as usize;
        bytes[at + 4 + length] ^= 0x55;
        bytes
    };
    let data = plain.iter().position(|(name, _)| name == b"IDAT").unwrap();
    let split = {
        let mut chunks = plain.clone();
        let whole = chunks.remove(data).1;
        let parts = whole.chunks(1000).map(|part| (*b"IDAT", part.to_vec()));
        chunks.splice(data..data, parts);
        chunks
    };
    let with_data = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut chunks = plain.clone();
        change(&mut chunks[data].1);
        written(&chunks)
    };
    let text = (b"tEXt", b"Comment\0made by hand".to_vec());
    // An animation of two frames, of which the first is the still picture.
    let control = |sequence: u32| {
        [
            &sequence.to_be_bytes()[..],
            &WIDTH.to_be_bytes(),
            &HEIGHT.to_be_bytes(),
            &[0; 8],
            &[0, 10, 0, 100, 0, 0],
        ]
        .concat()
    };
    let apng = {
        let mut chunks = with(
            plain.clone(),
            &[(b"acTL", [2u32, 0].iter().flat_map(|v| v.to_be_bytes()).collect()), (b"fcTL", control(0))],
        );
        let end = chunks.len() - 1;
        let second = [&2u32.to_be_bytes()[..], &plain[data].1].concat();
        chunks.splice(end..end, [(*b"fcTL", control(1)), (*b"fdAT", second)]);
        chunks
    };
    let mut cases = vec![
        Case::shown(kind, "no IEND", bytes[..bytes.len() - 12].to_vec()),
        Case::shown(kind, "half of IEND", bytes[..bytes.len() - 6].to_vec()),
        Case::shown(kind, "bytes behind IEND", [&bytes[..], b"and more"].concat()),
        Case::shown(kind, "another PNG behind IEND", [&bytes[..], &bytes].concat()),
        Case::shown(kind, "many IDAT chunks", written(&split)),
        Case::shown(kind, "text", written(&with(plain.clone(), std::slice::from_ref(&text)))),
        Case::shown(
            kind,
            "text with a wrong checksum",
            wrong_checksum(b"tEXt", &with(plain.clone(), &[text])),
        ),
        Case::shown(
            kind,
            "gAMA with a wrong checksum",
            wrong_checksum(b"gAMA", &with(plain.clone(), &[gamma(100_000)])),
        ),
        Case::shown(kind, "IEND with a wrong checksum", wrong_checksum(b"IEND", &plain)),
        Case::shown(kind, "an unknown chunk", written(&with(plain.clone(), &[(b"noPe", vec![7; 90])]))),
        Case::shown(kind, "an animation", written(&apng)),
        Case::refused(kind, "half of the pixels", bytes[..bytes.len() / 2].to_vec(), "end early"),
        Case::refused(
            kind,
            "half of the pixels, and IEND",
            with_data(&|data| data.truncate(data.len() / 2)),
            "end early",
        ),
        Case::refused(kind, "no pixels", with_data(&|data| data.clear()), "end early"),
        Case::refused(kind, "IHDR with a wrong checksum", wrong_checksum(b"IHDR", &plain), "damaged"),
    ];
    for orientation in [1, 3, 6, 8] {
        let more = [(b"eXIf", exif(orientation))];
        cases.push(Case::shown(
            kind,
            format!("Exif orientation {orientation}"),
            written(&with(plain.clone(), &more)),
        ));
    }
    check(cases).await;
}
