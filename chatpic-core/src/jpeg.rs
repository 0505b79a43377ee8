//! Everything that reads JPEG files (ITU-T T.81): intake decodes uploads with it, and the mark takes ChatPic's own
//! files apart.
//!
//! A file is read once. The coefficients that a scan sends are decoded while it is checked that every block of it is
//! there, so no picture has parts that were filled in. Where T.81 leaves a choice, or files break its rules, it does
//! what libjpeg-turbo does and browsers therefore show: which colours the components are, the arithmetic of the inverse
//! DCT, and how chroma is interpolated.

mod dct;
mod frame;
pub(crate) mod huffman;
mod pixels;
mod scan;
pub(crate) mod segments;
#[cfg(test)]
mod tests;

use image::{GrayImage, RgbImage};

use self::frame::Frame;
use self::huffman::{Definition, STANDARD};
use self::pixels::Colours;
use self::scan::Scans;
use self::segments::{Segments, marker};
use crate::intake::Rejection;
use crate::mark::Size;

/// The order in which the coefficients of a block are sent, as their places row by row (T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The pixels of a JPEG file, as it stores them: neither turned upright nor converted by its profile.
#[derive(Debug)]
pub(crate) enum Samples {
    /// One component.
    Grey(GrayImage),
    /// Three components.
    Rgb(RgbImage),
    /// Four components.
    Ink {
        /// Width and height.
        size: Size,
        /// Cyan, magenta, yellow and black of each pixel; 255 is no ink, as Adobe's programs write it.
        values: Vec<u8>,
    },
}

/// What segments between scans set.
struct Tables<'a> {
    dc: [Option<Definition<'a>>; 4],
    ac: [Option<Definition<'a>>; 4],
    /// Row by row.
    quantization: [Option<[u16; 64]>; 4],
    /// Units between two restart markers; 0 for none.
    restart_interval: usize,
}

impl<'a> Tables<'a> {
    fn new() -> Self {
        Self { dc: [None; 4], ac: [None; 4], quantization: [None; 4], restart_interval: 0 }
    }

    /// Fills empty places with the Huffman tables of annex K, which webcams leave out.
    fn add_standard(&mut self) {
        for (tables, standard) in [&mut self.dc, &mut self.ac].into_iter().zip(STANDARD) {
            for (table, standard) in tables.iter_mut().zip(standard) {
                table.get_or_insert(standard);
            }
        }
    }

    /// Takes what a segment sets, if it sets anything.
    fn read(&mut self, marker: u8, body: &'a [u8]) -> Result<(), Rejection> {
        match marker {
            marker::DHT => {
                for table in huffman::definitions(body) {
                    let (kind, definition) = table?;
                    let class = match kind >> 4 {
                        0 => &mut self.dc,
                        1 => &mut self.ac,
                        _ => return Err(Rejection::Corrupt),
                    };
                    *class.get_mut(usize::from(kind & 15)).ok_or(Rejection::Corrupt)? = Some(definition);
                }
            }
            marker::DQT => self.quantization(body)?,
            marker::DRI => {
                let interval = body.try_into().map_err(|_| Rejection::Corrupt)?;
                self.restart_interval = u16::from_be_bytes(interval).into();
            }
            _ => {}
        }
        Ok(())
    }

    /// Quantization tables (T.81, B.2.4.1), of one or two bytes an entry.
    fn quantization(&mut self, mut body: &[u8]) -> Result<(), Rejection> {
        while let Some((&kind, rest)) = body.split_first() {
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let (entries, rest) = rest.split_at_checked(64 * bytes).ok_or(Rejection::Corrupt)?;
            let mut table = [0; 64];
            for (place, entry) in ZIGZAG.iter().zip(entries.chunks_exact(bytes)) {
                table[usize::from(*place)] =
                    entry.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            *self.quantization.get_mut(usize::from(kind & 15)).ok_or(Rejection::Corrupt)? = Some(table);
            body = rest;
        }
        Ok(())
    }
}

/// A JPEG file of which everything up to the first scan's data has been read.
pub(crate) struct Jpeg<'a> {
    /// What comes behind the first scan's header.
    segments: Segments<'a>,
    first_scan: &'a [u8],
    tables: Tables<'a>,
    frame: Frame,
    colours: Colours,
    exif: Option<&'a [u8]>,
    profile: Vec<&'a [u8]>,
}

impl<'a> Jpeg<'a> {
    /// Reads a file up to its first scan; no pixel is decoded, and next to no memory spent.
    ///
    /// # Errors
    /// [`Rejection::Unsupported`] for a kind of JPEG that is not decoded; [`Rejection::Incomplete`] when there is no
    /// scan; [`Rejection::Corrupt`].
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let mut segments = Segments::new(bytes);
        let mut tables = Tables::new();
        let mut frame: Option<Frame> = None;
        let (mut jfif, mut adobe, mut exif, mut profile) = (false, None, None, Profile::default());
        while let Some((marker, body)) = segments.next() {
            match marker {
                marker::APP0 => jfif |= body.len() >= 14 && body.starts_with(b"JFIF\0"),
                marker::APP1 if body.starts_with(b"Exif\0") => {
                    exif = exif.or(body.get(6..).filter(|tiff| !tiff.is_empty()));
                }
                marker::APP2 => profile.add(body),
                marker::APP14 if body.starts_with(b"Adobe") => adobe = body.get(11).copied().or(adobe),
                marker::SOS => {
                    let frame = frame.ok_or(Rejection::Corrupt)?;
                    if !frame.progressive {
                        tables.add_standard();
                    }
                    let colours = Colours::new(&frame.ids(), jfif, adobe)?;
                    let profile = profile.whole();
                    return Ok(Self { segments, first_scan: body, tables, frame, colours, exif, profile });
                }
                _ => {
                    tables.read(marker, body)?;
                    if let Some(read) = Frame::read(marker, body)?
                        && frame.replace(read).is_some()
                    {
                        return Err(Rejection::Corrupt);
                    }
                }
            }
        }
        segments.ended?;
        Err(Rejection::Incomplete)
    }

    /// Width and height as stored, before it is turned upright.
    pub(crate) fn size(&self) -> Size {
        self.frame.size
    }

    /// Bytes of a pixel in what [`Self::decode`] gives: 1, 3 or 4.
    pub(crate) fn channels(&self) -> u64 {
        self.colours.channels()
    }

    /// Bytes that [`Self::decode`] takes besides the samples that it gives.
    pub(crate) fn working_bytes(&self) -> u64 {
        let planes = self.frame.components.iter().map(|component| component.plane_bytes() as u64);
        let all: u64 = planes.clone().sum();
        if !self.frame.progressive {
            return all;
        }
        // All coefficients, of two bytes, exist together with the first plane that is made of them; then the samples
        // are made of the planes.
        let samples = self.frame.size.pixels() * self.channels();
        all.max((2 * all + planes.max().unwrap_or(0)).saturating_sub(samples))
    }

    /// The first Exif segment, from its TIFF header on; browsers take no other.
    pub(crate) fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    /// The colour profile, if each of its pieces is there.
    pub(crate) fn profile(&self) -> Option<Vec<u8>> {
        (!self.profile.is_empty()).then(|| self.profile.concat())
    }

    /// Decodes every pixel.
    ///
    /// # Errors
    /// [`Rejection::Incomplete`] when pixels are missing: data break off within a scan, no scan sends a component, or
    /// the file ends without an end marker before every coefficient has come. A file that has its end marker may
    /// leave out what its scans do not announce: high frequencies, last bits.
    /// [`Rejection::TooMuchWork`] when its scans go over too many blocks; [`Rejection::Corrupt`].
    pub(crate) fn decode(self) -> Result<Samples, Rejection> {
        let Self { mut segments, first_scan, mut tables, frame, colours, .. } = self;
        let mut scans = Scans::new(frame);
        let mut next = Some((marker::SOS, first_scan));
        while let Some((marker, body)) = next {
            if marker == marker::SOS {
                segments.at += scans.read(body, &tables, &segments.bytes[segments.at..])?;
            } else if Frame::read(marker, body)?.is_some() {
                return Err(Rejection::Corrupt);
            } else {
                tables.read(marker, body)?;
            }
            next = segments.next();
        }
        let (frame, planes) = scans.planes(segments.ended?)?;
        pixels::samples(&frame, colours, &planes)
    }
}

/// The pieces of a colour profile (ICC.1, annex B.4), which are numbered from 1 and each say how many there are.
#[derive(Default)]
struct Profile<'a> {
    pieces: Vec<Option<&'a [u8]>>,
    broken: bool,
}

impl<'a> Profile<'a> {
    /// Takes a piece, if the segment is one. A piece that comes again, or behind a whole profile, is left aside.
    fn add(&mut self, segment: &'a [u8]) {
        let Some([number, count, piece @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") else { return };
        let (number, count) = (usize::from(*number), usize::from(*count));
        if self.pieces.is_empty() {
            self.pieces = vec![None; count];
        } else if self.pieces.iter().all(Option::is_some) {
            return;
        }
        if count == self.pieces.len() && (1..=count).contains(&number) {
            self.pieces[number - 1].get_or_insert(piece);
        } else {
            self.broken = true;
        }
    }

    /// The pieces in order; nothing when one is missing.
    fn whole(self) -> Vec<&'a [u8]> {
        let pieces: Option<Vec<_>> = self.pieces.into_iter().collect();
        pieces.filter(|_| !self.broken).unwrap_or_default()
    }
}
