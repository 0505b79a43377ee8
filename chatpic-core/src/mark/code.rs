//! Codewords: one secret sign per segment and session.

use super::key::ImageKey;
use crate::id::SessionId;

/// The signs of all segments of one rendition for one session, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codeword {
    /// In two halves of whole bytes: of the even segments, then of the odd ones. What is left of a half is arbitrary.
    pub bits: Vec<u8>,
}

impl Codeword {
    /// Bytes in a half of the codeword of `n` segments.
    pub fn half(n: usize) -> usize {
        n.div_ceil(16)
    }

    /// Which bit belongs to segment `j`, with `half` bytes in a half.
    pub fn place(j: usize, half: usize) -> usize {
        j % 2 * 8 * half + j / 2
    }

    /// Whether segment `j` is taken from variant A (`true`) or B.
    pub fn bit(&self, j: usize) -> bool {
        let place = Self::place(j, self.bits.len() / 2);
        self.bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }

    /// For each segment in order 0 for variant A and 1 for B, and a few more: quicker than asking for each.
    #[inline(always)]
    pub fn choices(&self) -> Vec<[u8; 16]> {
        let (even, odd) = self.bits.split_at(self.bits.len() / 2);
        let each = |(even, odd): (&u8, &u8)| {
            let mut out = [0; 16];
            for (i, pair) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *pair = [!even >> i & 1, !odd >> i & 1];
            }
            out
        };
        even.iter().zip(odd).map(each).collect()
    }

    /// +1 for variant A, -1 for variant B.
    pub fn sign(&self, j: usize) -> f32 {
        if self.bit(j) { 1.0 } else { -1.0 }
    }
}

/// The codeword of `session` on rendition `size_index` (0 is the full one) with `n` segments.
///
/// The bits are a ChaCha20 keystream whose nonce names session and rendition, so codewords are independent fair coins
/// to anyone without the key.
pub(crate) fn codeword(key: &ImageKey, size_index: usize, session: SessionId, n: usize) -> Codeword {
    Codeword { bits: first_bytes(key, size_index, session, 2 * Codeword::half(n)) }
}

/// The first `count` bytes of a codeword: signs from all over the image, by which a search for a session rules most
/// of them out.
pub(crate) fn first_bytes(key: &ImageKey, size_index: usize, session: SessionId, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&session.0.to_le_bytes());
    nonce[4..8].copy_from_slice(&(size_index as u32).to_le_bytes());
    key.code_bytes(nonce, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::MarkKey;

    #[test]
    fn codewords_of_two_sessions_or_renditions_agree_on_about_half_their_segments() {
        let key = MarkKey::new([3; 32]).image(b"i");
        let first = codeword(&key, 0, SessionId(1), 2000);
        assert_eq!(first, codeword(&key, 0, SessionId(1), 2000));
        for other in [codeword(&key, 0, SessionId(2), 2000), codeword(&key, 1, SessionId(1), 2000)] {
            let product: f32 = (0..2000).map(|j| first.sign(j) * other.sign(j)).sum();
            assert!(product.abs() < 5.0 * 2000f32.sqrt(), "{product}");
        }
    }

    #[test]
    fn every_segment_has_a_bit_of_its_own_and_every_second_one_in_the_first_half() {
        for n in [1, 2, 3, 16, 17, 1999, 2000] {
            let half = Codeword::half(n);
            let mut places: Vec<usize> = (0..n).map(|j| Codeword::place(j, half)).collect();
            assert!((0..n).all(|j| (places[j] < 8 * half) == (j % 2 == 0)));
            places.sort_unstable();
            places.dedup();
            assert!(places.len() == n && places.last() < Some(&(16 * half)));
        }
    }
}
