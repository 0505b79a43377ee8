//! Decoding the coefficients that scans send, and proving that all are there (T.81, annexes F and G).

use super::frame::{Component, Frame};
use super::huffman::{Bits, Definition, Huffman};
use super::{Tables, ZIGZAG, dct};
use crate::intake::Rejection;
use crate::wide::wide;

/// Scans of one file, at most; more cost time without making a better picture.
const MAX_SCANS: usize = 100;
/// Blocks that all scans of a file go over together, at most. Cameras, phones, Photoshop, mozjpeg and `cjpeg -progressive`
/// need 14 to 16 for each 8 x 8 pixels at 4:4:4, which is 15 million for the largest file that the memory is enough for.
/// The most expensive blocks, whose last coefficient alone is refined, took 65 ns each to decode: a file of 24 million takes
/// 1.6 s of processor time, where the largest progressive photographs take 1.2 s.
const MAX_BLOCKS: usize = 24_000_000;
/// Blocks in a unit of a scan of several components, at most (T.81, B.2.3).
const MAX_BLOCKS_IN_UNIT: usize = 10;

/// Coefficients of a block, row by row.
type Block = [i16; 64];

/// What has been decoded of a component.
struct Channel {
    component: Component,
    /// The table when its first scan came: later ones don't count.
    quantization: Option<[u16; 64]>,
    /// By coefficient, in the order of sending: the lowest bit that was sent.
    sent: [Option<u8>; 64],
    /// Samples, row by row, with those that only fill up blocks and units; of a progressive file, made at the end.
    plane: Vec<u8>,
    /// Of a progressive file.
    blocks: Vec<Block>,
}

impl Channel {
    fn new(component: Component, progressive: bool) -> Self {
        let bytes = component.plane_bytes();
        let (plane, blocks) =
            if progressive { (Vec::new(), vec![[0; 64]; bytes / 64]) } else { (vec![0; bytes], Vec::new()) };
        Self { component, quantization: None, sent: [None; 64], plane, blocks }
    }
}

/// Puts the samples of a block into a plane.
#[inline(always)]
fn draw(
    plane: &mut [u8],
    component: &Component,
    x: usize,
    y: usize,
    block: &Block,
    table: &[u16; 64],
    is_flat: bool,
) {
    let width = 8 * component.blocks_across;
    let rows = plane[8 * y * width..].chunks_exact_mut(width).map(|row| &mut row[8 * x..8 * x + 8]);
    if is_flat {
        let sample = dct::flat(block[0], table[0]);
        rows.take(8).for_each(|row| row.fill(sample));
    } else {
        rows.zip(dct::inverse(block, table)).for_each(|(row, samples)| row.copy_from_slice(&samples));
    }
}

/// How the blocks of a scan are coded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Whole, as all are in a sequential file.
    Whole,
    /// Of a progressive file: the first coefficient, or a band of others; the upper bits, or one more.
    FirstDc,
    RefinedDc,
    FirstAc,
    RefinedAc,
}

/// Which coefficients a scan sends, in the order of sending, and to which bit.
#[derive(Clone, Copy)]
struct Band {
    coding: Coding,
    first: usize,
    last: usize,
    low_bit: u8,
}

/// A component's part in a scan.
struct Part {
    channel: usize,
    /// Blocks in a unit of this scan.
    across: usize,
    down: usize,
    dc: Option<Huffman>,
    ac: Option<Huffman>,
    /// The first coefficient of the block before.
    predicted: i32,
    /// Blocks that are still to come without a new coefficient in the band.
    end_of_band_run: u32,
}

/// How far a file's coefficients have come.
pub(super) struct Scans {
    frame: Frame,
    channels: Vec<Channel>,
    /// How many scans were read, and the blocks that these went over.
    count: usize,
    blocks: usize,
}

impl Scans {
    pub(super) fn new(frame: Frame) -> Self {
        let channel = |component: &Component| Channel::new(*component, frame.progressive);
        Self { channels: frame.components.iter().map(channel).collect(), frame, count: 0, blocks: 0 }
    }

    /// Decodes one scan, whose data begin `data`; answers how many bytes they take, or some more before the next marker.
    pub(super) fn read(
        &mut self,
        header: &[u8],
        tables: &Tables<'_>,
        data: &[u8],
    ) -> Result<usize, Rejection> {
        self.count += 1;
        if self.count > MAX_SCANS {
            return Err(Rejection::TooMuchWork { found: "it has more than 100 scans".into() });
        }
        let (&count, rest) = header.split_first().ok_or(Rejection::Corrupt)?;
        let count = usize::from(count);
        if !(1..=4).contains(&count) || rest.len() != 2 * count + 3 {
            return Err(Rejection::Corrupt);
        }
        let (selectors, parameters) = rest.split_at(2 * count);
        let band = self.band(parameters, count)?;
        let mut parts = Vec::with_capacity(count);
        for selector in selectors.chunks_exact(2) {
            let part = self.part(selector[0], selector[1], &parts, count, band, tables)?;
            parts.push(part);
        }
        // One component alone is coded block by block; several are coded in units of all their blocks.
        let (across, down, blocks) = match &parts[..] {
            [only] => {
                let Component { width, height, .. } = self.channels[only.channel].component;
                (width.div_ceil(8), height.div_ceil(8), 1)
            }
            _ => {
                let blocks = parts.iter().map(|part| part.across * part.down).sum();
                (self.frame.units_across, self.frame.units_down, blocks)
            }
        };
        if count > 1 && blocks > MAX_BLOCKS_IN_UNIT {
            return Err(Rejection::Corrupt);
        }
        self.blocks += across * down * blocks;
        if self.blocks > MAX_BLOCKS {
            return Err(Rejection::TooMuchWork {
                found: "its scans go over more than 24 million blocks".into(),
            });
        }
        let scan = Scan { across, down, restart_interval: tables.restart_interval, band, data };
        let channels = &mut self.channels;
        wide!(scan.blocks(parts, channels))
    }

    /// What a scan of `count` components sends (T.81, B.2.3 and G.1.1.1). Sequential scans send all, whatever they say.
    fn band(&self, parameters: &[u8], count: usize) -> Result<Band, Rejection> {
        if !self.frame.progressive {
            return Ok(Band { coding: Coding::Whole, first: 0, last: 63, low_bit: 0 });
        }
        let [first, last] = [parameters[0], parameters[1]].map(usize::from);
        let (high_bit, low_bit) = (parameters[2] >> 4, parameters[2] & 15);
        let legal_band = if first == 0 { last == 0 } else { (first..=63).contains(&last) && count == 1 };
        let legal_bits = low_bit <= 13 && (high_bit == 0 || high_bit == low_bit + 1);
        if !legal_band || !legal_bits {
            return Err(Rejection::Corrupt);
        }
        let coding = match (first, high_bit) {
            (0, 0) => Coding::FirstDc,
            (0, _) => Coding::RefinedDc,
            (_, 0) => Coding::FirstAc,
            _ => Coding::RefinedAc,
        };
        Ok(Band { coding, first, last, low_bit })
    }

    /// The part of the component called `id` in a scan of `count`, behind those `before` it.
    fn part(
        &mut self,
        id: u8,
        codes: u8,
        before: &[Part],
        count: usize,
        band: Band,
        tables: &Tables<'_>,
    ) -> Result<Part, Rejection> {
        // Components of one name are meant one after another, and none comes later in a scan than in the frame.
        let is_meant =
            |(place, channel): (usize, &Channel)| channel.component.id == id && place >= before.len();
        let channel = self.channels.iter().enumerate().position(is_meant).ok_or(Rejection::Corrupt)?;
        if before.iter().any(|part| part.channel == channel) {
            return Err(Rejection::Corrupt);
        }
        let Channel { component, quantization, sent, .. } = &mut self.channels[channel];
        if !self.frame.progressive && sent[0].is_some() {
            return Err(Rejection::Corrupt);
        }
        if quantization.is_none() {
            *quantization = Some(tables.quantization[component.table].ok_or(Rejection::Corrupt)?);
        }
        sent[band.first..=band.last].fill(Some(band.low_bit));
        let code = |class: &[Option<Definition<'_>>; 4], number: u8, greatest: u8| {
            let definition = class.get(usize::from(number)).copied().flatten().ok_or(Rejection::Corrupt)?;
            if definition.values.iter().any(|value| *value > greatest) {
                return Err(Rejection::Corrupt);
            }
            Huffman::new(definition).map(Some)
        };
        let needs_dc = matches!(band.coding, Coding::Whole | Coding::FirstDc);
        let (across, down) = if count == 1 { (1, 1) } else { (component.across, component.down) };
        Ok(Part {
            channel,
            across,
            down,
            dc: if needs_dc { code(&tables.dc, codes >> 4, 15)? } else { None },
            ac: if band.last > 0 { code(&tables.ac, codes & 15, 255)? } else { None },
            predicted: 0,
            end_of_band_run: 0,
        })
    }

    /// The samples of each component, once every scan was read; `ended` tells whether an end marker came behind them.
    pub(super) fn planes(self, ended: bool) -> Result<(Frame, Vec<Vec<u8>>), Rejection> {
        // A file without an end marker may have been cut between two scans.
        let is_whole = |channel: &Channel| {
            if ended { channel.sent[0].is_some() } else { channel.sent == [Some(0); 64] }
        };
        if !self.channels.iter().all(is_whole) {
            return Err(Rejection::Incomplete);
        }
        let planes = self.channels.into_iter().map(|channel| {
            let Channel { component, quantization, blocks, mut plane, .. } = channel;
            let (Some(table), true) = (quantization, plane.is_empty()) else { return plane };
            plane = vec![0; component.plane_bytes()];
            wide!(for (place, block) in blocks.iter().enumerate() {
                let (x, y) = (place % component.blocks_across, place / component.blocks_across);
                let is_flat = block[1..].iter().all(|coefficient| *coefficient == 0);
                draw(&mut plane, &component, x, y, block, &table, is_flat);
            });
            plane
        });
        Ok((self.frame, planes.collect()))
    }
}

/// The data of a scan, and in which order its blocks come.
struct Scan<'a> {
    /// Units.
    across: usize,
    down: usize,
    restart_interval: usize,
    band: Band,
    data: &'a [u8],
}

impl Scan<'_> {
    /// Decodes all blocks; answers where the data end.
    #[inline(always)]
    fn blocks(&self, mut parts: Vec<Part>, channels: &mut [Channel]) -> Result<usize, Rejection> {
        let mut bits = Bits::new(self.data);
        let mut restarts = 0;
        let mut left = self.restart_interval;
        for row in 0..self.down {
            for column in 0..self.across {
                if self.restart_interval > 0 {
                    if left == 0 {
                        bits.restart(restarts)?;
                        restarts += 1;
                        left = self.restart_interval;
                        for part in &mut parts {
                            (part.predicted, part.end_of_band_run) = (0, 0);
                        }
                    }
                    left -= 1;
                }
                for part in &mut parts {
                    let channel = &mut channels[part.channel];
                    for y in row * part.down..(row + 1) * part.down {
                        for x in column * part.across..(column + 1) * part.across {
                            self.block(&mut bits, part, channel, x, y)?;
                        }
                    }
                }
            }
        }
        // The scan's last byte is behind it, and at most padding is left before the next marker.
        Ok(bits.at)
    }

    #[inline(always)]
    fn block(
        &self,
        bits: &mut Bits<'_>,
        part: &mut Part,
        channel: &mut Channel,
        x: usize,
        y: usize,
    ) -> Result<(), Rejection> {
        let Channel { component, quantization, plane, blocks, .. } = channel;
        let place = y * component.blocks_across + x;
        match self.band.coding {
            Coding::Whole => {
                let table = quantization.as_ref().ok_or(Rejection::Corrupt)?;
                let (block, is_flat) = whole(bits, part)?;
                draw(plane, component, x, y, &block, table, is_flat);
            }
            Coding::FirstDc => blocks[place][0] = (dc(bits, part)? << self.band.low_bit) as i16,
            Coding::RefinedDc => blocks[place][0] |= (bits.take(1)? << self.band.low_bit) as i16,
            Coding::FirstAc => first_ac(bits, self.band, part, &mut blocks[place])?,
            Coding::RefinedAc => refined_ac(bits, self.band, part, &mut blocks[place])?,
        }
        Ok(())
    }
}

/// The first coefficient of a block, sent as the difference from the block before.
#[inline(always)]
fn dc(bits: &mut Bits<'_>, part: &mut Part) -> Result<i32, Rejection> {
    let huffman = part.dc.as_ref().ok_or(Rejection::Corrupt)?;
    let (_, difference) = bits.symbol(huffman)?;
    part.predicted = part.predicted.wrapping_add(difference);
    Ok(part.predicted)
}

/// All coefficients of a block, and whether none but the first differs from zero.
#[inline(always)]
fn whole(bits: &mut Bits<'_>, part: &mut Part) -> Result<(Block, bool), Rejection> {
    let mut block = [0; 64];
    block[0] = dc(bits, part)? as i16;
    let huffman = part.ac.as_ref().ok_or(Rejection::Corrupt)?;
    let (mut k, mut is_flat) = (1, true);
    while k < 64 {
        let (symbol, value) = bits.symbol(huffman)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => k += 16,
            (_, 0) => break,
            (run, _) => {
                k += usize::from(run);
                let place = ZIGZAG.get(k).ok_or(Rejection::Corrupt)?;
                block[usize::from(*place & 63)] = value as i16;
                is_flat = false;
                k += 1;
            }
        }
    }
    if k <= 64 { Ok((block, is_flat)) } else { Err(Rejection::Corrupt) }
}

/// The upper bits of the other coefficients in a band (T.81, G.1.2.2).
#[inline(always)]
fn first_ac(bits: &mut Bits<'_>, band: Band, part: &mut Part, block: &mut Block) -> Result<(), Rejection> {
    if part.end_of_band_run > 0 {
        part.end_of_band_run -= 1;
        return Ok(());
    }
    let huffman = part.ac.as_ref().ok_or(Rejection::Corrupt)?;
    let mut k = band.first;
    while k <= band.last {
        let (symbol, value) = bits.symbol(huffman)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => k += 16,
            (run, 0) => {
                part.end_of_band_run = (1 << run) + bits.take(run.into())? - 1;
                break;
            }
            (run, _) => {
                k += usize::from(run);
                if k > band.last {
                    return Err(Rejection::Corrupt);
                }
                block[usize::from(ZIGZAG[k])] = (value << band.low_bit) as i16;
                k += 1;
            }
        }
    }
    Ok(())
}

/// One more bit of the other coefficients in a band (T.81, G.1.2.3).
#[inline(always)]
fn refined_ac(bits: &mut Bits<'_>, band: Band, part: &mut Part, block: &mut Block) -> Result<(), Rejection> {
    let huffman = part.ac.as_ref().ok_or(Rejection::Corrupt)?;
    let mut k = band.first;
    if part.end_of_band_run == 0 {
        while k <= band.last {
            let (symbol, value) = bits.symbol(huffman)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            // A new coefficient is one step from zero.
            if size > 1 {
                return Err(Rejection::Corrupt);
            }
            if size == 0 && run < 15 {
                part.end_of_band_run = (1 << run) + bits.take(run.into())?;
                break;
            }
            // The bits of coefficients that are no longer zero lie between the sign of a new one and the next code.
            k = refine(bits, block, k, band, Some(run))?;
            if size != 0 {
                // A run of sixteen zeros may end the band; a coefficient may not lie behind it.
                if k > band.last {
                    return Err(Rejection::Corrupt);
                }
                block[usize::from(ZIGZAG[k])] = (value << band.low_bit) as i16;
            }
            k += 1;
        }
    }
    if part.end_of_band_run > 0 {
        part.end_of_band_run -= 1;
        // Most blocks of a run have nothing to refine.
        if block[1..] != [0; 63] {
            refine(bits, block, k, band, None)?;
        }
    }
    Ok(())
}

/// Reads a bit for each coefficient from `k` on that is not zero, up to the zero that comes after `zeros` others, or to
/// the band's end; answers where that is.
#[inline(always)]
fn refine(
    bits: &mut Bits<'_>,
    block: &mut Block,
    mut k: usize,
    band: Band,
    mut zeros: Option<u8>,
) -> Result<usize, Rejection> {
    let step = 1 << band.low_bit;
    while k <= band.last {
        let coefficient = &mut block[usize::from(ZIGZAG[k])];
        if *coefficient != 0 {
            if bits.take(1)? == 1 && *coefficient & step == 0 {
                *coefficient = coefficient.wrapping_add(if *coefficient > 0 { step } else { -step });
            }
        } else if let Some(zeros) = &mut zeros {
            match zeros.checked_sub(1) {
                Some(rest) => *zeros = rest,
                None => break,
            }
        }
        k += 1;
    }
    Ok(k)
}
