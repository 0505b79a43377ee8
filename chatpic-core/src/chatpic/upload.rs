//! From image files to a share: intake, marking, sealing, storing, and one commit.

use std::ops::ControlFlow;

use bytes::Bytes;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::ChatPic;
use crate::clock::Timestamp;
use crate::error::{Conflict, Error, Invalid};
use crate::id::{Folder, ShareId};
use crate::intake::Picture;
use crate::isolation::{Request, Running, Task, Tell};
use crate::limits::Limits;
use crate::mark::visible::VisibleMark;
use crate::mark::{ImageKey, MarkKey, Size};
use crate::prepare::{PreparedImage, prepare};
use crate::seal::{self, ObjectName};
use crate::secret::{DashboardKey, DataKey, Digest, IdempotencySeed, LinkKey};
use crate::share::{AccessPolicy, Blocked, ImageForm, ImageRecord, Receipt, Share, Status, Tally};
use crate::store::Inserted;

/// What an uploader or viewer is told of an image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ImageInfo {
    /// Its place in the share, from 0.
    pub index: usize,
    /// Width of its rendition in pixels.
    pub width: u32,
    /// Height of its rendition in pixels.
    pub height: u32,
    /// Media type of the copies that viewers get.
    pub media_type: &'static str,
    /// Frames; 1 for a still.
    pub frames: u32,
    /// Whether it bears the forensic mark.
    pub traceable: bool,
    /// How clearly a poor leak (half the size, JPEG quality 50) could be read when the image was marked, in units of
    /// what a trace needs; `None` where it was not measured.
    pub trace_margin: Option<f32>,
}

/// Tells uploader and viewers of a share's images.
pub(crate) fn image_infos(share: &Share) -> Vec<ImageInfo> {
    let info = |(index, record): (usize, &ImageRecord)| {
        let size = record.sizes.first().copied().unwrap_or(Size { width: 0, height: 0 });
        ImageInfo {
            index,
            width: size.width,
            height: size.height,
            media_type: record.form.media_type(),
            frames: match record.form {
                ImageForm::Animation { frames } => frames,
                ImageForm::Jpeg | ImageForm::Png => 1,
            },
            traceable: record.mark.is_some(),
            trace_margin: record.mark.as_ref().and_then(|mark| mark.margin),
        }
    };
    share.images.iter().enumerate().map(info).collect()
}

/// A share that was made; its keys are shown once.
#[derive(Debug)]
pub struct Created {
    /// Its name.
    pub share_id: ShareId,
    /// The secret of the share link.
    pub link_key: LinkKey,
    /// The secret of the dashboard link.
    pub dashboard_key: DashboardKey,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Its view limit.
    pub max_views: Option<u32>,
    /// Whether it has a password.
    pub password_required: bool,
    /// Its images.
    pub images: Vec<ImageInfo>,
    /// Whether an earlier try with the same idempotency key had made it.
    pub repeated: bool,
}

/// An upload under way: add images, then commit. What an upload leaves that is neither committed nor aborted
/// is deleted by the sweep.
#[derive(Debug)]
pub struct Upload {
    chatpic: ChatPic,
    id: ShareId,
    data_key: DataKey,
    mark_key: MarkKey,
    folder: Folder,
    images: Vec<ImageRecord>,
    objects: u64,
    bytes: u64,
    digest: UploadDigest,
    idempotency: Option<IdempotencySeed>,
    kept: Option<Kept>,
}

/// Files that were kept as they came, in a folder that no share has for its own.
#[derive(Clone, Debug)]
struct Kept {
    folder: Folder,
    files: usize,
    bytes: u64,
}

impl Kept {
    fn name(file: usize) -> String {
        format!("kept-{file}")
    }
}

struct UploadDigest(hmac::Context);

impl std::fmt::Debug for UploadDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UploadDigest(..)")
    }
}

impl UploadDigest {
    fn update(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }
}

impl ChatPic {
    /// Whether there is room for another upload.
    ///
    /// # Errors
    /// [`Error::Full`] when [`Limits::max_stored`](crate::Limits::max_stored) is reached or the blob store says so;
    /// [`Error::Store`].
    pub async fn check_room(&self) -> Result<(), Error> {
        self.check_room_for(0).await
    }

    /// The same, beside so many bytes that no share has yet.
    async fn check_room_for(&self, bytes: u64) -> Result<(), Error> {
        let within = match self.0.limits.max_stored {
            Some(max) => self.0.shares.stored_bytes().await?.saturating_add(bytes) < max,
            None => true,
        };
        if within && self.0.blobs.has_room(self.0.limits.free_percent).await? {
            Ok(())
        } else {
            Err(Error::Full)
        }
    }

    /// Begins an upload. Two uploads with the same idempotency key make one share: its id is derived from that key and
    /// the installation's secret, and its keys from all that is uploaded too, so that whoever guesses the key of
    /// another upload has none of its keys.
    ///
    /// # Errors
    /// [`Invalid::IdempotencyKey`] when the key is shorter than 16 or longer than 255 characters.
    pub fn upload(&self, idempotency_key: Option<&str>) -> Result<Upload, Error> {
        if idempotency_key.is_some_and(|key| !(16..=255).contains(&key.len())) {
            return Err(Invalid::IdempotencyKey.into());
        }
        self.keep_sweeping();
        let entropy = self.entropy();
        let derivation = &self.0.derivation;
        let idempotency = idempotency_key.map(|key| derivation.idempotency_seed(key));
        let id = match &idempotency {
            Some(seed) => ShareId::from_bytes(first(derivation.idempotent("share id", seed, &[]))),
            None => ShareId::random(entropy),
        };
        Ok(Upload {
            chatpic: self.clone(),
            id,
            data_key: DataKey::random(entropy),
            mark_key: MarkKey::new(entropy.bytes()),
            folder: Folder::new(self.now(), entropy),
            images: Vec::new(),
            objects: 0,
            bytes: 0,
            digest: UploadDigest(derivation.upload_digest()),
            idempotency,
            kept: None,
        })
    }
}

fn first<const N: usize>(bytes: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

impl Upload {
    /// Takes in one image: decodes, marks, seals and stores it. After an error, [`Upload::abort`].
    ///
    /// # Errors
    /// [`Error::Rejected`] with what is wrong with the image; [`Invalid::TooManyImages`]; [`Error::Full`];
    /// [`Error::Busy`]; [`Error::Store`].
    pub async fn add(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.check_room(0).await?;
        let limits = &self.chatpic.0.limits;
        let index = self.images.len();
        self.digest.update(&bytes);
        let task = PrepareTask {
            text: PrepareText {
                limits: limits.clone(),
                visible: self.chatpic.0.visible_mark.clone(),
                key: *self.mark_key.image(&image_name(index)).as_bytes(),
            },
            bytes,
        };
        let (data_key, id) = (self.data_key.clone(), self.id);
        let isolation = self.chatpic.0.isolation.clone();
        let job = move || {
            let prepared =
                isolation.perform(task, index, &Running::default(), &|_| ControlFlow::Continue(()))?;
            prepared.seal(&data_key, &id, index)
        };
        let (record, objects) = self.chatpic.0.intake.run(self.chatpic.holder(&self.id), job).await?;
        for (name, sealed) in objects {
            self.objects += 1;
            self.bytes += sealed.len() as u64;
            self.chatpic.0.blobs.put(&self.folder, &name.to_string(), sealed).await?;
        }
        self.images.push(record);
        Ok(())
    }

    /// Whether there is room for one image more than there are and were kept.
    async fn check_room(&self, kept: usize) -> Result<(), Error> {
        let limit = self.chatpic.0.limits.images;
        if self.images.len() + kept >= limit {
            return Err(Invalid::TooManyImages { limit }.into());
        }
        let bytes = self.kept.as_ref().map_or(0, |kept| kept.bytes);
        self.chatpic.check_room_for(bytes).await
    }

    /// Keeps a file as it came, sealed and undecoded, until [`Upload::add_kept`]: for an uploader who has yet to prove that
    /// they may upload. After an error, [`Upload::abort`].
    ///
    /// # Errors
    /// [`Invalid::TooManyImages`]; [`Error::Full`]; [`Error::Busy`]; [`Error::Store`].
    pub async fn keep(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.check_room(self.kept.as_ref().map_or(0, |kept| kept.files)).await?;
        let (now, entropy) = (self.chatpic.now(), self.chatpic.entropy());
        let kept =
            self.kept.get_or_insert_with(|| Kept { folder: Folder::new(now, entropy), files: 0, bytes: 0 });
        let name = Kept::name(kept.files);
        kept.files += 1;
        kept.bytes += bytes.len() as u64;
        let (data_key, id, sealed_as) = (self.data_key.clone(), self.id, name.clone());
        let job = move || seal::seal(&data_key, &id, &sealed_as, &bytes);
        let sealed = self.chatpic.0.intake.run(self.chatpic.holder(&self.id), job).await?;
        Ok(self.chatpic.0.blobs.put(&kept.folder, &name, sealed.into()).await?)
    }

    /// Takes in the files that were kept, in their order. After an error, [`Upload::abort`].
    ///
    /// # Errors
    /// As [`Upload::add`].
    pub async fn add_kept(&mut self) -> Result<(), Error> {
        let Some(Kept { folder, files, .. }) = self.kept.clone() else { return Ok(()) };
        for name in (0..files).map(Kept::name) {
            let sealed = self.chatpic.0.blobs.get(&folder, &name).await?.ok_or(Error::Damaged)?;
            let (data_key, id) = (self.data_key.clone(), self.id);
            let job = move || seal::open(&data_key, &id, &name, sealed.into());
            let bytes = self.chatpic.0.intake.run(self.chatpic.holder(&self.id), job).await?;
            self.add(bytes).await?;
        }
        self.drop_kept().await;
        Ok(())
    }

    /// Deletes the files that were kept. What can't be deleted now, the sweep deletes.
    async fn drop_kept(&mut self) {
        if let Some(kept) = self.kept.take() {
            drop(self.chatpic.0.blobs.delete_folder(&kept.folder).await);
        }
    }

    /// Makes the share, without files that were kept and never taken in. When this answers `Ok`, the share is stored durably.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options out of range or no image; [`Conflict::IdempotencyKey`] when the key was
    /// used for another upload; [`Error::Store`]. The upload is aborted then. After an error of a store the share may
    /// have been made all the same: whoever sends the upload again with its idempotency key is given it.
    pub async fn commit(mut self, policy: AccessPolicy) -> Result<Created, Error> {
        self.drop_kept().await;
        let (chatpic, folder) = (self.chatpic.clone(), self.folder.clone());
        let outcome = self.insert(policy).await;
        match outcome {
            Ok(Created { repeated: false, .. }) => {}
            // The row may be stored though its answer was lost. The sweep looks when that is settled.
            Err(Error::Store(_)) => {}
            // Best effort: what can't be deleted now is an orphan for the sweep.
            _ => drop(chatpic.0.blobs.delete_folder(&folder).await),
        }
        outcome
    }

    /// Deletes what was stored. What can't be deleted now, the sweep deletes.
    pub async fn abort(mut self) {
        self.drop_kept().await;
        drop(self.chatpic.0.blobs.delete_folder(&self.folder).await);
    }

    async fn insert(mut self, policy: AccessPolicy) -> Result<Created, Error> {
        let chatpic = self.chatpic.clone();
        let limits = &chatpic.0.limits;
        policy.check(limits)?;
        if self.images.is_empty() {
            return Err(Invalid::NoImages.into());
        }
        // The last tenth of the timeout is left to the insertion, so that no sweep takes the objects of a share.
        if self.folder.begun() + limits.upload_timeout.mul_f64(0.9) < chatpic.now() {
            return Err(Invalid::TooSlow.into());
        }
        let expires_in = policy.expires_in.unwrap_or(limits.default_expiry);
        let keep_ledger = policy.keep_ledger.unwrap_or(limits.default_ledger);
        self.digest.update(&expires_in.as_millis().to_be_bytes());
        self.digest.update(&policy.max_views.unwrap_or(0).to_be_bytes());
        self.digest.update(policy.password.as_ref().map_or(&[][..], |password| password.as_bytes()));
        self.digest.update(&keep_ledger.as_millis().to_be_bytes());
        let upload_digest = {
            let mut digest = [0; 32];
            digest.copy_from_slice(self.digest.0.clone().sign().as_ref());
            digest
        };

        let entropy = chatpic.entropy();
        let derivation = &chatpic.0.derivation;
        let keys = match &self.idempotency {
            None => Keys { link: LinkKey::random(entropy), dashboard: DashboardKey::random(entropy) },
            Some(seed) => {
                let derived = |label: &str| first(derivation.idempotent(label, seed, &upload_digest));
                let keys = Keys {
                    link: LinkKey::from_bytes(derived("link key")),
                    dashboard: DashboardKey::from_bytes(derived("dashboard key")),
                };
                if let Some(share) = chatpic.0.shares.find(&self.id).await? {
                    return repeated(keys, &share, &upload_digest);
                }
                keys
            }
        };
        let (password_salt, password_key) = match policy.password {
            None => (None, None),
            Some(password) => {
                let salt: [u8; 16] = entropy.bytes();
                let key =
                    chatpic.0.passwords.run(chatpic.holder(&self.id), move || password.key(&salt)).await?;
                (Some(salt), Some(key))
            }
        };
        let link = derivation.link_access(&self.id, &keys.link);
        let dashboard = derivation.dashboard_access(&self.id, &keys.dashboard);
        let link_wrap = derivation.link_wrap(&self.id, &link, password_key.as_ref());
        let now = chatpic.now();
        let share = Share {
            id: self.id,
            created_at: now,
            expires_at: now + expires_in,
            max_views: policy.max_views,
            views: 0,
            recorded_status: Status::Active,
            ended_at: None,
            folder: self.folder.clone(),
            objects: self.objects,
            bytes: self.bytes,
            tally: Tally::default(),
            images: self.images.clone(),
            upload_digest,
            link_digest: derivation.link_digest(&self.id, &link),
            dashboard_digest: derivation.dashboard_digest(&self.id, &dashboard),
            password_salt,
            link_wrap: Some(link_wrap.seal(self.data_key.as_bytes(), entropy)?),
            dashboard_wrap: Some(
                derivation.dashboard_wrap(&self.id, &dashboard).seal(self.data_key.as_bytes(), entropy)?,
            ),
            sealed_link: Some(
                derivation.link_seal(&self.id, &dashboard).seal(keys.link.as_bytes(), entropy)?,
            ),
            sealed_mark_key: derivation.ledger_seal(&self.id).seal(self.mark_key.as_bytes(), entropy)?,
            keep_ledger,
            blocked: Blocked::default(),
            receipt: Receipt::default(),
        };
        let inserted = match chatpic.0.shares.insert(&share).await {
            Ok(inserted) => inserted,
            // Perhaps only the answer was lost.
            Err(error) => match chatpic.0.shares.find(&self.id).await {
                Ok(Some(stored)) if stored.folder == self.folder => Inserted::Done,
                _ => return Err(error.into()),
            },
        };
        match inserted {
            Inserted::Done => Ok(created(keys, &share, false)),
            Inserted::IdTaken => {
                let stored = chatpic.0.shares.find(&self.id).await?.ok_or(Error::NotFound)?;
                repeated(keys, &stored, &upload_digest)
            }
        }
    }
}

/// What a share's links hold.
struct Keys {
    link: LinkKey,
    dashboard: DashboardKey,
}

fn repeated(keys: Keys, stored: &Share, upload_digest: &Digest) -> Result<Created, Error> {
    if stored.upload_digest == *upload_digest {
        Ok(created(keys, stored, true))
    } else {
        Err(Conflict::IdempotencyKey.into())
    }
}

fn created(keys: Keys, share: &Share, repeated: bool) -> Created {
    Created {
        share_id: share.id,
        link_key: keys.link,
        dashboard_key: keys.dashboard,
        expires_at: share.expires_at,
        max_views: share.max_views,
        password_required: share.password_salt.is_some(),
        images: image_infos(share),
        repeated,
    }
}

/// What an image's carriers are keyed by, besides the share's mark key.
pub(crate) fn image_name(index: usize) -> [u8; 8] {
    (index as u64).to_be_bytes()
}

/// A file to be taken in, marked and encoded.
pub(crate) struct PrepareTask {
    text: PrepareText,
    bytes: Vec<u8>,
}

/// How a file is to be prepared.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrepareText {
    limits: Limits,
    visible: Option<VisibleMark>,
    /// The image's own mark key.
    key: [u8; 32],
}

impl PrepareTask {
    /// The task that was sent; see [`Task::into_request`].
    pub(crate) fn from_parts(text: PrepareText, mut bytes: Vec<Vec<u8>>) -> Result<Self, Error> {
        Ok(Self { text, bytes: bytes.pop().ok_or(Error::Damaged)? })
    }
}

impl Task for PrepareTask {
    type Answer = PreparedImage;

    fn into_request(self) -> (Request, Vec<Vec<u8>>) {
        (Request::Prepare(self.text), vec![self.bytes])
    }

    fn perform(self, _: &Tell<'_>) -> Result<PreparedImage, Error> {
        let Self { text: PrepareText { limits, visible, key }, bytes } = self;
        let key = ImageKey::from_bytes(key);
        prepare(Picture::open(&bytes, &limits)?, visible.as_ref(), &key)
    }
}

impl PreparedImage {
    fn seal(
        self,
        key: &DataKey,
        share: &ShareId,
        image: usize,
    ) -> Result<(ImageRecord, Vec<(ObjectName, Bytes)>), Error> {
        let seal = |(size, plain): (usize, Vec<u8>)| {
            let name = ObjectName { image, size };
            Ok((name, Bytes::from(seal::seal(key, share, &name, &plain)?)))
        };
        let sealed: Result<_, Error> = self.objects.into_iter().enumerate().map(seal).collect();
        Ok((self.record, sealed?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secret::InstallationSecret;
    use crate::store::BlobStore;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::testing::samples;

    async fn chatpic(limits: Limits) -> (ChatPic, Arc<MemoryBlobs>) {
        let blobs = Arc::new(MemoryBlobs::default());
        let secret = InstallationSecret::from_bytes([42; 32]);
        let builder = ChatPic::builder(secret).stores(Arc::new(MemoryShares::default()), blobs.clone());
        (builder.limits(limits).build().await.unwrap(), blobs)
    }

    #[tokio::test]
    async fn what_is_kept_is_sealed_and_taken_in_later_in_its_order() {
        let (chatpic, blobs) = chatpic(Limits { images: 3, ..Limits::default() }).await;
        let files: Vec<_> =
            [300, 320, 340].map(|width| samples::jpeg(&samples::photograph(width, 240, 1), 80)).into();
        let mut upload = chatpic.upload(None).unwrap();
        for file in &files[..2] {
            upload.keep(file.clone()).await.unwrap();
        }
        let kept = upload.kept.clone().unwrap().folder;
        let sealed = blobs.get(&kept, "kept-0").await.unwrap().unwrap();
        assert!(!sealed.windows(16).any(|bytes| bytes == &files[0][..16]), "it lies there in the clear");
        upload.add_kept().await.unwrap();
        assert_eq!(blobs.count(&kept).await.unwrap(), 0);
        upload.add(files[2].clone()).await.unwrap();
        let made = upload.commit(AccessPolicy::default()).await.unwrap();
        assert_eq!(made.images.iter().map(|image| image.width).collect::<Vec<_>>(), [300, 320, 340]);
    }

    #[tokio::test]
    async fn what_is_kept_counts_for_the_room_that_there_is() {
        let (chatpic, _) = chatpic(Limits { max_stored: Some(2000), ..Limits::default() }).await;
        let mut upload = chatpic.upload(None).unwrap();
        upload.keep(vec![0; 1500]).await.unwrap();
        upload.keep(vec![0; 1500]).await.unwrap();
        assert!(matches!(upload.keep(vec![0; 1]).await, Err(Error::Full)));
    }

    #[tokio::test]
    async fn what_is_kept_counts_as_an_image_and_goes_with_its_upload() {
        let (chatpic, blobs) = chatpic(Limits { images: 1, ..Limits::default() }).await;
        let mut upload = chatpic.upload(None).unwrap();
        upload.keep(b"no picture".to_vec()).await.unwrap();
        let one_more = upload.keep(Vec::new()).await;
        assert!(matches!(one_more, Err(Error::Invalid(Invalid::TooManyImages { limit: 1 }))));
        let kept = upload.kept.clone().unwrap().folder;
        assert!(matches!(upload.add_kept().await, Err(Error::Rejected { index: 0, .. })));
        upload.abort().await;
        assert_eq!(blobs.count(&kept).await.unwrap(), 0);
    }

    /// A file to be prepared as by default.
    pub(crate) fn prepare_task(bytes: Vec<u8>) -> PrepareTask {
        let text = PrepareText {
            limits: Limits::default(),
            visible: Some(VisibleMark::default()),
            key: *MarkKey::new([1; 32]).image(b"image").as_bytes(),
        };
        PrepareTask { text, bytes }
    }
}
