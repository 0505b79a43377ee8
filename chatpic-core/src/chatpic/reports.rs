//! What people report of a share, for the operator.

use std::time::Duration;

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

/// Whether the stores answer, and a sweep ran.
#[derive(Debug)]
pub struct Readiness {
    /// The share store.
    pub shares: StoreResult<()>,
    /// The blob store.
    pub blobs: StoreResult<()>,
    /// How long ago a sweep last went through on this node, or the node began, if that is more than a minute and more than
    /// six times what lies between two sweeps: what ended meanwhile may not be deleted.
    pub sweep_overdue: Option<Duration>,
}

impl ChatPic {
    /// Takes a report. Those of unknown shares are stored too, for a while, and shown to nobody; too many of one share,
    /// and wrong keys, are dropped without a word: nobody learns from the answer, or from the time that it takes, whether
    /// a share exists.
    ///
    /// # Errors
    /// [`Invalid::Reason`]; [`Error::Store`].
    pub async fn report(&self, id: &ShareId, reason: &str, key: Option<&LinkKey>) -> Result<(), Error> {
        let limits = &self.0.limits;
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > limits.report_chars {
            return Err(Invalid::Reason { max: limits.report_chars }.into());
        }
        let door = self.door(id).await?;
        let seal = |key: &LinkKey| self.0.derivation.report_seal(id).seal(key.as_bytes(), self.entropy());
        // A wrong key is sealed too, which takes as long.
        let sealed = key.map(seal).transpose()?;
        let right = |key| self.opens(&door, id, &self.link_access(id, key));
        let sealed_key = sealed.filter(|_| key.is_some_and(right));
        // Whoever knows no more than the id can't take the places of those who have the link.
        let places = limits.reports_per_share.saturating_mul(if sealed_key.is_some() { 2 } else { 1 });
        let report = Report { share: *id, at: self.now(), reason: reason.to_owned(), sealed_key };
        Ok(self.0.shares.report(&report, places).await?)
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

    /// Whether the share store and the blob store answer, and if not, why; and whether the sweep runs.
    pub async fn check_ready(&self) -> Readiness {
        // Cheap questions: neither the share nor the folder need exist, but the place of all folders must.
        let folder = crate::id::Folder::new(self.now(), self.entropy());
        let shares = async { self.0.shares.find(&ShareId::from_bytes([0; 12])).await.map(drop) };
        let blobs = async { self.0.blobs.count(&folder).await.map(drop) };
        let (shares, blobs) = futures::future::join(shares, blobs).await;
        Readiness { shares, blobs, sweep_overdue: self.0.sweeper.overdue(self.now()) }
    }
}
