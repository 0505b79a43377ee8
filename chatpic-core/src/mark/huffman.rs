//! Huffman tables fitted to both variants of an image (ITU-T T.81, annex K.2).

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::encode::huff_opt::gen_optimal_table;
use libjpeg_turbo_rs::{Encoder, HuffmanTableDef};

use super::jpeg::{Parts, walk};
use super::record::{Chroma, MarkError};

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
        walk(header, |marker, at| {
            if marker != 0xc4 {
                return;
            }
            let length = |at: usize| {
                header.get(at..at + 2).map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])))
            };
            let end = at - 2 + length(at - 2);
            let mut rest = header.get(at..end).unwrap_or_default();
            while let Some((&[place, ref counts @ ..], values)) = rest.split_first_chunk::<17>() {
                let mut bits = [0; 17];
                bits[1..].copy_from_slice(counts);
                let count = counts.iter().map(|&c| usize::from(c)).sum();
                let Some((values, more)) = values.split_at_checked(count) else { return };
                // The high half is 0 for DC and 1 for AC, the low one 0 for luma and 1 for chroma.
                if let Some(slot) = found.get_mut(usize::from(2 * (place & 15) + (place >> 4))) {
                    *slot = Some(HuffmanTableDef { bits, values: values.to_vec() });
                }
                rest = more;
            }
        });
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
        let damaged = || MarkError::Jpeg("bad entropy-coded data".into());
        let built =
            Tables::of(file.header)?.0.map(|table| HuffmanTable::build(&table.bits, &table.values).ok());
        let [Some(luma_dc), Some(luma_ac), Some(chroma_dc), Some(chroma_ac)] = built else {
            return Err(damaged());
        };
        let [c0, c1, c2, c3] = &mut self.0;
        let (luma, colours) = blocks(chroma);
        for (j, segment) in file.segments.iter().enumerate() {
            let mut bits = Bits { data: segment, held: 0, count: 0 };
            for _ in 0..run.min(units.saturating_sub(j * run)) {
                for _ in 0..luma {
                    bits.block(&luma_dc, &luma_ac, c0, c1).ok_or_else(damaged)?;
                }
                for _ in 0..colours {
                    bits.block(&chroma_dc, &chroma_ac, c2, c3).ok_or_else(damaged)?;
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

/// Reads a segment bit by bit.
struct Bits<'a> {
    data: &'a [u8],
    /// The bits read ahead, the next one on top.
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Counts the symbols of one block; `None` when there is no such code.
    fn block(
        &mut self,
        dc: &HuffmanTable,
        ac: &HuffmanTable,
        dc_counts: &mut [u32; 257],
        ac_counts: &mut [u32; 257],
    ) -> Option<()> {
        let size = self.symbol(dc)?;
        *dc_counts.get_mut(usize::from(size))? += 1;
        self.skip(u32::from(size & 15));
        let mut k = 1;
        while k < 64 {
            let symbol = self.symbol(ac)?;
            ac_counts[usize::from(symbol)] += 1;
            match (symbol >> 4, symbol & 15) {
                (15, 0) => k += 16,
                (_, 0) => break,
                (run, size) => {
                    self.skip(u32::from(size));
                    k += usize::from(run) + 1;
                }
            }
        }
        Some(())
    }

    fn symbol(&mut self, table: &HuffmanTable) -> Option<u8> {
        while self.count <= 56 {
            let byte = match self.data {
                [0xff, 0x00, rest @ ..] => {
                    self.data = rest;
                    0xff
                }
                [byte, rest @ ..] => {
                    self.data = rest;
                    *byte
                }
                // Beyond the end a file is padded with ones.
                [] => 0xff,
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        let (symbol, length) = table.lookup((self.held >> 48) as u16).ok()?;
        self.skip(u32::from(length));
        Some(symbol)
    }

    /// At most 16 bits after a symbol's own: never more than are held.
    fn skip(&mut self, bits: u32) {
        self.held <<= bits;
        self.count = self.count.saturating_sub(bits);
    }
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
