//! The frame header (T.81, B.2.2): which kind of JPEG a file is, its size, and its components.

use super::segments::marker;
use crate::intake::Rejection;
use crate::mark::Size;

/// One component of a frame, such as luma.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1 to 4: blocks in a unit.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Which quantization table it uses.
    pub(super) table: usize,
    /// Samples that belong to the picture.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks that are kept, those that only fill up the last units included.
    pub(super) blocks_across: usize,
    pub(super) blocks_down: usize,
}

impl Component {
    /// Bytes of its decoded samples.
    pub(super) fn plane_bytes(&self) -> usize {
        64 * self.blocks_across * self.blocks_down
    }
}

/// What a frame header says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) size: Size,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// The greatest sampling factors.
    pub(super) max_across: usize,
    pub(super) max_down: usize,
    /// Units of all components.
    pub(super) units_across: usize,
    pub(super) units_down: usize,
}

impl Frame {
    /// Reads a frame header; `None` when the segment is another one.
    pub(super) fn read(marker: u8, body: &[u8]) -> Result<Option<Self>, Rejection> {
        let unsupported = |found: &'static str| Rejection::Unsupported { found: found.into() };
        match marker {
            0xC0..=0xC2 => {}
            0xC3 | 0xCB => return Err(unsupported("this is a lossless JPEG, save it as an ordinary JPEG")),
            marker::DAC | 0xC9 | 0xCA => {
                return Err(unsupported(
                    "this is a JPEG with arithmetic coding, save it as an ordinary JPEG",
                ));
            }
            marker::DHP | 0xC5..=0xC7 | 0xCD..=0xCF => {
                return Err(unsupported("this is a hierarchical JPEG, save it as an ordinary JPEG"));
            }
            marker::SOF55 | marker::LSE => {
                return Err(unsupported("this is JPEG-LS, save it as an ordinary JPEG"));
            }
            _ => return Ok(None),
        }
        let Some((&[bits, high, low, wide, thin, count], entries)) = body.split_first_chunk() else {
            return Err(Rejection::Corrupt);
        };
        let (width, height) = (u16::from_be_bytes([wide, thin]), u16::from_be_bytes([high, low]));
        match (bits, height, count) {
            (12, ..) => {
                return Err(unsupported("this is a JPEG of 12 bits a channel, save it with 8 bits"));
            }
            (8, 0, _) => {
                return Err(unsupported(
                    "this is a JPEG that does not tell its height at its beginning, save it anew",
                ));
            }
            (8, _, 2 | 5..) => {
                return Err(unsupported(
                    "this is a JPEG of neither one, three nor four components, save it in grey or in colour",
                ));
            }
            (8, _, 1..) if width > 0 && entries.len() == 3 * usize::from(count) => {}
            _ => return Err(Rejection::Corrupt),
        }
        let size = Size { width: width.into(), height: height.into() };
        let entries = || entries.chunks_exact(3).take(count.into());
        let sampling = |entry: &[u8]| (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
        let (max_across, max_down) =
            entries().map(sampling).fold((1, 1), |(h, v), (across, down)| (h.max(across), v.max(down)));
        let (width, height) = (usize::from(width), usize::from(height));
        let (units_across, units_down) = (width.div_ceil(8 * max_across), height.div_ceil(8 * max_down));
        let component = |entry: &[u8]| {
            let (across, down) = sampling(entry);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || entry[2] > 3 {
                return Err(Rejection::Corrupt);
            }
            if !max_across.is_multiple_of(across) || !max_down.is_multiple_of(down) {
                return Err(unsupported(
                    "this is a JPEG with an unusual colour resolution, save it as an ordinary JPEG",
                ));
            }
            Ok(Component {
                id: entry[0],
                across,
                down,
                table: entry[2].into(),
                width: (width * across).div_ceil(max_across),
                height: (height * down).div_ceil(max_down),
                blocks_across: units_across * across,
                blocks_down: units_down * down,
            })
        };
        let components = entries().map(component).collect::<Result<_, _>>()?;
        let progressive = marker == 0xC2;
        Ok(Some(Self { size, progressive, components, max_across, max_down, units_across, units_down }))
    }

    /// What its components are called.
    pub(super) fn ids(&self) -> Vec<u8> {
        self.components.iter().map(|component| component.id).collect()
    }
}
