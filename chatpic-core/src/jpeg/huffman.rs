//! Huffman codes, and reading entropy-coded data by them (T.81, annexes C and F.2.2).

use super::segments::next_marker;
use crate::intake::Rejection;

/// A code as a file defines it (T.81, B.2.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition<'a> {
    /// How many codes there are of each length, from 1 bit on.
    pub(crate) counts: &'a [u8; 16],
    /// What they stand for, from the shortest code on.
    pub(crate) values: &'a [u8],
}

/// The codes that a DHT segment defines, each with its kind: 0 for DC or 1 for AC in the high half, and which table it
/// becomes in the low one.
pub(crate) fn definitions(
    mut segment: &[u8],
) -> impl Iterator<Item = Result<(u8, Definition<'_>), Rejection>> {
    std::iter::from_fn(move || {
        let (&kind, rest) = segment.split_first()?;
        let definition = rest.split_first_chunk().and_then(|(counts, rest)| {
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (values, rest) = rest.split_at_checked(total)?;
            segment = rest;
            (total <= 256).then_some((kind, Definition { counts, values }))
        });
        if definition.is_none() {
            segment = &[];
        }
        Some(definition.ok_or(Rejection::Corrupt))
    })
}

/// The typical codes of T.81, K.3.3: DC of luma and chroma, then AC.
pub(crate) const STANDARD: [[Definition<'static>; 2]; 2] = [
    [
        Definition {
            counts: &[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        },
        Definition {
            counts: &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        },
    ],
    [
        Definition {
            counts: &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D],
            values: b"\
                \x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\
                \x22\x71\x14\x32\x81\x91\xA1\x08\x23\x42\xB1\xC1\x15\x52\xD1\xF0\
                \x24\x33\x62\x72\x82\x09\x0A\x16\x17\x18\x19\x1A\x25\x26\x27\x28\
                \x29\x2A\x34\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\x49\
                \x4A\x53\x54\x55\x56\x57\x58\x59\x5A\x63\x64\x65\x66\x67\x68\x69\
                \x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x83\x84\x85\x86\x87\x88\x89\
                \x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\xA6\xA7\
                \xA8\xA9\xAA\xB2\xB3\xB4\xB5\xB6\xB7\xB8\xB9\xBA\xC2\xC3\xC4\xC5\
                \xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\xE1\xE2\
                \xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8\
                \xF9\xFA",
        },
        Definition {
            counts: &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
            values: b"\
                \x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\
                \x13\x22\x32\x81\x08\x14\x42\x91\xA1\xB1\xC1\x09\x23\x33\x52\xF0\
                \x15\x62\x72\xD1\x0A\x16\x24\x34\xE1\x25\xF1\x17\x18\x19\x1A\x26\
                \x27\x28\x29\x2A\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\
                \x49\x4A\x53\x54\x55\x56\x57\x58\x59\x5A\x63\x64\x65\x66\x67\x68\
                \x69\x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x82\x83\x84\x85\x86\x87\
                \x88\x89\x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\
                \xA6\xA7\xA8\xA9\xAA\xB2\xB3\xB4\xB5\xB6\xB7\xB8\xB9\xBA\xC2\xC3\
                \xC4\xC5\xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\
                \xE2\xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF2\xF3\xF4\xF5\xF6\xF7\xF8\
                \xF9\xFA",
        },
    ],
];

/// Bits by which short codes are looked up at once. Of a photograph's codes, next to none is longer.
const SHORT: usize = 9;

/// A Huffman code to read by.
pub(crate) struct Huffman {
    /// By the next bits: what a code stands for and its length; 0 for longer codes.
    short: [(u8, u8); 1 << SHORT],
    /// By length: the first code that is longer, aligned to 16 bits.
    limits: [u32; 17],
    /// By length: what to add to a code to find the place of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Huffman {
    /// # Errors
    /// [`Rejection::Corrupt`] when there are more codes of a length than fit, one of ones alone left out.
    pub(crate) fn new(Definition { counts, values }: Definition<'_>) -> Result<Self, Rejection> {
        let mut table =
            Self { short: [(0, 0); 1 << SHORT], limits: [0; 17], offsets: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1usize..).zip(counts) {
            table.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                let value = *values.get(index).ok_or(Rejection::Corrupt)?;
                // No code is all ones (T.81, C.2).
                if code + 1 >= 1 << length {
                    return Err(Rejection::Corrupt);
                }
                if length <= SHORT {
                    let first = (code << (SHORT - length)) as usize;
                    table.short[first..first + (1 << (SHORT - length))].fill((value, length as u8));
                }
                code += 1;
                index += 1;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// What a code of more than [`SHORT`] bits stands for, and its length; `None` when there is no such code.
    #[cold]
    fn long(&self, ahead: u32) -> Option<(u8, u8)> {
        let length = (SHORT + 1..=16).find(|length| ahead < self.limits[*length])?;
        let index = (ahead >> (16 - length)) as i32 + self.offsets[length];
        let value = usize::try_from(index).ok().and_then(|index| self.values.get(index))?;
        Some((*value, length as u8))
    }
}

/// The bits of a scan: stuffing is taken out, and a marker or the file's end ends them.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where the byte stands that is read next.
    pub(crate) at: usize,
    /// Bits that were read ahead, the next one on top. Below `count` of them lie zeros, or bits of bytes that are not yet
    /// passed.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0 }
    }

    /// Reads ahead, so that 56 bits are held or none are left.
    #[inline(always)]
    fn fill(&mut self) {
        let next = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        match next.map(|next| u64::from_be_bytes(*next)) {
            Some(next) if !has_ff(next) => {
                self.held |= next >> self.count;
                let bytes = (63 - self.count) / 8;
                self.at += bytes as usize;
                self.count += 8 * bytes;
            }
            _ => self.fill_bytewise(),
        }
    }

    #[cold]
    #[inline(never)]
    fn fill_bytewise(&mut self) {
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
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Passes over bits, at most as many as can be held.
    #[inline(always)]
    fn pass(&mut self, count: u32) -> Result<(), Rejection> {
        self.count = self.count.checked_sub(count).ok_or(Rejection::Incomplete)?;
        self.held <<= count;
        Ok(())
    }

    /// What the next code stands for. 16 bits behind it are held, if there are so many.
    #[inline(always)]
    fn code(&mut self, huffman: &Huffman) -> Result<u8, Rejection> {
        if self.count < 32 {
            self.fill();
        }
        let (mut value, mut length) = huffman.short[(self.held >> (64 - SHORT)) as usize];
        if length == 0 {
            // Where the data end, what lies ahead is made up and may be no code.
            let broken = if self.count < 16 { Rejection::Incomplete } else { Rejection::Corrupt };
            (value, length) = huffman.long((self.held >> 48) as u32).ok_or(broken)?;
        }
        self.pass(length.into())?;
        Ok(value)
    }

    /// A code's symbol, whose low half is the size of a number behind it, and that number (T.81, F.2.2.1).
    #[inline(always)]
    pub(crate) fn symbol(&mut self, huffman: &Huffman) -> Result<(u8, i32), Rejection> {
        let symbol = self.code(huffman)?;
        let size = u32::from(symbol & 15);
        let bits = (self.held >> 1 >> (63 - size)) as i32;
        self.pass(size)?;
        // The lower half of the numbers of a size are negative.
        let negative = (bits - (1 << size >> 1)) >> 31;
        Ok((symbol, bits + (negative & (1 - (1 << size)))))
    }

    /// A number of `count` bits, at most 16.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> Result<u32, Rejection> {
        if self.count < count {
            self.fill();
        }
        let bits = (self.held >> 1 >> (63 - count)) as u32;
        self.pass(count)?;
        Ok(bits)
    }

    /// Goes on behind the next marker, which must be the restart of this number modulo 8. What is left before it is
    /// padding.
    pub(crate) fn restart(&mut self, number: usize) -> Result<(), Rejection> {
        let next = self.bytes.get(self.at..).and_then(next_marker);
        let (at, marker) = next.ok_or(Rejection::Incomplete)?;
        if usize::from(marker) != 0xD0 + number % 8 {
            return Err(Rejection::Incomplete);
        }
        self.at += at + 2;
        (self.held, self.count) = (0, 0);
        Ok(())
    }
}

/// Whether one of eight bytes is FF.
#[inline(always)]
fn has_ff(bytes: u64) -> bool {
    // Of the complements, one is then 0, and taking 1 from it sets its highest bit, which was not set.
    (!bytes).wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}
