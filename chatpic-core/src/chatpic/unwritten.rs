//! What a node knows of shares and sessions before its share store does.
//!
//! None of it holds up an answer, so none of it is told by the time that an answer takes, and none of it makes an answer
//! fail. It is added to whatever this node reads, and written behind: the use of sessions at once, ends and blocked tries
//! by the next sweep. What a crash leaves unwritten is lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ChatPic;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{SessionId, ShareId};
use crate::share::{Blocked, BlockedTry, Door, Session, Share, Status};
use crate::store::StoreResult;

/// Shares, and as many sessions, of which something can be unwritten; of more, nothing is noted.
const CAPACITY: usize = 10_000;

/// An end that this node has seen or was told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
    /// Expired or burned.
    status: Status,
    at: Timestamp,
}

impl End {
    /// Whether it is the end of a share that is recorded so.
    fn ends(self, recorded: Status, expires_at: Timestamp) -> bool {
        match self.status {
            // It may have been extended before it was seen to expire.
            Status::Expired => recorded == Status::Active && expires_at <= self.at,
            _ => true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct ShareNote {
    end: Option<End>,
    blocked: Blocked,
}

/// How a session was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Use {
    ends_at: Timestamp,
    /// Bits of images that were loaded.
    seen: u32,
}

#[derive(Debug, Default)]
struct Notes {
    shares: HashMap<ShareId, ShareNote>,
    uses: HashMap<(ShareId, SessionId), Use>,
    /// Whether a task writes the uses.
    writing: bool,
}

impl Notes {
    fn of_share(&mut self, id: &ShareId) -> Option<&mut ShareNote> {
        let room = self.shares.len() < CAPACITY || self.shares.contains_key(id);
        room.then(|| self.shares.entry(*id).or_default())
    }
}

/// What a node has not written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<Notes>);

impl Unwritten {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a try that was no view.
    pub(super) fn count(&self, id: &ShareId, blocked: BlockedTry) {
        if let Some(note) = self.notes().of_share(id) {
            note.blocked.count(blocked);
        }
    }

    /// From now on this node takes the share for burned. Answers since when it does.
    pub(super) fn burn(&self, id: &ShareId, now: Timestamp) -> Timestamp {
        let mut notes = self.notes();
        let Some(ShareNote { end, .. }) = notes.of_share(id) else { return now };
        match end {
            Some(End { status: Status::Burned, at }) => *at,
            _ => {
                *end = Some(End { status: Status::Burned, at: now });
                now
            }
        }
    }

    /// Forgets an end that the store knows.
    pub(super) fn ended(&self, id: &ShareId) {
        self.settle(id, |note| note.end = None);
    }

    fn settle(&self, id: &ShareId, settle: impl FnOnce(&mut ShareNote)) {
        let mut notes = self.notes();
        let Some(note) = notes.shares.get_mut(id) else { return };
        settle(note);
        if *note == ShareNote::default() {
            notes.shares.remove(id);
        }
    }

    /// Adds an end to what was read of a share, and notes that it has expired the first time that it is seen: it stays
    /// so even when the clock steps back.
    pub(super) fn complete_door(&self, id: &ShareId, door: &mut Door, now: Timestamp) {
        let mut notes = self.notes();
        if door.recorded_status == Status::Active
            && door.status(now) == Status::Expired
            && let Some(note) = notes.of_share(id)
        {
            // The last expiry that was seen, unless it is burned.
            note.end = note.end.filter(|end| end.status == Status::Burned);
            note.end.get_or_insert(End { status: Status::Expired, at: door.expires_at });
        }
        if let Some(end) = notes.shares.get(id).and_then(|note| note.end)
            && end.ends(door.recorded_status, door.expires_at)
        {
            door.recorded_status = end.status;
        }
    }

    /// Adds what this node knows to what was read of a share.
    pub(super) fn complete(&self, share: &mut Share, now: Timestamp) {
        let mut door = share.door();
        self.complete_door(&share.id, &mut door, now);
        share.recorded_status = door.recorded_status;
        if let Some(note) = self.notes().shares.get(&share.id) {
            share.blocked.add(&note.blocked);
        }
    }

    /// Adds what this node knows to what was read of a session.
    pub(super) fn complete_session(&self, id: &ShareId, session: &mut Session) {
        if let Some(noted) = self.notes().uses.get(&(*id, session.id)) {
            session.ends_at = session.ends_at.max(noted.ends_at);
            session.images_seen |= noted.seen;
        }
    }

    /// Notes the use of a session. Answers whether somebody must begin to write.
    fn note_use(&self, id: &ShareId, session: SessionId, ends_at: Timestamp, seen: u32) -> bool {
        let mut notes = self.notes();
        let key = (*id, session);
        if notes.uses.len() >= CAPACITY && !notes.uses.contains_key(&key) {
            return false;
        }
        let noted = notes.uses.entry(key).or_insert(Use { ends_at, seen });
        noted.ends_at = noted.ends_at.max(ends_at);
        noted.seen |= seen;
        !std::mem::replace(&mut notes.writing, true)
    }

    /// A use to be written; without one, whoever wrote has done.
    fn next_use(&self) -> Option<((ShareId, SessionId), Use)> {
        let mut notes = self.notes();
        let next = notes.uses.iter().next().map(|(key, noted)| (*key, *noted));
        notes.writing = next.is_some();
        next
    }

    /// Notes that a use is written, or that writing failed and is left to whoever writes next.
    fn wrote_use(&self, key: &(ShareId, SessionId), written: Option<&Use>) {
        let mut notes = self.notes();
        match written {
            // It may have been used again meanwhile.
            Some(written) if notes.uses.get(key) == Some(written) => drop(notes.uses.remove(key)),
            Some(_) => {}
            None => notes.writing = false,
        }
    }
}

impl ChatPic {
    /// Notes that a session is used, and which of its images were loaded, and writes it behind the answer: when it has
    /// changed by enough, and one session after the other, so that those who can't do without the store don't wait long.
    pub(super) fn note_use(&self, id: &ShareId, session: &mut Session, seen: u32) {
        let limits = &self.0.limits;
        let ends_at = limits.session_end(session.opened_at, self.now()).max(session.ends_at);
        let news =
            ends_at >= session.ends_at + limits.activity_interval() || seen & !session.images_seen != 0;
        if !news {
            return;
        }
        session.ends_at = ends_at;
        session.images_seen |= seen;
        if self.0.unwritten.note_use(id, session.id, ends_at, seen) {
            let chatpic = self.clone();
            // What fails is tried again with the next use, or by the sweep.
            self.behind(async move { drop(chatpic.write_uses().await) });
        }
    }

    pub(super) async fn write_uses(&self) -> StoreResult<()> {
        while let Some((key, noted)) = self.0.unwritten.next_use() {
            let (id, session) = &key;
            let touched = self.0.shares.touch(id, *session, noted.ends_at, noted.seen).await;
            self.0.unwritten.wrote_use(&key, touched.is_ok().then_some(&noted));
            touched?;
        }
        Ok(())
    }

    /// Finishes what this node does behind its answers: keeps copies that were sent, and writes how sessions are used,
    /// ends that it saw, and tries that it refused. Sweeps write these too; a host calls it before it stops.
    ///
    /// # Errors
    /// [`Error::Store`]; what is left is written later.
    pub async fn flush(&self) -> Result<(), Error> {
        let mut behind = std::mem::take(&mut *self.0.behind.lock().unwrap_or_else(PoisonError::into_inner));
        while behind.join_next().await.is_some() {}
        self.write_uses().await?;
        self.write_ends_and_blocked().await.map(drop)
    }

    /// Answers how many shares have expired.
    pub(super) async fn write_ends_and_blocked(&self) -> Result<usize, Error> {
        let noted: Vec<_> =
            self.0.unwritten.notes().shares.iter().map(|(id, note)| (*id, note.end)).collect();
        let mut expired = 0;
        for (id, end) in noted {
            if let Some(End { status, at }) = end {
                let ended = self.0.shares.end(&id, status, at).await?;
                expired += usize::from(ended && status == Status::Expired);
                self.0.unwritten.ended(&id);
            }
            self.write_blocked(&id).await?;
        }
        Ok(expired)
    }

    async fn write_blocked(&self, id: &ShareId) -> StoreResult<()> {
        let mut blocked = Blocked::default();
        self.0.unwritten.settle(id, |note| blocked = std::mem::take(&mut note.blocked));
        if blocked == Blocked::default() {
            return Ok(());
        }
        let counted = self.0.shares.count_blocked(id, &blocked).await;
        if counted.is_err()
            && let Some(note) = self.0.unwritten.notes().of_share(id)
        {
            note.blocked.add(&blocked);
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::chatpic::viewing::Opening;
    use crate::secret::InstallationSecret;
    use crate::share::AccessPolicy;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::testing::{ManualClock, samples};

    #[tokio::test]
    async fn the_use_of_a_session_is_written_behind_and_at_most_every_twenty_seconds() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_000)));
        let builder =
            ChatPic::builder(InstallationSecret::from_bytes([7; 32])).clock(clock.clone()).sweep_every(None);
        let chatpic = builder
            .stores(Arc::new(MemoryShares::default()), Arc::new(MemoryBlobs::default()))
            .build()
            .await
            .unwrap();
        let mut upload = chatpic.upload(None).unwrap();
        upload.add(samples::jpeg(&samples::photograph(40, 30, 1), 80)).await.unwrap();
        let share = upload.commit(AccessPolicy::default()).await.unwrap();
        let id = share.share_id;
        let link = chatpic.link_access(&id, &share.link_key);
        let opened = chatpic.open(&id, &link, Opening::default()).await.unwrap();
        let stored = async || chatpic.0.shares.sessions(&id, None, 1).await.unwrap().remove(0);
        let written = async || {
            chatpic.flush().await.unwrap();
            stored().await
        };

        chatpic.image(&id, &opened.token, 0, None).await.unwrap();
        assert_eq!(stored().await.images_seen, 0, "the answer did not wait for it");
        let first = written().await;
        assert_eq!((first.images_seen, first.ends_at), (1, opened.ends_at));
        for (seconds, later) in [(19, 0), (1, 20), (19, 20), (1, 40)] {
            clock.advance(Duration::from_secs(seconds));
            chatpic.image(&id, &opened.token, 0, None).await.unwrap();
            assert_eq!(written().await.ends_at, opened.ends_at + Duration::from_secs(later));
        }
        assert!(chatpic.0.unwritten.notes().uses.is_empty());
    }

    #[test]
    fn what_is_unwritten_is_bounded() {
        let unwritten = Unwritten::default();
        let id = |number: usize| {
            let mut bytes = [0; 12];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            ShareId::from_bytes(bytes)
        };
        for number in 0..2 * CAPACITY {
            unwritten.count(&id(number), BlockedTry::AfterEnd);
            unwritten.burn(&id(number), Timestamp(0));
            unwritten.note_use(&id(number), SessionId(1), Timestamp(0), 1);
        }
        let notes = unwritten.notes();
        assert_eq!((notes.shares.len(), notes.uses.len()), (CAPACITY, CAPACITY));
    }

    #[test]
    fn a_share_that_was_extended_before_it_was_seen_to_expire_goes_on() {
        let unwritten = Unwritten::default();
        let id = ShareId::from_bytes([1; 12]);
        let door = |expires_at| Door { recorded_status: Status::Active, expires_at, ..Door::SHUT };
        let status = |mut door: Door, now| {
            unwritten.complete_door(&id, &mut door, now);
            door.recorded_status
        };
        let (early, end, late) = (Timestamp(5), Timestamp(10), Timestamp(20));
        assert_eq!(status(door(end), early), Status::Active);
        assert_eq!(status(door(end), end), Status::Expired);
        assert_eq!(status(door(end), early), Status::Expired, "it was seen to end");
        assert_eq!(status(door(late), end), Status::Active, "another node had extended it");
        assert_eq!(status(door(late), late), Status::Expired);
        assert_eq!(status(door(late), end), Status::Expired, "and now it was seen to end");
    }
}
