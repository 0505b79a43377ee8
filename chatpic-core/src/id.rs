//! Names that are no secrets: shares, sessions and folders of the blob store.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::entropy::Entropy;

/// A text that is no id of the asked kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a well-formed id")]
pub struct ParseIdError;

/// Names a share in its link: 96 random bits, 16 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId([u8; 12]);

impl ShareId {
    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// A random id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(entropy.bytes())
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareId({self})")
    }
}

impl FromStr for ShareId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ParseIdError)?;
        bytes.try_into().map(Self).map_err(|_| ParseIdError)
    }
}

/// Names one viewing session within its share; drawn on every image as `ID:` and 8 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SessionId(pub u32);

impl SessionId {
    /// The uploader's own preview, which spends nothing.
    pub const UPLOADER: SessionId = SessionId(0);

    /// A random id, never [`SessionId::UPLOADER`].
    pub fn random(entropy: &dyn Entropy) -> Self {
        loop {
            let id = Self(u32::from_be_bytes(entropy.bytes()));
            if id != Self::UPLOADER {
                return id;
            }
        }
    }

    /// The text drawn on images: `ID:E64F44F6`, or `UPLOADER`.
    pub fn label(self) -> String {
        if self == Self::UPLOADER { self.to_string() } else { format!("ID:{self}") }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UPLOADER { f.write_str("UPLOADER") } else { write!(f, "{:08X}", self.0) }
    }
}

impl FromStr for SessionId {
    type Err = ParseIdError;

    /// Reads 8 hex digits of either case, with or without a leading `ID:`, or `UPLOADER`.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.strip_prefix("ID:").unwrap_or(text);
        if digits == "UPLOADER" {
            return Ok(Self::UPLOADER);
        }
        if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseIdError);
        }
        u32::from_str_radix(digits, 16).map(Self).map_err(|_| ParseIdError)
    }
}

/// One share's place in the blob store: the instant its upload began and 128 random bits.
///
/// A folder is never used twice, so no object can be mistaken for another share's. The instant lets the
/// sweep tell an upload under way from one that was given up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Folder(String);

impl Folder {
    /// A new folder for an upload that begins now.
    pub fn new(begun: Timestamp, entropy: &dyn Entropy) -> Self {
        let random: [u8; 16] = entropy.bytes();
        Self(format!("{:012x}-{}", begun.0.max(0), HEXLOWER.encode(&random)))
    }

    /// The folder's name, safe as one segment of a path or URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where copies are kept that are made for single sessions of the share in this folder, of sessions opened within
    /// the same hour. No share has it for its own, so the sweep deletes it an upload's timeout after its instant, the
    /// hour's end.
    pub(crate) fn of_copies(&self, opened_at: Timestamp) -> Self {
        const HOUR_MS: i64 = 60 * 60 * 1000;
        let end = (opened_at.0.max(0) / HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
        let random = self.0.split_once('-').map_or("", |(_, random)| random);
        Self(format!("{end:012x}-{random}"))
    }

    /// When the upload began.
    pub fn begun(&self) -> Timestamp {
        let instant = self.0.split('-').next().and_then(|hex| i64::from_str_radix(hex, 16).ok());
        Timestamp(instant.unwrap_or(0))
    }
}

impl FromStr for Folder {
    type Err = ParseIdError;

    fn from_str(name: &str) -> Result<Self, ParseIdError> {
        let (instant, random) = name.split_once('-').ok_or(ParseIdError)?;
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if instant.len() != 12 || random.len() != 32 || !hex(instant) || !hex(random) {
            return Err(ParseIdError);
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn ids_read_back_what_they_print() {
        let entropy = SeededEntropy::new(1);
        let share = ShareId::random(&entropy);
        assert_eq!(share.to_string().parse(), Ok(share));
        assert_eq!(share.to_string().len(), 16);
        let session = SessionId(0xE64F_44F6);
        assert_eq!(session.label(), "ID:E64F44F6");
        assert_eq!("e64f44f6".parse(), Ok(session));
        assert_eq!("ID:E64F44F6".parse(), Ok(session));
        let folder = Folder::new(Timestamp(1_790_000_000_000), &entropy);
        assert_eq!(folder.begun(), Timestamp(1_790_000_000_000));
        let copies = |ms: i64| folder.of_copies(Timestamp(1_790_000_000_000 + ms));
        assert!(copies(0).begun() > Timestamp(1_790_000_000_000) && copies(0) != folder);
        assert_eq!(copies(0), copies(1));
        assert_ne!(copies(0), copies(60 * 60 * 1000));
        assert_eq!(copies(0).as_str().parse(), Ok(copies(0)));
        assert_eq!(folder.as_str().parse(), Ok(folder));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "short", "seventeen-letters", "sixteen letters!", "../../etc/passwd"] {
            assert_eq!(text.parse::<ShareId>(), Err(ParseIdError), "{text}");
            assert_eq!(text.parse::<SessionId>(), Err(ParseIdError), "{text}");
            assert_eq!(text.parse::<Folder>(), Err(ParseIdError), "{text}");
        }
        assert_eq!("+1234567".parse::<SessionId>(), Err(ParseIdError));
    }
}
