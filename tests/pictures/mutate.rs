//! Files changed where it matters: a file is taken apart by its format's own structure, its pieces are changed, and it is
//! put together again so that lengths and checksums are right, most times.

use crate::samples::Random;
use crate::{png, webp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
        }
    }
}

/// A file of this number, made from one of the seeds. The same number and seeds make the same file.
pub(crate) fn mutated(format: Format, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0xD134_2543_DE82_EF95));
    let mut pieces = apart(format, &seeds[random.below(seeds.len())]);
    for _ in 0..1 + random.below(4) {
        let other = &seeds[random.below(seeds.len())];
        change(format, &mut pieces, &apart(format, other), &mut random);
    }
    let mut file = tied(format, &pieces);
    // Now and then whatever the structure would never be: cut, or a byte changed where a length or a checksum may be.
    match random.below(16) {
        0 => file.truncate(random.below(file.len())),
        1 => value(&mut file, &mut random),
        _ => {}
    }
    file
}

/// Changes the pieces in one way.
fn change(format: Format, pieces: &mut Vec<Vec<u8>>, others: &[Vec<u8>], random: &mut Random) {
    if pieces.is_empty() {
        return;
    }
    let (one, two) = (random.below(pieces.len()), random.below(pieces.len()));
    match random.below(20) {
        0 => drop(pieces.remove(one)),
        1 => pieces.insert(two, pieces[one].clone()),
        2 => pieces.swap(one, two),
        3 => {
            let piece = pieces.remove(one);
            pieces.insert(two.min(pieces.len()), piece);
        }
        4 if !others.is_empty() => pieces.insert(two, others[random.below(others.len())].clone()),
        5 => {
            let length = random.below(pieces[one].len());
            pieces[one].truncate(length);
        }
        6 => {
            let more = random.below(40);
            let more = (0..more).map(|_| random.number() as u8).collect::<Vec<_>>();
            let at = random.below(pieces[one].len() + 1);
            pieces[one].splice(at..at, more);
        }
        7 => {
            let at = random.below(pieces[one].len());
            let end = (at + random.below(20)).min(pieces[one].len());
            drop(pieces[one].drain(at..end));
        }
        8 if format == Format::Png => pixels(&mut pieces[one], random),
        9 if format == Format::WebP && pieces[one].starts_with(b"ANMF") && pieces[one].len() > 20 => {
            let mut inner = joined(&webp::parse(&pieces[one][20..]));
            change(format, &mut inner, others, random);
            pieces[one].truncate(20);
            let inner: Vec<_> = inner.iter().map(|piece| chunk(piece)).collect();
            pieces[one].extend(webp::write(&inner));
        }
        // What stands at a piece's start says how the rest is read.
        10..=15 => {
            let head = pieces[one].len().min(24);
            value(&mut pieces[one][..head], random);
        }
        _ => {
            for _ in 0..1 + random.below(3) {
                value(&mut pieces[one], random);
            }
        }
    }
}

/// Changes a byte.
fn value(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len());
    let Some(byte) = bytes.get_mut(at) else { return };
    *byte = match random.below(6) {
        0 => random.one_of(&[0, 1, 2, 3, 0x11, 0x21, 0x12, 0x22, 0x41, 0x7F, 0x80, 0xFE, 0xFF]),
        1 => byte.wrapping_add(1),
        2 => byte.wrapping_sub(1),
        3 => random.number() as u8,
        _ => *byte ^ 1 << random.below(8),
    };
}

/// Changes bytes of pixels that are packed as they are, and packs them anew.
fn pixels(piece: &mut Vec<u8>, random: &mut Random) {
    if let Some(mut bytes) = piece.strip_prefix(b"IDAT").and_then(png::unpacked) {
        for _ in 0..1 + random.below(4) {
            value(&mut bytes, random);
        }
        *piece = [b"IDAT".to_vec(), png::packed(&bytes)].concat();
    }
}

fn chunk(piece: &[u8]) -> webp::Chunk {
    let (name, body) = piece.split_first_chunk().unwrap_or((b"NONE", &[]));
    (*name, body.to_vec())
}

fn joined(chunks: &[([u8; 4], Vec<u8>)]) -> Vec<Vec<u8>> {
    chunks.iter().map(|(name, body)| [&name[..], body].concat()).collect()
}

fn apart(format: Format, file: &[u8]) -> Vec<Vec<u8>> {
    match format {
        Format::Jpeg => jpeg(file),
        Format::Gif => gif(file),
        Format::Png => joined(&png::parse(file)),
        Format::WebP => joined(&webp::parse(&file[12..])),
    }
}

fn tied(format: Format, pieces: &[Vec<u8>]) -> Vec<u8> {
    let chunks = || pieces.iter().map(|piece| chunk(piece)).collect::<Vec<_>>();
    match format {
        Format::Jpeg => [b"\xFF\xD8".to_vec(), pieces.concat()].concat(),
        Format::Gif => [b"GIF89a".to_vec(), pieces.concat()].concat(),
        Format::Png => png::written(&chunks()),
        Format::WebP => webp::riff(&chunks()),
    }
}

/// Segments behind the first two bytes; coded data are pieces, as far as the next restart.
pub(crate) fn jpeg(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut pieces, mut at) = (Vec::new(), 2);
    while at + 4 <= file.len() {
        let is_segment = file[at] == 0xFF && !matches!(file[at + 1], 0 | 0xD0..=0xD9 | 0xFF);
        let end = if is_segment {
            at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]))
        } else {
            let next = file[at + 1..].windows(2).position(|pair| pair[0] == 0xFF && pair[1] != 0);
            next.map_or(file.len(), |next| at + 1 + next)
        };
        pieces.push(file[at..end.min(file.len())].to_vec());
        at = end;
    }
    pieces.push(file[at.min(file.len())..].to_vec());
    pieces
}

/// Header, extensions, descriptors and data, each a piece.
fn gif(file: &[u8]) -> Vec<Vec<u8>> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let blocks = |mut at: usize| {
        while let Some(length) = file.get(at).filter(|length| **length > 0) {
            at += 1 + usize::from(*length);
        }
        (at + 1).min(file.len())
    };
    let mut at = 13 + colours(file[10]);
    let mut pieces = vec![file[6..at].to_vec()];
    while at < file.len() {
        let ends = match file[at] {
            0x21 => vec![blocks(at + 2)],
            0x2C if at + 9 < file.len() => {
                let data = at + 11 + colours(file[at + 9]);
                vec![data, blocks(data)]
            }
            _ => vec![at + 1],
        };
        for end in ends {
            pieces.push(file[at..end.min(file.len())].to_vec());
            at = end;
        }
    }
    pieces
}
