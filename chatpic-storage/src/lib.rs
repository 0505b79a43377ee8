//! Where ChatPic keeps things: shares in [SQLite](SqliteShares), sealed images in a folder or an
//! [object store](ObjectBlobs).
//!
//! Both keep the contracts of [`chatpic_core::store`]; the suite in `chatpic_core::testing::conformance`
//! holds them, and any other store, to it.

mod object;
mod sqlite;

pub use object::ObjectBlobs;
pub use sqlite::SqliteShares;
