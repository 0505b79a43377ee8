//! The marker segments of a file (T.81, B.1.1).

use crate::intake::Rejection;

/// Codes of the markers that are asked for by name (T.81, table B.1).
pub(crate) mod marker {
    pub(crate) const DHT: u8 = 0xC4;
    pub(crate) const JPG: u8 = 0xC8;
    pub(crate) const DAC: u8 = 0xCC;
    pub(crate) const RST0: u8 = 0xD0;
    pub(crate) const RST7: u8 = 0xD7;
    pub(crate) const SOI: u8 = 0xD8;
    pub(crate) const EOI: u8 = 0xD9;
    pub(crate) const SOS: u8 = 0xDA;
    pub(crate) const DQT: u8 = 0xDB;
    pub(crate) const DRI: u8 = 0xDD;
    pub(crate) const DHP: u8 = 0xDE;
    pub(crate) const EXP: u8 = 0xDF;
    pub(crate) const APP0: u8 = 0xE0;
    pub(crate) const APP1: u8 = 0xE1;
    pub(crate) const APP2: u8 = 0xE2;
    pub(crate) const APP14: u8 = 0xEE;
    /// JPEG-LS: its frame header, and what it sets.
    pub(crate) const SOF55: u8 = 0xF7;
    pub(crate) const LSE: u8 = 0xF8;
}

/// Walks over the segments of a file, up to its end or its end marker; gives each one's marker and what it holds.
/// Whatever lies between segments is passed over: fill bytes, stray bytes, restarts.
pub(crate) struct Segments<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the next segment is looked for; behind the last one that was given.
    pub(crate) at: usize,
    /// Whether the end marker has come; an error when the walk stopped within a segment, or at what can't be one.
    pub(crate) ended: Result<bool, Rejection>,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, ended: Ok(false) }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (at, marker) = next_marker(self.bytes.get(self.at..)?)?;
            self.at += at + 2;
            match marker {
                marker::SOI if self.at == 2 => {}
                marker::RST0..=marker::RST7 => {}
                marker::EOI => {
                    self.ended = Ok(true);
                    return None;
                }
                // Reserved, of arithmetic coders alone, or only of hierarchical files: decoders stop at these.
                marker::SOI | 0x01..=0xBF | marker::JPG | marker::EXP | 0xF0..=0xF6 | 0xF9..=0xFD => {
                    self.ended = Err(Rejection::Corrupt);
                    return None;
                }
                _ => match body(&self.bytes[self.at..]) {
                    Ok(body) => {
                        self.at += 2 + body.len();
                        return Some((marker, body));
                    }
                    Err(rejection) => {
                        self.ended = Err(rejection);
                        return None;
                    }
                },
            }
        }
    }
}

/// What a segment holds behind its marker, without its length.
fn body(bytes: &[u8]) -> Result<&[u8], Rejection> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Rejection::Incomplete)?;
    let length = u16::from_be_bytes(*length).checked_sub(2).ok_or(Rejection::Corrupt)?;
    rest.get(..length.into()).ok_or(Rejection::Incomplete)
}

/// The next marker, and where it stands: a byte FF before one that is neither stuffing nor fill.
pub(crate) fn next_marker(bytes: &[u8]) -> Option<(usize, u8)> {
    let at = bytes.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))?;
    Some((at, bytes[at + 1]))
}
