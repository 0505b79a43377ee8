//! Shares in one SQLite file, for any number of processes on one computer.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chatpic_core::StoreError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, query};

use crate::Inspected;
use crate::reserve::Reserve;
use crate::sql::dialect::{Dialect, Script, speak_through_sqlx};
use crate::sql::inspect::inspect;
use crate::sql::{OPENING, SqlShares, failed, migrate};

/// How long another process's write is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// A share store in a SQLite file.
///
/// What was acknowledged is on disk: the write-ahead log is synced at every commit. What was destroyed is
/// overwritten, and the log that may still hold it is emptied.
///
/// Beside the database lies a file of 4 MiB, `-reserve`, that holds nothing: on a full disk it is given up, so that keys
/// can still be destroyed, and made again once there is room.
pub type SqliteShares = SqlShares<Sqlite>;

impl Dialect for Sqlite {
    const STORE: &'static str = "sqlite";
    const MIGRATIONS: &'static [Script] = &[
        ("shares", include_str!("../migrations/sqlite/0001_shares.sql")),
        ("copies", include_str!("../migrations/sqlite/0002_copies.sql")),
    ];
    // It waits for other writers before it reads anything, so that what it read stays so.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const FOR_UPDATE: &'static str = "";
    const INT: &'static str = "INTEGER";
    const LAST_NUMBER: &'static str = "last_insert_rowid()";

    speak_through_sqlx!();

    /// `SQLITE_FULL`, or `SQLITE_IOERR_SHMSIZE`: its shared memory is a file on that disk too.
    fn is_full(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("13" | "4874"))
    }

    /// Empties the write-ahead log, where destroyed wraps may still stand. When a reader is in the way they
    /// go with the next call, at the latest when sessions expire.
    async fn scrub(writer: &SqlitePool) {
        drop(query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await);
    }
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
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("secure_delete", "ON");
            // One connection: writers of this process queue here, fairly, instead of racing for SQLite's lock.
            // SQLite itself takes back what meets a full disk, and sqlx goes on believing in that transaction: such a
            // connection could never begin another one.
            let writers = SqlitePoolOptions::new().max_connections(1).before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            });
            let writers = writers.connect_with(options.clone()).await?;
            migrate(&writers).await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(READERS)
                .connect_lazy_with(options.pragma("query_only", "ON"));
            let mut reserve = path.as_os_str().to_owned();
            reserve.push("-reserve");
            let reserve = Reserve::new(reserve.into());
            reserve.keep().await;
            Ok::<_, sqlx::Error>(Self { writers, readers, reserve: Some(reserve) })
        };
        opening.await.map_err(|error| failed::<Sqlite>(OPENING, error))
    }

    /// A file that is not there has no tables yet.
    pub(crate) async fn inspect(path: &Path) -> Result<Inspected, StoreError> {
        if !path.exists() {
            let known = Sqlite::MIGRATIONS.len() as i64;
            return Ok(Inspected { schema: None, known, fingerprint: None, clock: None });
        }
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).read_only(true);
        // Where there is no log nobody has it open, and it is read without making one.
        let options = options.immutable(!Path::new(&log).exists());
        inspect::<Sqlite>(&options, &path.display().to_string()).await
    }
}

/// Waits until nobody else opens this database, and makes its file if it is missing.
async fn alone(path: &Path) -> io::Result<File> {
    let database = path.to_owned();
    let mut lock = path.as_os_str().to_owned();
    lock.push("-opening");
    let locking = tokio::task::spawn_blocking(move || {
        let lock = own_file().create(true).truncate(false).open(lock)?;
        lock.lock()?;
        // SQLite gives the log the mode of its database. One that is there is not opened: to close it again would give
        // up the locks that other connections of this process hold.
        match own_file().create_new(true).open(database) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(lock),
        }
    });
    locking.await.map_err(io::Error::other)?
}

/// A file that is its owner's alone if it has to be made.
fn own_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}
