//! PostgreSQL, MySQL and S3 keep the stores' contracts, on real servers: `scripts/servers` starts them.

#![cfg(all(feature = "postgres", feature = "mysql", feature = "s3"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chatpic_core::testing::conformance::Open;
use chatpic_core::{BlobStore, ShareStore};
use chatpic_storage::{blob_store, share_store};

fn server(variable: &str) -> String {
    std::env::var(variable).expect("scripts/servers sets the servers' variables")
}

/// A name that no other test of the run has: processes of one machine start these tests.
fn fresh() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("chatpic_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// The URL of a database of its own: the server's, with another name at its end.
fn beside(server: &str, name: &str) -> String {
    let (before, _) = server.rsplit_once('/').expect("a URL that ends in a database");
    format!("{before}/{name}")
}

/// The tests of a database server: the stores' contract, and what else any of them promises.
macro_rules! database_server {
    ($connection:ty, $variable:literal, $needs:literal) => {
        use super::*;

        use sqlx::{Connection, query};

        async fn make(name: &str) -> String {
            let server = server($variable);
            let mut db = <$connection>::connect(&server).await.expect("the server answers");
            let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            query(create).execute(&mut db).await.expect("a database is made");
            beside(&server, name)
        }

        fn shares() -> Open<dyn ShareStore> {
            database(|name| Box::pin(async move { make(&name).await }))
        }

        chatpic_core::share_store_conformance!(shares, needs = $needs);

        #[tokio::test]
        #[ignore = $needs]
        async fn a_newer_schema_is_refused() {
            let url = make(&fresh()).await;
            drop(share_store(&url).await.unwrap());
            let mut newer = <$connection>::connect(&url).await.unwrap();
            let migrated =
                "INSERT INTO _chatpic_migrations (version, description, success, checksum, execution_time)
                VALUES (99, 'from the future', TRUE, '', 0)";
            query(migrated).execute(&mut newer).await.unwrap();
            refuses_the_schema(&url).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        #[ignore = $needs]
        async fn many_nodes_start_on_a_fresh_database_at_once() {
            many_nodes_start(make(&fresh()).await).await;
        }

        #[tokio::test]
        #[ignore = $needs]
        async fn a_wrong_password_is_refused_and_not_told() {
            keeps_the_password_to_itself(&server($variable)).await;
        }
    };
}

/// What a sweep asks, and the index that answers it.
const SWEEPING: [(&str, &str); 3] = [
    (
        "EXPLAIN SELECT * FROM shares WHERE due <= 5 AND (leased_until IS NULL OR leased_until <= 5)
         ORDER BY due, id LIMIT 3 FOR UPDATE",
        "shares_by_due",
    ),
    ("EXPLAIN UPDATE sessions SET wrap = NULL WHERE live_until <= 5", "sessions_by_end"),
    ("EXPLAIN DELETE FROM attempts WHERE at < 5", "attempts_by_time"),
];

mod postgres {
    database_server!(sqlx::PgConnection, "CHATPIC_TEST_POSTGRES", "a PostgreSQL server");

    /// What is due or expired is found by an index, however much is not.
    #[tokio::test]
    #[ignore = "a PostgreSQL server"]
    async fn sweeping_reads_indexes_only() {
        let url = make(&fresh()).await;
        drop(share_store(&url).await.unwrap());
        let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
        // An empty table would be read as a whole whatever its indexes are.
        query("SET enable_seqscan = off").execute(&mut db).await.unwrap();
        for (statement, index) in SWEEPING {
            let plan: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut db).await.unwrap();
            assert!(plan.join("\n").contains(index), "{}", plan.join("\n"));
        }
    }
}

mod mysql {
    database_server!(sqlx::MySqlConnection, "CHATPIC_TEST_MYSQL", "a MariaDB server");

    /// What is due or expired is found by an index, however much is not.
    #[tokio::test]
    #[ignore = "a MariaDB server"]
    async fn sweeping_reads_indexes_only() {
        use sqlx::Row;
        let url = make(&fresh()).await;
        drop(share_store(&url).await.unwrap());
        let mut db = sqlx::MySqlConnection::connect(&url).await.unwrap();
        for (statement, index) in SWEEPING {
            let plan = query(statement).fetch_one(&mut db).await.unwrap();
            let (access, key): (String, Option<String>) = (plan.get("type"), plan.get("key"));
            assert_eq!((access.as_str(), key.as_deref()), ("range", Some(index)), "{statement}");
        }
    }
}

mod s3 {
    use super::*;

    fn blobs() -> Open<dyn BlobStore> {
        let url = format!("{}/{}/some where", server("CHATPIC_TEST_S3"), fresh());
        Box::new(move || {
            let blobs = blob_store(&url).expect("the bucket opens");
            Box::pin(async move { blobs })
        })
    }

    chatpic_core::blob_store_conformance!(blobs, needs = "an S3 server");
}

/// Handles onto one database, which the first of them makes.
fn database(
    make: impl Fn(String) -> futures::future::BoxFuture<'static, String> + Send + Sync + 'static,
) -> Open<dyn ShareStore> {
    let (name, made) = (fresh(), Arc::new(tokio::sync::OnceCell::new()));
    let make = Arc::new(make);
    Box::new(move || {
        let (name, made, make) = (name.clone(), made.clone(), make.clone());
        Box::pin(async move {
            let url = made.get_or_init(|| make(name)).await;
            share_store(url).await.expect("the database opens")
        })
    })
}

async fn refuses_the_schema(url: &str) {
    let refused = chatpic_core::with_causes(&share_store(url).await.expect_err("it is newer"));
    assert!(refused.contains("its schema 99 is newer than this ChatPic"), "{refused}");
}

async fn many_nodes_start(url: String) {
    let opening = (0..8).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { share_store(&url).await })
    });
    for node in futures::future::join_all(opening.collect::<Vec<_>>()).await {
        node.expect("no panic").expect("the database opens");
    }
}

async fn keeps_the_password_to_itself(server: &str) {
    let wrong = server.replace(":chatpic@", ":sesame-open-up@");
    assert_ne!(wrong, server);
    let refused = share_store(&wrong).await.expect_err("it is wrong");
    let told = format!("{refused} {refused:?}");
    assert!(told.contains("chatpic"), "the user is named: {told}");
    assert!(!told.contains("sesame"), "{told}");
}
