//! A look at a database that changes nothing in it, and why it can't be opened, in words.

use std::time::Duration;

use chatpic_core::StoreError;
use sqlx::{ConnectOptions, Connection};

use super::dialect::{Dialect, values};
use super::record::Record;
use super::{OPENING, failed};
use crate::Inspected;

/// How long a server may take to answer whoever only asks how it is.
const PATIENCE: Duration = Duration::from_secs(5);

type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

async fn connected<D: Dialect>(options: &Options<D>) -> sqlx::Result<D::Connection> {
    tokio::time::timeout(PATIENCE, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

pub(crate) async fn inspect<D: Dialect>(options: &Options<D>, server: &str) -> Result<Inspected, StoreError> {
    let mut db = match connected::<D>(options).await {
        Ok(db) => db,
        Err(error) => return Err(failed::<D>(OPENING, in_words(&error, server))),
    };
    let versions = "SELECT MAX(version) AS version FROM _chatpic_migrations";
    let schema = match D::fetch(&mut db, versions, values![]).await {
        Ok(rows) => rows.first().map(|row| Record::<D>(row).maybe_number("version")).transpose(),
        // There is no such table.
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let schema = schema.map_err(|error| failed::<D>("read its version", error))?.flatten();
    let noted = D::fetch(&mut db, "SELECT fingerprint FROM installation", values![]).await;
    let fingerprint = match noted {
        Ok(rows) => rows.first().map(|row| Record::<D>(row).bytes("fingerprint")).transpose(),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let fingerprint = fingerprint.map_err(|error| failed::<D>("read the secret's fingerprint", error))?;
    let clock = match D::CLOCK {
        None => None,
        Some(query) => {
            let rows = D::fetch(&mut db, query, values![]).await;
            let rows = rows.map_err(|error| failed::<D>("read its clock", error))?;
            let clock = rows.first().map(|row| Record::<D>(row).instant("clock")).transpose();
            clock.map_err(|error| failed::<D>("read its clock", error))?
        }
    };
    // What is not closed in peace is closed all the same.
    drop(db.close().await);
    Ok(Inspected { schema, known: D::MIGRATIONS.len() as i64, fingerprint, clock })
}

/// Why a server's database was not opened.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) async fn unopened<D: Dialect>(
    error: sqlx::Error,
    options: &Options<D>,
    server: &str,
) -> StoreError {
    // A pool tells only that its time ran out, whatever the reason.
    let error = match error {
        sqlx::Error::PoolTimedOut => connected::<D>(options).await.err().unwrap_or(error),
        error => error,
    };
    failed::<D>(OPENING, in_words(&error, server))
}

fn in_words(error: &sqlx::Error, server: &str) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    match (error, code.as_deref()) {
        (sqlx::Error::Io(io), _) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("nothing answers at {server}: is the server running, and are host and port right?")
        }
        (sqlx::Error::Io(io), _) => format!("{server} can't be reached: {io}"),
        (sqlx::Error::PoolTimedOut, _) => format!("{server} does not answer in time"),
        // As SQL:2003 and the servers name them.
        (_, Some("28P01" | "28000")) => format!("{server} refuses the user or the password: {error}"),
        (_, Some("3D000" | "42000")) => format!("{server} has no such database: {error}"),
        _ => error.to_string(),
    }
}
