//! Shares in PostgreSQL, for any number of nodes.

use chatpic_core::StoreError;
use sqlx::Postgres;
use sqlx::postgres::PgConnectOptions;

use crate::Inspected;
use crate::sql::dialect::{Dialect, Script, speak_through_sqlx};
use crate::sql::inspect::{inspect, unopened};
use crate::sql::{OPENING, SqlShares, failed, migrate, pool};

/// A share store in a PostgreSQL database, tested with version 15.
///
/// What was acknowledged is as durable as the server's `synchronous_commit` makes it, which must be on. What was
/// destroyed is gone from the live tables; dead rows stand in the files until they are vacuumed, and the log,
/// replicas and backups may keep them as long as they are kept.
pub type PostgresShares = SqlShares<Postgres>;

impl Dialect for Postgres {
    const STORE: &'static str = "postgres";
    const MIGRATIONS: &'static [Script] = &[
        ("shares", include_str!("../migrations/postgres/0001_shares.sql")),
        ("copies", include_str!("../migrations/postgres/0002_copies.sql")),
    ];
    // Nothing here takes long; whoever waits longer is told so, and no lost node keeps a lock.
    const SESSION: &'static [&'static str] = &[
        "SET lock_timeout = '10s'",
        "SET statement_timeout = '15s'",
        "SET idle_in_transaction_session_timeout = '15s'",
    ];
    const BEGIN: &'static str = "BEGIN";
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    const CLOCK: Option<&'static str> =
        Some("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS clock");
    const INT: &'static str = "BIGINT";
    const LAST_NUMBER: &'static str = "lastval()";

    speak_through_sqlx!();
}

impl PostgresShares {
    /// Connects to the database of this URL (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`) and brings its tables
    /// up to date. No error tells the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let (options, server) = Self::server(url)?;
        let connecting = async {
            let pool = pool().connect_with(options.clone()).await?;
            migrate(&pool).await?;
            Ok::<_, sqlx::Error>(Self { writers: pool.clone(), readers: pool, reserve: None })
        };
        match connecting.await {
            Ok(shares) => Ok(shares),
            Err(error) => Err(unopened::<Postgres>(error, &options, &server).await),
        }
    }

    pub(crate) async fn inspect(url: &str) -> Result<Inspected, StoreError> {
        let (options, server) = Self::server(url)?;
        inspect::<Postgres>(&options, &server).await
    }

    /// How to connect, and where to, in words.
    fn server(url: &str) -> Result<(PgConnectOptions, String), StoreError> {
        let options: PgConnectOptions =
            url.parse().map_err(|error: sqlx::Error| failed::<Postgres>(OPENING, error))?;
        let server = format!("{}:{}", options.get_host(), options.get_port());
        Ok((options, server))
    }
}
