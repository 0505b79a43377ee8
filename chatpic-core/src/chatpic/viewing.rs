//! What viewers do: look at the cover, open a viewing session, load its images.

use bytes::Bytes;

use super::ChatPic;
use super::copies::Wanted;
use super::upload::{ImageInfo, image_infos, image_name};
use crate::clock::Timestamp;
use crate::error::{Conflict, Error, Invalid, Unauthorized};
use crate::id::{Folder, SessionId, ShareId};
use crate::mark::{ImageKey, MarkKey, PreparedRendition, Size};
use crate::password::Password;
use crate::seal::{self, ObjectName};
use crate::secret::{DashboardAccess, DataKey, LinkAccess, PasswordKey, SessionToken};
use crate::share::{BlockedTry, Country, Device, ImageForm, ImageRecord, Session, Share, Status};
use crate::store::{Attempt, Attempted, Claim, Claimed};

/// What a cover page shows; looking at it spends nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cover {
    /// Whether a password is asked for.
    pub password_required: bool,
    /// How many images there are.
    pub image_count: usize,
    /// When the share ends.
    pub expires_at: Timestamp,
    /// Seconds until then.
    pub seconds_left: u64,
    /// Seconds for which a session that is opened now goes on at most.
    pub session_seconds: u64,
    /// Views still to be had; `None` without a limit.
    pub views_left: Option<u32>,
    /// Views so far.
    pub views: u32,
}

/// How a viewer opens a share.
#[derive(Debug, Default)]
pub struct Opening {
    /// The share's password.
    pub password: Option<Password>,
    /// 16 to 64 random bytes that make the opening safe to repeat; made here when absent.
    pub nonce: Option<Vec<u8>>,
    /// The viewer's address, under whose keyed hash wrong passwords are counted; never stored. Empty where it is unknown:
    /// then they are counted for the share alone, since strangers must not lock each other out.
    pub address: String,
    /// Where the viewer is, if known.
    pub country: Option<Country>,
    /// The viewer's kind of device.
    pub device: Device,
}

/// A viewing session that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its name, drawn on every image.
    pub session: SessionId,
    /// What proves it.
    pub token: SessionToken,
    /// When it ends unless it is used again.
    pub ends_at: Timestamp,
    /// Seconds until then.
    pub seconds_left: u64,
    /// Views granted before it.
    pub views_before: u32,
    /// Views still to be had; `None` without a limit.
    pub views_left: Option<u32>,
    /// What there is to see.
    pub images: Vec<ImageInfo>,
    /// Whether the same nonce had opened it before.
    pub repeated: bool,
}

/// A viewing session that goes on.
#[derive(Clone, PartialEq, Debug)]
pub struct Current {
    /// Its name.
    pub session: SessionId,
    /// When it ends unless it is used again.
    pub ends_at: Timestamp,
    /// Seconds until then.
    pub seconds_left: u64,
    /// When its share ends; an extension is for open sessions too.
    pub expires_at: Timestamp,
    /// Views granted before it.
    pub views_before: u32,
    /// Views still to be had; `None` without a limit.
    pub views_left: Option<u32>,
    /// What there is to see.
    pub images: Vec<ImageInfo>,
}

/// One session's copy of one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageCopy {
    /// The marked image file.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: &'static str,
}

impl ChatPic {
    /// What the cover page of a share shows; needs no key and spends nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the share is unknown or has ended.
    pub async fn cover(&self, id: &ShareId) -> Result<Cover, Error> {
        let share = self.active(id).await?;
        let left = self.now().until(share.expires_at);
        Ok(Cover {
            password_required: share.password_salt.is_some(),
            image_count: share.images.len(),
            expires_at: share.expires_at,
            seconds_left: left.as_secs(),
            session_seconds: left.min(self.0.limits.session_absolute).as_secs(),
            views_left: share.views_left(),
            views: share.views,
        })
    }

    /// Opens a viewing session, which spends a view. The same nonce within [`Limits::nonce_replay`]
    /// finds the same session and spends nothing.
    ///
    /// Checked in this order: the link access, the throttle, the password, the claim.
    ///
    /// [`Limits::nonce_replay`]: crate::Limits::nonce_replay
    ///
    /// # Errors
    /// [`Error::NotFound`] when the share is unknown or has ended; [`Error::Unauthorized`];
    /// [`Error::Throttled`]; [`Conflict::NonceSpent`]; [`Error::Busy`]; [`Error::Store`].
    pub async fn open(&self, id: &ShareId, access: &LinkAccess, opening: Opening) -> Result<Opened, Error> {
        let nonce = match opening.nonce {
            Some(nonce) if !(16..=64).contains(&nonce.len()) => return Err(Invalid::Nonce.into()),
            Some(nonce) => nonce,
            None => self.entropy().bytes::<16>().to_vec(),
        };
        let door = self.door(id).await?;
        let now = self.now();
        let status = door.status(now);
        let right = self.opens(&door, id, access);
        let nonce_digest = self.0.derivation.nonce_digest(id, &nonce);
        if status != Status::Active {
            // Looked for also where there is no share, and for wrong keys: those learn nothing, and are not counted.
            let earlier = self.0.shares.session_of_nonce(id, &nonce_digest).await?;
            let repeatable =
                status == Status::Exhausted && earlier.is_some_and(|s| self.is_live(id, s, door.expires_at));
            if !(right && repeatable) {
                if right {
                    self.0.unwritten.count(id, BlockedTry::AfterEnd);
                }
                return Err(Error::NotFound);
            }
        } else if !right {
            return Err(Unauthorized::Key.into());
        }
        let share = self.find(id).await?.ok_or(Error::NotFound)?;

        let (password, data_key) = self.unlock(&share, access, opening.password, &opening.address).await?;
        let token = self.0.derivation.session_token(id, access, password.as_ref(), &nonce);
        let token_digest = self.0.derivation.session_digest(id, &token);
        let Some(data_key) = data_key else {
            // The link wrap is gone: only a repeated opening can succeed, and only with the same password.
            let session = self.0.shares.session(id, &token_digest).await?.ok_or(Error::NotFound)?;
            return self.repeated(&share, session, token);
        };

        let wrap = self.0.derivation.session_wrap(id, &token).seal(data_key.as_bytes(), self.entropy())?;
        let mut session = Session {
            id: SessionId::random(self.entropy()),
            token_digest,
            nonce_digest,
            wrap: Some(wrap),
            views_before: 0,
            opened_at: now,
            ends_at: self.0.limits.session_end(now, now),
            country: opening.country,
            device: opening.device,
            images_seen: 0,
        };
        loop {
            let ceiling = share.view_ceiling(&self.0.limits);
            let claim = Claim { share: *id, session: session.clone(), ceiling };
            match self.0.shares.claim(&claim).await? {
                Claimed::Opened(session) => return Ok(self.opened(&share, session, token, false)),
                Claimed::Repeated(session) => return self.repeated(&share, session, token),
                Claimed::IdTaken => session.id = SessionId::random(self.entropy()),
                Claimed::Refused => {
                    self.0.unwritten.count(id, BlockedTry::AfterEnd);
                    return Err(Error::NotFound);
                }
            }
        }
    }

    /// Whether this link access is the right one for a share whose last view was used after `looked_at`, when its cover was
    /// shown. To those who press *View* on such a page it is no secret that the share lived; for everybody else it is dead
    /// like any other.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn missed_the_last_view(
        &self,
        id: &ShareId,
        access: &LinkAccess,
        looked_at: Timestamp,
    ) -> Result<bool, Error> {
        let door = self.door(id).await?;
        if !self.opens(&door, id, access) || door.recorded_status != Status::Exhausted {
            return Ok(false);
        }
        let share = self.find(id).await?.filter(|share| share.receipt.burned_at.is_none());
        Ok(share.and_then(|share| share.ended_at).is_some_and(|ended_at| looked_at <= ended_at))
    }

    fn repeated(&self, share: &Share, session: Session, token: SessionToken) -> Result<Opened, Error> {
        let now = self.now();
        let same = session.token_digest == self.0.derivation.session_digest(&share.id, &token);
        let recent = now <= session.opened_at + self.0.limits.nonce_replay;
        if !same || !recent || !self.is_live(&share.id, session.clone(), share.expires_at) {
            return Err(Conflict::NonceSpent.into());
        }
        Ok(self.opened(share, session, token, true))
    }

    fn opened(&self, share: &Share, session: Session, token: SessionToken, repeated: bool) -> Opened {
        let ends_at = session.end(share.expires_at);
        Opened {
            session: session.id,
            token,
            ends_at,
            seconds_left: self.now().until(ends_at).as_secs(),
            views_before: session.views_before,
            views_left: share.max_views.map(|max| max.saturating_sub(session.views_before + 1)),
            images: image_infos(share),
            repeated,
        }
    }

    /// Checks the password and opens the link wrap: the password's key and the data key. The data key is
    /// `None` when the share's link wrap is gone, so that the password could not be checked.
    async fn unlock(
        &self,
        share: &Share,
        access: &LinkAccess,
        password: Option<Password>,
        address: &str,
    ) -> Result<(Option<PasswordKey>, Option<DataKey>), Error> {
        let data_key = |password: Option<&PasswordKey>| {
            let wrap = self.0.derivation.link_wrap(&share.id, access, password);
            share.link_wrap.as_ref().map(|sealed| wrap.open(sealed).map(DataKey::from_bytes)).transpose()
        };
        let Some(salt) = share.password_salt else { return Ok((None, data_key(None)?)) };
        let Some(password) = password.filter(|p| p.chars() > 0 && p.chars() <= self.0.limits.password_chars)
        else {
            return Err(Unauthorized::PasswordMissing.into());
        };

        // The attempt is counted before the password is hashed and taken back when it was right, so that
        // tries made at the same time can't get past the cap. The worker keeps the number of such tries low.
        let worker = self.0.passwords.take(self.for_client(address).holder(&share.id)).await?;
        let attempt = self.count_password_attempt(share, address).await?;
        let key = worker.run(move || password.key(&salt)).await?;
        match data_key(Some(&key)) {
            Ok(data_key) => {
                self.0.shares.forgive(attempt).await?;
                Ok((Some(key), data_key))
            }
            Err(_) => {
                self.0.unwritten.count(&share.id, BlockedTry::WrongPassword);
                Err(Unauthorized::PasswordWrong.into())
            }
        }
    }

    async fn count_password_attempt(&self, share: &Share, address: &str) -> Result<i64, Error> {
        const DAY_SECONDS: i64 = 24 * 60 * 60;
        let now = self.now();
        let limits = &self.0.limits;
        let who = match address {
            "" => self.entropy().bytes(),
            address => self.0.derivation.address_digest(&share.id, address, now.seconds() / DAY_SECONDS),
        };
        let attempt = Attempt {
            share: share.id,
            kind: "password",
            who,
            since: now - limits.wrong_password_window,
            at: now,
            per_who: limits.wrong_passwords_per_address,
            per_share: limits.wrong_passwords_per_share,
        };
        match self.0.shares.attempt(&attempt).await? {
            Attempted::Counted(id) => Ok(id),
            Attempted::Refused(oldest) => {
                self.0.unwritten.count(&share.id, BlockedTry::Throttled);
                let retry_after = now.until(oldest + limits.wrong_password_window);
                Err(Error::Throttled { retry_after })
            }
        }
    }

    /// How a viewing session stands; asking is no activity.
    ///
    /// # Errors
    /// [`Unauthorized::Session`] once it is over.
    pub async fn current(&self, id: &ShareId, token: &SessionToken) -> Result<Current, Error> {
        let (share, session) = self.live_session(id, token).await?;
        Ok(self.stands(&share, &session))
    }

    /// Notes that the page of a viewing session is in view, which is activity, and answers how the session stands then.
    /// A page says so every [`Limits::seen_interval`](crate::Limits::seen_interval).
    ///
    /// # Errors
    /// [`Unauthorized::Session`] once it is over.
    pub async fn seen(&self, id: &ShareId, token: &SessionToken) -> Result<Current, Error> {
        let (share, mut session) = self.live_session(id, token).await?;
        self.note_use(id, &mut session, 0);
        Ok(self.stands(&share, &session))
    }

    fn stands(&self, share: &Share, session: &Session) -> Current {
        let ends_at = session.end(share.expires_at);
        Current {
            session: session.id,
            ends_at,
            seconds_left: self.now().until(ends_at).as_secs(),
            expires_at: share.expires_at,
            views_before: session.views_before,
            views_left: share.views_left(),
            images: image_infos(share),
        }
    }

    fn is_live(&self, id: &ShareId, mut session: Session, expires_at: Timestamp) -> bool {
        self.0.unwritten.complete_session(id, &mut session);
        session.is_live(self.now(), expires_at)
    }

    async fn live_session(&self, id: &ShareId, token: &SessionToken) -> Result<(Share, Session), Error> {
        let digest = self.0.derivation.session_digest(id, token);
        let mut session = self.0.shares.session(id, &digest).await?.ok_or(Unauthorized::Session)?;
        self.0.unwritten.complete_session(id, &mut session);
        let share = self.find(id).await?.ok_or(Unauthorized::Session)?;
        let now = self.now();
        let over = matches!(share.status(now), Status::Expired | Status::Burned)
            || !session.is_live(now, share.expires_at);
        if over { Err(Unauthorized::Session.into()) } else { Ok((share, session)) }
    }

    /// The session's copy of an image, in the smallest prepared width that is at least `width`; in full
    /// without one. Animations have one width. The same session, image and width give the same bytes.
    ///
    /// # Errors
    /// [`Unauthorized::Session`] once the session is over; [`Invalid::Image`]; [`Error::Busy`];
    /// [`Error::Damaged`]; [`Error::Store`].
    pub async fn image(
        &self,
        id: &ShareId,
        token: &SessionToken,
        index: usize,
        width: Option<u32>,
    ) -> Result<ImageCopy, Error> {
        let smallest =
            |sizes: &[Size], width| sizes.iter().rposition(|size| size.width >= width).unwrap_or(0);
        self.copy(id, token, index, |record| width.map_or(0, |width| smallest(&record.sizes, width))).await
    }

    /// The session's copy of an animation's first frame alone; of any other image, of all of it.
    ///
    /// # Errors
    /// As [`ChatPic::image`].
    pub async fn still(&self, id: &ShareId, token: &SessionToken, index: usize) -> Result<ImageCopy, Error> {
        self.copy(id, token, index, |record| match record.form {
            ImageForm::Animation { .. } => 1,
            ImageForm::Jpeg | ImageForm::Png => 0,
        })
        .await
    }

    async fn copy(
        &self,
        id: &ShareId,
        token: &SessionToken,
        index: usize,
        size: impl FnOnce(&ImageRecord) -> usize,
    ) -> Result<ImageCopy, Error> {
        let (share, mut session) = self.live_session(id, token).await?;
        // Whoever has to wait, or gets an error, uses the session too.
        self.note_use(id, &mut session, 0);
        let record = share.images.get(index).ok_or(Invalid::Image)?.clone();
        let object = ObjectName { image: index, size: size(&record) };
        let data_key = {
            let sealed = session.wrap.as_ref().ok_or(Unauthorized::Session)?;
            DataKey::from_bytes(self.0.derivation.session_wrap(id, token).open(sealed)?)
        };
        let key = self.mark_key(&share)?.image(&image_name(index));

        let media_type = record.form.media_type();
        let bytes = if record.form == ImageForm::Jpeg {
            self.spliced_copy(&share, session.id, object, record, data_key, key).await?
        } else {
            let copies = share.folder.of_copies(session.opened_at);
            let wanted = Wanted {
                share: *id,
                session: session.id,
                token_digest: session.token_digest,
                folder: share.folder,
                copies,
                object,
                record,
                data_key,
                key,
            };
            self.kept_copy(wanted).await?
        };
        // That may have taken a while, in which the session may have ended.
        let (_, mut session) = self.live_session(id, token).await?;
        self.note_use(id, &mut session, 1 << index.min(31));
        Ok(ImageCopy { bytes, media_type })
    }

    /// What copies of one image in one size are made of.
    pub(super) async fn sealed_object(&self, folder: &Folder, object: &ObjectName) -> Result<Bytes, Error> {
        let sealed = self.0.blobs.get(folder, &object.to_string()).await?;
        // A share may be purged between the look at its row and the look at its objects.
        Ok(sealed.ok_or(Unauthorized::Session)?)
    }

    async fn spliced_copy(
        &self,
        share: &Share,
        session: SessionId,
        object: ObjectName,
        record: ImageRecord,
        data_key: DataKey,
        key: ImageKey,
    ) -> Result<Bytes, Error> {
        let holder = self.holder(&share.id);
        let _in_memory = self.0.loading.take(holder).await?;
        let sealed = self.sealed_object(&share.folder, &object).await?;
        let (share, visible) = (share.id, self.0.visible_mark.clone());
        let splice = move || {
            let plain = seal::open(&data_key, &share, &object, sealed.into())?;
            let size = record.sizes.get(object.size).copied().ok_or(Error::Damaged)?;
            let labels = visible.map(|v| v.labels(&session.label(), size, record.framed)).unwrap_or_default();
            Ok(PreparedRendition::from_bytes(plain)?.copy(&key, session, &labels)?)
        };
        Ok(self.0.serving.run(holder, splice).await?.into())
    }

    /// The mark key that the ledger keeps.
    pub(super) fn mark_key(&self, share: &Share) -> Result<MarkKey, Error> {
        Ok(MarkKey::new(self.0.derivation.ledger_seal(&share.id).open(&share.sealed_mark_key)?))
    }

    /// Opens the uploader's own look at the share: marked `UPLOADER`, spends nothing.
    ///
    /// # Errors
    /// [`Unauthorized::Key`]; [`Conflict::Ended`]; [`Error::Store`].
    pub async fn preview(&self, id: &ShareId, access: &DashboardAccess) -> Result<Opened, Error> {
        let share = self.owned(id, access).await?;
        let now = self.now();
        let sealed = share.dashboard_wrap.as_ref().filter(|_| share.status(now) == Status::Active);
        let sealed = sealed.ok_or(Conflict::Ended)?;
        let data_key: [u8; 32] = self.0.derivation.dashboard_wrap(id, access).open(sealed)?;
        let token = SessionToken::random(self.entropy());
        let wrap = self.0.derivation.session_wrap(id, &token).seal(&data_key, self.entropy())?;
        let session = Session {
            id: SessionId::UPLOADER,
            token_digest: self.0.derivation.session_digest(id, &token),
            nonce_digest: self.0.derivation.nonce_digest(id, token.as_bytes()),
            wrap: Some(wrap),
            views_before: share.views,
            opened_at: now,
            ends_at: self.0.limits.session_end(now, now),
            country: None,
            device: Device::Unknown,
            images_seen: 0,
        };
        // The share may have ended since it was read.
        if !self.0.shares.preview(id, &session).await? {
            return Err(Conflict::Ended.into());
        }
        let opened = self.opened(&share, session, token, false);
        Ok(Opened { views_left: share.views_left(), ..opened })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::secret::InstallationSecret;
    use crate::share::AccessPolicy;
    use crate::testing::samples;

    /// One worker of each kind and a queue of this length; and a share that somebody views.
    async fn viewed(queue: usize) -> (ChatPic, ShareId, SessionToken) {
        let limits = Limits { workers: 1, queue, ..Limits::default() };
        let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).limits(limits);
        let chatpic = chatpic.build().await.unwrap();
        let mut upload = chatpic.upload(None).unwrap();
        upload.add(samples::jpeg(&samples::photograph(160, 120, 1), 90)).await.unwrap();
        let share = upload.commit(AccessPolicy::default()).await.unwrap();
        let access = chatpic.link_access(&share.share_id, &share.link_key);
        let opened = chatpic.open(&share.share_id, &access, Opening::default()).await.unwrap();
        (chatpic, share.share_id, opened.token)
    }

    #[tokio::test]
    async fn a_burn_while_an_image_waits_for_a_worker_leaves_nothing_to_send() {
        let (chatpic, id, token) = viewed(1).await;
        let busy = chatpic.0.serving.take(chatpic.holder(&id)).await.unwrap();
        let image = chatpic.image(&id, &token, 0, None);
        tokio::pin!(image);
        assert!(futures::poll!(&mut image).is_pending());
        chatpic.burn_as_operator(&id).await.unwrap();
        drop(busy);
        assert!(matches!(image.await, Err(Error::Unauthorized(Unauthorized::Session))));
    }

    #[tokio::test]
    async fn no_viewer_waits_for_uploads_copies_or_traces() {
        let (chatpic, id, token) = viewed(0).await;
        let pools = [&chatpic.0.intake, &chatpic.0.copiers, &chatpic.0.traces];
        let busy =
            futures::future::try_join_all(pools.map(|pool| pool.take(chatpic.holder(&id)))).await.unwrap();
        chatpic.image(&id, &token, 0, None).await.unwrap();
        drop(busy);
    }
}
