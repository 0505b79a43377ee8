//! SQLite and a folder of files keep the stores' contracts.

use std::sync::Arc;

use chatpic_core::testing::conformance::Open;
use chatpic_core::{BlobStore, ShareStore};
use chatpic_storage::{ObjectBlobs, SqliteShares};
use tempfile::TempDir;

fn sqlite() -> Open<dyn ShareStore> {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    Box::new(move || {
        let folder = folder.clone();
        Box::pin(async move {
            let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await;
            Arc::new(shares.expect("the database opens")) as Arc<dyn ShareStore>
        })
    })
}

fn files() -> Open<dyn BlobStore> {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    Box::new(move || {
        let folder = folder.clone();
        Box::pin(async move {
            let blobs = ObjectBlobs::local(&folder.path().join("blobs"));
            Arc::new(blobs.expect("the folder opens")) as Arc<dyn BlobStore>
        })
    })
}

chatpic_core::share_store_conformance!(sqlite);
chatpic_core::blob_store_conformance!(files);

#[tokio::test]
async fn a_disk_takes_no_more_when_too_little_is_free() {
    let folder = TempDir::new().expect("a folder");
    let blobs = ObjectBlobs::local(folder.path()).expect("the folder opens");
    assert!(blobs.has_room(0).await.expect("the disk is measured"));
    assert!(!blobs.has_room(100).await.expect("the disk is measured"), "no disk is free as a whole");
}

mod below_a_prefix {
    use super::*;

    fn files() -> Open<dyn BlobStore> {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        Box::new(move || {
            let folder = folder.clone();
            Box::pin(async move {
                let blobs = ObjectBlobs::local(folder.path()).expect("the folder opens");
                Arc::new(blobs.with_prefix("some where/else")) as Arc<dyn BlobStore>
            })
        })
    }

    chatpic_core::blob_store_conformance!(files);
}
