//! Copies that are marked pixel by pixel: made once for each session, then kept sealed until soon after it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::ChatPic;
use crate::animation;
use crate::error::Error;
use crate::id::{Folder, SessionId, ShareId};
use crate::mark::{self, ImageKey};
use crate::prepare::png;
use crate::seal::{self, ObjectName};
use crate::secret::{DataKey, Digest};
use crate::share::{ImageForm, ImageRecord};

/// Which copy is wanted, and what it is made of.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) share: ShareId,
    pub(super) session: SessionId,
    /// Keyed hash of the session's token.
    pub(super) token_digest: Digest,
    /// Where the share's objects lie.
    pub(super) folder: Folder,
    /// Where copies of sessions like this one are kept.
    pub(super) copies: Folder,
    pub(super) object: ObjectName,
    pub(super) record: ImageRecord,
    pub(super) data_key: DataKey,
    pub(super) key: ImageKey,
}

/// Bytes of the random salt before a kept copy. The same copy can be made twice, by two nodes or after a change of the
/// labels, and no two texts may ever be sealed under one name.
const SALT: usize = 16;

impl Wanted {
    fn name(&self) -> String {
        format!("{}-{}", self.object, self.session)
    }

    fn sealed_name(&self, salt: &[u8]) -> String {
        format!("{}-{}", self.name(), HEXLOWER.encode(salt))
    }
}

/// Lets one task at a time make a copy on this node.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<(Folder, String), Weak<Turn>>>);

/// Locked by whoever makes a copy; holds it from then on until it is kept.
type Turn = tokio::sync::Mutex<Option<Bytes>>;

impl Turns {
    async fn wait_for(&self, wanted: &Wanted) -> OwnedMutexGuard<Option<Bytes>> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.entry((wanted.copies.clone(), wanted.name())).or_default();
            turn.upgrade().unwrap_or_else(|| {
                let new = Arc::default();
                *turn = Arc::downgrade(&new);
                new
            })
        };
        turn.lock_owned().await
    }
}

impl ChatPic {
    /// The session's copy: the kept one, or a new one.
    pub(super) async fn kept_copy(&self, wanted: Wanted) -> Result<Bytes, Error> {
        if let Some(kept) = self.find_copy(&wanted).await? {
            return Ok(kept);
        }
        let mut turn = self.0.turns.wait_for(&wanted).await;
        // Whoever had the turn before has made it.
        if let Some(made) = &*turn {
            return Ok(made.clone());
        }
        if let Some(kept) = self.find_copy(&wanted).await? {
            return Ok(kept);
        }
        // It is made to its end and kept even when its viewer goes away meanwhile, who need not wait until it is kept.
        let chatpic = self.clone();
        let (answer, answered) = oneshot::channel();
        self.behind(async move {
            let (copy, sealed) = match chatpic.make_copy(&wanted).await {
                Ok(made) => made,
                // The viewer may have gone.
                Err(error) => return drop(answer.send(Err(error))),
            };
            *turn = Some(copy.clone());
            let _made = OwnedMutexGuard::mutex(&turn).clone();
            drop(turn);
            drop(answer.send(Ok(copy)));
            // What can't be kept is made again when it is asked for again.
            drop(chatpic.keep_copy(&wanted, sealed).await);
        });
        answered.await.unwrap_or(Err(Error::Panicked))
    }

    async fn find_copy(&self, wanted: &Wanted) -> Result<Option<Bytes>, Error> {
        let holder = self.holder(&wanted.share);
        let _in_memory = self.0.loading.take(holder).await?;
        let Some(kept) = self.0.blobs.get(&wanted.copies, &wanted.name()).await? else { return Ok(None) };
        let wanted = wanted.clone();
        let open = move || {
            let (salt, sealed) = kept.split_at_checked(SALT).ok_or(Error::Damaged)?;
            let name = wanted.sealed_name(salt);
            seal::open(&wanted.data_key, &wanted.share, &name, sealed.to_vec())
        };
        Ok(Some(self.0.serving.run(holder, open).await?.into()))
    }

    /// A new copy, and sealed as it is kept.
    async fn make_copy(&self, wanted: &Wanted) -> Result<(Bytes, Bytes), Error> {
        let worker = self.0.copiers.take(self.holder(&wanted.share)).await?;
        let sealed = self.sealed_object(&wanted.folder, &wanted.object).await?;
        let visible = self.0.visible_mark.clone();
        let salt: [u8; SALT] = self.entropy().bytes();
        let job = {
            let wanted = wanted.clone();
            move || {
                let kept = seal::open(&wanted.data_key, &wanted.share, &wanted.object, sealed.into())?;
                let Wanted { session, record, key, object, .. } = &wanted;
                // All forms of an animation have one size.
                let index = if matches!(record.form, ImageForm::Animation { .. }) { 0 } else { object.size };
                let size = *record.sizes.get(index).ok_or(Error::Damaged)?;
                let label = session.label();
                let labels = visible.map(|v| v.labels(&label, size, record.framed)).unwrap_or_default();
                let mark = record.mark.as_ref();
                let copy = match record.form {
                    ImageForm::Animation { .. } => animation::copy(&kept, mark, key, *session, &labels)?,
                    ImageForm::Jpeg | ImageForm::Png => {
                        let pixels = image::load_from_memory_with_format(&kept, image::ImageFormat::Png)
                            .map_err(|_| Error::Damaged)?
                            .into_rgba8();
                        png(&mark::copy_rgba(pixels, mark, index, key, *session, &labels)?)?
                    }
                };
                let name = wanted.sealed_name(&salt);
                let sealed = seal::seal(&wanted.data_key, &wanted.share, &name, &copy)?;
                Ok((Bytes::from(copy), Bytes::from([&salt[..], &sealed].concat())))
            }
        };
        worker.run(job).await
    }

    /// Keeps a copy if there is room, in such an order that no receipt leaves it out: it is noted before it is put, and
    /// can't be once its session's wrap is destroyed, which a purge does before it asks what was noted. One that is put
    /// after its folder was deleted is found to be too late, and deleted too.
    async fn keep_copy(&self, wanted: &Wanted, sealed: Bytes) -> Result<(), Error> {
        let Wanted { share, session, token_digest, copies, .. } = wanted;
        self.check_room().await?;
        if !self.0.shares.note_copy(share, *session, copies, sealed.len() as u64).await? {
            return Ok(());
        }
        let put = self.0.blobs.put(copies, &wanted.name(), sealed).await;
        let session = self.0.shares.session(share, token_digest).await?;
        if session.is_none_or(|session| !session.is_live(self.now(), session.ends_at)) {
            // Copies for others in there are made again, should they be asked for.
            self.0.blobs.delete_folder(copies).await?;
        }
        Ok(put?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use futures::stream::{BoxStream, StreamExt};
    use image::RgbaImage;
    use tokio::sync::Notify;

    use super::*;
    use crate::chatpic::viewing::Opening;
    use crate::error::Unauthorized;
    use crate::secret::{InstallationSecret, SessionToken};
    use crate::share::AccessPolicy;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::store::{BlobStore, StoreResult};

    /// Blobs whose next put takes so long that a share is burned meanwhile, or that take no more at all.
    #[derive(Debug, Default)]
    struct SlowBlobs {
        blobs: MemoryBlobs,
        burn: Mutex<Option<(ChatPic, ShareId)>>,
        stuck: AtomicBool,
        waits: Notify,
    }

    #[async_trait]
    impl BlobStore for SlowBlobs {
        async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
            let burn = self.burn.lock().unwrap().take();
            if let Some((chatpic, id)) = burn {
                let receipt = chatpic.burn_as_operator(&id).await.unwrap();
                assert!(receipt.purged_at.is_some());
            }
            if self.stuck.load(Ordering::SeqCst) {
                self.waits.notify_one();
                std::future::pending::<()>().await;
            }
            self.blobs.put(folder, name, sealed).await
        }

        async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
            self.blobs.get(folder, name).await
        }

        async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64> {
            self.blobs.delete_folder(folder).await
        }

        async fn count(&self, folder: &Folder) -> StoreResult<u64> {
            self.blobs.count(folder).await
        }

        async fn has_room(&self, free_percent: u8) -> StoreResult<bool> {
            self.blobs.has_room(free_percent).await
        }

        fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
            self.blobs.folders()
        }
    }

    /// A session of a share of one image with transparency, whose copies are kept.
    async fn viewed(blobs: Arc<SlowBlobs>) -> (ChatPic, ShareId, SessionToken) {
        let builder = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).sweep_every(None);
        let builder = builder.stores(Arc::new(MemoryShares::default()), blobs);
        let chatpic = builder.build().await.unwrap();
        let mut upload = chatpic.upload(None).unwrap();
        let picture = RgbaImage::from_fn(90, 60, |x, y| image::Rgba([x as u8, y as u8, 90, (x + y) as u8]));
        upload.add(png(&picture).unwrap()).await.unwrap();
        let share = upload.commit(AccessPolicy::default()).await.unwrap();
        let id = share.share_id;
        let access = chatpic.link_access(&id, &share.link_key);
        let opened = chatpic.open(&id, &access, Opening::default()).await.unwrap();
        (chatpic, id, opened.token)
    }

    #[tokio::test]
    async fn an_answer_does_not_wait_until_its_copy_is_kept() {
        let blobs = Arc::new(SlowBlobs::default());
        let (chatpic, id, token) = viewed(blobs.clone()).await;
        blobs.stuck.store(true, Ordering::SeqCst);
        for who in ["who asks first", "who asks while it is being kept"] {
            tokio::select! {
                biased;
                image = chatpic.image(&id, &token, 0, None) => drop(image.unwrap()),
                () = blobs.waits.notified() => unreachable!("{who} waits"),
            }
        }
    }

    #[tokio::test]
    async fn a_copy_put_after_a_burn_is_deleted_again() {
        let blobs = Arc::new(SlowBlobs::default());
        let (chatpic, id, token) = viewed(blobs.clone()).await;
        *blobs.burn.lock().unwrap() = Some((chatpic.clone(), id));
        let image = chatpic.image(&id, &token, 0, None).await;
        assert!(matches!(image, Err(Error::Unauthorized(Unauthorized::Session))));
        assert!(blobs.burn.lock().unwrap().is_none(), "a copy was put");
        assert_eq!(blobs.folders().count().await, 0);
        let share = chatpic.0.shares.find(&id).await.unwrap().unwrap();
        let receipt = share.receipt;
        assert_eq!((receipt.objects_deleted, receipt.objects_pending), (share.objects + 1, 0));
    }
}
