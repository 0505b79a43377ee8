//! The marker segments of a file (T.81, B.1.1).

/// Codes of the markers that are asked for by name (T.81, table B.1).
pub(crate) mod marker {
    pub(crate) const DHT: u8 = 0xC4;
    pub(crate) const RST0: u8 = 0xD0;
    pub(crate) const RST7: u8 = 0xD7;
    pub(crate) const SOI: u8 = 0xD8;
    pub(crate) const EOI: u8 = 0xD9;
    pub(crate) const SOS: u8 = 0xDA;
    pub(crate) const DQT: u8 = 0xDB;
    pub(crate) const DRI: u8 = 0xDD;
    pub(crate) const DHP: u8 = 0xDE;
    pub(crate) const APP0: u8 = 0xE0;
    pub(crate) const APP1: u8 = 0xE1;
    pub(crate) const APP2: u8 = 0xE2;
    pub(crate) const APP14: u8 = 0xEE;
    pub(crate) const TEM: u8 = 0x01;
}

/// Walks over the segments of a file, up to its end or its end marker; gives each one's marker and what it holds.
/// Whatever lies between segments is passed over: fill bytes, stray bytes, markers that stand alone.
pub(crate) struct Segments<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the next segment is looked for; behind the last one that was given.
    pub(crate) at: usize,
    /// Whether the end marker has come.
    pub(crate) ended: bool,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, ended: false }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (at, marker) = next_marker(self.bytes.get(self.at..)?)?;
            self.at += at + 2;
            match marker {
                marker::SOI | marker::RST0..=marker::RST7 | marker::TEM => {}
                marker::EOI => {
                    self.ended = true;
                    return None;
                }
                _ => {
                    let length = usize::from(u16::from_be_bytes(*self.bytes.get(self.at..)?.first_chunk()?));
                    let body = self.bytes.get(self.at + 2..self.at + length)?;
                    self.at += length;
                    return Some((marker, body));
                }
            }
        }
    }
}

/// The next marker, and where it stands: a byte FF before one that is neither stuffing nor fill.
pub(crate) fn next_marker(bytes: &[u8]) -> Option<(usize, u8)> {
    let at = bytes.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))?;
    Some((at, bytes[at + 1]))
}
