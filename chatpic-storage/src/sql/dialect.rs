//! What the databases do differently, and the narrow waist through which everything else speaks to them.

use std::future::Future;

use chatpic_core::{Country, Sealed, SessionId, ShareId, Timestamp};
use sqlx::migrate::Migrate;
use sqlx::{Database, Pool};

/// A migration's name and statements.
pub type Script = (&'static str, &'static str);

/// A database that can keep shares.
///
/// Statements are written once for all of them, with the parameters `$1`, `$2`, .. bound in that order.
pub trait Dialect: Database<Connection: Migrate> {
    /// Its name in errors.
    const STORE: &'static str;

    /// Every migration in order; those that were released never change.
    const MIGRATIONS: &'static [Script];

    /// What each new connection is set to.
    const SESSION: &'static [&'static str] = &[];

    /// Begins a transaction that may write.
    const BEGIN: &'static str;

    /// Ends a `SELECT` that locks the rows it finds until the transaction ends.
    const FOR_UPDATE: &'static str;

    /// Asks the server's clock for `clock`, in milliseconds since 1970; a file has none.
    const CLOCK: Option<&'static str> = None;

    /// Its whole numbers of 64 bits, for a `CAST`.
    const INT: &'static str;

    /// The number that the last `INSERT` of this connection was given.
    const LAST_NUMBER: &'static str;

    /// Rewrites a statement and its parameters for a database that does not number them.
    fn translate(statement: &str, values: Vec<Value>) -> (String, Vec<Value>) {
        (statement.to_owned(), values)
    }

    /// Runs a statement; answers how many rows it changed.
    fn execute(
        db: &mut Self::Connection,
        statement: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Runs a query.
    fn fetch(
        db: &mut Self::Connection,
        query: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;

    /// A column of whole numbers.
    fn int(row: &Self::Row, column: &str) -> sqlx::Result<Option<i64>>;

    /// A column of text.
    fn text(row: &Self::Row, column: &str) -> sqlx::Result<Option<String>>;

    /// A column of bytes.
    fn bytes(row: &Self::Row, column: &str) -> sqlx::Result<Option<Vec<u8>>>;

    /// Whether the database took a transaction back because it met another one, so that it can be tried again.
    fn lost_a_race(error: &sqlx::Error) -> bool {
        let Some(error) = error.as_database_error() else { return false };
        let code = error.code();
        // A serialization failure or a deadlock, as SQL:2003 and PostgreSQL name them; MariaDB has the first for both.
        matches!(code.as_deref(), Some("40001" | "40P01"))
    }

    /// Whether a disk of this computer has no room for what was to be written.
    fn is_full(_error: &sqlx::Error) -> bool {
        false
    }

    /// Overwrites what was destroyed wherever it may still stand, as far as the database can.
    fn scrub(_pool: &Pool<Self>) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A parameter of a statement.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! value_from {
    ($($name:ident: $from:ty => $value:expr),* $(,)?) => { $(
        impl From<$from> for Value {
            fn from($name: $from) -> Self {
                $value
            }
        }
    )* };
}

value_from! {
    number: i64 => Self::Int(Some(number)),
    number: u32 => Self::Int(Some(number.into())),
    number: Option<u32> => Self::Int(number.map(i64::from)),
    // Beyond what a column holds there is no difference to be told.
    number: u64 => Self::Int(Some(number.try_into().unwrap_or(i64::MAX))),
    number: usize => Self::from(number as u64),
    at: Timestamp => Self::Int(Some(at.0)),
    at: Option<Timestamp> => Self::Int(at.map(|at| at.0)),
    id: SessionId => Self::from(id.0),
    text: &str => Self::Text(Some(text.to_owned())),
    text: String => Self::Text(Some(text)),
    country: Option<Country> => Self::Text(country.map(|country| country.as_str().to_owned())),
    bytes: &[u8] => Self::Bytes(Some(bytes.to_vec())),
    bytes: Option<&[u8]> => Self::Bytes(bytes.map(<[u8]>::to_vec)),
    id: &ShareId => Self::from(&id.as_bytes()[..]),
    sealed: &Option<Sealed> => Self::from(sealed.as_ref().map(|sealed| &sealed.0[..])),
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

/// The parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::dialect::Value::from($value)),*] };
}
pub(crate) use values;

/// The part of [`Dialect`] that every driver of sqlx does alike, but that Rust can't say for all of them at once.
macro_rules! speak_through_sqlx {
    () => {
        async fn execute(
            db: &mut Self::Connection,
            statement: &str,
            values: Vec<$crate::sql::dialect::Value>,
        ) -> sqlx::Result<u64> {
            let (statement, arguments) = $crate::sql::dialect::prepared!(statement, values);
            Ok(sqlx::query_with(statement, arguments).execute(db).await?.rows_affected())
        }

        async fn fetch(
            db: &mut Self::Connection,
            query: &str,
            values: Vec<$crate::sql::dialect::Value>,
        ) -> sqlx::Result<Vec<Self::Row>> {
            let (query, arguments) = $crate::sql::dialect::prepared!(query, values);
            sqlx::query_with(query, arguments).fetch_all(db).await
        }

        fn int(row: &Self::Row, column: &str) -> sqlx::Result<Option<i64>> {
            sqlx::Row::try_get(row, column)
        }

        fn text(row: &Self::Row, column: &str) -> sqlx::Result<Option<String>> {
            sqlx::Row::try_get(row, column)
        }

        fn bytes(row: &Self::Row, column: &str) -> sqlx::Result<Option<Vec<u8>>> {
            sqlx::Row::try_get(row, column)
        }
    };
}
pub(crate) use speak_through_sqlx;

macro_rules! prepared {
    ($statement:expr, $values:expr) => {{
        let (statement, values) = Self::translate($statement, $values);
        let mut arguments = <Self as sqlx::Database>::Arguments::default();
        for value in values {
            let added = match value {
                $crate::sql::dialect::Value::Int(number) => sqlx::Arguments::add(&mut arguments, number),
                $crate::sql::dialect::Value::Text(text) => sqlx::Arguments::add(&mut arguments, text),
                $crate::sql::dialect::Value::Bytes(bytes) => sqlx::Arguments::add(&mut arguments, bytes),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        // Statements are constants of this crate; what users send is bound.
        (sqlx::AssertSqlSafe(statement), arguments)
    }};
}
pub(crate) use prepared;
