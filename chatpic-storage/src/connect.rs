//! Stores by their URLs.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use chatpic_core::{BlobStore, Digest, ShareStore, StoreError, Timestamp};
use percent_encoding::percent_decode_str;

use crate::ObjectBlobs;

/// What a look at a database finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// Version of its tables; `None` when there are none yet.
    pub schema: Option<i64>,
    /// Version to which this ChatPic brings them.
    pub known: i64,
    /// Fingerprint of the installation's secret, as [`ShareStore::fingerprint`] noted it; `None` when none is noted yet.
    pub fingerprint: Option<Digest>,
    /// What the server's clock shows; a file has none.
    pub clock: Option<Timestamp>,
}

fn refused(operation: &'static str, why: impl Into<Cow<'static, str>>) -> StoreError {
    StoreError { store: "configuration", operation, source: why.into().into() }
}

/// Scheme and rest of a URL. Whoever reports a failure names the scheme at most: a URL may hold a password.
fn parts<'a>(url: &'a str, operation: &'static str) -> Result<(&'a str, &'a str), StoreError> {
    url.split_once("://")
        .ok_or_else(|| refused(operation, "the URL has no scheme such as sqlite:// or file://"))
}

fn path(rest: &str) -> PathBuf {
    PathBuf::from(percent_decode_str(rest).decode_utf8_lossy().as_ref())
}

/// Opens a share store and brings its tables up to date: `sqlite://FILE`,
/// `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
///
/// A file's path is relative unless it begins with a slash, and percent-encoded. A store whose feature is off is
/// refused. No error tells a password.
pub async fn share_store(url: &str) -> Result<Arc<dyn ShareStore>, StoreError> {
    const OPENING: &str = "open the database";
    match parts(url, OPENING)? {
        #[cfg(feature = "sqlite")]
        ("sqlite", rest) => Ok(Arc::new(crate::SqliteShares::open(&path(rest)).await?)),
        #[cfg(feature = "postgres")]
        ("postgres" | "postgresql", _) => Ok(Arc::new(crate::PostgresShares::connect(url).await?)),
        #[cfg(feature = "mysql")]
        ("mysql" | "mariadb", _) => Ok(Arc::new(crate::MySqlShares::connect(url).await?)),
        (scheme, _) => Err(refused(OPENING, format!("this build has no store for {scheme}://"))),
    }
}

/// Looks at a database without making it or changing anything in it: at its version, at whose it is, and at its clock. Says
/// in words why it can't.
pub async fn inspect(url: &str) -> Result<Inspected, StoreError> {
    const OPENING: &str = "open the database";
    match parts(url, OPENING)? {
        #[cfg(feature = "sqlite")]
        ("sqlite", rest) => crate::SqliteShares::inspect(&path(rest)).await,
        #[cfg(feature = "postgres")]
        ("postgres" | "postgresql", _) => crate::PostgresShares::inspect(url).await,
        #[cfg(feature = "mysql")]
        ("mysql" | "mariadb", _) => crate::MySqlShares::inspect(url).await,
        (scheme, _) => Err(refused(OPENING, format!("this build has no store for {scheme}://"))),
    }
}

/// The folder of a blob store whose objects are files, `file://FOLDER`.
pub fn blob_folder(url: &str) -> Option<PathBuf> {
    url.strip_prefix("file://").map(path)
}

/// Opens a blob store: `file://FOLDER` or `s3://BUCKET/PREFIX`.
///
/// S3's keys, region and endpoint, and whether plain HTTP will do, come from the usual variables (`AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`, ..).
pub fn blob_store(url: &str) -> Result<Arc<dyn BlobStore>, StoreError> {
    const OPENING: &str = "open the blob store";
    match parts(url, OPENING)? {
        ("file", rest) => Ok(Arc::new(ObjectBlobs::local(&path(rest))?)),
        #[cfg(feature = "s3")]
        ("s3", rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            Ok(Arc::new(ObjectBlobs::s3(bucket)?.with_prefix(prefix)))
        }
        (scheme, _) => Err(refused(OPENING, format!("this build has no store for {scheme}://"))),
    }
}
