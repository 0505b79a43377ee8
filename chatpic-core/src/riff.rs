//! Writes WebP files from their chunks (RFC 9649).

use crate::mark::Size;

/// Flags of an extended header.
pub(crate) const ANIMATED: u8 = 0x02;
pub(crate) const ALPHA: u8 = 0x10;
/// The flag of a frame that replaces what was there.
pub(crate) const NOT_BLENDED: u8 = 0x02;

/// A file with an extended header: flags, size, and the chunks behind it.
pub(crate) fn file(flags: u8, size: Size, chunks: &[u8]) -> Vec<u8> {
    let sides = [size.width, size.height].map(|side| side.saturating_sub(1).to_le_bytes());
    let mut body = b"WEBP".to_vec();
    append(&mut body, "VP8X", &[&[flags, 0, 0, 0], &sides[0][..3], &sides[1][..3]].concat());
    body.extend(chunks);
    let mut file = Vec::with_capacity(body.len() + 8);
    append(&mut file, "RIFF", &body);
    file
}

/// Writes a chunk, padded to an even length.
pub(crate) fn append(file: &mut Vec<u8>, name: &str, body: &[u8]) {
    file.extend(name.as_bytes());
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file.extend(&[0][..body.len() % 2]);
}
