//! Walks through the head of a lossless WebP bitstream, up to its pixels (RFC 9649, section 3).
//!
//! An image may name up to 65,536 groups of five Huffman codes, of any size and some bytes each, which the decoder
//! unpacks into tables of up to 120 kB a group before it reads a pixel. This tells beforehand what they take.

use super::Rejection;
use crate::mark::Size;

/// In which order the lengths of the code for code lengths are written.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// The number of the last predictor that the format defines.
const LAST_PREDICTOR: u32 = 13;
/// Symbols of green with the lengths of copies, red, blue, alpha, and the distances of copies.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// The decoder's tables are looked up by so many bits; longer codes go on in a tree.
const TABLE_BITS: u8 = 10;
/// Bytes of a table's entry, of two nodes of the tree, and of a group besides, with what the allocator adds.
const ENTRY_BYTES: u64 = 4;
const BRANCH_BYTES: u64 = 32;
const GROUP_BYTES: u64 = 1024;

/// Bytes that the decoder takes for the tables of an image of this size, whose transforms begin at bit `start`.
///
/// # Errors
/// [`Rejection::TooMuchMemory`] when they are more than `limit`; [`Rejection::Incomplete`] when the data end early;
/// [`Rejection::Corrupt`] when they break the format's rules, or are so written that decoders differ.
pub(super) fn tables(data: &[u8], start: usize, size: Size, limit: u64) -> Result<u64, Rejection> {
    let mut bits = Bits { bytes: data, at: start };
    let Size { mut width, height } = size;
    let mut seen = [false; 4];
    while bits.take(1)? == 1 {
        let kind = bits.take(2)?;
        if std::mem::replace(&mut seen[kind as usize], true) {
            return Err(Rejection::Corrupt);
        }
        match kind {
            // Predictors and colour differences are given by blocks.
            0 | 1 => {
                let side = bits.take(3)? + 2;
                let greatest = image(&mut bits, blocks(width, side), blocks(height, side))?;
                // The number of a block's predictor stands where green does. Of those above the last, decoders make
                // different things.
                if kind == 0 && greatest.green > LAST_PREDICTOR {
                    return Err(Rejection::Corrupt);
                }
            }
            // Green subtracted from the others needs no data.
            2 => {}
            // Indices into few colours are packed into one pixel.
            _ => {
                let colours = bits.take(8)? + 1;
                image(&mut bits, colours, 1)?;
                width = blocks(
                    width,
                    match colours {
                        ..=2 => 3,
                        3..=4 => 2,
                        5..=16 => 1,
                        _ => 0,
                    },
                );
            }
        }
    }
    let cached = cached_colours(&mut bits)?;
    let mut groups = 1;
    if bits.take(1)? == 1 {
        let side = bits.take(3)? + 2;
        // The number of a block's group stands where red and green do.
        groups += image(&mut bits, blocks(width, side), blocks(height, side))?.red_and_green;
    }
    let mut bytes = 0;
    for _ in 0..groups {
        bytes += GROUP_BYTES + group(&mut bits, cached)?.iter().map(|code| table_bytes(code)).sum::<u64>();
        if bytes > limit {
            return Err(Rejection::TooMuchMemory { limit });
        }
    }
    Ok(bytes)
}

/// How many blocks of 2 to the `side` pixels cover a side.
fn blocks(pixels: u32, side: u32) -> u32 {
    pixels.div_ceil(1 << side)
}

/// The greatest values of an image's pixels.
#[derive(Default)]
struct Greatest {
    green: u32,
    /// Red and green as one number.
    red_and_green: u32,
}

/// Walks through an image that is given by one group of codes. Copies and cached colours are those of pixels before.
fn image(bits: &mut Bits<'_>, width: u32, height: u32) -> Result<Greatest, Rejection> {
    let cached = cached_colours(bits)?;
    let codes = group(bits, cached)?.map(|lengths| Code::new(&lengths));
    let [green, red, blue, alpha, distance] = codes;
    let (green, red, blue, alpha, distance) = (green?, red?, blue?, alpha?, distance?);
    let (mut left, mut greatest) = (u64::from(width) * u64::from(height), Greatest::default());
    while left > 0 {
        let symbol = green.symbol(bits)?;
        let covered = match symbol {
            ..256 => {
                greatest.green = greatest.green.max(symbol);
                greatest.red_and_green = greatest.red_and_green.max(red.symbol(bits)? << 8 | symbol);
                blue.symbol(bits)?;
                alpha.symbol(bits)?;
                1
            }
            256..280 => {
                let length = number(bits, symbol - 256)?;
                let prefix = distance.symbol(bits)?;
                number(bits, prefix)?;
                length
            }
            _ => 1,
        };
        left = left.checked_sub(covered).ok_or(Rejection::Corrupt)?;
    }
    Ok(greatest)
}

/// A length or distance, less one, in the bits behind its prefix.
fn number(bits: &mut Bits<'_>, prefix: u32) -> Result<u64, Rejection> {
    if prefix < 4 {
        return Ok(u64::from(prefix) + 1);
    }
    let extra = (prefix - 2) >> 1;
    Ok(u64::from(((2 + (prefix & 1)) << extra) + bits.take(extra)? + 1))
}

/// Colours of the cache, each of which is a symbol more.
fn cached_colours(bits: &mut Bits<'_>) -> Result<usize, Rejection> {
    match bits.take(1)? {
        0 => Ok(0),
        _ => match bits.take(4)? {
            count @ 1..=11 => Ok(1 << count),
            _ => Err(Rejection::Corrupt),
        },
    }
}

/// The lengths of a group's codes, by symbol; 0 for what has none.
fn group(bits: &mut Bits<'_>, cached: usize) -> Result<[Vec<u8>; 5], Rejection> {
    let mut group: [Vec<u8>; 5] = Default::default();
    for (number, (code, symbols)) in group.iter_mut().zip(ALPHABETS).enumerate() {
        *code = code_lengths(bits, if number == 0 { symbols + cached } else { symbols })?;
    }
    Ok(group)
}

fn code_lengths(bits: &mut Bits<'_>, symbols: usize) -> Result<Vec<u8>, Rejection> {
    let mut lengths = vec![0; symbols];
    if bits.take(1)? == 1 {
        let has_two = bits.take(1)? == 1;
        let first = if bits.take(1)? == 1 { bits.take(8)? } else { bits.take(1)? } as usize;
        *lengths.get_mut(first).ok_or(Rejection::Corrupt)? = 1;
        if has_two {
            let second = bits.take(8)? as usize;
            // Which of the two has the code 0 is told by their order alone, and decoders differ when it is reversed.
            if second <= first {
                return Err(Rejection::Corrupt);
            }
            *lengths.get_mut(second).ok_or(Rejection::Corrupt)? = 1;
        }
        return Ok(lengths);
    }
    let mut of_lengths = [0; 19];
    for place in ORDER.iter().take(4 + bits.take(4)? as usize) {
        of_lengths[*place] = bits.take(3)? as u8;
    }
    let code = Code::new(&of_lengths)?;
    let written = if bits.take(1)? == 1 {
        let wide = 2 + 2 * bits.take(3)?;
        2 + bits.take(wide)? as usize
    } else {
        symbols
    };
    if written > symbols {
        return Err(Rejection::Corrupt);
    }
    let (mut at, mut last) = (0, 8);
    for _ in 0..written {
        if at == symbols {
            break;
        }
        let (length, times) = match code.symbol(bits)? as u8 {
            16 => (last, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        let places = lengths.get_mut(at..at + times as usize).ok_or(Rejection::Corrupt)?;
        places.fill(length);
        at += places.len();
        if length != 0 {
            last = length;
        }
    }
    Ok(lengths)
}

/// What the decoder's table of a code takes.
fn table_bytes(lengths: &[u8]) -> u64 {
    let longest = lengths.iter().copied().max().unwrap_or(0).min(TABLE_BITS);
    let long = lengths.iter().filter(|length| **length > TABLE_BITS).count();
    (ENTRY_BYTES << longest) + BRANCH_BYTES * long as u64
}

/// A Huffman code, by the next bits: symbol and length.
struct Code {
    table: Vec<(u16, u8)>,
    longest: u32,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self, Rejection> {
        let coded = || lengths.iter().enumerate().filter(|(_, length)| **length > 0);
        // A symbol that is alone takes no bit.
        if let (Some((symbol, _)), 1) = (coded().next(), coded().count()) {
            return Ok(Self { table: vec![(symbol as u16, 0)], longest: 0 });
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut table = vec![(0, 0); 1 << longest];
        let mut code = 0usize;
        for length in 1..=longest {
            for (symbol, _) in coded().filter(|(_, own)| **own == length) {
                if code >> length != 0 {
                    return Err(Rejection::Corrupt);
                }
                // Its first bit is read first, and is the lowest.
                let first = code.reverse_bits() >> (usize::BITS - u32::from(length));
                for entry in table.iter_mut().skip(first).step_by(1 << length) {
                    *entry = (symbol as u16, length);
                }
                code += 1;
            }
            code <<= 1;
        }
        // Every row of bits must have a meaning.
        if code != 2 << longest {
            Err(Rejection::Corrupt)
        } else {
            Ok(Self { table, longest: longest.into() })
        }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u32, Rejection> {
        let (symbol, length) = self.table[bits.peek(self.longest) as usize];
        bits.skip(length.into())?;
        Ok(symbol.into())
    }
}

/// Bits from the lowest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, at most 25; zeros past the end.
    fn peek(&self, count: u32) -> u32 {
        let mut word = [0; 4];
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let have = rest.len().min(4);
        word[..have].copy_from_slice(&rest[..have]);
        (u32::from_le_bytes(word) >> (self.at % 8)) & ((1 << count) - 1)
    }

    fn skip(&mut self, count: u32) -> Result<(), Rejection> {
        self.at += count as usize;
        if self.at > 8 * self.bytes.len() { Err(Rejection::Incomplete) } else { Ok(()) }
    }

    fn take(&mut self, count: u32) -> Result<u32, Rejection> {
        let bits = self.peek(count);
        self.skip(count)?;
        Ok(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::animation::Animation;
    use super::super::{Limits, Picture, Pixels, decode};
    use super::*;
    use crate::testing::samples;

    /// A file of one grey pixel and so many groups of codes, whose greens are `long` or alone.
    fn many_groups(groups: u32, long: bool) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        let mut put = |value: u32, count: u32| bits.extend((0..count).map(|bit| value >> bit & 1 == 1));
        // Signature, sides of one pixel, no transparency, version, no transform.
        put(0x2F, 8);
        put(0, 32);
        put(0, 1);
        // A cache of 2048 colours makes the alphabet large enough for codes of 11 bits.
        put(1, 1);
        put(11, 4);
        // The groups' numbers are an image of one pixel, which is told by its codes alone.
        put(1, 1);
        put(0, 3);
        put(0, 1);
        let greatest = groups - 1;
        for value in [greatest & 255, greatest >> 8, 0, 0, 0] {
            put(0b101, 3);
            put(value, 8);
        }
        for _ in 0..groups {
            if long {
                // Code lengths have one symbol, 11, and are so for the first 2048 symbols.
                put(0, 1);
                put(11, 4);
                ORDER.iter().take(15).for_each(|length| put(u32::from(*length == 11), 3));
                put(1, 1);
                put(5, 3);
                put(2048 - 2, 12);
            } else {
                put(0b0001, 4);
            }
            (0..4).for_each(|_| put(0b0001, 4));
        }
        // The pixel.
        put(0, 32);
        put(0, 32);
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        let mut data: Vec<u8> = bits.chunks(8).map(byte).collect();
        data.resize(data.len().next_multiple_of(2), 0);
        let length = data.len() as u32;
        let header = [&b"RIFF"[..], &(length + 12).to_le_bytes(), b"WEBPVP8L", &length.to_le_bytes()];
        [&header.concat(), &data[..]].concat()
    }

    fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
        [name, &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat()
    }

    /// A file of one pixel whose header has these flags.
    fn extended(flags: u8, chunks: &[u8]) -> Vec<u8> {
        let header = chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        chunk(b"RIFF", &[b"WEBP", &header[..], chunks].concat())
    }

    /// An animation that shows a file of one pixel again and again.
    fn animated(still: &[u8], frames: usize) -> Vec<u8> {
        let frame = chunk(b"ANMF", &[&[0; 16], &still[12..]].concat());
        extended(2, &[chunk(b"ANIM", &[0; 6]), frame.repeat(frames)].concat())
    }

    fn opened<'a>(bytes: &'a [u8], limits: &'a Limits) -> Animation<'a> {
        match Picture::open(bytes, limits).unwrap() {
            Picture::Animation(animation) => animation,
            Picture::Still(_) => panic!("a still"),
        }
    }

    #[test]
    fn a_small_file_whose_codes_unpack_into_gigabytes_is_refused_before_they_do() {
        let limits = Limits::default();
        let few = decode(&many_groups(100, true), &limits).map(|pixels| pixels.size().pixels());
        assert_eq!(few, Ok(1));
        let bomb = many_groups(0x1_0000, true);
        assert!(bomb.len() < 700_000);
        let refused = Err(Rejection::TooMuchMemory { limit: limits.decode_bytes });
        assert_eq!(decode(&bomb, &limits), refused);
        // The same as a frame of an animation, and as an alpha channel, which has no header.
        let file = animated(&bomb, 2);
        assert_eq!(opened(&file, &limits).frames().err(), refused.clone().err());
        let alpha = chunk(b"ALPH", &[&[1], &bomb[25..]].concat());
        let opaque = webp::Encoder::from_rgb(&[90; 3], 1, 1).encode(80.0)[12..].to_vec();
        let transparent = extended(16, &[alpha, opaque].concat());
        assert_eq!(decode(&transparent, &limits), refused);
    }

    #[test]
    fn an_animation_whose_frames_fit_in_memory_one_by_one_is_refused_for_the_time_they_all_take() {
        let limits = Limits::default();
        let still = many_groups(7000, true);
        assert!(decode(&still, &limits).is_ok(), "half a gigabyte");
        let file = animated(&still, 3);
        assert!(opened(&file, &limits).frames().is_ok());
        let bomb = animated(&still, 100);
        assert!(bomb.len() < limits.image_bytes);
        let refused = opened(&bomb, &limits).frames().err();
        assert!(matches!(refused, Some(Rejection::TooMuchWork { .. })), "{refused:?}");
        let frames = opened(&bomb, &limits).sample().err();
        assert_eq!(frames, refused, "as a leak, too");
    }

    #[test]
    fn what_libwebp_writes_is_walked_to_its_pixels() {
        for picture in [samples::photograph(500, 400, 5), samples::flat_graphic(500, 400)] {
            let file = webp::Encoder::from_rgb(&picture, 500, 400).encode_lossless();
            let bytes = tables(&file[20..], 40, Size { width: 500, height: 400 }, u64::MAX).unwrap();
            assert!(bytes < 4 << 20, "{bytes}");
            assert_eq!(decode(&file, &Limits::default()), Ok(Pixels::Opaque(picture)));
        }
    }

    #[test]
    fn codes_that_cost_no_memory_still_cost_their_place() {
        let limits = Limits { decode_bytes: 32 << 20, ..Limits::default() };
        assert!(decode(&many_groups(1000, false), &limits).is_ok());
        assert!(matches!(
            decode(&many_groups(0x1_0000, false), &limits),
            Err(Rejection::TooMuchMemory { .. })
        ));
    }
}
