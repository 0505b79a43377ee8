//! Stores in memory: for tests, for trying ChatPic out, and as the plain statement of what a store does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::*;

#[derive(Debug)]
struct Row {
    share: Share,
    due: Timestamp,
    leased_until: Option<Timestamp>,
    sessions: Vec<Session>,
    /// Copies by folder, and their bytes.
    copies: BTreeMap<Folder, (u64, u64)>,
}

impl Row {
    fn destroy_share_wraps(&mut self) {
        self.share.link_wrap = None;
        self.share.dashboard_wrap = None;
        self.share.sealed_link = None;
    }
}

#[derive(Debug)]
struct AttemptRow {
    id: i64,
    share: ShareId,
    kind: &'static str,
    who: Digest,
    at: Timestamp,
}

#[derive(Debug, Default)]
struct Tables {
    shares: BTreeMap<ShareId, Row>,
    attempts: Vec<AttemptRow>,
    reports: Vec<Report>,
    last_attempt: i64,
    fingerprint: Option<Digest>,
}

/// A share store in memory; clones are handles onto the same data.
#[derive(Clone, Debug, Default)]
pub struct MemoryShares(Arc<Mutex<Tables>>);

impl MemoryShares {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_row<T>(&self, id: &ShareId, change: impl FnOnce(&mut Row) -> T) -> Option<T> {
        self.tables().shares.get_mut(id).map(change)
    }
}

#[async_trait]
impl ShareStore for MemoryShares {
    async fn insert(&self, share: &Share) -> StoreResult<Inserted> {
        let mut tables = self.tables();
        if tables.shares.contains_key(&share.id) {
            return Ok(Inserted::IdTaken);
        }
        let row = Row {
            share: share.clone(),
            due: share.expires_at,
            leased_until: None,
            sessions: Vec::new(),
            copies: BTreeMap::new(),
        };
        tables.shares.insert(share.id, row);
        Ok(Inserted::Done)
    }

    async fn door(&self, id: &ShareId) -> StoreResult<Door> {
        Ok(self.tables().shares.get(id).map_or(Door::SHUT, |row| row.share.door()))
    }

    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>> {
        Ok(self.tables().shares.get(id).map(|row| row.share.clone()))
    }

    async fn find_all(&self, ids: &[ShareId]) -> StoreResult<Vec<Share>> {
        let tables = self.tables();
        Ok(ids.iter().filter_map(|id| tables.shares.get(id)).map(|row| row.share.clone()).collect())
    }

    async fn claim(&self, claim: &Claim) -> StoreResult<Claimed> {
        let mut tables = self.tables();
        let Some(row) = tables.shares.get_mut(&claim.share) else { return Ok(Claimed::Refused) };
        let new = &claim.session;
        if let Some(session) = row.sessions.iter().find(|s| s.nonce_digest == new.nonce_digest) {
            return Ok(Claimed::Repeated(session.clone()));
        }
        let share = &mut row.share;
        let open = share.recorded_status == Status::Active
            && new.opened_at < share.expires_at
            && share.views < claim.ceiling;
        if !open {
            return Ok(Claimed::Refused);
        }
        if row.sessions.iter().any(|s| s.id == new.id) {
            return Ok(Claimed::IdTaken);
        }
        let session = Session { views_before: share.views, ..new.clone() };
        share.views += 1;
        share.tally.count(share.created_at, new.opened_at, new.country);
        if share.views >= claim.ceiling {
            share.recorded_status = Status::Exhausted;
            share.ended_at = Some(new.opened_at);
            row.destroy_share_wraps();
            row.due = new.opened_at;
        }
        row.sessions.push(session.clone());
        Ok(Claimed::Opened(session))
    }

    async fn preview(&self, id: &ShareId, session: &Session) -> StoreResult<bool> {
        let stored = self.with_row(id, |row| {
            let active = row.share.status(session.opened_at) == Status::Active;
            if active {
                row.sessions.retain(|s| s.id != SessionId::UPLOADER);
                row.sessions.push(session.clone());
            }
            active
        });
        Ok(stored.unwrap_or(false))
    }

    async fn session(&self, id: &ShareId, token: &Digest) -> StoreResult<Option<Session>> {
        Ok(self.with_row(id, |row| row.sessions.iter().find(|s| s.token_digest == *token).cloned()).flatten())
    }

    async fn session_of_nonce(&self, id: &ShareId, nonce: &Digest) -> StoreResult<Option<Session>> {
        Ok(self.with_row(id, |row| row.sessions.iter().find(|s| s.nonce_digest == *nonce).cloned()).flatten())
    }

    async fn touch(
        &self,
        id: &ShareId,
        session: SessionId,
        ends_at: Timestamp,
        seen: u32,
    ) -> StoreResult<()> {
        self.with_row(id, |row| {
            let live = row.sessions.iter_mut().find(|s| s.id == session && s.wrap.is_some());
            if let Some(session) = live {
                session.ends_at = ends_at;
                session.images_seen |= seen;
            }
        });
        Ok(())
    }

    async fn sessions(
        &self,
        id: &ShareId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> StoreResult<Vec<Session>> {
        let sessions = self.with_row(id, |row| row.sessions.clone()).unwrap_or_default();
        let mut page: Vec<_> = sessions
            .into_iter()
            .filter(|s| s.id != SessionId::UPLOADER)
            .filter(|s| after.is_none_or(|(at, id)| (s.opened_at, s.id) < (at, id)))
            .collect();
        page.sort_by_key(|s| std::cmp::Reverse((s.opened_at, s.id)));
        page.truncate(limit);
        Ok(page)
    }

    async fn extend(
        &self,
        id: &ShareId,
        now: Timestamp,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<bool> {
        let extended = self.with_row(id, |row| {
            let share = &mut row.share;
            let extendable =
                share.recorded_status == Status::Active && share.expires_at == from && now < from;
            if extendable {
                share.expires_at = to;
                row.due = to;
            }
            extendable
        });
        Ok(extended.unwrap_or(false))
    }

    async fn keep_ledger(&self, id: &ShareId, keep_ms: i64, ledger_until: Timestamp) -> StoreResult<()> {
        self.with_row(id, |row| {
            row.share.keep_ledger = std::time::Duration::from_millis(keep_ms.unsigned_abs());
            if row.share.receipt.purged_at.is_some() {
                row.due = ledger_until;
            }
        });
        Ok(())
    }

    async fn end(&self, id: &ShareId, status: Status, at: Timestamp) -> StoreResult<bool> {
        let ended = self.with_row(id, |row| {
            let active = row.share.recorded_status == Status::Active;
            if active && status == Status::Expired && row.share.expires_at > at {
                return false;
            }
            row.destroy_share_wraps();
            row.sessions.iter_mut().for_each(|s| s.wrap = None);
            let share = &mut row.share;
            if active {
                share.recorded_status = status;
                share.ended_at = Some(at);
            }
            if status == Status::Burned {
                share.receipt.burned_at.get_or_insert(at);
            }
            row.due = at;
            true
        });
        Ok(ended.unwrap_or(false))
    }

    async fn count_blocked(&self, id: &ShareId, blocked: &Blocked) -> StoreResult<()> {
        self.with_row(id, |row| row.share.blocked.add(blocked));
        Ok(())
    }

    async fn attempt(&self, attempt: &Attempt) -> StoreResult<Attempted> {
        let mut tables = self.tables();
        let of_share = |row: &AttemptRow| row.share == attempt.share && row.kind == attempt.kind;
        tables.attempts.retain(|row| !of_share(row) || row.at >= attempt.since);
        let oldest_if_full = |who: Option<Digest>, cap: u32| {
            let counted =
                tables.attempts.iter().filter(|r| of_share(r) && who.is_none_or(|who| who == r.who));
            let times: Vec<_> = counted.map(|row| row.at).collect();
            (times.len() >= cap as usize).then(|| times.into_iter().min().unwrap_or(attempt.at))
        };
        let full = oldest_if_full(Some(attempt.who), attempt.per_who)
            .or_else(|| oldest_if_full(None, attempt.per_share));
        if let Some(oldest) = full {
            return Ok(Attempted::Refused(oldest));
        }
        tables.last_attempt += 1;
        let id = tables.last_attempt;
        let Attempt { share, kind, who, at, .. } = *attempt;
        tables.attempts.push(AttemptRow { id, share, kind, who, at });
        Ok(Attempted::Counted(id))
    }

    async fn forgive(&self, attempt: i64) -> StoreResult<()> {
        self.tables().attempts.retain(|row| row.id != attempt);
        Ok(())
    }

    async fn lease_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> StoreResult<Vec<Share>> {
        let mut tables = self.tables();
        let mut due: Vec<_> = tables
            .shares
            .values_mut()
            .filter(|row| row.due <= now && row.leased_until.is_none_or(|leased| leased <= now))
            .collect();
        due.sort_by_key(|row| (row.due, row.share.id));
        due.truncate(limit);
        Ok(due
            .into_iter()
            .map(|row| {
                row.leased_until = Some(until);
                row.share.clone()
            })
            .collect())
    }

    async fn postpone(&self, id: &ShareId, due: Timestamp) -> StoreResult<()> {
        self.with_row(id, |row| {
            row.due = due;
            row.leased_until = None;
        });
        Ok(())
    }

    async fn last_session_end(&self, id: &ShareId) -> StoreResult<Option<Timestamp>> {
        let last = self
            .with_row(id, |row| row.sessions.iter().filter(|s| s.wrap.is_some()).map(|s| s.ends_at).max());
        Ok(last.flatten())
    }

    async fn note_purge(&self, id: &ShareId, purge: &Purge, due: Timestamp) -> StoreResult<()> {
        self.with_row(id, |row| {
            let receipt = &mut row.share.receipt;
            if receipt.purged_at.is_none() {
                receipt.objects_deleted = purge.objects_deleted;
                receipt.objects_pending = purge.objects_pending;
                receipt.purged_at = purge.purged_at;
            }
            row.due = due;
            row.leased_until = None;
        });
        Ok(())
    }

    async fn note_copy(
        &self,
        id: &ShareId,
        session: SessionId,
        folder: &Folder,
        bytes: u64,
    ) -> StoreResult<bool> {
        let noted = self.with_row(id, |row| {
            let live = row.sessions.iter().any(|s| s.id == session && s.wrap.is_some());
            if live {
                let (objects, sum) = row.copies.entry(folder.clone()).or_default();
                *objects += 1;
                *sum += bytes;
            }
            live
        });
        Ok(noted.unwrap_or(false))
    }

    async fn copies(&self, id: &ShareId) -> StoreResult<Vec<Copies>> {
        let copies = self.with_row(id, |row| {
            let copies = row.copies.iter();
            copies
                .map(|(folder, (objects, _))| Copies { folder: folder.clone(), objects: *objects })
                .collect()
        });
        Ok(copies.unwrap_or_default())
    }

    async fn forget_copies(&self, folders: &[Folder]) -> StoreResult<()> {
        let mut tables = self.tables();
        let active = tables.shares.values_mut().filter(|row| row.share.recorded_status == Status::Active);
        active.for_each(|row| row.copies.retain(|folder, _| !folders.contains(folder)));
        Ok(())
    }

    async fn stored_bytes(&self) -> StoreResult<u64> {
        let tables = self.tables();
        let stored = tables.shares.values().filter(|row| row.share.receipt.purged_at.is_none());
        Ok(stored.map(|row| row.share.bytes + row.copies.values().map(|(_, bytes)| bytes).sum::<u64>()).sum())
    }

    async fn report(&self, report: &Report, per_share: u32) -> StoreResult<()> {
        let mut tables = self.tables();
        let earlier = tables.reports.iter().filter(|earlier| earlier.share == report.share).count();
        if earlier < per_share as usize {
            tables.reports.push(report.clone());
        }
        Ok(())
    }

    async fn reports(&self, limit: usize) -> StoreResult<Vec<Report>> {
        let tables = self.tables();
        let of_shares = tables.reports.iter().filter(|report| tables.shares.contains_key(&report.share));
        let mut newest: Vec<Report> = of_shares.rev().cloned().collect();
        newest.sort_by_key(|report| std::cmp::Reverse(report.at));
        newest.truncate(limit);
        Ok(newest)
    }

    async fn forget(&self, id: &ShareId) -> StoreResult<()> {
        let mut tables = self.tables();
        tables.shares.remove(id);
        tables.attempts.retain(|row| row.share != *id);
        tables.reports.retain(|report| report.share != *id);
        Ok(())
    }

    async fn tidy(&self, now: Timestamp, old: Timestamp) -> StoreResult<()> {
        let tables = &mut *self.tables();
        for session in tables.shares.values_mut().flat_map(|row| &mut row.sessions) {
            if session.ends_at <= now {
                session.wrap = None;
            }
        }
        tables.attempts.retain(|row| row.at >= old);
        tables.reports.retain(|report| report.at >= old || tables.shares.contains_key(&report.share));
        Ok(())
    }

    async fn folders_in_use(&self, folders: &[Folder]) -> StoreResult<Vec<Folder>> {
        let tables = self.tables();
        let shares = tables.shares.values().map(|row| &row.share);
        let used =
            shares.filter(|share| share.receipt.purged_at.is_none() && folders.contains(&share.folder));
        Ok(used.map(|share| share.folder.clone()).collect())
    }

    async fn ledger(&self, after: Option<ShareId>, limit: usize) -> StoreResult<Vec<Share>> {
        let tables = self.tables();
        let shares = tables.shares.values().map(|row| &row.share);
        Ok(shares.filter(|share| after.is_none_or(|id| share.id > id)).take(limit).cloned().collect())
    }

    async fn fingerprint(&self, fingerprint: &Digest) -> StoreResult<Digest> {
        Ok(*self.tables().fingerprint.get_or_insert(*fingerprint))
    }
}

/// A blob store in memory; clones are handles onto the same data.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(Arc<Mutex<BTreeMap<(Folder, String), Bytes>>>);

impl MemoryBlobs {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<(Folder, String), Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
        self.objects().entry((folder.clone(), name.to_owned())).or_insert(sealed);
        Ok(())
    }

    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
        Ok(self.objects().get(&(folder.clone(), name.to_owned())).cloned())
    }

    async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64> {
        let mut objects = self.objects();
        let before = objects.len();
        objects.retain(|(kept, _), _| kept != folder);
        Ok((before - objects.len()) as u64)
    }

    async fn count(&self, folder: &Folder) -> StoreResult<u64> {
        Ok(self.objects().keys().filter(|(holder, _)| holder == folder).count() as u64)
    }

    async fn has_room(&self, _free_percent: u8) -> StoreResult<bool> {
        Ok(true)
    }

    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
        let folders: Vec<_> = self.objects().keys().map(|(folder, _)| Ok(folder.clone())).collect();
        stream::iter(folders).boxed()
    }
}
