//! Shares in one SQLite file, for any number of processes on one computer.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chatpic_core::share::{BlockedTry, ImageRecord, Session};
use chatpic_core::store::{Attempt, Attempted, Claim, Claimed, Inserted, Purge, StoreResult};
use chatpic_core::{
    Blocked, Country, Digest, Folder, Receipt, Report, Sealed, SessionId, Share, ShareId, ShareStore, Status,
    StoreError, Tally, Timestamp,
};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Decode, Row, SqlSafeStr, Sqlite, Transaction, Type, query, query_scalar};

/// Every migration in order; those that were released never change.
const MIGRATIONS: [(&str, &str); 1] = [("shares", include_str!("../migrations/sqlite/0001_shares.sql"))];

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: u32 = 4;

/// A share store in a SQLite file.
///
/// What was acknowledged is on disk: the write-ahead log is synced at every commit. What was destroyed is
/// overwritten, and the log that may still hold it is emptied.
#[derive(Clone, Debug)]
pub struct SqliteShares {
    /// One connection: writers of this process queue here, fairly, instead of racing for SQLite's lock.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteShares {
    /// Opens the database in this file, which is made if it is missing, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opening = async {
            // SQLite neither waits for another process that turns on the write-ahead log nor lets only one of
            // them migrate, so opening is done one at a time.
            let _alone = alone(path).await.map_err(sqlx::Error::Io)?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("secure_delete", "ON");
            let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
            migrate(&writer).await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(READERS)
                .connect_lazy_with(options.pragma("query_only", "ON"));
            Ok(Self { writer, readers })
        };
        doing("open the database", opening).await
    }

    /// A transaction that may write: it waits for other writers before it reads anything.
    async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Empties the write-ahead log, where destroyed wraps may still stand. When a reader is in the way they
    /// go with the next call, at the latest when sessions expire.
    async fn empty_log(&self) {
        drop(query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await);
    }
}

/// Waits until nobody else opens this database.
async fn alone(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-opening");
    let locking = tokio::task::spawn_blocking(move || {
        let file = File::options().write(true).create(true).truncate(false).open(name)?;
        file.lock()?;
        Ok(file)
    });
    locking.await.map_err(std::io::Error::other)?
}

async fn migrate(writer: &SqlitePool) -> sqlx::Result<()> {
    let numbered = (1..).zip(MIGRATIONS).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(numbered.collect());
    migrator.dangerous_set_table_name("_chatpic_migrations");
    migrator.run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => sqlx::Error::Configuration(
            format!("its schema {version} is newer than this ChatPic, which knows {}", MIGRATIONS.len())
                .into(),
        ),
        error => error.into(),
    })
}

async fn doing<T>(operation: &'static str, work: impl Future<Output = sqlx::Result<T>>) -> StoreResult<T> {
    work.await.map_err(|source| StoreError { store: "sqlite", operation, source: source.into() })
}

/// An unsigned number as SQLite keeps it.
fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn unreadable(column: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

/// A column that SQLite keeps as `S` and ChatPic knows as `T`.
fn get<'r, S, T>(row: &'r SqliteRow, column: &str) -> sqlx::Result<T>
where
    S: Decode<'r, Sqlite> + Type<Sqlite> + TryInto<T>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    row.try_get::<S, _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

fn bytes<const N: usize>(row: &SqliteRow, column: &str) -> sqlx::Result<[u8; N]> {
    get::<&[u8], _>(row, column)
}

fn sealed(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Sealed>> {
    Ok(row.try_get::<Option<Vec<u8>>, _>(column)?.map(Sealed))
}

fn instant(row: &SqliteRow, column: &str) -> sqlx::Result<Timestamp> {
    row.try_get(column).map(Timestamp)
}

fn past(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

fn parsed<T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    row: &SqliteRow,
    column: &str,
) -> sqlx::Result<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(|error: T::Err| unreadable(column, error))
}

fn country(row: &SqliteRow) -> sqlx::Result<Option<Country>> {
    let code = row.try_get::<Option<&str>, _>("country")?;
    code.map(|code| code.parse().map_err(|error| unreadable("country", error))).transpose()
}

fn json<'r, T: serde::Deserialize<'r>>(row: &'r SqliteRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| unreadable(column, error))
}

fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn share(row: &SqliteRow) -> sqlx::Result<Share> {
    let images: Vec<ImageRecord> = json(row, "images")?;
    let salt = row.try_get::<Option<&[u8]>, _>("password_salt")?;
    Ok(Share {
        id: ShareId::from_bytes(bytes(row, "id")?),
        created_at: instant(row, "created_at")?,
        expires_at: instant(row, "expires_at")?,
        max_views: row.try_get("max_views")?,
        views: row.try_get("views")?,
        recorded_status: parsed(row, "status")?,
        ended_at: past(row, "ended_at")?,
        folder: parsed(row, "folder")?,
        objects: get::<i64, _>(row, "objects")?,
        bytes: get::<i64, _>(row, "bytes")?,
        images,
        tally: json(row, "tally")?,
        upload_digest: bytes(row, "upload_digest")?,
        link_digest: bytes(row, "link_digest")?,
        dashboard_digest: bytes(row, "dashboard_digest")?,
        password_salt: salt
            .map(|salt| salt.try_into().map_err(|e| unreadable("password_salt", e)))
            .transpose()?,
        link_wrap: sealed(row, "link_wrap")?,
        dashboard_wrap: sealed(row, "dashboard_wrap")?,
        sealed_link: sealed(row, "sealed_link")?,
        sealed_mark_key: Sealed(row.try_get("sealed_mark_key")?),
        keep_ledger: Duration::from_millis(get::<i64, _>(row, "keep_ledger")?),
        blocked: Blocked {
            wrong_password: get::<i64, _>(row, "wrong_password")?,
            throttled: get::<i64, _>(row, "throttled")?,
            after_end: get::<i64, _>(row, "after_end")?,
        },
        receipt: Receipt {
            burned_at: past(row, "burned_at")?,
            objects_deleted: get::<i64, _>(row, "objects_deleted")?,
            objects_pending: get::<i64, _>(row, "objects_pending")?,
            purged_at: past(row, "purged_at")?,
        },
    })
}

fn session(row: &SqliteRow) -> sqlx::Result<Session> {
    Ok(Session {
        id: SessionId(row.try_get("id")?),
        token_digest: bytes(row, "token_digest")?,
        nonce_digest: bytes(row, "nonce_digest")?,
        wrap: sealed(row, "wrap")?,
        views_before: row.try_get("views_before")?,
        opened_at: instant(row, "opened_at")?,
        ends_at: instant(row, "ends_at")?,
        country: country(row)?,
        device: parsed(row, "device")?,
        images_seen: row.try_get("images_seen")?,
    })
}

fn one<T>(row: Option<SqliteRow>, read: fn(&SqliteRow) -> sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    row.as_ref().map(read).transpose()
}

fn all<T>(rows: &[SqliteRow], read: fn(&SqliteRow) -> sqlx::Result<T>) -> sqlx::Result<Vec<T>> {
    rows.iter().map(read).collect()
}

fn key(id: &ShareId) -> &[u8] {
    id.as_bytes()
}

fn blob(sealed: &Option<Sealed>) -> Option<&[u8]> {
    sealed.as_ref().map(|sealed| sealed.0.as_slice())
}

async fn of_nonce(db: &mut SqliteConnection, id: &ShareId, nonce: &Digest) -> sqlx::Result<Option<Session>> {
    let found = query("SELECT * FROM sessions WHERE share = ? AND nonce_digest = ?");
    one(found.bind(key(id)).bind(&nonce[..]).fetch_optional(db).await?, session)
}

/// Stores a session of a share, if there is such a share.
async fn add(db: &mut SqliteConnection, id: &ShareId, session: &Session) -> sqlx::Result<()> {
    let added = query(
        "INSERT INTO sessions (id, token_digest, nonce_digest, wrap, views_before, opened_at, ends_at, country,
            device, images_seen, share)
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, id FROM shares WHERE id = ?",
    )
    .bind(session.id.0)
    .bind(&session.token_digest[..])
    .bind(&session.nonce_digest[..])
    .bind(blob(&session.wrap))
    .bind(session.views_before)
    .bind(session.opened_at.0)
    .bind(session.ends_at.0)
    .bind(session.country.as_ref().map(Country::as_str))
    .bind(session.device.as_str())
    .bind(session.images_seen)
    .bind(key(id));
    added.execute(db).await.map(drop)
}

#[async_trait]
impl ShareStore for SqliteShares {
    async fn insert(&self, share: &Share) -> StoreResult<Inserted> {
        let inserting = async {
            let inserted = query(
                "INSERT INTO shares (id, created_at, expires_at, max_views, views, status, ended_at, folder,
                    objects, bytes, images, tally, upload_digest, link_digest, dashboard_digest, password_salt, link_wrap,
                    dashboard_wrap, sealed_link, sealed_mark_key, keep_ledger, wrong_password, throttled,
                    after_end, burned_at, objects_deleted, objects_pending, purged_at, due)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(key(&share.id))
            .bind(share.created_at.0)
            .bind(share.expires_at.0)
            .bind(share.max_views)
            .bind(share.views)
            .bind(share.recorded_status.as_str())
            .bind(share.ended_at.map(|at| at.0))
            .bind(share.folder.as_str())
            .bind(int(share.objects))
            .bind(int(share.bytes))
            .bind(to_json(&share.images)?)
            .bind(to_json(&share.tally)?)
            .bind(&share.upload_digest[..])
            .bind(&share.link_digest[..])
            .bind(&share.dashboard_digest[..])
            .bind(share.password_salt.as_ref().map(|salt| &salt[..]))
            .bind(blob(&share.link_wrap))
            .bind(blob(&share.dashboard_wrap))
            .bind(blob(&share.sealed_link))
            .bind(&share.sealed_mark_key.0[..])
            .bind(int(share.keep_ledger.as_millis()))
            .bind(int(share.blocked.wrong_password))
            .bind(int(share.blocked.throttled))
            .bind(int(share.blocked.after_end))
            .bind(share.receipt.burned_at.map(|at| at.0))
            .bind(int(share.receipt.objects_deleted))
            .bind(int(share.receipt.objects_pending))
            .bind(share.receipt.purged_at.map(|at| at.0))
            .bind(share.expires_at.0);
            let done = inserted.execute(&self.writer).await?.rows_affected() == 1;
            Ok(if done { Inserted::Done } else { Inserted::IdTaken })
        };
        doing("insert a share", inserting).await
    }

    async fn find(&self, id: &ShareId) -> StoreResult<Option<Share>> {
        doing("find a share", async {
            let found = query("SELECT * FROM shares WHERE id = ?").bind(key(id));
            one(found.fetch_optional(&self.readers).await?, share)
        })
        .await
    }

    async fn find_all(&self, ids: &[ShareId]) -> StoreResult<Vec<Share>> {
        doing("find shares", async {
            let mut found = Vec::new();
            let mut readers = self.readers.begin().await?;
            for id in ids {
                let row = query("SELECT * FROM shares WHERE id = ?").bind(key(id));
                found.extend(one(row.fetch_optional(&mut *readers).await?, share)?);
            }
            Ok(found)
        })
        .await
    }

    async fn claim(&self, claim: &Claim) -> StoreResult<Claimed> {
        let Claim { share: id, session: new, ceiling } = claim;
        let claiming = async {
            let mut tx = self.begin().await?;
            if let Some(session) = of_nonce(&mut tx, id, &new.nonce_digest).await? {
                return Ok((Claimed::Repeated(session), false));
            }
            let open = query(
                "SELECT views, created_at, tally FROM shares
                 WHERE id = ? AND status = 'active' AND expires_at > ? AND views < ?",
            );
            let open =
                open.bind(key(id)).bind(new.opened_at.0).bind(ceiling).fetch_optional(&mut *tx).await?;
            let Some(open) = open else { return Ok((Claimed::Refused, false)) };
            let views_before = open.try_get("views")?;
            let mut tally: Tally = json(&open, "tally")?;
            tally.count(instant(&open, "created_at")?, new.opened_at, new.country);
            let taken = query("SELECT 1 FROM sessions WHERE share = ? AND id = ?");
            if taken.bind(key(id)).bind(new.id.0).fetch_optional(&mut *tx).await?.is_some() {
                return Ok((Claimed::IdTaken, false));
            }
            let session = Session { views_before, ..new.clone() };
            add(&mut tx, id, &session).await?;
            let counted = query("UPDATE shares SET views = views + 1, tally = ? WHERE id = ?");
            counted.bind(to_json(&tally)?).bind(key(id)).execute(&mut *tx).await?;
            let exhausted = query(
                "UPDATE shares SET status = 'exhausted', ended_at = ?1, due = ?1,
                    link_wrap = NULL, dashboard_wrap = NULL, sealed_link = NULL
                 WHERE id = ?2 AND views >= ?3",
            );
            let exhausted =
                exhausted.bind(new.opened_at.0).bind(key(id)).bind(ceiling).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok((Claimed::Opened(session), exhausted.rows_affected() == 1))
        };
        let (claimed, exhausted) = doing("count a view", claiming).await?;
        if exhausted {
            self.empty_log().await;
        }
        Ok(claimed)
    }

    async fn preview(&self, id: &ShareId, session: &Session) -> StoreResult<bool> {
        doing("store a preview", async {
            let mut tx = self.begin().await?;
            let active = query("SELECT 1 FROM shares WHERE id = ? AND status = 'active' AND expires_at > ?");
            let active = active.bind(key(id)).bind(session.opened_at.0).fetch_optional(&mut *tx).await?;
            if active.is_none() {
                return Ok(false);
            }
            let earlier = query("DELETE FROM sessions WHERE share = ? AND id = ?");
            earlier.bind(key(id)).bind(SessionId::UPLOADER.0).execute(&mut *tx).await?;
            add(&mut tx, id, session).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn session(&self, id: &ShareId, token: &Digest) -> StoreResult<Option<Session>> {
        doing("find a session", async {
            let found = query("SELECT * FROM sessions WHERE share = ? AND token_digest = ?");
            one(found.bind(key(id)).bind(&token[..]).fetch_optional(&self.readers).await?, session)
        })
        .await
    }

    async fn session_of_nonce(&self, id: &ShareId, nonce: &Digest) -> StoreResult<Option<Session>> {
        doing("find a session", async { of_nonce(&mut *self.readers.acquire().await?, id, nonce).await })
            .await
    }

    async fn touch(
        &self,
        id: &ShareId,
        session: SessionId,
        ends_at: Timestamp,
        seen: u32,
    ) -> StoreResult<()> {
        doing("note the use of a session", async {
            let touched = query(
                "UPDATE sessions SET ends_at = ?, images_seen = images_seen | ?
                 WHERE share = ? AND id = ? AND wrap IS NOT NULL",
            );
            let touched = touched.bind(ends_at.0).bind(seen).bind(key(id)).bind(session.0);
            touched.execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn sessions(
        &self,
        id: &ShareId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> StoreResult<Vec<Session>> {
        let (at, last) = after.map_or((i64::MAX, i64::MAX), |(at, last)| (at.0, last.0.into()));
        doing("list sessions", async {
            let page = query(
                "SELECT * FROM sessions WHERE share = ? AND id <> ? AND (opened_at, id) < (?, ?)
                 ORDER BY opened_at DESC, id DESC LIMIT ?",
            );
            let page = page.bind(key(id)).bind(SessionId::UPLOADER.0).bind(at).bind(last).bind(int(limit));
            all(&page.fetch_all(&self.readers).await?, session)
        })
        .await
    }

    async fn extend(
        &self,
        id: &ShareId,
        now: Timestamp,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<bool> {
        doing("extend a share", async {
            let extended = query(
                "UPDATE shares SET expires_at = ?1, due = ?1
                 WHERE id = ?2 AND status = 'active' AND expires_at = ?3 AND ?4 < ?3",
            );
            let extended = extended.bind(to.0).bind(key(id)).bind(from.0).bind(now.0);
            Ok(extended.execute(&self.writer).await?.rows_affected() == 1)
        })
        .await
    }

    async fn keep_ledger(&self, id: &ShareId, keep_ms: i64, ledger_until: Timestamp) -> StoreResult<()> {
        doing("set how long a ledger is kept", async {
            let kept = query(
                "UPDATE shares SET keep_ledger = ?, due = CASE WHEN purged_at IS NULL THEN due ELSE ? END
                 WHERE id = ?",
            );
            let kept = kept.bind(int(keep_ms.unsigned_abs())).bind(ledger_until.0).bind(key(id));
            kept.execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn end(&self, id: &ShareId, status: Status, at: Timestamp) -> StoreResult<()> {
        doing("end a share", async {
            let mut tx = self.begin().await?;
            let ended = query(
                "UPDATE shares SET link_wrap = NULL, dashboard_wrap = NULL, sealed_link = NULL, due = ?1,
                    status = CASE status WHEN 'active' THEN ?2 ELSE status END,
                    ended_at = CASE status WHEN 'active' THEN ?1 ELSE ended_at END,
                    burned_at = CASE ?2 WHEN 'burned' THEN COALESCE(burned_at, ?1) ELSE burned_at END
                 WHERE id = ?3",
            );
            ended.bind(at.0).bind(status.as_str()).bind(key(id)).execute(&mut *tx).await?;
            let sessions = query("UPDATE sessions SET wrap = NULL WHERE share = ? AND wrap IS NOT NULL");
            sessions.bind(key(id)).execute(&mut *tx).await?;
            tx.commit().await
        })
        .await?;
        self.empty_log().await;
        Ok(())
    }

    async fn count_blocked(&self, id: &ShareId, blocked: BlockedTry) -> StoreResult<()> {
        let counted = match blocked {
            BlockedTry::WrongPassword => "UPDATE shares SET wrong_password = wrong_password + 1 WHERE id = ?",
            BlockedTry::Throttled => "UPDATE shares SET throttled = throttled + 1 WHERE id = ?",
            BlockedTry::AfterEnd => "UPDATE shares SET after_end = after_end + 1 WHERE id = ?",
        };
        doing("count a blocked try", async {
            query(counted).bind(key(id)).execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn attempt(&self, attempt: &Attempt) -> StoreResult<Attempted> {
        let Attempt { share, kind, who, since, at, per_who, per_share } = attempt;
        let attempting = async {
            let mut tx = self.begin().await?;
            let older = query("DELETE FROM attempts WHERE share = ? AND kind = ? AND at < ?");
            older.bind(key(share)).bind(kind).bind(since.0).execute(&mut *tx).await?;
            let counted = query(
                "SELECT COUNT(*) AS everybody, MIN(at) AS oldest, COUNT(*) FILTER (WHERE who = ?1) AS own,
                    MIN(at) FILTER (WHERE who = ?1) AS own_oldest
                 FROM attempts WHERE share = ?2 AND kind = ?3",
            );
            let counted = counted.bind(&who[..]).bind(key(share)).bind(kind).fetch_one(&mut *tx).await?;
            for (count, cap, oldest) in [("own", per_who, "own_oldest"), ("everybody", per_share, "oldest")] {
                if counted.try_get::<i64, _>(count)? >= i64::from(*cap) {
                    return Ok(Attempted::Refused(past(&counted, oldest)?.unwrap_or(*at)));
                }
            }
            let added = query("INSERT INTO attempts (share, kind, who, at) VALUES (?, ?, ?, ?)");
            let added = added.bind(key(share)).bind(kind).bind(&who[..]).bind(at.0).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Attempted::Counted(added.last_insert_rowid()))
        };
        doing("count an attempt", attempting).await
    }

    async fn forgive(&self, attempt: i64) -> StoreResult<()> {
        doing("take an attempt back", async {
            query("DELETE FROM attempts WHERE id = ?").bind(attempt).execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn lease_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> StoreResult<Vec<Share>> {
        doing("lease due shares", async {
            let mut tx = self.begin().await?;
            let leased = query(
                "UPDATE shares SET leased_until = ?1 WHERE id IN (
                    SELECT id FROM shares WHERE due <= ?2 AND (leased_until IS NULL OR leased_until <= ?2)
                    ORDER BY due, id LIMIT ?3)
                 RETURNING *",
            );
            let leased = leased.bind(until.0).bind(now.0).bind(int(limit)).fetch_all(&mut *tx).await?;
            tx.commit().await?;
            // RETURNING promises no order.
            let mut leased = all(&leased, |row| Ok((instant(row, "due")?, share(row)?)))?;
            leased.sort_by_key(|(due, share)| (*due, share.id));
            Ok(leased.into_iter().map(|(_, share)| share).collect())
        })
        .await
    }

    async fn postpone(&self, id: &ShareId, due: Timestamp) -> StoreResult<()> {
        doing("postpone a share", async {
            let postponed = query("UPDATE shares SET due = ?, leased_until = NULL WHERE id = ?");
            postponed.bind(due.0).bind(key(id)).execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn last_session_end(&self, id: &ShareId) -> StoreResult<Option<Timestamp>> {
        doing("find the last session's end", async {
            let last =
                query("SELECT MAX(ends_at) AS last FROM sessions WHERE share = ? AND wrap IS NOT NULL");
            past(&last.bind(key(id)).fetch_one(&self.readers).await?, "last")
        })
        .await
    }

    async fn note_purge(&self, id: &ShareId, purge: &Purge, due: Timestamp) -> StoreResult<()> {
        doing("note a purge", async {
            // Every expression sees the row as it was.
            let noted = query(
                "UPDATE shares SET due = ?1, leased_until = NULL,
                    objects_deleted = CASE WHEN purged_at IS NULL THEN ?2 ELSE objects_deleted END,
                    objects_pending = CASE WHEN purged_at IS NULL THEN ?3 ELSE objects_pending END,
                    purged_at = COALESCE(purged_at, ?4)
                 WHERE id = ?5",
            )
            .bind(due.0)
            .bind(int(purge.objects_deleted))
            .bind(int(purge.objects_pending))
            .bind(purge.purged_at.map(|at| at.0))
            .bind(key(id));
            noted.execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn stored_bytes(&self) -> StoreResult<u64> {
        doing("sum up what is stored", async {
            let sum = query("SELECT COALESCE(SUM(bytes), 0) AS sum FROM shares WHERE purged_at IS NULL");
            get::<i64, _>(&sum.fetch_one(&self.readers).await?, "sum")
        })
        .await
    }

    async fn report(&self, report: &Report, per_share: u32) -> StoreResult<()> {
        doing("store a report", async {
            let stored = query(
                "INSERT INTO reports (share, at, reason, sealed_key) SELECT id, ?2, ?3, ?4 FROM shares
                 WHERE id = ?1 AND (SELECT COUNT(*) FROM reports WHERE share = ?1) < ?5",
            );
            let stored = stored.bind(key(&report.share)).bind(report.at.0).bind(&report.reason);
            let stored = stored.bind(blob(&report.sealed_key)).bind(per_share);
            stored.execute(&self.writer).await.map(drop)
        })
        .await
    }

    async fn reports(&self, limit: usize) -> StoreResult<Vec<Report>> {
        doing("list reports", async {
            let newest = query("SELECT * FROM reports ORDER BY at DESC, id DESC LIMIT ?").bind(int(limit));
            all(&newest.fetch_all(&self.readers).await?, |row| {
                Ok(Report {
                    share: ShareId::from_bytes(bytes(row, "share")?),
                    at: instant(row, "at")?,
                    reason: row.try_get("reason")?,
                    sealed_key: sealed(row, "sealed_key")?,
                })
            })
        })
        .await
    }

    async fn forget(&self, id: &ShareId) -> StoreResult<()> {
        doing("forget a share", async {
            let mut tx = self.begin().await?;
            query("DELETE FROM shares WHERE id = ?").bind(key(id)).execute(&mut *tx).await?;
            query("DELETE FROM attempts WHERE share = ?").bind(key(id)).execute(&mut *tx).await?;
            tx.commit().await
        })
        .await?;
        self.empty_log().await;
        Ok(())
    }

    async fn expire_sessions(&self, now: Timestamp, attempts_before: Timestamp) -> StoreResult<()> {
        doing("expire sessions", async {
            let mut tx = self.begin().await?;
            let expired = query("UPDATE sessions SET wrap = NULL WHERE wrap IS NOT NULL AND ends_at <= ?");
            expired.bind(now.0).execute(&mut *tx).await?;
            let older = query("DELETE FROM attempts WHERE at < ?");
            older.bind(attempts_before.0).execute(&mut *tx).await?;
            tx.commit().await
        })
        .await?;
        self.empty_log().await;
        Ok(())
    }

    async fn folder_in_use(&self, folder: &Folder) -> StoreResult<bool> {
        doing("look for a folder", async {
            let used =
                query_scalar("SELECT EXISTS (SELECT 1 FROM shares WHERE folder = ? AND purged_at IS NULL)");
            used.bind(folder.as_str()).fetch_one(&self.readers).await
        })
        .await
    }

    async fn ledger(&self, after: Option<ShareId>, limit: usize) -> StoreResult<Vec<Share>> {
        doing("list shares", async {
            let page = query("SELECT * FROM shares WHERE id > ? ORDER BY id LIMIT ?");
            // The empty key comes before every other.
            let after = after.as_ref().map_or(&[][..], key);
            all(&page.bind(after).bind(int(limit)).fetch_all(&self.readers).await?, share)
        })
        .await
    }

    async fn fingerprint(&self, fingerprint: &Digest) -> StoreResult<Digest> {
        doing("note the secret's fingerprint", async {
            let noted = query("INSERT INTO installation VALUES (1, ?) ON CONFLICT DO NOTHING");
            noted.bind(&fingerprint[..]).execute(&self.writer).await?;
            bytes(
                &query("SELECT fingerprint FROM installation").fetch_one(&self.writer).await?,
                "fingerprint",
            )
        })
        .await
    }
}
