//! Passwords: Argon2id (RFC 9106) of the NFC form, 1 to 128 characters.

use argon2::{Algorithm, Argon2, Params, Version};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroize;

use crate::error::Error;
use crate::secret::PasswordKey;

/// Memory in KiB, passes and lanes: the second choice of RFC 9106 scaled to 19 MiB, as OWASP advises.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A password as typed, brought to NFC so that every keyboard's way of writing it is the same.
pub struct Password(String);

impl Password {
    /// The password with this text.
    pub fn new(text: &str) -> Self {
        Self(text.nfc().collect())
    }

    /// Its length in characters after NFC.
    pub fn chars(&self) -> usize {
        self.0.chars().count()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Derives the key that takes part in the link wrap. Costs about 20 ms and 19 MiB: never call it on an
    /// async thread.
    pub(crate) fn key(&self, salt: &[u8; 16]) -> Result<PasswordKey, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|_| Error::Damaged)?;
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.0.as_bytes(), salt, &mut key)
            .map_err(|_| Error::Damaged)?;
        Ok(PasswordKey::from_bytes(key))
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_are_one_password() {
        let composed = Password::new("caf\u{e9}").key(&[1; 16]).unwrap();
        let decomposed = Password::new("cafe\u{301}").key(&[1; 16]).unwrap();
        assert_eq!(composed.as_bytes(), decomposed.as_bytes());
        let other_salt = Password::new("caf\u{e9}").key(&[2; 16]).unwrap();
        assert_ne!(composed.as_bytes(), other_salt.as_bytes());
    }
}
