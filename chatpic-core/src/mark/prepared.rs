//! An image made ready at intake: both variants of every segment encoded once, so that a session's copy is spliced
//! from them at the speed of copying memory.

use std::borrow::Cow;
use std::ops::Range;

use image::RgbImage;

use super::code::codeword;
use super::embed::{chroma, pair, record, smaller_sizes};
use super::huffman::{Counts, Tables};
use super::jpeg::{self, Parts};
use super::key::ImageKey;
use super::label::{Label, LabelPixel};
use super::layout::Layout;
use super::plane::Plane;
use super::record::{Chroma, MarkError, MarkRecord, Size, if_markable};
use super::shape::flat_fraction;
use crate::id::SessionId;
use crate::scale;
use crate::wide::wide;

/// An image made ready in all the sizes it is served in.
#[derive(Debug)]
pub struct Prepared {
    /// What the ledger keeps; `None` when the image can't carry the forensic mark.
    pub record: Option<MarkRecord>,
    /// The full size first, then the smaller ones, widest first.
    pub renditions: Vec<PreparedRendition>,
}

/// One size of an image: a JPEG header and the variants of each segment.
///
/// It is kept as the bytes that are sealed, so that reading one back copies nothing:
/// format, chroma, number of variants (a byte each); width, height, place in the record, number of segments, length of
/// the header, lengths of the segments, of each one's A and then its B (four bytes each, big-endian); the header; the
/// segments in the same order, each behind its restart marker. A splice reads them from first to last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreparedRendition {
    size: Size,
    chroma: Chroma,
    /// The size's place in the record.
    index: u32,
    header: Range<usize>,
    /// Where each segment's A and B lie in `bytes`: in the same place when there is one variant.
    segments: Vec<[Range<u32>; 2]>,
    bytes: Vec<u8>,
}

/// Marks and encodes both variants of an image in its full size and, scaled down, in the given widths; widths that
/// are not below its own are left out. The mark's strength is chosen by [`record`].
///
/// An image too small or too flat for the forensic mark is encoded once, and has no record.
///
/// # Errors
/// [`MarkError::Jpeg`] when a side exceeds 65 535 pixels or there are no pixels.
pub fn prepare(full: &RgbImage, widths: &[u32], key: &ImageKey) -> Result<Prepared, MarkError> {
    prepare_as(full, widths, key, if_markable(record(full, widths, key))?)
}

/// [`prepare`] with the mark as an earlier [`record`] of the same image and widths has it.
///
/// # Errors
/// As [`prepare`]; [`MarkError::Record`] when the record is another image's.
pub fn prepare_as(
    full: &RgbImage,
    widths: &[u32],
    key: &ImageKey,
    record: Option<MarkRecord>,
) -> Result<Prepared, MarkError> {
    let size = Size { width: full.width(), height: full.height() };
    let sizes: Vec<Size> = std::iter::once(size).chain(smaller_sizes(size, widths)).collect();
    // No width may be served unmarked, so one that can't carry the mark leaves the whole image without.
    let record = record.filter(|record| record.sizes == sizes);
    let unmarked = || chroma(size, flat_fraction(&Plane::from_luma(full)));
    let chroma = record.as_ref().map_or_else(unmarked, |record| record.chroma);
    let rendition = |(index, size): (usize, &Size)| {
        let scaled = if index == 0 { Cow::Borrowed(full) } else { Cow::Owned(scale::rgb(full, *size)) };
        let variants = match &record {
            Some(record) => Vec::from(pair(&scaled, key, record, index)?),
            None => vec![scaled.into_owned()],
        };
        PreparedRendition::encode(&variants, *size, chroma, index)
    };
    let renditions: Result<Vec<_>, MarkError> = sizes.iter().enumerate().map(rendition).collect();
    Ok(Prepared { record, renditions: renditions? })
}

impl PreparedRendition {
    /// Encodes one variant, or both A and B, by Huffman tables fitted to all of them together.
    fn encode(variants: &[RgbImage], size: Size, chroma: Chroma, index: usize) -> Result<Self, MarkError> {
        let layout = Layout::new(size, chroma);
        let mut counts = Counts::new();
        for variant in variants {
            let file = jpeg::encode(variant, chroma, layout.run, None)?;
            counts.add(&Parts::cut(&file)?, chroma, layout.run, layout.columns * layout.rows)?;
        }
        let tables = counts.tables();
        let encode = |variant| jpeg::encode(variant, chroma, layout.run, Some(&tables));
        let files = variants.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let parts = files.iter().map(|file| Parts::cut(file)).collect::<Result<Vec<_>, _>>()?;
        let header = parts.first().map_or(&[][..], |parts| parts.header);
        if parts.iter().any(|parts| parts.header != header || parts.segments.len() != layout.segments) {
            return Err(MarkError::Jpeg("variants of different shape".into()));
        }

        let mut bytes = vec![FORMAT, u8::from(chroma == Chroma::Full), variants.len() as u8];
        for number in [size.width, size.height] {
            bytes.extend(number.to_be_bytes());
        }
        let segments = || {
            let numbered = (0..layout.segments).flat_map(|j| parts.iter().map(move |parts| (j, parts)));
            numbered.map(|(j, parts)| (jpeg::restart(j), parts.segments[j]))
        };
        let lengths = segments().map(|(marker, segment)| marker.len() + segment.len());
        for number in [index, layout.segments, header.len()].into_iter().chain(lengths) {
            let number = u32::try_from(number).map_err(|_| MarkError::Jpeg("too large".into()))?;
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend_from_slice(header);
        for (marker, segment) in segments() {
            bytes.extend_from_slice(marker);
            bytes.extend_from_slice(segment);
        }
        Self::from_bytes(bytes)
    }

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
    /// [`MarkError::NotPrepared`] when the segments are damaged; [`MarkError::Jpeg`].
    pub fn copy(&self, key: &ImageKey, session: SessionId, labels: &[Label]) -> Result<Vec<u8>, MarkError> {
        let layout = Layout::new(self.size, self.chroma);
        let code = codeword(key, self.index as usize, session, layout.segments);
        let choices = wide!(code.choices());
        let choices = choices.as_flattened();
        let drawn = self.drawn(&layout, labels, |j| {
            let chosen = in_bytes(&self.segments[j][usize::from(choices[j])]);
            &self.bytes[chosen][jpeg::restart(j).len()..]
        })?;

        let variants = if self.segments.iter().any(|[a, b]| a != b) { 2 } else { 1 };
        let about = self.bytes.len() / variants;
        let mut out = Vec::with_capacity(self.header.len() + about + about / 8);
        out.extend_from_slice(&self.bytes[self.header.clone()]);
        let mut next = 0;
        for (touched, anew) in &drawn {
            wide!(self.splice(next..*touched, choices, &mut out));
            out.extend_from_slice(jpeg::restart(*touched));
            out.extend_from_slice(anew);
            next = touched + 1;
        }
        wide!(self.splice(next..layout.segments, choices, &mut out));
        out.extend_from_slice(&jpeg::END);
        Ok(out)
    }

    /// Appends a codeword's choice of a few segments.
    ///
    /// It copies 64 bytes at a time and cuts the surplus off, and looks up which variant without a jump: a processor
    /// can't predict which is next nor quite how long it is, and jumps that it mispredicts take longer than copying.
    #[inline(always)]
    fn splice(&self, segments: Range<usize>, choices: &[u8], out: &mut Vec<u8>) {
        const AT_ONCE: usize = 64;
        for (variants, choice) in self.segments[segments.clone()].iter().zip(&choices[segments]) {
            let Range { mut start, end } = in_bytes(&variants[usize::from(*choice)]);
            let length = out.len() + (end - start);
            while start < end {
                match self.bytes[start..].first_chunk::<AT_ONCE>() {
                    Some(chunk) => out.extend_from_slice(chunk),
                    None => out.extend_from_slice(&self.bytes[start..]),
                }
                start += AT_ONCE;
            }
            out.truncate(length);
        }
    }

    /// The segments that labels touch, in order, drawn and encoded anew.
    ///
    /// Segments of full length are stacked into small images, a row of units each, so that they are decoded and encoded
    /// in few goes; a last, shorter one is an image of its own.
    fn drawn<'a>(
        &'a self,
        layout: &Layout,
        labels: &[Label],
        chosen: impl Fn(usize) -> &'a [u8],
    ) -> Result<Vec<(usize, Vec<u8>)>, MarkError> {
        if labels.is_empty() {
            return Ok(Vec::new());
        }
        // Where a segment lies in the stack, once it is known to be touched.
        const UNTOUCHED: usize = usize::MAX;
        let mut row_of = vec![UNTOUCHED; layout.segments];
        each_stretch(labels, layout, |segment, _, _, pixels| {
            if row_of[segment] == UNTOUCHED && pixels.iter().any(|pixel| pixel.weight > 0) {
                row_of[segment] = 0;
            }
        });
        let units = |j: usize| layout.run.min(layout.columns * layout.rows - j * layout.run);
        let touched = (0..layout.segments).filter(|j| row_of[*j] != UNTOUCHED);
        let (whole, short): (Vec<usize>, Vec<usize>) = touched.partition(|j| units(*j) == layout.run);
        let header = &self.bytes[self.header.clone()];
        let mut drawn = Vec::with_capacity(whole.len() + short.len());
        // A stack is a file of its own, whose height a JPEG header must hold.
        for group in whole.chunks(1024).chain(short.chunks(1)) {
            let stack = Size {
                width: (units(group[0]) * layout.mcu) as u32,
                height: (group.len() * layout.mcu) as u32,
            };
            let mut file = jpeg::join(header, group.iter().map(|j| chosen(*j)));
            jpeg::set_size(&mut file, stack)?;
            let mut pixels = jpeg::decode(&file)?;
            let samples: &mut [u8] = &mut pixels;
            row_of.fill(UNTOUCHED);
            group.iter().enumerate().for_each(|(row, j)| row_of[*j] = row);
            let width = stack.width as usize;
            each_stretch(labels, layout, |segment, x, y, drawn| {
                if row_of[segment] == UNTOUCHED {
                    return;
                }
                let unit = (y / layout.mcu) * layout.columns + x / layout.mcu - segment * layout.run;
                let x = unit * layout.mcu + x % layout.mcu;
                let y = row_of[segment] * layout.mcu + y % layout.mcu;
                let at = 3 * (y * width + x);
                let pixels = samples[at..].as_chunks_mut().0.iter_mut().zip(drawn);
                wide!(pixels.for_each(|(pixel, label)| draw(pixel, *label)));
            });
            let file = jpeg::encode(&pixels, self.chroma, layout.run, Some(&Tables::of(header)?))?;
            let segments = Parts::cut(&file)?.segments.into_iter().map(<[u8]>::to_vec);
            drawn.extend(group.iter().copied().zip(segments));
        }
        Ok(drawn)
    }

    /// The rendition as bytes, for sealing; both variants are secrets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the bytes of [`PreparedRendition::as_bytes`].
    ///
    /// # Errors
    /// [`MarkError::NotPrepared`] for any other bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, MarkError> {
        let mut reader = Reader(&bytes);
        let [format, chroma, variants] = reader.array()?;
        let variants = usize::from(variants);
        if format != FORMAT || chroma > 1 || !(1..=2).contains(&variants) {
            return Err(MarkError::NotPrepared("unknown format"));
        }
        let (width, height, index) = (reader.number()?, reader.number()?, reader.number()?);
        let size = Size { width, height };
        let chroma = if chroma == 1 { Chroma::Full } else { Chroma::Half };
        let many = Layout::new(size, chroma).segments;
        if reader.number()? as usize != many {
            return Err(MarkError::NotPrepared("segments missing"));
        }
        let header = reader.number()? as usize;
        let count = many * variants;
        let (lengths, rest) =
            reader.0.split_at_checked(4 * count).ok_or(MarkError::NotPrepared("cut short"))?;
        let header = bytes.len() - rest.len()..bytes.len() - rest.len() + header;
        let mut end = u32::try_from(header.end).map_err(|_| MarkError::NotPrepared("too large"))?;
        let (lengths, _) = lengths.as_chunks::<4>();
        let mut segments = Vec::with_capacity(many);
        for (j, lengths) in lengths.chunks_exact(variants).enumerate() {
            let mut next = |length: [u8; 4]| {
                let length = u32::from_be_bytes(length);
                let start = end;
                end = start.checked_add(length).ok_or(MarkError::NotPrepared("segments missing"))?;
                if (length as usize) < jpeg::restart(j).len() {
                    return Err(MarkError::NotPrepared("segment too short"));
                }
                Ok(start..end)
            };
            let a = next(lengths[0])?;
            let b = lengths.get(1).map_or(Ok(a.clone()), |length| next(*length))?;
            segments.push([a, b]);
        }
        if end as usize != bytes.len() {
            return Err(MarkError::NotPrepared("segments missing"));
        }
        Ok(Self { size, chroma, index, header, segments, bytes })
    }
}

/// The first byte of a prepared rendition.
const FORMAT: u8 = 3;

fn in_bytes(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Calls `visit(segment, x, y, pixels)` for every stretch of labels' pixels that lies in one row of one segment of
/// the image; `x` and `y` are where it begins.
fn each_stretch(
    labels: &[Label],
    layout: &Layout,
    mut visit: impl FnMut(usize, usize, usize, &[LabelPixel]),
) {
    for label in labels {
        let (left, top, width) = (label.x as usize, label.y as usize, label.width.max(1) as usize);
        for (y, row) in (top..).zip(label.pixels.chunks(width)).take(label.height as usize) {
            if y >= layout.size.height as usize {
                break;
            }
            for (segment, start, end) in layout.spans_within(y, left..left + row.len()) {
                visit(segment, start, y, &row[start - left..end - left]);
            }
        }
    }
}

/// Draws one pixel of a label: the same step on red, green and blue, which moves luma and leaves colour.
#[inline(always)]
fn draw(pixel: &mut [u8; 3], label: LabelPixel) {
    let [r, g, b] = *pixel;
    // The weights of JFIF in 256ths.
    let luma = ((77 * u16::from(r) + 150 * u16::from(g) + 29 * u16::from(b) + 128) >> 8) as u8;
    let over = label.over(luma);
    let (up, down) = (over.saturating_sub(luma), luma.saturating_sub(over));
    pixel.iter_mut().for_each(|v| *v = v.saturating_add(up).saturating_sub(down));
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::embed::embed_with;
    use super::super::embed::tests::{key, picture};
    use super::*;
    use crate::testing::samples;

    const SESSION: SessionId = SessionId(0xE64F_44F6);

    fn label(x: u32, y: u32) -> Label {
        let pixels = vec![LabelPixel { luma: 255, weight: 200 }; 30 * 9];
        Label { x, y, width: 30, height: 9, pixels }
    }

    /// Every rendition spliced, against the session embedded in its pixels and encoded with the same tables.
    fn spliced_is_direct(image: &RgbImage, widths: &[u32], session: SessionId) {
        let Prepared { record, renditions } = prepare(image, widths, &key()).unwrap();
        // A narrow strip may have no smaller size that could carry the mark.
        let Some(record) = record else { return assert!(image.height() < image.width()) };
        for (index, rendition) in renditions.iter().enumerate() {
            let copy = rendition.copy(&key(), session, &[]).unwrap();
            let pixels = scale::rgb(image, rendition.size());
            let direct = embed_with(&pixels, &key(), session, &record, index).unwrap();
            let run = Layout::new(rendition.size(), record.chroma).run;
            let tables = Tables::of(Parts::cut(&copy).unwrap().header).unwrap();
            let direct = jpeg::encode(&direct, record.chroma, run, Some(&tables)).unwrap();
            assert!(copy == direct, "{:?}", rendition.size());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_spliced_copy_is_byte_for_byte_the_direct_one(
            width in 96u32..420,
            height in 96u32..420,
            session in any::<u32>(),
        ) {
            spliced_is_direct(&picture(width, height), &[120], SessionId(session));
        }
    }

    #[test]
    fn spliced_photographs_and_screens_are_byte_for_byte_the_direct_ones() {
        spliced_is_direct(&samples::photograph(1400, 901, 4), &[640, 1280], SESSION);
        spliced_is_direct(&samples::flat_graphic(900, 700), &[640], SESSION);
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
    fn a_wide_panorama_is_viewed_though_labels_touch_more_segments_than_one_file_is_high() {
        let prepared = prepare(&samples::photograph(8192, 977, 3), &[], &key()).unwrap();
        let rendition = &prepared.renditions[0];
        let labels = crate::VisibleMark::default().labels(&SESSION.label(), rendition.size(), false);
        let copy = jpeg::decode(&rendition.copy(&key(), SESSION, &labels).unwrap()).unwrap();
        assert_eq!(copy.dimensions(), (8192, 977));
    }

    #[test]
    fn labels_change_the_segments_they_touch_and_no_other() {
        let prepared = prepare(&picture(500, 300), &[], &key()).unwrap();
        let rendition = &prepared.renditions[0];
        let layout = Layout::new(rendition.size(), rendition.chroma);
        // The second label runs over the lower right corner, into the last segment.
        let labels = [label(101, 49), label(480, 295)];
        let copy = |labels: &[Label]| rendition.copy(&key(), SESSION, labels).unwrap();
        let (clean, drawn) = (copy(&[]), copy(&labels));
        let (clean, drawn) = (Parts::cut(&clean).unwrap(), Parts::cut(&drawn).unwrap());
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
        let bytes = prepared.renditions[0].as_bytes();
        assert_eq!(PreparedRendition::from_bytes(bytes.to_vec()).unwrap(), prepared.renditions[0]);
        for cut in (0..bytes.len()).step_by(11) {
            assert!(PreparedRendition::from_bytes(bytes[..cut].to_vec()).is_err(), "cut to {cut}");
        }
        assert!(PreparedRendition::from_bytes([bytes, b"x"].concat()).is_err());
        // Of the fixed part: format, number of variants; then the first two lengths, behind 23 bytes, each with all the
        // values that a byte can be set to.
        for (place, value) in [0, 2].into_iter().chain(23..31).flat_map(|p| (0..=255).map(move |v| (p, v))) {
            let mut damaged = bytes.to_vec();
            damaged[place] = value;
            let read = PreparedRendition::from_bytes(damaged);
            assert!(value == bytes[place] || read.is_err(), "{place} {value}");
        }
    }
}
