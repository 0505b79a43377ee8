//! What people report of a share, for the operator.

use super::ChatPic;
use crate::clock::Timestamp;
use crate::error::{Error, Invalid};
use crate::id::ShareId;
use crate::secret::LinkKey;
use crate::share::Report;
use crate::store::StoreResult;

/// A report as the operator reads it.
#[derive(Debug)]
pub struct OpenedReport {
    /// The share.
    pub share_id: ShareId,
    /// When it was reported.
    pub at: Timestamp,
    /// Why, in the reporter's words.
    pub reason: String,
    /// The secret of the share link, if the reporter gave the right one.
    pub link_key: Option<LinkKey>,
}

/// Whether the stores answer.
#[derive(Debug)]
pub struct Readiness {
    /// The share store.
    pub shares: StoreResult<()>,
    /// The blob store.
    pub blobs: StoreResult<()>,
}

impl ChatPic {
    /// Takes a report. Reports of unknown shares, too many of one share, and wrong keys are dropped without a word,
    /// so that nobody learns from the answer whether a share exists.
    ///
    /// # Errors
    /// [`Invalid::Reason`]; [`Error::Store`].
    pub async fn report(&self, id: &ShareId, reason: &str, key: Option<&LinkKey>) -> Result<(), Error> {
        let limits = &self.0.limits;
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > limits.report_chars {
            return Err(Invalid::Reason { max: limits.report_chars }.into());
        }
        let Some(share) = self.0.shares.find(id).await? else { return Ok(()) };
        let right = |key: &&LinkKey| self.require_link(&share, &self.link_access(id, key)).is_ok();
        let seal = |key: &LinkKey| self.0.derivation.report_seal(id).seal(key.as_bytes(), self.entropy());
        let sealed_key = key.filter(right).map(seal).transpose()?;
        let report = Report { share: *id, at: self.now(), reason: reason.to_owned(), sealed_key };
        Ok(self.0.shares.report(&report, limits.reports_per_share).await?)
    }

    /// The newest reports, newest first, for the operator.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a key does not open; [`Error::Store`].
    pub async fn reports(&self, limit: usize) -> Result<Vec<OpenedReport>, Error> {
        let open = |report: Report| {
            let key = report.sealed_key.as_ref();
            let seal = self.0.derivation.report_seal(&report.share);
            let link_key = key.map(|key| seal.open(key).map(LinkKey::from_bytes)).transpose()?;
            Ok(OpenedReport { share_id: report.share, at: report.at, reason: report.reason, link_key })
        };
        self.0.shares.reports(limit).await?.into_iter().map(open).collect()
    }

    /// Checks that both stores answer, and that the blob store keeps what it is given.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Damaged`] when an object does not come back as it was.
    pub async fn check_stores(&self) -> Result<(), Error> {
        const PROBE: &[u8] = b"chatpic check";
        self.0.shares.stored_bytes().await?;
        let folder = crate::id::Folder::new(self.now(), self.entropy());
        self.0.blobs.put(&folder, "probe", PROBE.into()).await?;
        let found = self.0.blobs.get(&folder, "probe").await?;
        self.0.blobs.delete_folder(&folder).await?;
        if found.as_deref() == Some(PROBE) { Ok(()) } else { Err(Error::Damaged) }
    }

    /// Whether the share store and the blob store answer, and if not, why.
    pub async fn check_ready(&self) -> Readiness {
        // Cheap questions: neither the share nor the folder need exist, but the place of all folders must.
        let folder = crate::id::Folder::new(self.now(), self.entropy());
        let shares = async { self.0.shares.find(&ShareId::from_bytes([0; 12])).await.map(drop) };
        let blobs = async { self.0.blobs.count(&folder).await.map(drop) };
        let (shares, blobs) = futures::future::join(shares, blobs).await;
        Readiness { shares, blobs }
    }
}
