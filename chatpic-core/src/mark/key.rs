//! Keys of the forensic mark, and the keyed random streams drawn from them.

use std::fmt;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ring::hmac;

/// The mark key of one share: 32 secret random bytes. Who holds it can read and forge every mark of the share.
#[derive(Clone, PartialEq, Eq)]
pub struct MarkKey([u8; 32]);

impl MarkKey {
    /// Wraps 32 bytes drawn from a cryptographic random source.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored with the share's other secrets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one image: HMAC-SHA256 (RFC 2104) of `"chatpic image"` and the image's id.
    pub fn image(&self, image: &[u8]) -> ImageKey {
        ImageKey::from_bytes(derive(&self.0, &[b"chatpic image", image]))
    }
}

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey(..)")
    }
}

/// The mark key of one image; made by [`MarkKey::image`].
#[derive(Clone, PartialEq, Eq)]
pub struct ImageKey {
    secret: [u8; 32],
    /// The cipher key of the codewords, kept because a trace draws millions of them.
    code: [u8; 32],
}

impl ImageKey {
    /// The key that [`ImageKey::as_bytes`] gave.
    pub(crate) fn from_bytes(secret: [u8; 32]) -> Self {
        Self { secret, code: derive(&secret, &[b"code"]) }
    }

    /// What the key can be made of again.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// A random stream of its own for each label; the same label gives the same stream.
    pub(crate) fn stream(&self, label: &str) -> Stream {
        let key = derive(&self.secret, &[b"stream", label.as_bytes()]);
        Stream {
            cipher: ChaCha20::new(&key.into(), &[0; 12].into()),
            block: [0; Stream::BLOCK],
            used: Stream::BLOCK,
        }
    }

    /// Fills `bytes` with the keystream that belongs to `nonce`.
    pub(crate) fn code_bytes(&self, nonce: [u8; 12], bytes: &mut [u8]) {
        bytes.fill(0);
        ChaCha20::new(&self.code.into(), &nonce.into()).apply_keystream(bytes);
    }
}

impl fmt::Debug for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImageKey(..)")
    }
}

/// HMAC-SHA256 over `parts`, one after another.
fn derive(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// A deterministic random stream: ChaCha20 (RFC 8439) over zeros.
pub(crate) struct Stream {
    cipher: ChaCha20,
    block: [u8; Stream::BLOCK],
    used: usize,
}

impl Stream {
    const BLOCK: usize = 1024;

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used + 4 > Self::BLOCK {
            self.block = [0; Self::BLOCK];
            self.cipher.apply_keystream(&mut self.block);
            self.used = 0;
        }
        let mut word = [0; 4];
        word.copy_from_slice(&self.block[self.used..self.used + 4]);
        self.used += 4;
        u32::from_le_bytes(word)
    }

    /// A number between 0 and 1, neither of them included, with 32 bits of resolution.
    pub fn uniform(&mut self) -> f64 {
        (f64::from(self.next_u32()) + 0.5) / 4_294_967_296.0
    }

    /// The numbers `0..n` in random order (Fisher-Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_for_one_label_and_differ_for_another_label_image_or_share() {
        let key = MarkKey::new([7; 32]);
        let draw = |key: &MarkKey, image: &[u8], label: &str| key.image(image).stream(label).next_u32();
        assert_eq!(draw(&key, b"a", "x"), draw(&key, b"a", "x"));
        assert_ne!(draw(&key, b"a", "x"), draw(&key, b"a", "y"));
        assert_ne!(draw(&key, b"a", "x"), draw(&key, b"b", "x"));
        assert_ne!(draw(&key, b"a", "x"), draw(&MarkKey::new([8; 32]), b"a", "x"));
    }

    #[test]
    fn debug_output_shows_no_key_byte() {
        let key = MarkKey::new([123; 32]);
        assert!(!format!("{key:?} {:?}", key.image(b"a")).contains("123"));
    }
}
