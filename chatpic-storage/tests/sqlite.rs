//! What SQLite promises beyond the stores' contract.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chatpic_core::store::{Claim, Claimed};
use chatpic_core::testing::conformance::{START, sample_session, sample_share};
use chatpic_core::{Sealed, SessionId, ShareStore, Status, with_causes};
use chatpic_storage::{ObjectBlobs, SqliteShares};
use sqlx::{Connection, SqliteConnection, query};
use tempfile::TempDir;

/// Everything that lies in the folder: the database, its log, whatever else.
fn bytes_of(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).expect("a folder");
    files.flat_map(|file| std::fs::read(file.expect("an entry").path()).expect("a file")).collect()
}

fn holds(bytes: &[u8], wrap: &Sealed) -> bool {
    bytes.windows(wrap.0.len()).any(|window| window == wrap.0)
}

#[tokio::test]
async fn what_is_made_in_a_folder_that_all_may_read_is_its_owners_alone() {
    let folder = TempDir::new().unwrap();
    let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await.unwrap();
    shares.insert(&sample_share(1)).await.unwrap();
    ObjectBlobs::local(&folder.path().join("blobs")).unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    for file in ["chatpic.sqlite", "chatpic.sqlite-wal", "chatpic.sqlite-shm", "chatpic.sqlite-opening"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert_eq!(mode("blobs"), 0o700);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chatpic.sqlite");
    drop(SqliteShares::open(&path).await.unwrap());
    let mut newer = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let migrated = "INSERT INTO _chatpic_migrations (version, description, success, checksum, execution_time)
        VALUES (99, 'from the future', TRUE, x'00', 0)";
    query(migrated).execute(&mut newer).await.unwrap();
    let refused = with_causes(&SqliteShares::open(&path).await.unwrap_err());
    assert!(refused.contains("its schema 99 is newer than this ChatPic"), "{refused}");
}

#[tokio::test]
async fn a_reserve_that_was_given_up_is_made_again() {
    let folder = TempDir::new().unwrap();
    let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await.unwrap();
    let reserve = folder.path().join("chatpic.sqlite-reserve");
    std::fs::remove_file(&reserve).unwrap();
    shares.tidy(START, START).await.unwrap();
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 4 << 20);
}

#[tokio::test]
async fn after_the_end_no_file_holds_a_wrap() {
    let folder = TempDir::new().unwrap();
    let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await.unwrap();
    let mut wraps = Vec::new();
    // Enough of them that pages split and are rebuilt.
    let all: Vec<_> = (0..60).map(sample_share).collect();
    for share in &all {
        shares.insert(share).await.unwrap();
        wraps.extend(
            [&share.link_wrap, &share.dashboard_wrap, &share.sealed_link].map(|w| w.clone().unwrap()),
        );
        for n in 1..=5 {
            let mut session = sample_session(n);
            let number = u8::try_from(wraps.len() % 251).unwrap();
            let tag = u8::try_from(wraps.len() / 251).unwrap();
            session.wrap = Some(Sealed([[number; 30], [tag ^ 0xA5; 30]].concat()));
            wraps.extend(session.wrap.clone());
            let claim = Claim { share: share.id, session, ceiling: 10 };
            assert!(matches!(shares.claim(&claim).await.unwrap(), Claimed::Opened(_)));
        }
        let mut preview = sample_session(SessionId::UPLOADER.0);
        preview.wrap = Some(Sealed([[0x5A; 30], [u8::try_from(wraps.len() % 251).unwrap(); 30]].concat()));
        shares.preview(&share.id, &preview).await.unwrap();
        wraps.extend(preview.wrap);
    }
    let before = bytes_of(folder.path());
    wraps.sort_by(|a, b| a.0.cmp(&b.0));
    wraps.dedup();
    assert!(wraps.iter().all(|wrap| holds(&before, wrap)), "the search finds what is there");

    for share in &all {
        shares.end(&share.id, Status::Burned, START).await.unwrap();
    }
    let after = bytes_of(folder.path());
    assert_eq!(wraps.iter().filter(|wrap| holds(&after, wrap)).count(), 0);
    assert!(holds(&after, &all[0].sealed_mark_key), "the ledger is still there");

    for share in &all {
        shares.forget(&share.id).await.unwrap();
    }
    let after = bytes_of(folder.path());
    assert_eq!(all.iter().filter(|share| holds(&after, &share.sealed_mark_key)).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_handles_open_a_fresh_database_at_once() {
    for _ in 0..5 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("chatpic.sqlite");
        let opening = (0..8).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteShares::open(&path).await })
        });
        let handles = futures::future::join_all(opening.collect::<Vec<_>>()).await;
        let handles: Vec<_> = handles.into_iter().map(|handle| handle.unwrap().unwrap()).collect();
        handles[0].insert(&sample_share(1)).await.unwrap();
        for handle in &handles {
            assert!(handle.find(&sample_share(1).id).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn who_may_come_in_is_read_from_an_index_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chatpic.sqlite");
    drop(SqliteShares::open(&path).await.unwrap());
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let statement = "EXPLAIN QUERY PLAN SELECT shares.status, shares.expires_at, shares.link_digest,
            shares.dashboard_digest
         FROM (SELECT 1 AS one) AS always LEFT JOIN shares ON shares.id BETWEEN x'05' AND x'05'";
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(statement).fetch_all(&mut db).await.unwrap();
    assert!(plan.iter().any(|line| line.3.contains("USING COVERING INDEX shares_by_door")), "{plan:?}");
}

/// What is due or expired is found by an index, however much is not.
#[tokio::test]
async fn sweeping_reads_indexes_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chatpic.sqlite");
    drop(SqliteShares::open(&path).await.unwrap());
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for (statement, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT * FROM shares WHERE due <= 5 AND (leased_until IS NULL OR leased_until <= 5)
             ORDER BY due, id LIMIT 3",
            "USING INDEX shares_by_due",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT folder FROM shares WHERE folder IN ('a', 'b') AND purged_at IS NULL",
            "USING INDEX shares_by_folder",
        ),
        ("EXPLAIN QUERY PLAN UPDATE sessions SET wrap = NULL WHERE live_until <= 5", "INDEX sessions_by_end"),
        ("EXPLAIN QUERY PLAN DELETE FROM attempts WHERE at < 5", "INDEX attempts_by_time"),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(statement).fetch_all(&mut db).await.unwrap();
        let plan = plan.into_iter().map(|line| line.3).collect::<Vec<_>>().join("\n");
        assert!(plan.contains(index) && !plan.contains("SCAN"), "{plan}");
    }
}
