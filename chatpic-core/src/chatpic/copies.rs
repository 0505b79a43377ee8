//! Copies that are marked pixel by pixel: made once for each session, then kept sealed until soon after it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::sync::OwnedMutexGuard;

use super::ChatPic;
use super::upload::png;
use crate::animation;
use crate::error::{Error, Unauthorized};
use crate::id::{Folder, SessionId, ShareId};
use crate::mark::{self, ImageKey};
use crate::seal::{self, ObjectName};
use crate::secret::DataKey;
use crate::share::{ImageForm, ImageRecord};

/// Which copy is wanted, and what it is made of.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) share: ShareId,
    pub(super) session: SessionId,
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

/// Held by whoever makes a copy.
type Turn = tokio::sync::Mutex<()>;

impl Turns {
    async fn wait_for(&self, wanted: &Wanted) -> OwnedMutexGuard<()> {
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
        let turn = self.0.turns.wait_for(&wanted).await;
        // Whoever had the turn before has made it.
        if let Some(kept) = self.find_copy(&wanted).await? {
            return Ok(kept);
        }
        // It is made to its end and kept even when its viewer goes away meanwhile.
        let chatpic = self.clone();
        let making = tokio::spawn(async move {
            let made = chatpic.make_copy(&wanted).await;
            drop(turn);
            made
        });
        making.await.unwrap_or(Err(Error::Panicked))
    }

    async fn find_copy(&self, wanted: &Wanted) -> Result<Option<Bytes>, Error> {
        let Some(kept) = self.0.blobs.get(&wanted.copies, &wanted.name()).await? else { return Ok(None) };
        let wanted = wanted.clone();
        let open = move || {
            let (salt, sealed) = kept.split_at_checked(SALT).ok_or(Error::Damaged)?;
            let name = wanted.sealed_name(salt);
            seal::open(&wanted.data_key, &wanted.share, &name, sealed.to_vec())
        };
        Ok(Some(self.0.images.run(open).await?.into()))
    }

    async fn make_copy(&self, wanted: &Wanted) -> Result<Bytes, Error> {
        let worker = self.0.copiers.take().await?;
        let sealed = self.0.blobs.get(&wanted.folder, &wanted.object.to_string()).await?;
        // A share may be purged between the look at its row and the look at its objects.
        let sealed = sealed.ok_or(Unauthorized::Session)?;
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
        let (copy, sealed) = worker.run(job).await?;
        // What can't be kept is made again when it is asked for again.
        if self.check_room().await.is_ok() {
            drop(self.0.blobs.put(&wanted.copies, &wanted.name(), sealed).await);
        }
        Ok(copy)
    }
}
