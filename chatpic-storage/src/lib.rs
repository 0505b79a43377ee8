//! Where ChatPic keeps things: shares in SQLite, PostgreSQL or MySQL, sealed images in a folder or an
//! [object store](ObjectBlobs) such as S3.
//!
//! All keep the contracts of [`chatpic_core::store`]; the suite in `chatpic_core::testing::conformance`
//! holds them, and any other store, to it. [`share_store`] and [`blob_store`] open them by their URLs.
//!
//! | feature | brings |
//! | --- | --- |
//! | `sqlite` (default) | `SqliteShares` |
//! | `postgres` | `PostgresShares`, TLS |
//! | `mysql` | `MySqlShares`, TLS |
//! | `s3` | S3 by URL, TLS |

mod connect;
#[cfg(feature = "mysql")]
mod mysql;
mod object;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod reserve;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use connect::{Inspected, blob_folder, blob_store, inspect, share_store};
#[cfg(feature = "mysql")]
pub use mysql::MySqlShares;
pub use object::ObjectBlobs;
#[cfg(feature = "postgres")]
pub use postgres::PostgresShares;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use sql::SqlShares;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteShares;

/// The crate's README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
