//! An image made ready at intake: both variants of every segment encoded once, so that a session's copy is spliced
//! from them at the speed of copying memory.

use std::collections::BTreeMap;

use image::RgbImage;

use super::code::codeword;
use super::embed::{chroma, pair, record, smaller_sizes};
use super::jpeg::{self, Parts};
use super::key::ImageKey;
use super::label::{Label, LabelPixel};
use super::layout::Layout;
use super::plane::Plane;
use super::record::{Chroma, MarkError, MarkRecord, Size};
use super::shape::flat_fraction;
use crate::id::SessionId;
use crate::scale;

/// An image made ready in all the sizes it is served in.
#[derive(Debug)]
pub struct Prepared {
    /// What the ledger keeps; `None` when the image can't carry the forensic mark.
    pub record: Option<MarkRecord>,
    /// The full size first, then the smaller ones, widest first.
    pub renditions: Vec<PreparedRendition>,
}

/// One size of an image: a JPEG header and the variants of each segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreparedRendition {
    size: Size,
    chroma: Chroma,
    /// The size's place in the record.
    index: u32,
    header: Vec<u8>,
    /// Variant A of every segment.
    plus: Vec<Vec<u8>>,
    /// Variant B of every segment; empty when the image carries no mark.
    minus: Vec<Vec<u8>>,
}

/// Marks and encodes both variants of an image in its full size and, scaled down, in the given widths; widths that
/// are not below its own are left out.
///
/// An image too small or too flat for the forensic mark is encoded once, and has no record.
///
/// # Errors
/// [`MarkError::Jpeg`] when a side exceeds 65 535 pixels or there are no pixels.
pub fn prepare(full: &RgbImage, widths: &[u32], key: &ImageKey) -> Result<Prepared, MarkError> {
    let size = Size { width: full.width(), height: full.height() };
    let sizes: Vec<Size> = std::iter::once(size).chain(smaller_sizes(size, widths)).collect();
    let record = match record(full, widths) {
        // No width may be served unmarked, so one that can't carry the mark leaves the whole image without.
        Ok(record) if record.sizes == sizes => Some(record),
        Ok(_) | Err(MarkError::TooSmall | MarkError::TooFlat) => None,
        Err(error) => return Err(error),
    };
    let unmarked_chroma = chroma(size, flat_fraction(&Plane::from_luma(full)));
    let rendition = |(index, size): (usize, &Size)| {
        let scaled = scale::rgb(full, *size);
        let (chroma, variants) = match &record {
            Some(record) => {
                let ([plus, minus], carrier) = pair(&scaled, key, record, index)?;
                let encode = |image: &RgbImage| jpeg::encode(image, record.chroma, carrier.layout.run);
                (record.chroma, (encode(&plus)?, Some(encode(&minus)?)))
            }
            None => {
                let run = Layout::new(*size, unmarked_chroma).run;
                (unmarked_chroma, (jpeg::encode(&scaled, unmarked_chroma, run)?, None))
            }
        };
        let plus = Parts::cut(&variants.0)?;
        let minus = variants.1.map(|minus| Parts::cut(&minus)).transpose()?.unwrap_or_default();
        let index = u32::try_from(index).map_err(|_| MarkError::Record)?;
        let PartsPair { header, plus, minus } = PartsPair::new(plus, minus)?;
        Ok(PreparedRendition { size: *size, chroma, index, header, plus, minus })
    };
    let renditions: Result<Vec<_>, MarkError> = sizes.iter().enumerate().map(rendition).collect();
    Ok(Prepared { record, renditions: renditions? })
}

/// Two files whose segments can be exchanged.
struct PartsPair {
    header: Vec<u8>,
    plus: Vec<Vec<u8>>,
    minus: Vec<Vec<u8>>,
}

impl PartsPair {
    fn new(plus: Parts, minus: Parts) -> Result<Self, MarkError> {
        let alike = plus.header == minus.header && plus.segments.len() == minus.segments.len();
        if !minus.segments.is_empty() && !alike {
            return Err(MarkError::Jpeg("variants of different shape".into()));
        }
        Ok(Self { header: plus.header, plus: plus.segments, minus: minus.segments })
    }
}

impl PreparedRendition {
    /// The rendition's size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// A session's copy: an ordinary baseline JPEG file. The same session and labels give the same bytes.
    ///
    /// Segments that no label touches are copied as they were encoded; the others are decoded, drawn on and encoded
    /// anew.
    ///
    /// # Errors
    /// [`MarkError::NotPrepared`] when the segments do not fit the size; [`MarkError::Jpeg`].
    pub fn copy(&self, key: &ImageKey, session: SessionId, labels: &[Label]) -> Result<Vec<u8>, MarkError> {
        let layout = self.layout()?;
        let code = codeword(key, self.index as usize, session, self.plus.len());
        let chosen = |j: usize| match self.minus.get(j) {
            Some(minus) if !code.bit(j) => minus.as_slice(),
            _ => self.plus[j].as_slice(),
        };
        let drawn = self.drawn(&layout, labels, chosen)?;
        let segment = |j: usize| drawn.get(&j).map_or_else(|| chosen(j), Vec::as_slice);
        Ok(jpeg::join(&self.header, (0..self.plus.len()).map(segment)))
    }

    fn layout(&self) -> Result<Layout, MarkError> {
        let layout = Layout::new(self.size, self.chroma);
        let complete = self.plus.len() == layout.segments
            && (self.minus.is_empty() || self.minus.len() == layout.segments);
        if complete { Ok(layout) } else { Err(MarkError::NotPrepared("segments missing")) }
    }

    /// The segments that labels touch, drawn and encoded anew.
    ///
    /// Segments of full length are stacked into one small image, a row of units each, so that they are decoded and
    /// encoded in one go; a last, shorter one is an image of its own.
    fn drawn<'a>(
        &'a self,
        layout: &Layout,
        labels: &[Label],
        chosen: impl Fn(usize) -> &'a [u8],
    ) -> Result<BTreeMap<usize, Vec<u8>>, MarkError> {
        let mut touched: BTreeMap<usize, Vec<(u32, u32, LabelPixel)>> = BTreeMap::new();
        for place in labels.iter().flat_map(Label::places) {
            let (x, y) = (place.0 as usize, place.1 as usize);
            if x < self.size.width as usize && y < self.size.height as usize {
                touched.entry(layout.segment_of(x, y)).or_default().push(place);
            }
        }
        let units = |j: usize| layout.run.min(layout.columns * layout.rows - j * layout.run);
        let (whole, short): (Vec<usize>, Vec<usize>) =
            touched.keys().copied().partition(|j| units(*j) == layout.run);
        let mut drawn = BTreeMap::new();
        for group in [whole, short] {
            let Some(&first) = group.first() else { continue };
            let stack =
                Size { width: (units(first) * layout.mcu) as u32, height: (group.len() * layout.mcu) as u32 };
            let mut file = jpeg::join(&self.header, group.iter().map(|j| chosen(*j)));
            jpeg::set_size(&mut file, stack)?;
            let mut pixels = jpeg::decode(&file)?;
            for (row, j) in group.iter().enumerate() {
                for (x, y, label) in touched.get(j).into_iter().flatten() {
                    let unit = (*y as usize / layout.mcu) * layout.columns + *x as usize / layout.mcu;
                    let x = (unit - j * layout.run) * layout.mcu + *x as usize % layout.mcu;
                    let y = row * layout.mcu + *y as usize % layout.mcu;
                    draw(pixels.get_pixel_mut(x as u32, y as u32), *label);
                }
            }
            let parts = Parts::cut(&jpeg::encode(&pixels, self.chroma, layout.run)?)?;
            drawn.extend(group.into_iter().zip(parts.segments));
        }
        Ok(drawn)
    }

    /// The rendition as bytes, for sealing; both variants are secrets.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT, u8::from(self.chroma == Chroma::Full), u8::from(!self.minus.is_empty())];
        for number in [self.size.width, self.size.height, self.index, self.plus.len() as u32] {
            bytes.extend(number.to_be_bytes());
        }
        for part in std::iter::once(&self.header).chain(&self.plus).chain(&self.minus) {
            bytes.extend((part.len() as u32).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }

    /// Reads what [`PreparedRendition::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`MarkError::NotPrepared`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MarkError> {
        let mut reader = Reader(bytes);
        let [format, chroma, variants] = reader.array()?;
        if format != FORMAT || chroma > 1 || variants > 1 {
            return Err(MarkError::NotPrepared("unknown format"));
        }
        let (width, height) = (reader.number()?, reader.number()?);
        let (index, segments) = (reader.number()?, reader.number()?);
        let header = reader.part()?;
        let plus = (0..segments).map(|_| reader.part()).collect::<Result<_, _>>()?;
        let minus = (0..segments * u32::from(variants)).map(|_| reader.part()).collect::<Result<_, _>>()?;
        if !reader.0.is_empty() {
            return Err(MarkError::NotPrepared("trailing bytes"));
        }
        let chroma = if chroma == 1 { Chroma::Full } else { Chroma::Half };
        let rendition = Self { size: Size { width, height }, chroma, index, header, plus, minus };
        rendition.layout()?;
        Ok(rendition)
    }
}

/// The first byte of a prepared rendition.
const FORMAT: u8 = 1;

/// Draws one pixel of a label: the same step on red, green and blue, which moves luma and leaves colour.
fn draw(pixel: &mut image::Rgb<u8>, label: LabelPixel) {
    let [r, g, b] = pixel.0.map(f32::from);
    let luma = (0.299 * r + 0.587 * g + 0.114 * b).round() as u8;
    let step = i16::from(label.over(luma)) - i16::from(luma);
    pixel.0 = pixel.0.map(|v| (i16::from(v) + step).clamp(0, 255) as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MarkError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(MarkError::NotPrepared("cut short"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, MarkError> {
        self.array().map(u32::from_be_bytes)
    }

    fn part(&mut self) -> Result<Vec<u8>, MarkError> {
        let len = self.number()? as usize;
        let (part, rest) = self.0.split_at_checked(len).ok_or(MarkError::NotPrepared("cut short"))?;
        self.0 = rest;
        Ok(part.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::embed::embed_with;
    use super::super::embed::tests::{key, picture};
    use super::*;

    const SESSION: SessionId = SessionId(0xE64F_44F6);

    fn label(x: u32, y: u32) -> Label {
        let pixels = vec![LabelPixel { luma: 255, weight: 200 }; 30 * 9];
        Label { x, y, width: 30, height: 9, pixels }
    }

    #[test]
    fn a_spliced_copy_is_byte_for_byte_the_direct_one() {
        for (width, height) in [(640, 480), (331, 207), (97, 211), (700, 501)] {
            let image = picture(width, height);
            let prepared = prepare(&image, &[], &key()).unwrap();
            let record = prepared.record.unwrap();
            let copy = prepared.renditions[0].copy(&key(), SESSION, &[]).unwrap();
            let direct = embed_with(&image, &key(), SESSION, &record, 0).unwrap();
            let run = Layout::new(record.sizes[0], record.chroma).run;
            assert!(copy == jpeg::encode(&direct, record.chroma, run).unwrap(), "{width} x {height}");
        }
    }

    #[test]
    fn copies_of_all_widths_decode_to_their_size_and_differ_by_session() {
        let prepared = prepare(&picture(900, 640), &[640, 1280], &key()).unwrap();
        let sizes: Vec<_> = prepared.renditions.iter().map(|r| r.size().width).collect();
        assert_eq!(sizes, [900, 640]);
        for rendition in &prepared.renditions {
            let copy = |session| rendition.copy(&key(), SessionId(session), &[label(13, 17)]).unwrap();
            let decoded = image::load_from_memory(&copy(1)).unwrap();
            assert_eq!(
                (decoded.width(), decoded.height()),
                (rendition.size().width, rendition.size().height)
            );
            assert_eq!(copy(1), copy(1));
            assert_ne!(copy(1), copy(2));
        }
    }

    #[test]
    fn labels_change_the_segments_they_touch_and_no_other() {
        let prepared = prepare(&picture(500, 300), &[], &key()).unwrap();
        let rendition = &prepared.renditions[0];
        let layout = rendition.layout().unwrap();
        let cut = |labels: &[Label]| Parts::cut(&rendition.copy(&key(), SESSION, labels).unwrap()).unwrap();
        // The second label runs over the lower right corner, into the last segment.
        let labels = [label(101, 49), label(480, 295)];
        let (clean, drawn) = (cut(&[]), cut(&labels));
        for j in 0..layout.segments {
            let places = labels.iter().flat_map(Label::places);
            let inside = places.filter(|(x, y, _)| *x < 500 && *y < 300);
            let touched = inside.into_iter().any(|(x, y, _)| layout.segment_of(x as usize, y as usize) == j);
            assert!(touched || clean.segments[j] == drawn.segments[j], "segment {j}");
        }
        let bright = image::load_from_memory(&rendition.copy(&key(), SESSION, &labels).unwrap()).unwrap();
        assert!(bright.to_rgb8().get_pixel(115, 53).0[1] > 200);
    }

    #[test]
    fn tiny_images_are_served_without_the_forensic_mark() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (95, 40)] {
            let prepared = prepare(&picture(width, height), &[], &key()).unwrap();
            assert_eq!(prepared.record, None);
            let copy = prepared.renditions[0].copy(&key(), SESSION, &[]).unwrap();
            let decoded = image::load_from_memory(&copy).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (width, height));
        }
    }

    #[test]
    fn prepared_bytes_read_back_and_damaged_ones_are_refused() {
        let prepared = prepare(&picture(200, 150), &[], &key()).unwrap();
        let bytes = prepared.renditions[0].to_bytes();
        assert_eq!(PreparedRendition::from_bytes(&bytes).unwrap(), prepared.renditions[0]);
        for cut in (0..bytes.len()).step_by(11) {
            assert!(PreparedRendition::from_bytes(&bytes[..cut]).is_err(), "cut to {cut}");
        }
        assert!(PreparedRendition::from_bytes(&[bytes.as_slice(), b"x"].concat()).is_err());
    }
}
