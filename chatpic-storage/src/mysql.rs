//! Shares in MySQL or MariaDB, for any number of nodes.

use chatpic_core::StoreError;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{MySql, query, query_scalar};

use crate::Inspected;
use crate::sql::dialect::{Dialect, Script, Value, speak_through_sqlx};
use crate::sql::inspect::{inspect, unopened};
use crate::sql::{OPENING, SqlShares, failed, migrate, pool};

/// A share store in a MySQL or MariaDB database, tested with MariaDB 10.11.
///
/// What was acknowledged is as durable as the server's `innodb_flush_log_at_trx_commit` makes it, which must be 1.
/// What was destroyed is gone from the live tables; the undo and redo logs, the binary log, replicas and backups
/// may keep it as long as they are kept.
pub type MySqlShares = SqlShares<MySql>;

impl Dialect for MySql {
    const STORE: &'static str = "mysql";
    const MIGRATIONS: &'static [Script] = &[
        ("shares", include_str!("../migrations/mysql/0001_shares.sql")),
        ("copies", include_str!("../migrations/mysql/0002_copies.sql")),
    ];
    // A statement sees what was committed before it, and locks rows only, not the gaps between them.
    const SESSION: &'static [&'static str] = &[
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION innodb_lock_wait_timeout = 10",
    ];
    const BEGIN: &'static str = "BEGIN";
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    const CLOCK: Option<&'static str> =
        Some("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED) AS clock");
    const INT: &'static str = "SIGNED";
    // Unsigned otherwise.
    const LAST_NUMBER: &'static str = "CAST(LAST_INSERT_ID() AS SIGNED)";

    /// Parameters are `?` here and bound in the order in which they stand.
    fn translate(statement: &str, values: Vec<Value>) -> (String, Vec<Value>) {
        let mut pieces = statement.split('$');
        let mut translated = pieces.next().unwrap_or_default().to_owned();
        let mut in_order = Vec::new();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let number = piece[..digits].parse().unwrap_or(0usize);
            in_order.extend(number.checked_sub(1).and_then(|place| values.get(place)).cloned());
            translated.push('?');
            translated.push_str(&piece[digits..]);
        }
        (translated, in_order)
    }

    speak_through_sqlx!();
}

impl MySqlShares {
    /// Connects to the database of this URL (`mysql://USER:PASSWORD@HOST:PORT/DATABASE`) and brings its tables up
    /// to date. No error tells the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let (options, server) = Self::server(url)?;
        let connecting = async {
            let pool = pool().connect_with(options.clone()).await?;
            // sqlx asks for its lock with an endless timeout, which MariaDB takes for none at all.
            let mut alone = pool.acquire().await?;
            let lock = "SELECT GET_LOCK(CONCAT('chatpic-', MD5(DATABASE())), 60)";
            let locked: Option<i64> = query_scalar(lock).fetch_one(&mut *alone).await?;
            if locked != Some(1) {
                return Err(sqlx::Error::Protocol("another node does not finish opening it".to_owned()));
            }
            migrate(&pool).await?;
            query("SELECT RELEASE_LOCK(CONCAT('chatpic-', MD5(DATABASE())))").execute(&mut *alone).await?;
            drop(alone);
            Ok::<_, sqlx::Error>(Self { writers: pool.clone(), readers: pool, reserve: None })
        };
        match connecting.await {
            Ok(shares) => Ok(shares),
            Err(error) => Err(unopened::<MySql>(error, &options, &server).await),
        }
    }

    pub(crate) async fn inspect(url: &str) -> Result<Inspected, StoreError> {
        let (options, server) = Self::server(url)?;
        inspect::<MySql>(&options, &server).await
    }

    /// How to connect, and where to, in words.
    fn server(url: &str) -> Result<(MySqlConnectOptions, String), StoreError> {
        let options: MySqlConnectOptions =
            url.parse().map_err(|error: sqlx::Error| failed::<MySql>(OPENING, error))?;
        let server = format!("{}:{}", options.get_host(), options.get_port());
        Ok((options, server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::values;

    #[test]
    fn numbered_parameters_are_bound_in_the_order_in_which_they_stand() {
        let statement = "UPDATE t SET a = $2, b = $1 WHERE c IN ($2, $11)";
        let (translated, in_order) = MySql::translate(statement, (1..=11i64).map(Value::from).collect());
        assert_eq!(translated, "UPDATE t SET a = ?, b = ? WHERE c IN (?, ?)");
        assert_eq!(in_order, values![2i64, 1i64, 2i64, 11i64]);
    }
}
