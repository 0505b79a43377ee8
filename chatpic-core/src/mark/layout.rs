//! Segments: which pixels carry which sign of the codeword.

use std::ops::Range;

use super::record::{Chroma, Size};

/// About this many segments are made where the image has enough units.
const SEGMENTS: f64 = 1800.0;
/// A segment has at most this many pixels, so that a small piece of a large image shows enough of them to name a session.
const AREA: usize = 512;
/// There are no more segments than this, however large they get: each costs bytes and time in every copy.
const MOST: usize = 8192;

/// The cut of one rendition into segments. Segment `j` is a run of `run` consecutive minimum coded units (MCUs) in
/// raster order, which is one restart interval of the JPEG file; runs go on from the end of a row of units to the
/// next, and the last run may be short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub size: Size,
    /// Side of a unit in pixels: 8 or 16.
    pub mcu: usize,
    /// Units per row.
    pub columns: usize,
    /// Rows of units.
    pub rows: usize,
    /// Units per segment, at least 1.
    pub run: usize,
    /// Number of segments.
    pub segments: usize,
}

impl Layout {
    pub fn new(size: Size, chroma: Chroma) -> Self {
        let mcu = chroma.mcu();
        let columns = (size.width as usize).div_ceil(mcu).max(1);
        let rows = (size.height as usize).div_ceil(mcu).max(1);
        let units = columns * rows;
        let few = (units as f64 / SEGMENTS).round() as usize;
        let run = few.min(AREA / (mcu * mcu)).max(units.div_ceil(MOST)).clamp(1, 65_535);
        Self { size, mcu, columns, rows, run, segments: units.div_ceil(run) }
    }

    /// The segment of pixel (`x`, `y`).
    pub fn segment_of(&self, x: usize, y: usize) -> usize {
        ((y / self.mcu) * self.columns + x / self.mcu) / self.run
    }

    /// The stretches of pixel row `y` that belong to one segment each: (segment, first x, one past the last x).
    pub fn spans(&self, y: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.spans_within(y, 0..self.size.width as usize)
    }

    /// The parts of [`Layout::spans`] that lie within `columns` of pixels.
    pub fn spans_within(
        &self,
        y: usize,
        columns: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let end = columns.end.min(self.size.width as usize);
        let row = (y / self.mcu) * self.columns;
        let segments =
            (row + columns.start / self.mcu) / self.run..(row + end.div_ceil(self.mcu)).div_ceil(self.run);
        // A segment that began in the row above goes on from the left edge.
        let start_of = move |segment: usize| (segment * self.run).saturating_sub(row) * self.mcu;
        let span = move |segment| {
            let (start, end) = (start_of(segment).max(columns.start), start_of(segment + 1).min(end));
            (segment, start, end)
        };
        segments.map(span).filter(|(_, start, end)| start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_small_but_neither_too_few_nor_too_many() {
        let cut = |width, height, chroma| {
            let layout = Layout::new(Size { width, height }, chroma);
            (layout.run, layout.segments)
        };
        assert_eq!(cut(768, 512, Chroma::Half), (1, 1536));
        assert_eq!(cut(2048, 1152, Chroma::Half), (2, 4608));
        assert_eq!(cut(3264, 2448, Chroma::Half), (4, 7803));
        assert_eq!(cut(256, 256, Chroma::Full), (1, 1024));
        assert_eq!(cut(1024, 768, Chroma::Full), (7, 1756));
    }

    #[test]
    fn spans_cover_each_row_once_and_agree_with_segment_of() {
        for (width, height, chroma) in
            [(1333, 901, Chroma::Half), (97, 130, Chroma::Full), (2047, 1000, Chroma::Full)]
        {
            let layout = Layout::new(Size { width, height }, chroma);
            for y in 0..height as usize {
                let mut next = 0;
                for (segment, start, end) in layout.spans(y) {
                    assert_eq!(start, next);
                    assert!(
                        (start..end).all(|x| layout.segment_of(x, y) == segment && segment < layout.segments)
                    );
                    next = end;
                }
                assert_eq!(next, width as usize);
                let within: Vec<_> = layout.spans_within(y, 31..70).collect();
                let cut = layout.spans(y).map(|(segment, start, end)| (segment, start.max(31), end.min(70)));
                assert_eq!(within, cut.filter(|(_, start, end)| start < end).collect::<Vec<_>>());
                assert_eq!(layout.spans_within(y, 31..31).count(), 0);
                assert_eq!(layout.spans_within(y, width as usize + 9..width as usize + 20).count(), 0);
            }
        }
    }
}
