//! Walks the containers of GIF and WebP before a pixel is decoded: how many frames, and how large.

use super::Rejection;

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
    let Some(("VP8X", header)) = bytes.get(12..).and_then(|rest| Chunks(rest).next()?.ok()) else {
        return Ok(None);
    };
    if header.first().is_none_or(|flags| flags & 2 == 0) {
        return Ok(None);
    }
    let end = bytes.get(4..8).and_then(u32_le).ok_or(Rejection::Incomplete)?.saturating_add(8);
    let whole = bytes.get(12..end).ok_or(Rejection::Incomplete)?;
    let three = |body: &[u8], at: usize| {
        let three: &[u8; 3] = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
        Ok(u32::from_le_bytes([three[0], three[1], three[2], 0]))
    };
    let (width, height) = (three(header, 4)? + 1, three(header, 7)? + 1);
    let mut frames = Frames { canvas: (width, height), is_whole: true, ..Frames::default() };
    for chunk in Chunks(whole) {
        match chunk? {
            ("ANIM", body) => {
                let loops = body.get(4..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
                frames.loops = u16::from_le_bytes(*loops);
            }
            ("ANMF", body) => {
                let (x, y) = (2 * three(body, 0)?, 2 * three(body, 3)?);
                let size = (three(body, 6)? + 1, three(body, 9)? + 1);
                if x + size.0 > width || y + size.1 > height {
                    return Err(Rejection::Corrupt);
                }
                check_bitstreams(body.get(16..).ok_or(Rejection::Corrupt)?, size)?;
                frames.add(size.0, size.1);
            }
            _ => {}
        }
    }
    if frames.count == 0 { Err(Rejection::Incomplete) } else { Ok(Some(frames)) }
}

/// Whether the bitstreams of one frame are whole and of its size.
fn check_bitstreams(frame: &[u8], size: (u32, u32)) -> Result<(), Rejection> {
    for chunk in Chunks(frame) {
        let own = match chunk? {
            ("VP8 ", body) => lossy_size(body)?,
            // A byte of signature, then each side less one in 14 bits.
            ("VP8L", body) => {
                let bits = body.get(1..5).and_then(u32_le).ok_or(Rejection::Incomplete)? as u32;
                ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            }
            _ => continue,
        };
        if own != size {
            return Err(Rejection::Corrupt);
        }
    }
    Ok(())
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

/// The size that a lossy bitstream gives itself: three bytes of tag, three of start code, then the sides with two bits
/// of scale each (RFC 6386, 9.1).
fn lossy_size(bitstream: &[u8]) -> Result<(u32, u32), Rejection> {
    let side = |at: usize| {
        let two = bitstream.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Incomplete)?;
        Ok(u32::from(u16::from_le_bytes(*two) & 0x3FFF))
    };
    Ok((side(6)?, side(8)?))
}

/// The size that a WebP still's lossy bitstream gives itself, whatever the container says; `None` for others.
///
/// # Errors
/// [`Rejection::Incomplete`] when a chunk breaks off: the decoder would make up the last pixels of a lossy one.
pub(super) fn webp_lossy_size(bytes: &[u8]) -> Result<Option<(u32, u32)>, Rejection> {
    let end = bytes.get(4..8).and_then(u32_le).ok_or(Rejection::Incomplete)?.saturating_add(8);
    let (mut at, mut lossy) = (12, None);
    while at + 8 <= end.min(bytes.len()) {
        let length = u32_le(&bytes[at + 4..]).ok_or(Rejection::Incomplete)?;
        let body = bytes.get(at + 8..at + 8 + length).ok_or(Rejection::Incomplete)?;
        if bytes[at..].starts_with(b"VP8 ") {
            lossy = Some(lossy_size(body)?);
        }
        at += 8 + length + (length & 1);
    }
    Ok(lossy)
}
