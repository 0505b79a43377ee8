//! Seals image bytes with a share's data key: AES-256-GCM over chunks of 64 KiB.
//!
//! Each object has a key of its own, derived from the data key and the object's whole name, so the chunk
//! number serves as nonce; a flag in the nonce marks the last chunk, so that nothing can be cut off or
//! reordered unseen (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015).

use std::fmt::Display;

use ring::{aead, hmac};

use crate::error::Error;
use crate::id::ShareId;
use crate::secret::DataKey;

const CHUNK_LEN: usize = 64 * 1024;

/// Names one sealed object within its share: which image, and which of its sizes. An animation's second size is its
/// first frame alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ObjectName {
    pub image: usize,
    pub size: usize,
}

impl Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.image, self.size)
    }
}

fn object_key(key: &DataKey, share: &ShareId, name: &dyn Display) -> Result<aead::LessSafeKey, Error> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(share.as_bytes());
    context.update(name.to_string().as_bytes());
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, context.sign().as_ref());
    key.map(aead::LessSafeKey::new).map_err(|_| Error::Damaged)
}

fn chunk_nonce(index: usize, last: bool) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[..8].copy_from_slice(&(index as u64).to_be_bytes());
    nonce[11] = u8::from(last);
    aead::Nonce::assume_unique_for_key(nonce)
}

/// Seals `plain`, which is wiped of nothing: the caller drops it.
///
/// Nothing else may ever be sealed under the same name.
pub(crate) fn seal(
    key: &DataKey,
    share: &ShareId,
    name: &dyn Display,
    plain: &[u8],
) -> Result<Vec<u8>, Error> {
    let key = object_key(key, share, name)?;
    let count = plain.len().div_ceil(CHUNK_LEN).max(1);
    let mut sealed = Vec::with_capacity(plain.len() + count * aead::AES_256_GCM.tag_len());
    for index in 0..count {
        let start = index * CHUNK_LEN;
        let end = plain.len().min(start + CHUNK_LEN);
        let mut chunk = plain[start..end].to_vec();
        let nonce = chunk_nonce(index, index + 1 == count);
        key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut chunk).map_err(|_| Error::Damaged)?;
        sealed.extend_from_slice(&chunk);
    }
    Ok(sealed)
}

/// Opens what [`seal`] sealed; `Error::Damaged` when anything was changed, cut, moved or is another's.
pub(crate) fn open(
    key: &DataKey,
    share: &ShareId,
    name: &dyn Display,
    mut sealed: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let key = object_key(key, share, name)?;
    let tag_len = aead::AES_256_GCM.tag_len();
    let step = CHUNK_LEN + tag_len;
    let count = sealed.len().div_ceil(step).max(1);
    let mut plain_len = 0;
    for index in 0..count {
        let start = index * step;
        let end = sealed.len().min(start + step);
        let nonce = chunk_nonce(index, index + 1 == count);
        let chunk = key
            .open_in_place(nonce, aead::Aad::empty(), &mut sealed[start..end])
            .map_err(|_| Error::Damaged)?
            .len();
        sealed.copy_within(start..start + chunk, plain_len);
        plain_len += chunk;
    }
    sealed.truncate(plain_len);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: ObjectName = ObjectName { image: 1, size: 0 };

    fn fixture() -> (DataKey, ShareId) {
        (DataKey::from_bytes([5; 32]), ShareId::from_bytes([9; 12]))
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(len in 0usize..300_000) {
            let (key, share) = fixture();
            let plain: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let sealed = seal(&key, &share, &NAME, &plain).unwrap();
            prop_assert_eq!(open(&key, &share, &NAME, sealed).unwrap(), plain);
        }

        #[test]
        fn any_changed_byte_is_noticed(at in 0usize..200_000, bit in 0u8..8) {
            let (key, share) = fixture();
            let mut sealed = seal(&key, &share, &NAME, &vec![0x42; 200_000]).unwrap();
            sealed[at] ^= 1 << bit;
            prop_assert!(open(&key, &share, &NAME, sealed).is_err());
        }
    }

    #[test]
    fn no_chunk_can_be_dropped_or_moved() {
        let (key, share) = fixture();
        let sealed = seal(&key, &share, &NAME, &vec![1; 3 * CHUNK_LEN]).unwrap();
        let step = CHUNK_LEN + 16;
        assert!(open(&key, &share, &NAME, sealed[..2 * step].to_vec()).is_err());
        assert!(open(&key, &share, &NAME, sealed[step..].to_vec()).is_err());
        assert!(open(&key, &share, &NAME, Vec::new()).is_err());
    }

    #[test]
    fn an_object_opens_only_in_its_own_place() {
        let (key, share) = fixture();
        let sealed = seal(&key, &share, &NAME, b"pixels").unwrap();
        let elsewhere = ObjectName { image: 0, size: 1 };
        assert!(open(&key, &share, &elsewhere, sealed.clone()).is_err());
        assert!(open(&key, &ShareId::from_bytes([8; 12]), &NAME, sealed.clone()).is_err());
        assert!(open(&DataKey::from_bytes([6; 32]), &share, &NAME, sealed).is_err());
    }
}
