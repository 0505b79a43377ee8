//! Walks the containers of GIF and WebP before a pixel is decoded: how many frames, and how large.

use super::Rejection;

/// What a container says of its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Frames {
    pub(super) count: usize,
    /// Width and height of the largest frame, by area: it may be larger than the canvas.
    pub(super) largest: (u32, u32),
}

impl Frames {
    fn add(&mut self, width: u32, height: u32) {
        self.count += 1;
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if area((width, height)) > area(self.largest) {
            self.largest = (width, height);
        }
    }
}

/// Counts a GIF file's whole frames.
///
/// # Errors
/// [`Rejection::Incomplete`] when the file breaks off in the middle of one.
pub(super) fn gif_frames(bytes: &[u8]) -> Result<Frames, Rejection> {
    const HEADER: usize = 13;
    let table_len = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let u16_at = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map(|b| u16::from_le_bytes(*b));
    let byte = |at: usize| bytes.get(at).copied().ok_or(Rejection::Incomplete);
    // Sub-blocks: a length byte, so many bytes, and so on until a length of zero.
    let skip_blocks = |mut at: usize| loop {
        let length = usize::from(byte(at)?);
        at += 1 + length;
        if length == 0 {
            return Ok(at);
        }
    };
    let mut frames = Frames::default();
    let mut at = HEADER + table_len(byte(10)?);
    while let Some(block) = bytes.get(at) {
        match block {
            0x21 => at = skip_blocks(at + 2)?,
            0x2C => {
                let (Some(width), Some(height)) = (u16_at(at + 5), u16_at(at + 7)) else {
                    return Err(Rejection::Incomplete);
                };
                at = skip_blocks(at + 11 + table_len(byte(at + 9)?))?;
                frames.add(width.into(), height.into());
            }
            // The trailer; what follows is no part of the image.
            _ => break,
        }
    }
    if frames.count == 0 { Err(Rejection::Incomplete) } else { Ok(frames) }
}

/// The size that a WebP still's lossy bitstream gives itself, whatever the container says; `None` for others.
///
/// # Errors
/// [`Rejection::Incomplete`] when a chunk breaks off: the decoder would make up the last pixels of a lossy one.
pub(super) fn webp_lossy_size(bytes: &[u8]) -> Result<Option<(u32, u32)>, Rejection> {
    let u32_at = |at: usize| {
        let four = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Incomplete)?;
        Ok(u32::from_le_bytes(*four) as usize)
    };
    let end = bytes.len().min(u32_at(4)?.saturating_add(8));
    let (mut at, mut lossy) = (12, None);
    while at + 8 <= end {
        let body = at + 8;
        let length = u32_at(at + 4)?;
        if length > bytes.len() - body {
            return Err(Rejection::Incomplete);
        }
        if bytes[at..].starts_with(b"VP8 ") {
            // Three bytes of tag, three of start code, then the sides with two bits of scale each (RFC 6386, 9.1).
            let side = |at: usize| Ok(u32_at(at)? as u32 & 0x3FFF);
            lossy = Some((side(body + 6)?, side(body + 8)?));
        }
        at = body + length + (length & 1);
    }
    Ok(lossy)
}
