//! Walks through a JPEG file's entropy-coded data without keeping a pixel (ITU-T T.81, annexes B, F and G).
//!
//! Decoders fill up what is missing with grey. This tells beforehand whether anything is: every block of every scan
//! must be coded, and the scans of a progressive file must together send every coefficient to its last bit.
//!
//! Two readers of one file may disagree about where a segment begins, and so about the picture's size. The decoder
//! therefore gets a file with nothing in it but what was walked here.

use super::Rejection;

/// Scans of one file, at most; more cost time without making a better picture.
const MAX_SCANS: usize = 100;
/// Blocks that all scans of a file go over together, at most. Cameras, phones, Photoshop, mozjpeg and `cjpeg -progressive`
/// need 14 to 16 for each 8 x 8 pixels at 4:4:4, which is 15 million for the largest file that the memory is enough for.
/// The most expensive blocks took 35 ns each to walk and decode: a file of 24 million takes 1.2 s of processor time, where
/// the largest progressive photographs take 1.0 s. With 90 million it took 3.1 s.
const MAX_BLOCKS: usize = 24_000_000;

/// One colour component of a frame.
#[derive(Clone, Copy, Debug)]
struct Component {
    id: u8,
    /// Sampling factors, 1 to 4: blocks in a unit.
    across: usize,
    down: usize,
}

/// What the frame header (SOF) says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) progressive: bool,
    components: Vec<Component>,
    /// Whether every coefficient stays in memory until the last scan: of a progressive file, or of one whose
    /// components come one after another.
    pub(super) is_kept: bool,
}

impl Frame {
    /// Reads the frame header of a file, which stands before its first scan.
    pub(super) fn find(bytes: &[u8]) -> Result<Self, Rejection> {
        let mut frame: Option<Self> = None;
        for (marker, body) in (Segments { bytes, at: 0 }) {
            if marker == 0xDA {
                let mut frame = frame.ok_or(Rejection::Corrupt)?;
                let at_once = body.first().is_some_and(|count| usize::from(*count) == frame.components.len());
                frame.is_kept = frame.progressive || !at_once;
                return Ok(frame);
            }
            if let Some(another) = Self::read(marker, body)? {
                only(&mut frame, another)?;
            }
        }
        Err(Rejection::Incomplete)
    }

    /// Reads a frame header; `None` when the segment is another one.
    fn read(marker: u8, body: &[u8]) -> Result<Option<Self>, Rejection> {
        let is_frame = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
        if !is_frame {
            return Ok(None);
        }
        // Baseline, extended and progressive with Huffman codes; the rest is lossless, hierarchical or arithmetic.
        let (&[8, high, low, wide, thin, count], components) =
            body.split_first_chunk::<6>().ok_or(Rejection::Corrupt)?
        else {
            return Err(Rejection::Corrupt);
        };
        let count = usize::from(count);
        if !matches!(marker, 0xC0..=0xC2) || !(1..=4).contains(&count) || components.len() < 3 * count {
            return Err(Rejection::Corrupt);
        }
        let component = |entry: &[u8]| {
            let (across, down) = (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
            let legal = (1..=4).contains(&across) && (1..=4).contains(&down);
            legal.then_some(Component { id: entry[0], across, down }).ok_or(Rejection::Corrupt)
        };
        Ok(Some(Self {
            width: u32::from(u16::from_be_bytes([wide, thin])),
            height: u32::from(u16::from_be_bytes([high, low])),
            progressive: marker == 0xC2,
            components: components.chunks_exact(3).take(count).map(component).collect::<Result<_, _>>()?,
            is_kept: marker == 0xC2,
        }))
    }

    /// Coefficients of all components, the padding of the last blocks included.
    pub(super) fn coefficients(&self) -> u64 {
        let blocks = |c: &Component| self.units_across() * c.across * self.units_down() * c.down;
        64 * self.components.iter().map(blocks).sum::<usize>() as u64
    }

    fn max_across(&self) -> usize {
        self.components.iter().map(|c| c.across).max().unwrap_or(1)
    }

    fn max_down(&self) -> usize {
        self.components.iter().map(|c| c.down).max().unwrap_or(1)
    }

    fn units_across(&self) -> usize {
        (self.width as usize).div_ceil(8 * self.max_across())
    }

    fn units_down(&self) -> usize {
        (self.height as usize).div_ceil(8 * self.max_down())
    }

    /// Blocks of a component that hold pixels, across and down.
    fn blocks(&self, component: &Component) -> (usize, usize) {
        let across = (self.width as usize * component.across).div_ceil(8 * self.max_across());
        let down = (self.height as usize * component.down).div_ceil(8 * self.max_down());
        (across, down)
    }
}

/// Takes what a file may have once.
fn only<T>(place: &mut Option<T>, value: T) -> Result<(), Rejection> {
    if place.replace(value).is_some() { Err(Rejection::Corrupt) } else { Ok(()) }
}

/// The file with nothing in it but what pixels are made of, of which every one is there. The size must have been
/// checked before: a progressive file takes one bit of memory for each coefficient.
///
/// # Errors
/// [`Rejection::Incomplete`] when pixels are missing; [`Rejection::Corrupt`].
pub(super) fn walked(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut walk: Option<Walk> = None;
    let mut tables = Tables::default();
    let mut segments = Segments { bytes, at: 0 };
    let mut file = vec![0xFF, 0xD8];
    while let Some((marker, body)) = segments.next() {
        match marker {
            0xC4 => tables.define(body)?,
            0xDD => {
                let interval = body.first_chunk::<2>().ok_or(Rejection::Corrupt)?;
                tables.restart_interval = usize::from(u16::from_be_bytes(*interval));
            }
            // Quantization, and what the colours are and which side is up.
            0xDB | 0xDA => {}
            0xE1 if body.starts_with(b"Exif\0\0") => {}
            0xE2 if body.starts_with(b"ICC_PROFILE\0") => {}
            0xEE if body.starts_with(b"Adobe") => {}
            _ => match Frame::read(marker, body)? {
                Some(frame) => only(&mut walk, Walk::new(frame))?,
                None => continue,
            },
        }
        let length = u16::try_from(body.len() + 2).map_err(|_| Rejection::Corrupt)?;
        file.extend([0xFF, marker]);
        file.extend(length.to_be_bytes());
        file.extend(body);
        if marker == 0xDA {
            let walk = walk.as_mut().ok_or(Rejection::Corrupt)?;
            let data = &bytes[segments.at..];
            let length = walk.scan(body, &tables, data)?;
            file.extend(&data[..length]);
            segments.at += length;
        }
    }
    file.extend([0xFF, 0xD9]);
    let complete = walk.is_some_and(|walk| walk.is_complete());
    if complete { Ok(file) } else { Err(Rejection::Incomplete) }
}

/// The marker segments of a file, up to its end or its end marker.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.at += next_marker(self.bytes.get(self.at..)?)?;
            let marker = self.bytes[self.at + 1];
            self.at += 2;
            match marker {
                // Start of image, restarts and TEM stand alone.
                0xD8 | 0xD0..=0xD7 | 0x01 => {}
                0xD9 => return None,
                _ => break,
            }
        }
        let marker = self.bytes[self.at - 1];
        let length = usize::from(u16::from_be_bytes(*self.bytes.get(self.at..)?.first_chunk()?));
        let body = self.bytes.get(self.at + 2..self.at + length)?;
        self.at += length;
        Some((marker, body))
    }
}

/// Where the next marker stands: a byte FF before one that is neither stuffing nor fill.
fn next_marker(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))
}

/// A Huffman code, as its lengths give it (annex C), with a table for the short codes.
#[derive(Clone)]
struct Huffman {
    /// By the next eight bits: the code's length and value; length 0 for longer codes.
    short: [(u8, u8); 256],
    /// By length: the first code that is longer, aligned to 16 bits.
    limits: [u32; 17],
    /// By length: what to add to a code to find its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Huffman {
    fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, Rejection> {
        let mut table =
            Self { short: [(0, 0); 256], limits: [0; 17], offsets: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1usize..).zip(counts) {
            table.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return Err(Rejection::Corrupt);
                }
                if length <= 8 {
                    let first = (code << (8 - length)) as usize;
                    table.short[first..first + (1 << (8 - length))].fill((length as u8, values[index]));
                }
                code += 1;
                index += 1;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, Rejection> {
        let ahead = bits.peek_16();
        let (length, value) = self.short[(ahead >> 8) as usize];
        if length > 0 {
            bits.skip(length.into())?;
            return Ok(value);
        }
        let length = (9..=16).find(|length| ahead < self.limits[*length]);
        // Where the data end, what lies ahead is made up and may be no code.
        let Some(length) = length else { return Err(bits.broken()) };
        bits.skip(length as u32)?;
        let index = (ahead >> (16 - length)) as i32 + self.offsets[length];
        usize::try_from(index).ok().and_then(|i| self.values.get(i)).copied().ok_or(Rejection::Corrupt)
    }
}

/// What table segments set between scans.
#[derive(Default)]
struct Tables {
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    restart_interval: usize,
}

impl Tables {
    fn define(&mut self, mut body: &[u8]) -> Result<(), Rejection> {
        while let Some((&kind, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(Rejection::Corrupt)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(..total).filter(|values| values.len() <= 256).ok_or(Rejection::Corrupt)?;
            let class = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let place = class.get_mut(usize::from(kind & 15)).ok_or(Rejection::Corrupt)?;
            *place = Some(Huffman::new(counts, values)?);
            body = &rest[total..];
        }
        Ok(())
    }
}

/// Bits of one scan: stuffing is taken out, and a marker or the file's end ends them.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at) {
                None => return,
                Some(0xFF) => match self.bytes.get(self.at + 1) {
                    Some(0) => {
                        self.at += 1;
                        0xFF
                    }
                    _ => return,
                },
                Some(byte) => *byte,
            };
            self.at += 1;
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, zeros past the end.
    fn peek_16(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        (self.buffer >> 48) as u32
    }

    /// `count` bits, at most 16.
    fn take(&mut self, count: u32) -> Result<u32, Rejection> {
        let bits = self.peek_16() >> (16 - count);
        self.skip(count)?;
        Ok(bits)
    }

    fn skip(&mut self, count: u32) -> Result<(), Rejection> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(Rejection::Incomplete)?;
        self.buffer <<= count;
        Ok(())
    }

    /// Why no code could be read.
    fn broken(&self) -> Rejection {
        if self.count < 16 { Rejection::Incomplete } else { Rejection::Corrupt }
    }

    /// Goes on behind the next marker, which must be a restart; extra bytes before it are passed over.
    fn restart(&mut self) -> Result<(), Rejection> {
        // Bytes in the buffer are behind the last block, where only padding stands.
        self.at += next_marker(&self.bytes[self.at..]).ok_or(Rejection::Incomplete)?;
        if !matches!(self.bytes[self.at + 1], 0xD0..=0xD7) {
            return Err(Rejection::Incomplete);
        }
        self.at += 2;
        (self.buffer, self.count) = (0, 0);
        Ok(())
    }
}

/// Which part of the coefficients a scan sends, and to which bit.
#[derive(Clone, Copy)]
struct Band {
    first: usize,
    last: usize,
    refines: bool,
    low_bit: u8,
}

/// How far a file's coefficients have come.
struct Walk {
    frame: Frame,
    scans: usize,
    /// Blocks that these went over.
    blocks: usize,
    /// By component and coefficient: the lowest bit that was sent.
    sent: Vec<[Option<u8>; 64]>,
    /// Of progressive files, by component and block: bit *k* is set when coefficient *k* is not zero.
    nonzero: Vec<Vec<u64>>,
}

impl Walk {
    fn new(frame: Frame) -> Self {
        let blocks = |c: &Component| frame.units_across() * c.across * frame.units_down() * c.down;
        let nonzero = if frame.progressive {
            frame.components.iter().map(|c| vec![0; blocks(c)]).collect()
        } else {
            Vec::new()
        };
        Self { sent: vec![[None; 64]; frame.components.len()], scans: 0, blocks: 0, nonzero, frame }
    }

    fn is_complete(&self) -> bool {
        self.sent.iter().flatten().all(|low_bit| *low_bit == Some(0))
    }

    /// Walks through one scan, whose data begin `data`; answers how many bytes they take, or some more before the next
    /// marker.
    fn scan(&mut self, header: &[u8], tables: &Tables, data: &[u8]) -> Result<usize, Rejection> {
        self.scans += 1;
        let (&count, rest) = header.split_first().ok_or(Rejection::Corrupt)?;
        let count = usize::from(count);
        if self.scans > MAX_SCANS {
            return Err(Rejection::TooMuchWork { found: "it has more than 100 scans" });
        }
        if !(1..=4).contains(&count) || rest.len() < 2 * count + 3 {
            return Err(Rejection::Corrupt);
        }
        let (selectors, parameters) = rest.split_at(2 * count);
        let band = if self.frame.progressive {
            Band {
                first: parameters[0].into(),
                last: parameters[1].into(),
                refines: parameters[2] >> 4 != 0,
                low_bit: parameters[2] & 15,
            }
        } else {
            Band { first: 0, last: 63, refines: false, low_bit: 0 }
        };
        let is_dc = band.first == 0;
        let legal_band = if is_dc { band.last == 0 } else { band.last >= band.first && count == 1 };
        if self.frame.progressive && (!legal_band || band.last > 63) {
            return Err(Rejection::Corrupt);
        }

        let mut coders = Vec::with_capacity(count);
        for selector in selectors.chunks_exact(2) {
            let component = self.frame.components.iter().position(|c| c.id == selector[0]);
            let component = component.ok_or(Rejection::Corrupt)?;
            let table = |class: &[Option<Huffman>; 4], number: u8| {
                class.get(usize::from(number)).and_then(Clone::clone)
            };
            let dc = table(&tables.dc, selector[1] >> 4);
            let ac = table(&tables.ac, selector[1] & 15);
            let needs_dc = is_dc && !band.refines;
            let needs_ac = !self.frame.progressive || !is_dc;
            if (needs_dc && dc.is_none()) || (needs_ac && ac.is_none()) {
                return Err(Rejection::Corrupt);
            }
            coders.push(Coder { component, dc, ac });
            for low_bit in &mut self.sent[component][band.first..=band.last] {
                *low_bit = Some(band.low_bit);
            }
        }

        let mut bits = Bits { bytes: data, at: 0, buffer: 0, count: 0 };
        // One component alone is coded block by block; several are coded in units of all their blocks.
        let components = coders.iter().map(|coder| &self.frame.components[coder.component]);
        let ((across, down), blocks) = match &coders[..] {
            [only] => (self.frame.blocks(&self.frame.components[only.component]), 1),
            _ => {
                let units = (self.frame.units_across(), self.frame.units_down());
                (units, components.map(|c| c.across * c.down).sum())
            }
        };
        self.blocks += across * down * blocks;
        if self.blocks > MAX_BLOCKS {
            return Err(Rejection::TooMuchWork { found: "its scans go over more than 24 million blocks" });
        }
        let mut end_of_band_run = 0;
        for unit in 0..across * down {
            if tables.restart_interval > 0 && unit > 0 && unit % tables.restart_interval == 0 {
                bits.restart()?;
                end_of_band_run = 0;
            }
            for coder in &coders {
                let Component { across: h, down: v, .. } = self.frame.components[coder.component];
                let (h, v) = if coders.len() == 1 { (1, 1) } else { (h, v) };
                for _ in 0..h * v {
                    if !self.frame.progressive {
                        coder.baseline_block(&mut bits)?;
                    } else if is_dc {
                        coder.dc_block(&mut bits, band)?;
                    } else {
                        let stride =
                            self.frame.units_across() * self.frame.components[coder.component].across;
                        let place = unit / across * stride + unit % across;
                        let nonzero = &mut self.nonzero[coder.component][place];
                        coder.ac_block(&mut bits, band, &mut end_of_band_run, nonzero)?;
                    }
                }
            }
        }
        // The scan's last byte is behind it, and at most padding is left before the next marker.
        Ok(bits.at)
    }
}

/// One component's part in a scan.
struct Coder {
    component: usize,
    dc: Option<Huffman>,
    ac: Option<Huffman>,
}

impl Coder {
    fn baseline_block(&self, bits: &mut Bits<'_>) -> Result<(), Rejection> {
        let (Some(dc), Some(ac)) = (&self.dc, &self.ac) else { return Err(Rejection::Corrupt) };
        difference(dc, bits)?;
        let mut k = 1;
        while k < 64 {
            let symbol = ac.decode(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => break,
                _ => {
                    k += run + 1;
                    bits.skip(size)?;
                }
            }
        }
        if k <= 64 { Ok(()) } else { Err(Rejection::Corrupt) }
    }

    fn dc_block(&self, bits: &mut Bits<'_>, band: Band) -> Result<(), Rejection> {
        match &self.dc {
            _ if band.refines => bits.skip(1),
            Some(dc) => difference(dc, bits),
            None => Err(Rejection::Corrupt),
        }
    }

    fn ac_block(
        &self,
        bits: &mut Bits<'_>,
        band: Band,
        end_of_band_run: &mut u32,
        nonzero: &mut u64,
    ) -> Result<(), Rejection> {
        let Some(ac) = &self.ac else { return Err(Rejection::Corrupt) };
        let mut k = band.first;
        if *end_of_band_run == 0 {
            while k <= band.last {
                let symbol = ac.decode(bits)?;
                let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 && run < 15 {
                    *end_of_band_run = (1 << run) + bits.take(run as u32)?;
                    break;
                }
                bits.skip(size)?;
                k = if band.refines { pass_zeros(bits, *nonzero, k, band.last, run)? } else { k + run };
                if k > band.last {
                    // A run of sixteen zeros may end the band; a coefficient may not lie behind it.
                    if size != 0 {
                        return Err(Rejection::Corrupt);
                    }
                    break;
                }
                if size != 0 {
                    *nonzero |= 1 << k;
                }
                k += 1;
            }
        }
        if *end_of_band_run > 0 {
            *end_of_band_run -= 1;
            if band.refines && k <= band.last {
                let rest = (*nonzero >> k) << k << (63 - band.last);
                for _ in 0..rest.count_ones() {
                    bits.skip(1)?;
                }
            }
        }
        Ok(())
    }
}

fn difference(dc: &Huffman, bits: &mut Bits<'_>) -> Result<(), Rejection> {
    let size = u32::from(dc.decode(bits)?);
    if size > 16 {
        return Err(Rejection::Corrupt);
    }
    bits.skip(size)
}

/// Passes over `run` coefficients that are still zero, reading a bit for each that is not (figure G.7).
fn pass_zeros(
    bits: &mut Bits<'_>,
    nonzero: u64,
    mut k: usize,
    last: usize,
    mut run: usize,
) -> Result<usize, Rejection> {
    while k <= last {
        if nonzero >> k & 1 == 1 {
            bits.skip(1)?;
        } else if run == 0 {
            break;
        } else {
            run -= 1;
        }
        k += 1;
    }
    Ok(k)
}
