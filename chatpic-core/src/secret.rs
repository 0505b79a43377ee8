//! Secrets and what is derived from them.
//!
//! Every derivation is HMAC-SHA256 used as a pseudo-random function (NIST SP 800-108), keyed by the
//! installation's own secret, over a label and length-prefixed parts; whoever holds only the database, or
//! only a link, can derive nothing.
//!
//! ```text
//! link key ──► link access ──┬─► link wrap key (with the password's Argon2id key, if set)
//!                            └─► session token (with password key and nonce) ──► session wrap key
//! dashboard key ──► dashboard access ──► dashboard wrap key, key of the sealed link
//! ```
//!
//! An *access* is what a page's cookie carries in place of a key. The stores see digests only.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use ring::{aead, hmac};
use zeroize::Zeroize;

use crate::clock::Timestamp;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::id::{ParseIdError, ShareId};

/// A secret of `N` bytes, written as base64url; `Debug` never shows it and dropping it wipes it.
pub struct Secret<K, const N: usize>([u8; N], PhantomData<K>);

impl<K, const N: usize> Secret<K, N> {
    /// The secret with these bytes.
    pub fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes, PhantomData)
    }

    /// A random secret.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self::from_bytes(entropy.bytes())
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The secret as text, for a link, a cookie or an answer to its owner.
    pub fn reveal(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }
}

impl<K, const N: usize> Clone for Secret<K, N> {
    fn clone(&self) -> Self {
        Self::from_bytes(self.0)
    }
}

impl<K, const N: usize> Drop for Secret<K, N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<K, const N: usize> fmt::Debug for Secret<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<K, const N: usize> FromStr for Secret<K, N> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = BASE64URL_NOPAD.decode(text.trim().as_bytes()).map_err(|_| ParseIdError)?;
        bytes.try_into().map(Self::from_bytes).map_err(|_| ParseIdError)
    }
}

/// Kinds of secrets: types that only tell one [`Secret`] from another.
pub mod kind {
    /// See [`super::InstallationSecret`].
    #[derive(Debug)]
    pub struct Installation;
    /// See [`super::LinkKey`] and [`super::LinkAccess`].
    #[derive(Debug)]
    pub struct Link;
    /// See [`super::DashboardKey`] and [`super::DashboardAccess`].
    #[derive(Debug)]
    pub struct Dashboard;
    /// See [`super::SessionToken`].
    #[derive(Debug)]
    pub struct Session;
    /// See [`super::DataKey`].
    #[derive(Debug)]
    pub struct Data;
    /// What an idempotency key is exchanged for.
    #[derive(Debug)]
    pub struct Idempotency;
    /// See [`super::PasswordKey`].
    #[derive(Debug)]
    pub struct Password;
}

/// The installation's own secret, kept in a file or a variable and never in the database.
pub type InstallationSecret = Secret<kind::Installation, 32>;
/// The secret of a share link: 128 random bits.
pub type LinkKey = Secret<kind::Link, 16>;
/// The secret of a dashboard link: 128 random bits.
pub type DashboardKey = Secret<kind::Dashboard, 16>;
/// What a link key is exchanged for; opens what the link key opens.
pub type LinkAccess = Secret<kind::Link, 32>;
/// What a dashboard key is exchanged for; opens what the dashboard key opens.
pub type DashboardAccess = Secret<kind::Dashboard, 32>;
/// Proves one viewing session.
pub type SessionToken = Secret<kind::Session, 32>;
/// Seals the images of one share.
pub type DataKey = Secret<kind::Data, 32>;
/// What an idempotency key is exchanged for: the seed of a share's id and keys.
pub(crate) type IdempotencySeed = Secret<kind::Idempotency, 32>;
/// Argon2id of a share's password.
pub type PasswordKey = Secret<kind::Password, 32>;

/// A keyed hash, as stores keep it.
pub type Digest = [u8; 32];

/// Bytes sealed under a derived key: a random 96-bit nonce, the ciphertext, a 128-bit tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Derives everything that the installation's secret takes part in.
#[derive(Clone)]
pub struct Derivation(hmac::Key);

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derivation(..)")
    }
}

impl Derivation {
    /// Derivations of one installation.
    pub fn new(secret: &InstallationSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    fn derive(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [label.as_bytes()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut output = [0; 32];
        output.copy_from_slice(context.sign().as_ref());
        output
    }

    /// Tells one installation's secret from another's without giving either away.
    pub fn fingerprint(&self) -> Digest {
        self.derive("fingerprint", &[])
    }

    /// Exchanges a link key for what cookies carry.
    pub fn link_access(&self, id: &ShareId, key: &LinkKey) -> LinkAccess {
        LinkAccess::from_bytes(self.derive("link access", &[id.as_bytes(), key.as_bytes()]))
    }

    /// Exchanges a dashboard key for what cookies carry.
    pub fn dashboard_access(&self, id: &ShareId, key: &DashboardKey) -> DashboardAccess {
        DashboardAccess::from_bytes(self.derive("dashboard access", &[id.as_bytes(), key.as_bytes()]))
    }

    /// An access as text that is good until an instant, which the holder of the text can't change.
    pub(crate) fn dated<K>(&self, access: &Secret<K, 32>, until: Timestamp) -> String {
        let stamp = BASE64URL_NOPAD.encode(&self.date(access, until.seconds()));
        format!("{}.{}.{stamp}", access.reveal(), until.seconds())
    }

    /// The access that such a text holds, before its instant, and the instant.
    pub(crate) fn read_dated<K>(&self, text: &str, now: Timestamp) -> Option<(Secret<K, 32>, Timestamp)> {
        let mut parts = text.splitn(3, '.');
        let access: Secret<K, 32> = parts.next()?.parse().ok()?;
        let until: i64 = parts.next()?.parse().ok()?;
        let stamp: Digest = BASE64URL_NOPAD.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        let is_good = now.seconds() < until && digests_match(&stamp, &self.date(&access, until));
        is_good.then(|| (access, Timestamp(until.saturating_mul(1000))))
    }

    fn date<K>(&self, access: &Secret<K, 32>, until: i64) -> Digest {
        self.derive("dated access", &[access.as_bytes(), &until.to_be_bytes()])
    }

    /// What the share store keeps of a link access.
    pub fn link_digest(&self, id: &ShareId, access: &LinkAccess) -> Digest {
        self.derive("link digest", &[id.as_bytes(), access.as_bytes()])
    }

    /// What the share store keeps of a dashboard access.
    pub fn dashboard_digest(&self, id: &ShareId, access: &DashboardAccess) -> Digest {
        self.derive("dashboard digest", &[id.as_bytes(), access.as_bytes()])
    }

    /// What the share store keeps of a session token.
    pub fn session_digest(&self, id: &ShareId, token: &SessionToken) -> Digest {
        self.derive("session digest", &[id.as_bytes(), token.as_bytes()])
    }

    /// What the share store keeps of an opening's nonce.
    pub fn nonce_digest(&self, id: &ShareId, nonce: &[u8]) -> Digest {
        self.derive("nonce digest", &[id.as_bytes(), nonce])
    }

    /// The session token of one opening; the same link key, password and nonce give the same token.
    pub fn session_token(
        &self,
        id: &ShareId,
        access: &LinkAccess,
        password: Option<&PasswordKey>,
        nonce: &[u8],
    ) -> SessionToken {
        let password = password.map_or(&[][..], |key| key.as_bytes());
        let parts: [&[u8]; 4] = [id.as_bytes(), access.as_bytes(), password, nonce];
        SessionToken::from_bytes(self.derive("session token", &parts))
    }

    /// Seals a share's data key for those who hold the link key and, if set, the password.
    pub(crate) fn link_wrap(
        &self,
        id: &ShareId,
        access: &LinkAccess,
        password: Option<&PasswordKey>,
    ) -> Wrap {
        let password = password.map_or(&[][..], |key| key.as_bytes());
        self.wrap("link wrap", &[id.as_bytes(), access.as_bytes(), password])
    }

    /// Seals a share's data key for its uploader.
    pub(crate) fn dashboard_wrap(&self, id: &ShareId, access: &DashboardAccess) -> Wrap {
        self.wrap("dashboard wrap", &[id.as_bytes(), access.as_bytes()])
    }

    /// Seals the link key, so that the dashboard can show the link.
    pub(crate) fn link_seal(&self, id: &ShareId, access: &DashboardAccess) -> Wrap {
        self.wrap("sealed link", &[id.as_bytes(), access.as_bytes()])
    }

    /// Seals a share's data key for one live session.
    pub(crate) fn session_wrap(&self, id: &ShareId, token: &SessionToken) -> Wrap {
        self.wrap("session wrap", &[id.as_bytes(), token.as_bytes()])
    }

    /// Seals a share's mark key in the ledger.
    pub(crate) fn ledger_seal(&self, id: &ShareId) -> Wrap {
        self.wrap("ledger", &[id.as_bytes()])
    }

    /// Seals a reported share's link key for the operator.
    pub(crate) fn report_seal(&self, id: &ShareId) -> Wrap {
        self.wrap("report", &[id.as_bytes()])
    }

    /// The name under which wrong passwords of one address are counted; changes with `day`.
    pub(crate) fn address_digest(&self, id: &ShareId, address: &str, day: i64) -> Digest {
        self.derive("address", &[id.as_bytes(), address.as_bytes(), &day.to_be_bytes()])
    }

    /// What an idempotency key stands for.
    pub(crate) fn idempotency_seed(&self, key: &str) -> IdempotencySeed {
        IdempotencySeed::from_bytes(self.derive("idempotency", &[key.as_bytes()]))
    }

    /// The id or a key of the share of an idempotent upload, from a seed and the digest of what was uploaded so far.
    pub(crate) fn idempotent(&self, label: &str, seed: &IdempotencySeed, digest: &[u8]) -> [u8; 32] {
        self.derive(label, &[seed.as_bytes(), digest])
    }

    /// A running keyed hash over an upload, which tells a retry from another upload.
    pub(crate) fn upload_digest(&self) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"upload");
        context
    }

    fn wrap(&self, label: &str, parts: &[&[u8]]) -> Wrap {
        Wrap(self.derive(label, parts))
    }
}

/// Compares digests without telling by its time where they differ.
pub(crate) fn digests_match(a: &Digest, b: &Digest) -> bool {
    // HMAC both under one key: the comparison of the tags then tells nothing of the inputs (double HMAC).
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"compare");
    hmac::verify(&key, a, hmac::sign(&key, b).as_ref()).is_ok()
}

/// A derived key that seals one short secret: AES-256-GCM with a random nonce.
pub(crate) struct Wrap([u8; 32]);

impl Drop for Wrap {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Wrap {
    fn key(&self) -> Result<aead::LessSafeKey, Error> {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &self.0).map_err(|_| Error::Damaged)?;
        Ok(aead::LessSafeKey::new(key))
    }

    pub(crate) fn seal(&self, secret: &[u8], entropy: &dyn Entropy) -> Result<Sealed, Error> {
        let nonce: [u8; aead::NONCE_LEN] = entropy.bytes();
        let mut body = secret.to_vec();
        self.key()?
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::empty(),
                &mut body,
            )
            .map_err(|_| Error::Damaged)?;
        Ok(Sealed([nonce.as_slice(), &body].concat()))
    }

    /// Opens what [`Wrap::seal`] sealed; `Error::Damaged` under any other key.
    pub(crate) fn open<const N: usize>(&self, sealed: &Sealed) -> Result<[u8; N], Error> {
        let (nonce, body) = sealed.0.split_first_chunk::<{ aead::NONCE_LEN }>().ok_or(Error::Damaged)?;
        let mut body = body.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let plain =
            self.key()?.open_in_place(nonce, aead::Aad::empty(), &mut body).map_err(|_| Error::Damaged)?;
        let secret = <[u8; N]>::try_from(&*plain).map_err(|_| Error::Damaged);
        body.zeroize();
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn a_wrap_opens_only_under_the_same_keys() {
        let entropy = SeededEntropy::new(3);
        let entropy: &dyn Entropy = &entropy;
        let derivation = Derivation::new(&InstallationSecret::random(entropy));
        let other_installation = Derivation::new(&InstallationSecret::random(entropy));
        let id = ShareId::random(entropy);
        let key = LinkKey::random(entropy);
        let access = derivation.link_access(&id, &key);
        let password = PasswordKey::random(entropy);
        let data_key: [u8; 32] = entropy.bytes();
        let sealed = derivation.link_wrap(&id, &access, Some(&password)).seal(&data_key, entropy).unwrap();

        let open = |d: &Derivation, id: &ShareId, password: Option<&PasswordKey>| {
            d.link_wrap(id, &d.link_access(id, &key), password).open::<32>(&sealed).ok()
        };
        assert_eq!(open(&derivation, &id, Some(&password)), Some(data_key));
        assert_eq!(open(&derivation, &id, None), None);
        assert_eq!(open(&derivation, &ShareId::random(entropy), Some(&password)), None);
        assert_eq!(open(&other_installation, &id, Some(&password)), None);
    }

    #[test]
    fn a_dated_access_is_good_until_its_instant_which_only_the_installation_can_move() {
        let derivation = Derivation::new(&InstallationSecret::from_bytes([1; 32]));
        let access = LinkAccess::from_bytes([2; 32]);
        let text = derivation.dated(&access, Timestamp(5_000));
        let read = |derivation: &Derivation, text: &str, now| {
            derivation.read_dated(text, Timestamp(now)).map(|(access, _): (LinkAccess, _)| *access.as_bytes())
        };
        assert_eq!(read(&derivation, &text, 4_999), Some([2; 32]));
        assert_eq!(read(&derivation, &text, 5_000), None);
        assert_eq!(read(&derivation, &text.replace(".5.", ".6."), 5_000), None);
        assert_eq!(read(&derivation, &access.reveal(), 0), None);
        assert_eq!(read(&Derivation::new(&InstallationSecret::from_bytes([3; 32])), &text, 0), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = LinkKey::from_bytes([7; 16]);
        assert!(!format!("{key:?}").contains(&key.reveal()));
        assert_eq!(format!("{key:?}"), "Secret(..)");
    }
}
