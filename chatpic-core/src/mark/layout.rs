//! Segments: which pixels carry which sign of the codeword.

use super::record::{Chroma, Size};

/// About this many segments are made where the image has enough units.
const SEGMENTS: f64 = 1800.0;

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
        let run = ((columns * rows) as f64 / SEGMENTS).round().clamp(1.0, 65_535.0) as usize;
        Self { size, mcu, columns, rows, run, segments: (columns * rows).div_ceil(run) }
    }

    /// The segment of pixel (`x`, `y`).
    pub fn segment_of(&self, x: usize, y: usize) -> usize {
        ((y / self.mcu) * self.columns + x / self.mcu) / self.run
    }

    /// The stretches of pixel row `y` that belong to one segment each: (segment, first x, one past the last x).
    pub fn spans(&self, y: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let first = (y / self.mcu) * self.columns;
        let width = self.size.width as usize;
        let segments = first / self.run..=(first + self.columns - 1) / self.run;
        segments.map(move |segment| {
            let start = (segment * self.run).max(first) - first;
            let end = ((segment + 1) * self.run).min(first + self.columns) - first;
            (segment, (start * self.mcu).min(width), (end * self.mcu).min(width))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_design_come_out() {
        let small = Layout::new(Size { width: 768, height: 512 }, Chroma::Half);
        assert_eq!((small.run, small.segments), (1, 1536));
        let large = Layout::new(Size { width: 2048, height: 1152 }, Chroma::Half);
        assert_eq!((large.run, large.segments), (5, 1844));
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
            }
        }
    }
}
