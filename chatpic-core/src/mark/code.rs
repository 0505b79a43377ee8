//! Codewords: one secret sign per segment and session.

use super::key::ImageKey;
use crate::id::SessionId;

/// The signs of all segments of one rendition for one session, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codeword {
    /// Bit `j % 8` of byte `j / 8` belongs to segment `j`; bits past the last segment are arbitrary.
    pub bits: Vec<u8>,
}

impl Codeword {
    /// Whether segment `j` is taken from variant A (`true`) or B.
    pub fn bit(&self, j: usize) -> bool {
        self.bits.get(j / 8).is_some_and(|byte| byte >> (j % 8) & 1 == 1)
    }

    /// +1 for variant A, -1 for variant B.
    pub fn sign(&self, j: usize) -> f32 {
        if self.bit(j) { 1.0 } else { -1.0 }
    }
}

/// The codeword of `session` on rendition `size_index` (0 is the full one) with `n` segments.
///
/// The bits are a ChaCha20 keystream whose nonce names session and rendition, so codewords are independent fair coins
/// to anyone without the key. Its first third gives every third byte: signs from all over the image, by which a search
/// for a session rules most of them out.
pub(crate) fn codeword(key: &ImageKey, size_index: usize, session: SessionId, n: usize) -> Codeword {
    let mut bits = vec![0; n.div_ceil(8)];
    let third = bits.len().div_ceil(3);
    let mut stream = vec![0; 3 * third];
    keystream(key, size_index, session, &mut stream);
    for (round, third) in stream.chunks_exact(third.max(1)).enumerate() {
        bits.iter_mut().skip(round).step_by(3).zip(third).for_each(|(bits, drawn)| *bits = *drawn);
    }
    Codeword { bits }
}

/// The bytes 0, 3, 6 and so on of [`codeword`], as many as `bytes` holds.
pub(crate) fn every_third_byte(key: &ImageKey, size_index: usize, session: SessionId, bytes: &mut [u8]) {
    keystream(key, size_index, session, bytes);
}

fn keystream(key: &ImageKey, size_index: usize, session: SessionId, bytes: &mut [u8]) {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&session.0.to_le_bytes());
    nonce[4..8].copy_from_slice(&(size_index as u32).to_le_bytes());
    key.code_bytes(nonce, bytes);
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
    fn every_third_byte_is_the_codewords() {
        let key = MarkKey::new([3; 32]).image(b"i");
        for n in [1, 8, 9, 1999, 2000, 2017] {
            let code = codeword(&key, 1, SessionId(7), n);
            let mut bytes = vec![0; code.bits.len().div_ceil(3)];
            every_third_byte(&key, 1, SessionId(7), &mut bytes);
            assert!(bytes.iter().eq(code.bits.iter().step_by(3)));
        }
    }
}
