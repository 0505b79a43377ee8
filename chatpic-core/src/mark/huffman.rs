//! Huffman tables fitted to both variants of an image (ITU-T T.81, annex K.2).

use libjpeg_turbo_rs::encode::huff_opt::gen_optimal_table;
use libjpeg_turbo_rs::{Encoder, HuffmanTableDef};

use super::jpeg::Parts;
use super::record::{Chroma, MarkError};
use crate::intake::Rejection;
use crate::jpeg::huffman::{Bits, Definition, Huffman, definitions};
use crate::jpeg::segments::{Segments, marker};

/// Blocks of luma and of both chroma components in a unit.
fn blocks(chroma: Chroma) -> (usize, usize) {
    match chroma {
        Chroma::Half => (4, 2),
        Chroma::Full => (1, 2),
    }
}

/// The four tables of a file: DC and AC coefficients of luma, then of chroma.
#[derive(Clone, Debug)]
pub(crate) struct Tables([HuffmanTableDef; 4]);

impl Tables {
    /// The tables in a file's header (DHT); each of them must be there.
    pub fn of(header: &[u8]) -> Result<Self, MarkError> {
        let mut found: [Option<HuffmanTableDef>; 4] = [None, None, None, None];
        let segments = Segments::new(header).filter(|(marker, _)| *marker == marker::DHT);
        for table in segments.flat_map(|(_, body)| definitions(body)) {
            let (kind, Definition { counts, values }) = table.map_err(damaged)?;
            let mut bits = [0; 17];
            bits[1..].copy_from_slice(counts);
            // The high half is 0 for DC and 1 for AC, the low one 0 for luma and 1 for chroma.
            if let Some(place) = found.get_mut(usize::from(2 * (kind & 15) + (kind >> 4))) {
                *place = Some(HuffmanTableDef { bits, values: values.to_vec() });
            }
        }
        match found {
            [Some(a), Some(b), Some(c), Some(d)] => Ok(Self([a, b, c, d])),
            _ => Err(MarkError::Jpeg("Huffman tables missing".into())),
        }
    }

    /// Makes an encoder use these tables.
    pub fn set<'a>(&self, encoder: Encoder<'a>) -> Encoder<'a> {
        let [luma_dc, luma_ac, chroma_dc, chroma_ac] = self.0.clone();
        encoder
            .huffman_dc_table(0, luma_dc)
            .huffman_ac_table(0, luma_ac)
            .huffman_dc_table(1, chroma_dc)
            .huffman_ac_table(1, chroma_ac)
    }
}

/// How often each symbol occurs, table by table in the order of [`Tables`].
pub(crate) struct Counts([[u32; 257]; 4]);

impl Counts {
    /// Nothing counted yet. Every symbol that a baseline file may hold counts once, so that the tables can write any
    /// picture: a label drawn later brings symbols of its own.
    pub fn new() -> Self {
        let mut counts = [[0; 257]; 4];
        for (i, counts) in counts.iter_mut().enumerate() {
            if i % 2 == 0 {
                counts[..12].fill(1);
            } else {
                (0..16).for_each(|run| counts[16 * run + 1..=16 * run + 10].fill(1));
                (counts[0x00], counts[0xf0]) = (1, 1);
            }
        }
        Self(counts)
    }

    /// Counts the symbols of a file of our own, whose segments are runs of `run` units out of `units`.
    pub fn add(
        &mut self,
        file: &Parts<'_>,
        chroma: Chroma,
        run: usize,
        units: usize,
    ) -> Result<(), MarkError> {
        let Tables(tables) = Tables::of(file.header)?;
        let built = tables.each_ref().map(|HuffmanTableDef { bits: [_, counts @ ..], values }| {
            Huffman::new(Definition { counts, values })
        });
        let [luma_dc, luma_ac, chroma_dc, chroma_ac] = built;
        let (luma_dc, luma_ac) = (luma_dc.map_err(damaged)?, luma_ac.map_err(damaged)?);
        let (chroma_dc, chroma_ac) = (chroma_dc.map_err(damaged)?, chroma_ac.map_err(damaged)?);
        let [c0, c1, c2, c3] = &mut self.0;
        let (luma, colours) = blocks(chroma);
        for (j, segment) in file.segments.iter().enumerate() {
            let mut bits = Bits::new(segment);
            for _ in 0..run.min(units.saturating_sub(j * run)) {
                for _ in 0..luma {
                    count(&mut bits, &luma_dc, &luma_ac, c0, c1).map_err(damaged)?;
                }
                for _ in 0..colours {
                    count(&mut bits, &chroma_dc, &chroma_ac, c2, c3).map_err(damaged)?;
                }
            }
        }
        Ok(())
    }

    /// The best tables for what was counted.
    pub fn tables(&self) -> Tables {
        Tables(self.0.map(|counts| {
            let (bits, values) = gen_optimal_table(&counts);
            HuffmanTableDef { bits, values }
        }))
    }
}

/// Counts the symbols of one block.
#[inline(always)]
fn count(
    bits: &mut Bits<'_>,
    dc: &Huffman,
    ac: &Huffman,
    dc_counts: &mut [u32; 257],
    ac_counts: &mut [u32; 257],
) -> Result<(), Rejection> {
    let (symbol, _) = bits.symbol(dc)?;
    dc_counts[usize::from(symbol)] += 1;
    let mut k = 1;
    while k < 64 {
        let (symbol, _) = bits.symbol(ac)?;
        ac_counts[usize::from(symbol)] += 1;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => k += 16,
            (_, 0) => break,
            (run, _) => k += usize::from(run) + 1,
        }
    }
    Ok(())
}

fn damaged(_: Rejection) -> MarkError {
    MarkError::Jpeg("bad entropy-coded data".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::embed::tests::picture;
    use crate::mark::jpeg;

    fn units(width: u32, height: u32, chroma: Chroma) -> usize {
        let side = |v: u32| (v as usize).div_ceil(chroma.mcu());
        side(width) * side(height)
    }

    #[test]
    fn fitted_tables_keep_every_pixel_and_make_both_files_smaller() {
        for (width, height, chroma, run) in [(640, 400, Chroma::Half, 3), (205, 131, Chroma::Full, 1)] {
            let images = [picture(width, height), picture(width, height + 5)];
            let units = |image: &image::RgbImage| units(image.width(), image.height(), chroma);
            let standard = images.each_ref().map(|image| jpeg::encode(image, chroma, run, None).unwrap());
            let mut counts = Counts::new();
            for (file, image) in standard.iter().zip(&images) {
                counts.add(&Parts::cut(file).unwrap(), chroma, run, units(image)).unwrap();
            }
            let tables = counts.tables();
            for (file, image) in standard.iter().zip(&images) {
                let fitted = jpeg::encode(image, chroma, run, Some(&tables)).unwrap();
                assert_eq!(jpeg::decode(&fitted).unwrap(), jpeg::decode(file).unwrap());
                assert!(fitted.len() < file.len(), "{} {}", fitted.len(), file.len());
                // What is counted in the fitted file is what was counted in the standard one.
                let (mut a, mut b) = (Counts::new(), Counts::new());
                a.add(&Parts::cut(&fitted).unwrap(), chroma, run, units(image)).unwrap();
                b.add(&Parts::cut(file).unwrap(), chroma, run, units(image)).unwrap();
                assert_eq!(a.0, b.0);
            }
        }
    }

    #[test]
    fn tables_are_read_back_from_a_header() {
        let tables = Counts::new().tables();
        let file = jpeg::encode(&picture(40, 40), Chroma::Half, 1, Some(&tables)).unwrap();
        let read = Tables::of(Parts::cut(&file).unwrap().header).unwrap();
        for (read, written) in read.0.iter().zip(&tables.0) {
            assert_eq!((read.bits, &read.values), (written.bits, &written.values));
        }
        assert!(Tables::of(b"\xff\xd8\xff\xda\0\x02").is_err());
    }
}
