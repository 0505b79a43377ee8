//! The stores in memory keep the stores' contracts.
#![cfg(feature = "testing")]

use std::sync::Arc;

use chatpic_core::store::memory::{MemoryBlobs, MemoryShares};
use chatpic_core::testing::conformance::Open;
use chatpic_core::{BlobStore, ShareStore};

fn shares() -> Open<dyn ShareStore> {
    let shares = MemoryShares::default();
    Box::new(move || {
        let handle: Arc<dyn ShareStore> = Arc::new(shares.clone());
        Box::pin(async move { handle })
    })
}

fn blobs() -> Open<dyn BlobStore> {
    let blobs = MemoryBlobs::default();
    Box::new(move || {
        let handle: Arc<dyn BlobStore> = Arc::new(blobs.clone());
        Box::pin(async move { handle })
    })
}

chatpic_core::share_store_conformance!(shares);
chatpic_core::blob_store_conformance!(blobs);
