//! Shares in a database: every statement and rule that the databases have in common.

pub mod dialect;
pub(crate) mod inspect;
mod record;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use chatpic_core::share::Session;
use chatpic_core::store::{Attempt, Attempted, Claim, Claimed, Copies, Inserted, Purge, StoreResult};
use chatpic_core::{
    Blocked, Digest, Door, Folder, Report, SessionId, Share, ShareId, ShareStore, Status, StoreError,
    Timestamp,
};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Pool, SqlSafeStr, Transaction};

use dialect::{Dialect, Value, values};
use record::Record;

use crate::reserve::Reserve;

/// What fails when a database can't be used at all.
pub(crate) const OPENING: &str = "open the database";

/// How long one try of one step may take; past it the database is as good as down.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often a step is tried that loses races against others.
const TRIES: u32 = 8;

/// A share store in a database.
pub struct SqlShares<D: Dialect> {
    /// Connections that may write.
    pub(crate) writers: Pool<D>,
    /// Connections that only read.
    pub(crate) readers: Pool<D>,
    /// Room for what destroys keys, where the database lies on a disk of this computer.
    pub(crate) reserve: Option<Reserve>,
}

impl<D: Dialect> fmt::Debug for SqlShares<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlShares({})", D::STORE)
    }
}

impl<D: Dialect> Clone for SqlShares<D> {
    fn clone(&self) -> Self {
        Self { writers: self.writers.clone(), readers: self.readers.clone(), reserve: self.reserve.clone() }
    }
}

/// Connections to a server, the same for each kind of it.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn pool<D: Dialect>() -> sqlx::pool::PoolOptions<D> {
    sqlx::pool::PoolOptions::new()
        .max_connections(10)
        // Long enough for a server that restarts, short enough for whoever waits.
        .acquire_timeout(Duration::from_secs(5))
        .max_lifetime(Duration::from_secs(30 * 60))
        .after_connect(|connection, _| {
            Box::pin(async move {
                for setting in D::SESSION {
                    D::execute(connection, setting, values![]).await?;
                }
                Ok(())
            })
        })
}

/// A failure of this database, in words.
pub(crate) fn failed<D: Dialect>(
    operation: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError { store: D::STORE, operation, source: source.into() }
}

/// Brings the tables up to date; of several nodes that start at once, one does it and the others wait.
pub(crate) async fn migrate<D: Dialect>(pool: &Pool<D>) -> sqlx::Result<()> {
    let numbered = (1..).zip(D::MIGRATIONS).map(|(version, (name, sql))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(numbered.collect());
    migrator.dangerous_set_table_name("_chatpic_migrations");
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => {
            let known = D::MIGRATIONS.len();
            let newer = format!("its schema {version} is newer than this ChatPic, which knows {known}");
            sqlx::Error::Configuration(newer.into())
        }
        error => error.into(),
    })
}

/// Takes one atomic step. Whoever lost a race against others, with all that was done taken back, tries again a
/// little later; anything else that fails is reported, since it may have happened.
async fn doing<D: Dialect, T, F>(operation: &'static str, step: impl Fn() -> F) -> StoreResult<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let done = tokio::time::timeout(DEADLINE, step()).await;
        match done.map_err(|_| failed::<D>(operation, "it did not answer in time"))? {
            Err(error) if tries < TRIES && D::lost_a_race(&error) => stand_back(tries).await,
            done => return done.map_err(|error| failed::<D>(operation, error)),
        }
    }
}

/// Waits for a random moment below 10 ms after the first try, and twice as long after each further one, so that
/// those who met don't meet again.
#[expect(clippy::disallowed_methods, reason = "there is no clock to drive: the wait is for other nodes")]
async fn stand_back(tries: u32) {
    // Each one is keyed at random. Nothing depends on how.
    let random = RandomState::new().hash_one(tries);
    tokio::time::sleep(Duration::from_micros(random % (5_000 << tries))).await;
}

async fn all<D: Dialect, T>(
    db: &mut D::Connection,
    query: &str,
    values: Vec<Value>,
    read: impl Fn(Record<'_, D>) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    D::fetch(db, query, values).await?.iter().map(|row| read(Record(row))).collect()
}

async fn one<D: Dialect, T>(
    db: &mut D::Connection,
    query: &str,
    values: Vec<Value>,
    read: impl Fn(Record<'_, D>) -> sqlx::Result<T>,
) -> sqlx::Result<Option<T>> {
    D::fetch(db, query, values).await?.first().map(|row| read(Record(row))).transpose()
}

/// The share of this id, which nobody else can change until the transaction ends.
async fn locked<D: Dialect>(db: &mut D::Connection, id: &ShareId) -> sqlx::Result<Option<Share>> {
    let query = format!("SELECT * FROM shares WHERE id = $1{}", D::FOR_UPDATE);
    one::<D, _>(db, &query, values![id], |row| row.share()).await
}

async fn of_nonce<D: Dialect>(
    db: &mut D::Connection,
    id: &ShareId,
    nonce: &Digest,
) -> sqlx::Result<Option<Session>> {
    let query = "SELECT * FROM sessions WHERE share = $1 AND nonce_digest = $2";
    one::<D, _>(db, query, values![id, nonce], |row| row.session()).await
}

async fn add<D: Dialect>(db: &mut D::Connection, id: &ShareId, session: &Session) -> sqlx::Result<()> {
    let statement =
        "INSERT INTO sessions (share, id, token_digest, nonce_digest, wrap, views_before, opened_at,
            ends_at, country, device, images_seen)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values = values![
        id,
        session.id,
        &session.token_digest,
        &session.nonce_digest,
        &session.wrap,
        session.views_before,
        session.opened_at,
        session.ends_at,
        session.country,
        session.device.as_str(),
        session.images_seen,
    ];
    D::execute(db, statement, values).await.map(drop)
}

/// Whether a share can be opened when this session would begin.
fn is_open(share: &Share, session: &Session) -> bool {
    share.recorded_status == Status::Active && session.opened_at < share.expires_at
}

fn json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The parameters `$first`, `$first+1`, .., `count` of them, for an `IN`.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Whether a row was stored, or one of its key was there before.
fn stored(inserted: sqlx::Result<u64>) -> sqlx::Result<bool> {
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => Ok(false),
        Err(error) => Err(error),
    }
}

impl<D: Dialect> SqlShares<D> {
    async fn begin(&self) -> sqlx::Result<Transaction<'static, D>> {
        self.writers.begin_with(D::BEGIN).await
    }

    /// Takes a step that destroys keys. On a full disk it gets the room that was kept for it.
    async fn destroying<T, F>(&self, operation: &'static str, step: impl Fn() -> F + Sync) -> StoreResult<T>
    where
        F: Future<Output = sqlx::Result<T>> + Send,
        T: Send,
    {
        let done = doing::<D, _, _>(operation, || async {
            match (step().await, &self.reserve) {
                (Err(error), Some(reserve)) if D::is_full(&error) && reserve.give_up().await => step().await,
                (done, _) => done,
            }
        });
        let done = done.await?;
        D::scrub(&self.writers).await;
        Ok(done)
    }

    /// Runs one statement, which is atomic by itself; answers how many rows it changed.
    async fn change(&self, operation: &'static str, statement: &str, values: Vec<Value>) -> StoreResult<u64> {
        doing::<D, _, _>(operation, || async {
            D::execute(&mut *self.writers.acquire().await?, statement, values.clone()).await
        })
        .await
    }

    async fn read_all<T>(
        &self,
        operation: &'static str,
        query: &str,
        values: Vec<Value>,
        read: impl Fn(Record<'_, D>) -> sqlx::Result<T> + Sync,
    ) -> StoreResult<Vec<T>> {
        doing::<D, _, _>(operation, || async {
            all::<D, _>(&mut *self.readers.acquire().await?, query, values.clone(), &read).await
        })
        .await
    }

    async fn read_one<T>(
        &self,
        operation: &'static str,
        query: &str,
        values: Vec<Value>,
        read: impl Fn(Record<'_, D>) -> sqlx::Result<T> + Sync,
    ) -> StoreResult<Option<T>> {
        doing::<D, _, _>(operation, || async {
            one::<D, _>(&mut *self.readers.acquire().await?, query, values.clone(), &read).await
        })
        .await
    }

    async fn try_claim(&self, claim: &Claim) -> sqlx::Result<(Claimed, bool)> {
        let Claim { share: id, session: new, ceiling } = claim;
        let mut tx = self.begin().await?;
        let Some(share) = locked::<D>(&mut tx, id).await? else { return Ok((Claimed::Refused, false)) };
        if let Some(session) = of_nonce::<D>(&mut tx, id, &new.nonce_digest).await? {
            return Ok((Claimed::Repeated(session), false));
        }
        if !is_open(&share, new) || share.views >= *ceiling {
            return Ok((Claimed::Refused, false));
        }
        let query = "SELECT id FROM sessions WHERE share = $1 AND id = $2";
        if !D::fetch(&mut tx, query, values![id, new.id]).await?.is_empty() {
            return Ok((Claimed::IdTaken, false));
        }
        let session = Session { views_before: share.views, ..new.clone() };
        add::<D>(&mut tx, id, &session).await?;
        let mut tally = share.tally;
        tally.count(share.created_at, new.opened_at, new.country);
        let counted = "UPDATE shares SET views = views + 1, tally = $1 WHERE id = $2";
        D::execute(&mut tx, counted, values![json(&tally)?, id]).await?;
        let exhausted = share.views + 1 >= *ceiling;
        if exhausted {
            let exhaust = "UPDATE shares SET status = 'exhausted', ended_at = $1, due = $1,
                    link_wrap = NULL, dashboard_wrap = NULL, sealed_link = NULL
                 WHERE id = $2";
            D::execute(&mut tx, exhaust, values![new.opened_at, id]).await?;
        }
        tx.commit().await?;
        Ok((Claimed::Opened(session), exhausted))
    }

    async fn try_attempt(&self, attempt: &Attempt) -> sqlx::Result<Attempted> {
        let Attempt { share, kind, who, since, at, per_who, per_share } = attempt;
        let mut tx = self.begin().await?;
        // Attempts on one share are counted one after the other.
        locked::<D>(&mut tx, share).await?;
        let older = "DELETE FROM attempts WHERE share = $1 AND kind = $2 AND at < $3";
        D::execute(&mut tx, older, values![share, *kind, *since]).await?;
        let query =
            "SELECT COUNT(*) AS everybody, MIN(at) AS oldest, COUNT(CASE WHEN who = $1 THEN 1 END) AS own,
                MIN(CASE WHEN who = $1 THEN at END) AS own_oldest
             FROM attempts WHERE share = $2 AND kind = $3";
        let standing = one::<D, _>(&mut tx, query, values![who, share, *kind], |row| {
            Ok([
                (row.number::<i64>("own")?, *per_who, row.maybe_instant("own_oldest")?),
                (row.number::<i64>("everybody")?, *per_share, row.maybe_instant("oldest")?),
            ])
        });
        for (count, cap, oldest) in standing.await?.into_iter().flatten() {
            if count >= i64::from(cap) {
                return Ok(Attempted::Refused(oldest.unwrap_or(*at)));
            }
        }
        let added = "INSERT INTO attempts (share, kind, who, at) VALUES ($1, $2, $3, $4)";
        D::execute(&mut tx, added, values![share, *kind, who, *at]).await?;
        let number = format!("SELECT {} AS number", D::LAST_NUMBER);
        let number = one::<D, _>(&mut tx, &number, values![], |row| row.number("number")).await?;
        tx.commit().await?;
        Ok(Attempted::Counted(number.unwrap_or_default()))
    }
}

#[async_trait]
impl<D: Dialect> ShareStore for SqlShares<D> {
    async fn insert(&self, share: &Share) -> StoreResult<Inserted> {
        let unstored = |error| failed::<D>("insert a share", error);
        let statement = "INSERT INTO shares (id, created_at, expires_at, max_views, views, status, ended_at, folder,
                objects, bytes, images, tally, upload_digest, link_digest, dashboard_digest, password_salt,
                link_wrap, dashboard_wrap, sealed_link, sealed_mark_key, keep_ledger, wrong_password, throttled,
                after_end, burned_at, objects_deleted, objects_pending, purged_at, due)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                $21, $22, $23, $24, $25, $26, $27, $28, $3)";
        let values = values![
            &share.id,
            share.created_at,
            share.expires_at,
            share.max_views,
            share.views,
            share.recorded_status.as_str(),
            share.ended_at,
            share.folder.as_str(),
            share.objects,
            share.bytes,
            json(&share.images).map_err(unstored)?,
            json(&share.tally).map_err(unstored)?,
            &share.upload_digest,
            &share.link_digest,
            &share.dashboard_digest,
            share.password_salt.as_ref().map(|salt| &salt[..]),
            &share.link_wrap,
            &share.dashboard_wrap,
            &share.sealed_link,
            &share.sealed_mark_key.0[..],
            i64::try_from(share.keep_ledger.as_millis()).unwrap_or(i64::MAX),
            share.blocked.wrong_password,
            share.blocked.throttled,
            share.blocked.after_end,
            share.receipt.burned_at,
            share.receipt.objects_deleted,
            share.receipt.objects_pending,
            share.receipt.purged_at,
        ];
        let done = doing::<D, _, _>("insert a share", || async {
            stored(D::execute(&mut *self.writers.acquire().await?, statement, values.clone()).await)
        });
        Ok(if done.await? { Inserted::Done } else { Inserted::IdTaken })
    }

    async fn door(&self, id: &ShareId) -> StoreResult<Door> {
        // One row with all its columns, whatever is found. For a range, if only of one id, SQLite takes the index that
        // holds them all; for an id it would take the key's, and read the row of a share besides.
        let query =
            "SELECT COALESCE(shares.status, $1) AS status, COALESCE(shares.expires_at, $2) AS expires_at,
                COALESCE(shares.link_digest, $3) AS link_digest,
                COALESCE(shares.dashboard_digest, $4) AS dashboard_digest
             FROM (SELECT 1 AS one) AS always LEFT JOIN shares ON shares.id BETWEEN $5 AND $5";
        let shut = Door::SHUT;
        let values = values![
            shut.recorded_status.as_str(),
            shut.expires_at,
            &shut.link_digest,
            &shut.dashboard_digest,
            id
        ];
        let door = self.read_one("find a share's door", query, values, |row| row.door());
        Ok(door.await?.unwrap_or(shut))
    }

    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>> {
        let query = "SELECT * FROM shares WHERE id = $1";
        self.read_one("find a share", query, values![id], |row| row.share()).await
    }

    async fn find_all(&self, ids: &[ShareId]) -> StoreResult<Vec<Share>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = format!("SELECT * FROM shares WHERE id IN ({})", places(1, ids.len()));
        let ids = ids.iter().map(Value::from).collect();
        self.read_all("find shares", &query, ids, |row| row.share()).await
    }

    async fn claim(&self, claim: &Claim) -> StoreResult<Claimed> {
        let (claimed, exhausted) = doing::<D, _, _>("count a view", || self.try_claim(claim)).await?;
        if exhausted {
            D::scrub(&self.writers).await;
        }
        Ok(claimed)
    }

    async fn preview(&self, id: &ShareId, session: &Session) -> StoreResult<bool> {
        doing::<D, _, _>("store a preview", || async {
            let mut tx = self.begin().await?;
            let Some(share) = locked::<D>(&mut tx, id).await? else { return Ok(false) };
            if !is_open(&share, session) {
                return Ok(false);
            }
            let earlier = "DELETE FROM sessions WHERE share = $1 AND id = $2";
            D::execute(&mut tx, earlier, values![id, SessionId::UPLOADER]).await?;
            add::<D>(&mut tx, id, session).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn session(&self, id: &ShareId, token: &Digest) -> StoreResult<Option<Session>> {
        let query = "SELECT * FROM sessions WHERE share = $1 AND token_digest = $2";
        self.read_one("find a session", query, values![id, token], |row| row.session()).await
    }

    async fn session_of_nonce(&self, id: &ShareId, nonce: &Digest) -> StoreResult<Option<Session>> {
        doing::<D, _, _>("find a session", || async {
            of_nonce::<D>(&mut *self.readers.acquire().await?, id, nonce).await
        })
        .await
    }

    async fn touch(
        &self,
        id: &ShareId,
        session: SessionId,
        ends_at: Timestamp,
        seen: u32,
    ) -> StoreResult<()> {
        let statement = "UPDATE sessions SET ends_at = $1, images_seen = images_seen | $2
             WHERE share = $3 AND id = $4 AND wrap IS NOT NULL";
        let values = values![ends_at, seen, id, session];
        self.change("note the use of a session", statement, values).await.map(drop)
    }

    async fn sessions(
        &self,
        id: &ShareId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> StoreResult<Vec<Session>> {
        let (at, last) = after.map_or((i64::MAX, i64::MAX), |(at, last)| (at.0, last.0.into()));
        let query = "SELECT * FROM sessions
             WHERE share = $1 AND id <> $2 AND opened_at <= $3 AND (opened_at < $3 OR id < $4)
             ORDER BY opened_at DESC, id DESC LIMIT $5";
        let values = values![id, SessionId::UPLOADER, at, last, limit];
        self.read_all("list sessions", query, values, |row| row.session()).await
    }

    async fn extend(
        &self,
        id: &ShareId,
        now: Timestamp,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<bool> {
        let statement = "UPDATE shares SET expires_at = $1, due = $1
             WHERE id = $2 AND status = 'active' AND expires_at = $3 AND $4 < $3";
        Ok(self.change("extend a share", statement, values![to, id, from, now]).await? == 1)
    }

    async fn keep_ledger(&self, id: &ShareId, keep_ms: i64, ledger_until: Timestamp) -> StoreResult<()> {
        let statement =
            "UPDATE shares SET keep_ledger = $1, due = CASE WHEN purged_at IS NULL THEN due ELSE $2 END
             WHERE id = $3";
        let values = values![keep_ms.unsigned_abs(), ledger_until, id];
        self.change("set how long a ledger is kept", statement, values).await.map(drop)
    }

    async fn end(&self, id: &ShareId, status: Status, at: Timestamp) -> StoreResult<bool> {
        self.destroying("end a share", || async {
            let mut tx = self.begin().await?;
            // The status comes last: MySQL's later assignments see what the earlier ones did.
            let ended =
                "UPDATE shares SET link_wrap = NULL, dashboard_wrap = NULL, sealed_link = NULL, due = $1,
                    ended_at = CASE status WHEN 'active' THEN $1 ELSE ended_at END,
                    burned_at = CASE $2 WHEN 'burned' THEN COALESCE(burned_at, $1) ELSE burned_at END,
                    status = CASE status WHEN 'active' THEN $2 ELSE status END
                 WHERE id = $3 AND (status <> 'active' OR $2 <> 'expired' OR expires_at <= $1)";
            if D::execute(&mut tx, ended, values![at, status.as_str(), id]).await? == 0 {
                return Ok(false);
            }
            let sessions = "UPDATE sessions SET wrap = NULL WHERE share = $1 AND wrap IS NOT NULL";
            D::execute(&mut tx, sessions, values![id]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn count_blocked(&self, id: &ShareId, blocked: &Blocked) -> StoreResult<()> {
        let statement = "UPDATE shares SET wrong_password = wrong_password + $1, throttled = throttled + $2,
                after_end = after_end + $3
             WHERE id = $4";
        let values = values![blocked.wrong_password, blocked.throttled, blocked.after_end, id];
        self.change("count blocked tries", statement, values).await.map(drop)
    }

    async fn attempt(&self, attempt: &Attempt) -> StoreResult<Attempted> {
        doing::<D, _, _>("count an attempt", || self.try_attempt(attempt)).await
    }

    async fn forgive(&self, attempt: i64) -> StoreResult<()> {
        let statement = "DELETE FROM attempts WHERE id = $1";
        self.change("take an attempt back", statement, values![attempt]).await.map(drop)
    }

    async fn lease_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> StoreResult<Vec<Share>> {
        doing::<D, _, _>("lease due shares", || async {
            let mut tx = self.begin().await?;
            let query = format!(
                "SELECT * FROM shares WHERE due <= $1 AND (leased_until IS NULL OR leased_until <= $1)
                 ORDER BY due, id LIMIT $2{}",
                D::FOR_UPDATE
            );
            let mut due = all::<D, _>(&mut tx, &query, values![now, limit], |row| {
                Ok((row.instant("due")?, row.share()?))
            })
            .await?;
            if due.is_empty() {
                return Ok(Vec::new());
            }
            let lease = format!("UPDATE shares SET leased_until = $1 WHERE id IN ({})", places(2, due.len()));
            let ids = due.iter().map(|(_, share)| Value::from(&share.id));
            D::execute(&mut tx, &lease, std::iter::once(until.into()).chain(ids).collect()).await?;
            tx.commit().await?;
            // Rows that had to be waited for may come late.
            due.sort_by_key(|(due, share)| (*due, share.id));
            Ok(due.into_iter().map(|(_, share)| share).collect())
        })
        .await
    }

    async fn postpone(&self, id: &ShareId, due: Timestamp) -> StoreResult<()> {
        let statement = "UPDATE shares SET due = $1, leased_until = NULL WHERE id = $2";
        self.change("postpone a share", statement, values![due, id]).await.map(drop)
    }

    async fn last_session_end(&self, id: &ShareId) -> StoreResult<Option<Timestamp>> {
        let query = "SELECT MAX(live_until) AS last FROM sessions WHERE share = $1";
        let last =
            self.read_one("find the last session's end", query, values![id], |row| row.maybe_instant("last"));
        Ok(last.await?.flatten())
    }

    async fn note_purge(&self, id: &ShareId, purge: &Purge, due: Timestamp) -> StoreResult<()> {
        // `purged_at` comes last: MySQL's later assignments see what the earlier ones did.
        let statement = "UPDATE shares SET due = $1, leased_until = NULL,
                objects_deleted = CASE WHEN purged_at IS NULL THEN $2 ELSE objects_deleted END,
                objects_pending = CASE WHEN purged_at IS NULL THEN $3 ELSE objects_pending END,
                purged_at = COALESCE(purged_at, $4)
             WHERE id = $5";
        let values = values![due, purge.objects_deleted, purge.objects_pending, purge.purged_at, id];
        self.change("note a purge", statement, values).await.map(drop)
    }

    async fn note_copy(
        &self,
        id: &ShareId,
        session: SessionId,
        folder: &Folder,
        bytes: u64,
    ) -> StoreResult<bool> {
        doing::<D, _, _>("note a copy", || async {
            let mut tx = self.begin().await?;
            // Copies of one share are noted one after the other, and before or after its end.
            locked::<D>(&mut tx, id).await?;
            let live = "SELECT id FROM sessions WHERE share = $1 AND id = $2 AND wrap IS NOT NULL";
            if D::fetch(&mut tx, live, values![id, session]).await?.is_empty() {
                return Ok(false);
            }
            let more = "UPDATE copies SET objects = objects + 1, bytes = bytes + $1 WHERE folder = $2";
            if D::execute(&mut tx, more, values![bytes, folder.as_str()]).await? == 0 {
                let first = "INSERT INTO copies (folder, share, objects, bytes) VALUES ($1, $2, 1, $3)";
                D::execute(&mut tx, first, values![folder.as_str(), id, bytes]).await?;
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn copies(&self, id: &ShareId) -> StoreResult<Vec<Copies>> {
        let query = "SELECT folder, objects FROM copies WHERE share = $1";
        let copies = |row: Record<'_, D>| {
            Ok(Copies { folder: row.parsed("folder")?, objects: row.number("objects")? })
        };
        self.read_all("list copies", query, values![id], copies).await
    }

    async fn forget_copies(&self, folders: &[Folder]) -> StoreResult<()> {
        if folders.is_empty() {
            return Ok(());
        }
        let statement = format!(
            "DELETE FROM copies WHERE folder IN ({})
                AND share IN (SELECT id FROM shares WHERE status = 'active')",
            places(1, folders.len())
        );
        let folders = folders.iter().map(|folder| Value::from(folder.as_str())).collect();
        self.change("forget copies", &statement, folders).await.map(drop)
    }

    async fn stored_bytes(&self) -> StoreResult<u64> {
        let query = format!(
            "SELECT CAST(COALESCE(SUM(bytes), 0) + COALESCE((SELECT SUM(copies.bytes) FROM copies
                JOIN shares ON shares.id = copies.share WHERE shares.purged_at IS NULL), 0) AS {}) AS sum
             FROM shares WHERE purged_at IS NULL",
            D::INT
        );
        let sum = self.read_one("sum up what is stored", &query, values![], |row| row.number("sum"));
        Ok(sum.await?.unwrap_or_default())
    }

    async fn report(&self, report: &Report, per_share: u32) -> StoreResult<()> {
        let Report { share, at, reason, sealed_key } = report;
        doing::<D, _, _>("store a report", || async {
            let mut tx = self.begin().await?;
            let added = "INSERT INTO reports (share, at, reason, sealed_key) VALUES ($1, $2, $3, $4)";
            D::execute(&mut tx, added, values![share, *at, reason.as_bytes(), sealed_key]).await?;
            let number = format!("SELECT {} AS number", D::LAST_NUMBER);
            let number = one::<D, _>(&mut tx, &number, values![], |row| row.number::<i64>("number")).await?;
            let query = "SELECT COUNT(*) AS count FROM reports WHERE share = $1";
            let count = one::<D, _>(&mut tx, query, values![share], |row| row.number::<u32>("count")).await?;
            // One too many is written and deleted again; where there is room, a number is deleted that none has.
            let surplus = number.filter(|_| count > Some(per_share)).unwrap_or(0);
            D::execute(&mut tx, "DELETE FROM reports WHERE id = $1", values![surplus]).await?;
            tx.commit().await
        })
        .await
    }

    async fn reports(&self, limit: usize) -> StoreResult<Vec<Report>> {
        let query = "SELECT reports.* FROM reports JOIN shares ON shares.id = reports.share
             ORDER BY reports.at DESC, reports.id DESC LIMIT $1";
        self.read_all("list reports", query, values![limit], |row| row.report()).await
    }

    async fn forget(&self, id: &ShareId) -> StoreResult<()> {
        self.destroying("forget a share", || async {
            let mut tx = self.begin().await?;
            D::execute(&mut tx, "DELETE FROM shares WHERE id = $1", values![id]).await?;
            D::execute(&mut tx, "DELETE FROM attempts WHERE share = $1", values![id]).await?;
            D::execute(&mut tx, "DELETE FROM reports WHERE share = $1", values![id]).await?;
            tx.commit().await
        })
        .await
    }

    async fn tidy(&self, now: Timestamp, old: Timestamp) -> StoreResult<()> {
        self.destroying("tidy up", || async {
            let mut tx = self.begin().await?;
            let expired = "UPDATE sessions SET wrap = NULL WHERE live_until <= $1";
            D::execute(&mut tx, expired, values![now]).await?;
            D::execute(&mut tx, "DELETE FROM attempts WHERE at < $1", values![old]).await?;
            let of_none = "DELETE FROM reports WHERE at < $1
                    AND NOT EXISTS (SELECT 1 FROM shares WHERE shares.id = reports.share)";
            D::execute(&mut tx, of_none, values![old]).await?;
            tx.commit().await
        })
        .await?;
        if let Some(reserve) = &self.reserve {
            reserve.keep().await;
        }
        Ok(())
    }

    async fn folders_in_use(&self, folders: &[Folder]) -> StoreResult<Vec<Folder>> {
        if folders.is_empty() {
            return Ok(Vec::new());
        }
        let places = places(1, folders.len());
        let query = format!("SELECT folder FROM shares WHERE folder IN ({places}) AND purged_at IS NULL");
        let folders = folders.iter().map(|folder| Value::from(folder.as_str())).collect();
        self.read_all("look for folders", &query, folders, |row| row.parsed("folder")).await
    }

    async fn ledger(&self, after: Option<ShareId>, limit: usize) -> StoreResult<Vec<Share>> {
        // The empty key comes before every other.
        let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
        let query = "SELECT * FROM shares WHERE id > $1 ORDER BY id LIMIT $2";
        self.read_all("list shares", query, values![after, limit], |row| row.share()).await
    }

    async fn fingerprint(&self, fingerprint: &Digest) -> StoreResult<Digest> {
        let noted = doing::<D, _, _>("note the secret's fingerprint", || async {
            let db = &mut *self.writers.acquire().await?;
            let note = "INSERT INTO installation (one, fingerprint) VALUES (1, $1)";
            stored(D::execute(db, note, values![fingerprint]).await)?;
            one::<D, _>(db, "SELECT fingerprint FROM installation", values![], |row| row.bytes("fingerprint"))
                .await
        });
        noted.await?.ok_or_else(|| failed::<D>("note the secret's fingerprint", sqlx::Error::RowNotFound))
    }
}
