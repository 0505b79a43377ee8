//! Walks the containers of GIF and WebP before a pixel is decoded: how many frames, and how large.

use super::{Rejection, lossless};

/// Bytes of tables that all frames of an animation may take together, one after the other: building them took 1 to 1.7 s
/// of processor time for each gigabyte, and a file of 7 MB could ask for 47 of these. What libwebp writes takes some
/// hundred bytes of the file for what crafted codes do in ten.
const ALL_TABLES: u64 = 2 << 30;

/// What a container says of its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Frames {
    pub(super) count: usize,
    /// Width and height of the canvas that frames are drawn on.
    pub(super) canvas: (u32, u32),
    /// Width and height of the largest frame, by area: in GIF it may be larger than the canvas.
    pub(super) largest: (u32, u32),
    /// How often they are played; 0 is without end.
    pub(super) loops: u16,
    /// Whether the file goes on to where it says it ends.
    pub(super) is_whole: bool,
}

impl Frames {
    fn add(&mut self, width: u32, height: u32) {
        self.count += 1;
        if area((width, height)) > area(self.largest) {
            self.largest = (width, height);
        }
    }

    /// Pixels that are handled for each frame, at most: the whole canvas is drawn anew.
    pub(super) fn work(&self) -> u64 {
        area(self.canvas).max(area(self.largest))
    }
}

fn area((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// Counts a GIF file's whole frames.
///
/// # Errors
/// [`Rejection::Incomplete`] when the file breaks off in the middle of one.
pub(super) fn gif_frames(bytes: &[u8]) -> Result<Frames, Rejection> {
    const HEADER: usize = 13;
    let table_len = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let u16_at = |at: usize| {
        let two = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Incomplete)?;
        Ok(u16::from_le_bytes(*two))
    };
    let byte = |at: usize| bytes.get(at).copied().ok_or(Rejection::Incomplete);
    // Sub-blocks: a length byte, so many bytes, and so on until a length of zero.
    let skip_blocks = |mut at: usize| loop {
        let length = usize::from(byte(at)?);
        at += 1 + length;
        if length == 0 {
            return Ok(at);
        }
    };
    let canvas = (u16_at(6)?.into(), u16_at(8)?.into());
    let mut frames = Frames { canvas, loops: 1, ..Frames::default() };
    let mut at = HEADER + table_len(byte(10)?);
    while let Some(block) = bytes.get(at) {
        match block {
            0x21 => {
                if let Some(repeats) = gif_repeats(&bytes[at..]) {
                    // It says how often they are repeated once they were played; the greatest number is kept as it is.
                    frames.loops = if repeats == 0 { 0 } else { repeats.saturating_add(1) };
                }
                at = skip_blocks(at + 2)?;
            }
            0x2C => {
                let (width, height) = (u16_at(at + 5)?, u16_at(at + 7)?);
                at = skip_blocks(at + 11 + table_len(byte(at + 9)?))?;
                frames.add(width.into(), height.into());
            }
            // The trailer; what follows is no part of the image.
            other => {
                frames.is_whole = *other == 0x3B;
                break;
            }
        }
    }
    if frames.count == 0 { Err(Rejection::Incomplete) } else { Ok(frames) }
}

/// The number in an extension block that says how often an animation is repeated; 0 is without end.
fn gif_repeats(block: &[u8]) -> Option<u16> {
    let name = block.strip_prefix(&[0x21, 0xFF, 11])?;
    let number = name.strip_prefix(b"NETSCAPE2.0").or_else(|| name.strip_prefix(b"ANIMEXTS1.0"))?;
    number.strip_prefix(&[3, 1])?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

/// Walks an animated WebP file; `None` for stills.
///
/// # Errors
/// [`Rejection::Incomplete`] when it breaks off; [`Rejection::Corrupt`] when a frame lies outside the canvas, or its
/// bitstream gives itself another size: a decoder spends memory on that before it compares the two.
pub(super) fn webp_frames(bytes: &[u8]) -> Result<Option<Frames>, Rejection> {
    let Some(header) = animation_header(bytes) else { return Ok(None) };
    if said_length(bytes)? > bytes.len() {
        return Err(Rejection::Incomplete);
    }
    let three = |body: &[u8], at: usize| {
        let three: &[u8; 3] = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
        Ok(u32::from_le_bytes([three[0], three[1], three[2], 0]))
    };
    let (width, height) = (three(header, 4)? + 1, three(header, 7)? + 1);
    let mut frames = Frames { canvas: (width, height), is_whole: true, ..Frames::default() };
    for chunk in Chunks(&bytes[12..]) {
        match chunk? {
            ("ANIM", body) => {
                let loops = body.get(4..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
                frames.loops = u16::from_le_bytes(*loops);
            }
            ("ANMF", body) => {
                let (x, y) = (2 * three(body, 0)?, 2 * three(body, 3)?);
                let size = (three(body, 6)? + 1, three(body, 9)? + 1);
                // The decoder does not see the byte behind an odd length, and would read on elsewhere.
                let is_odd = body.len() % 2 == 1;
                if is_odd || x + size.0 > width || y + size.1 > height || frame(body)?.size()? != size {
                    return Err(Rejection::Corrupt);
                }
                frames.add(size.0, size.1);
            }
            _ => {}
        }
    }
    if frames.count == 0 { Err(Rejection::Incomplete) } else { Ok(Some(frames)) }
}

/// The first chunk of a WebP file that says it is an animation.
fn animation_header(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.get(12..).and_then(|rest| Chunks(rest).next()?.ok()) {
        Some(("VP8X", header)) if header.first().is_some_and(|flags| flags & 2 != 0) => Some(header),
        _ => None,
    }
}

/// What a still or a frame is decoded from.
struct Picture<'a> {
    is_lossless: bool,
    bitstream: &'a [u8],
    /// The alpha channel of a lossy one: a byte that says how it is coded, then itself.
    alpha: Option<&'a [u8]>,
}

impl<'a> Picture<'a> {
    /// Finds it among chunks. It must be the only one, so that no reader can take another.
    fn find(chunks: Chunks<'a>) -> Result<Self, Rejection> {
        let (mut picture, mut alpha) = (None, None);
        for chunk in chunks {
            match chunk? {
                ("ALPH", body) if picture.is_none() && alpha.is_none() => alpha = Some(body),
                ("VP8 ", bitstream) if picture.is_none() => {
                    picture = Some(Self { is_lossless: false, bitstream, alpha });
                }
                ("VP8L", bitstream) if picture.is_none() && alpha.is_none() => {
                    picture = Some(Self { is_lossless: true, bitstream, alpha });
                }
                ("ALPH" | "VP8 " | "VP8L" | "ANMF", _) => return Err(Rejection::Corrupt),
                // The decoder takes whatever follows an alpha channel for the picture.
                _ if picture.is_none() && alpha.is_some() => return Err(Rejection::Corrupt),
                _ => {}
            }
        }
        picture.ok_or(Rejection::Incomplete)
    }

    /// The size that the bitstream gives itself.
    fn size(&self) -> Result<(u32, u32), Rejection> {
        if !self.is_lossless {
            // Three bytes of tag, three of start code, then the sides with two bits of scale each (RFC 6386, 9.1).
            let side = |at: usize| {
                let two = self.bitstream.get(at..).and_then(<[u8]>::first_chunk);
                Ok(u32::from(u16::from_le_bytes(*two.ok_or(Rejection::Incomplete)?) & 0x3FFF))
            };
            return Ok((side(6)?, side(8)?));
        }
        // A byte of signature, then each side less one in 14 bits.
        let bits = self.bitstream.get(1..5).and_then(u32_le).ok_or(Rejection::Incomplete)? as u32;
        Ok(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
    }

    /// Bytes that the decoder takes for tables.
    fn tables(&self, limit: u64) -> Result<u64, Rejection> {
        match self.alpha {
            // The header has three more bits of version and one that says whether there is transparency.
            None if self.is_lossless => lossless::tables(self.bitstream, 40, self.size()?, limit),
            Some(alpha) if alpha.first().is_some_and(|coding| coding & 3 == 1) => {
                lossless::tables(alpha, 8, self.size()?, limit)
            }
            _ => Ok(0),
        }
    }
}

/// What a frame of an animation is decoded from.
fn frame(body: &[u8]) -> Result<Picture<'_>, Rejection> {
    Picture::find(Chunks(body.get(16..).ok_or(Rejection::Corrupt)?))
}

/// Bytes that the decoder of a WebP still, or of so many frames, takes for tables at one time, whatever the size. Sizes
/// and frames must have been checked before: it takes time for each pixel.
///
/// # Errors
/// [`Rejection::TooMuchMemory`] when they are more than `limit`; [`Rejection::TooMuchWork`] when those of all frames are
/// more than [`ALL_TABLES`]; [`Rejection::Incomplete`]; [`Rejection::Corrupt`].
pub(super) fn webp_tables(bytes: &[u8], frames: usize, limit: u64) -> Result<u64, Rejection> {
    if animation_header(bytes).is_none() {
        return Picture::find(Chunks(&bytes[12..]))?.tables(limit);
    }
    let chunks = Chunks(&bytes[12..]).filter(|chunk| !matches!(chunk, Ok((name, _)) if *name != "ANMF"));
    let (mut most, mut all) = (0, 0);
    for chunk in chunks.take(frames) {
        let tables = frame(chunk?.1)?.tables(limit)?;
        (most, all) = (tables.max(most), all + tables);
        if all > ALL_TABLES {
            return Err(Rejection::TooMuchWork {
                found: "its frames have more than 2 GB of code tables".into(),
            });
        }
    }
    Ok(most)
}

/// The chunks of a RIFF file, behind its own header: name and body.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a str, &'a [u8]), Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.0.split_at_checked(8)?;
        let length = u32_le(&header[4..])?;
        let Some((body, rest)) = rest.split_at_checked(length) else {
            self.0 = &[];
            return Some(Err(Rejection::Incomplete));
        };
        self.0 = rest.get(length & 1..).unwrap_or_default();
        Some(Ok((std::str::from_utf8(&header[..4]).unwrap_or_default(), body)))
    }
}

fn u32_le(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|four| u32::from_le_bytes(*four) as usize)
}

/// The size that a WebP still's bitstream gives itself, whatever the container says.
///
/// # Errors
/// [`Rejection::Incomplete`] when a chunk breaks off: the decoder would make up the last pixels of a lossy one.
/// [`Rejection::Corrupt`] when there are several.
pub(super) fn webp_still(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    Picture::find(Chunks(&bytes[12..]))?.size()
}

/// A WebP file as far as it says that it goes; what follows is no part of it.
pub(super) fn riff(bytes: &[u8]) -> Result<&[u8], Rejection> {
    let length = said_length(bytes)?.min(bytes.len());
    if length < 12 { Err(Rejection::Incomplete) } else { Ok(&bytes[..length]) }
}

fn said_length(bytes: &[u8]) -> Result<usize, Rejection> {
    Ok(bytes.get(4..8).and_then(u32_le).ok_or(Rejection::Incomplete)?.saturating_add(8))
}
