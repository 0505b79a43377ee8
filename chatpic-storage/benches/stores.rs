//! What the stores cost, as ratios to a named reference by the same driver in the same run:
//! `scripts/servers cargo bench -p chatpic-storage --all-features`. Without `scripts/servers` it is SQLite alone.
//!
//! An opening is compared with the bare conditional `UPDATE` that no store can do without, and a sweep of 1000 due
//! shares among `CHATPIC_BENCH_SHARES` (10⁶ when it is not set) with the same sweep where there are no others.
#![expect(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatpic_core::store::memory::MemoryBlobs;
use chatpic_core::store::{Claim, Claimed};
use chatpic_core::testing::ManualClock;
use chatpic_core::testing::conformance::{START, sample_session, sample_share};
use chatpic_core::{ChatPic, InstallationSecret, Share, ShareStore};
use chatpic_storage::share_store;
use futures::stream::{self, StreamExt, TryStreamExt};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;

const OPENS: u32 = 2000;
const DUE: usize = 1000;
const BARE: &str = "UPDATE shares SET views = views + 1
    WHERE id = $1 AND status = 'active' AND expires_at > $2 AND views < $3";
/// The columns that all copies of a share have in common.
const COMMON: &str = "created_at, expires_at, views, status, objects, bytes, images, tally, upload_digest, link_digest,
    dashboard_digest, link_wrap, dashboard_wrap, sealed_link, sealed_mark_key, keep_ledger, wrong_password, throttled,
    after_end, objects_deleted, objects_pending";

/// A database, beside the store that is made of it.
enum Bare {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Bare {
    async fn run(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(pool) => drop(sqlx::query(statement).execute(pool).await.unwrap()),
            Self::Postgres(pool) => drop(sqlx::query(statement).execute(pool).await.unwrap()),
        }
    }

    async fn open(&self, share: &Share) -> bool {
        let (id, limit) = (&share.id.as_bytes()[..], i64::from(u32::MAX));
        let changed = match self {
            Self::Sqlite(pool) => {
                let opened = sqlx::query(BARE).bind(id).bind(START.0).bind(limit).execute(pool);
                opened.await.unwrap().rows_affected()
            }
            Self::Postgres(pool) => {
                let opened = sqlx::query(BARE).bind(id).bind(START.0).bind(limit).execute(pool);
                opened.await.unwrap().rows_affected()
            }
        };
        changed == 1
    }

    /// Adds copies of the one share that is there; they are due long after it.
    async fn add_copies(&self, copies: usize) {
        let (id, folder, numbers) = match self {
            Self::Sqlite(_) => (
                "CAST(printf('%012d', n.i) AS BLOB)",
                "printf('%012x-%032x', n.i, n.i)",
                format!(
                    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies}) SELECT i FROM n)"
                ),
            ),
            Self::Postgres(_) => (
                "CAST(lpad(CAST(n.i AS TEXT), 12, '0') AS BYTEA)",
                "lpad(to_hex(n.i), 12, '0') || '-' || lpad(to_hex(n.i), 32, '0')",
                format!("(SELECT generate_series(1, {copies}) AS i)"),
            ),
        };
        self.run(&format!(
            "INSERT INTO shares (id, folder, due, {COMMON})
             SELECT {id}, {folder}, due + 1000000000000 + n.i, {COMMON} FROM shares, {numbers} AS n"
        ))
        .await;
        // As a database does by itself in time.
        self.run("ANALYZE").await;
    }

    async fn plan(&self, statement: &str) -> String {
        match self {
            Self::Sqlite(pool) => {
                let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let lines: Vec<(i64, i64, i64, String)> = sqlx::query_as(plan).fetch_all(pool).await.unwrap();
                lines.into_iter().map(|line| line.3).collect::<Vec<_>>().join("; ")
            }
            Self::Postgres(pool) => {
                let plan = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {statement}"));
                let lines: Vec<String> = sqlx::query_scalar(plan).fetch_all(pool).await.unwrap();
                lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

struct Database {
    name: &'static str,
    shares: Arc<dyn ShareStore>,
    bare: Bare,
    /// Goes with it.
    _folder: TempDir,
}

async fn sqlite() -> Database {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chatpic.sqlite");
    let shares = share_store(&format!("sqlite://{}", path.display())).await.unwrap();
    // As the store itself connects.
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(60));
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    Database { name: "SQLite", shares, bare: Bare::Sqlite(pool), _folder: folder }
}

async fn postgres(server: &str, name: &str) -> Database {
    let admin = PgPool::connect(server).await.unwrap();
    let name = format!("bench_{name}_{}", std::process::id());
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let shares = share_store(&url).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(10).connect(&url).await.unwrap();
    Database { name: "PostgreSQL", shares, bare: Bare::Postgres(pool), _folder: TempDir::new().unwrap() }
}

/// How many of `OPENS` are done in a second when so many wait at a time.
async fn rate<F: Future<Output = bool>>(at_a_time: usize, open: impl Fn(u32) -> F) -> f64 {
    let start = Instant::now();
    let opened = stream::iter(1..=OPENS).map(open).buffer_unordered(at_a_time);
    assert!(opened.all(std::future::ready).await);
    f64::from(OPENS) / start.elapsed().as_secs_f64()
}

async fn openings(database: &Database) {
    for (shares, at_a_time) in [(1, 1), (1, 32), (100, 32)] {
        // Two sets, so that neither way of opening meets the other's sessions.
        let first = u64::try_from(at_a_time * 1000 + shares).unwrap();
        let all: Vec<_> = (first..).take(shares).map(sample_share).collect();
        for share in &all {
            database.shares.insert(share).await.unwrap();
        }
        let share = |n: u32| &all[n as usize % all.len()];
        let bare = rate(at_a_time, |n| database.bare.open(share(n))).await;
        let claimed = rate(at_a_time, |n| async move {
            let claim = Claim { share: share(n).id, session: sample_session(n), ceiling: u32::MAX };
            matches!(database.shares.claim(&claim).await.unwrap(), Claimed::Opened(_))
        });
        let claimed = claimed.await;
        let what = format!("{shares} shares, {at_a_time} at a time");
        line(
            database.name,
            &what,
            format_args!("{claimed:6.0} opens/s = 1 / {:.1} of bare ({bare:.0}/s)", bare / claimed),
        );
    }
}

/// Seconds that a sweep takes of `DUE` due shares.
async fn sweep(database: &Database) -> f64 {
    let clock = Arc::new(ManualClock::new(START));
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([1; 32]))
        .stores(database.shares.clone(), Arc::new(MemoryBlobs::default()))
        .clock(clock.clone())
        .sweep_every(None)
        .build()
        .await
        .unwrap();
    let due: Vec<_> = (1_000_000..).take(DUE).map(sample_share).collect();
    stream::iter(&due)
        .map(|share| database.shares.insert(share))
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    clock.advance(Duration::from_secs(60 * 60));
    let start = Instant::now();
    let swept = chatpic.sweep_due().await.unwrap();
    let took = start.elapsed().as_secs_f64();
    assert_eq!((swept.ended, swept.purged, swept.failed), (DUE, DUE, 0));
    took
}

async fn sweeping(few: &Database, many: &Database, copies: usize) {
    let alone = sweep(few).await;
    // The copies are of one share.
    let pattern = sample_share(7);
    many.shares.insert(&pattern).await.unwrap();
    many.bare.add_copies(copies).await;
    many.bare.run("DELETE FROM shares WHERE due < 1800000000000").await;
    let among = sweep(many).await;
    let what = format!("sweep of {DUE} among {copies}");
    line(many.name, &what, format_args!("{among:6.2} s = {:.2} x alone ({alone:.2} s)", among / alone));
    for statement in [
        "SELECT * FROM shares WHERE due <= 5 AND (leased_until IS NULL OR leased_until <= 5) ORDER BY due, id LIMIT 100",
        "UPDATE sessions SET wrap = NULL WHERE live_until <= 5",
        "DELETE FROM attempts WHERE at < 5",
    ] {
        line(many.name, &statement[..28], many.bare.plan(statement).await);
    }
}

fn line(name: &str, what: &str, figures: impl Display) {
    println!("{name:10} {what:32} {figures}");
}

#[tokio::main]
async fn main() {
    let copies = std::env::var("CHATPIC_BENCH_SHARES").map_or(1_000_000, |copies| copies.parse().unwrap());
    let database = sqlite().await;
    openings(&database).await;
    sweeping(&sqlite().await, &sqlite().await, copies).await;
    if let Ok(server) = std::env::var("CHATPIC_TEST_POSTGRES") {
        openings(&postgres(&server, "opens").await).await;
        sweeping(&postgres(&server, "few").await, &postgres(&server, "many").await, copies).await;
    } else {
        line("PostgreSQL", "is skipped", "scripts/servers starts it");
    }
}
