//! A blob store of one's own, and its proof: the conformance suite stamps one test for each clause of the contract.
//!
//! This one keeps sealed images in memory by folder; yours may ask a database or a service. It only ever sees sealed
//! bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatpic_core::store::StoreResult;
use chatpic_core::store::memory::MemoryShares;
use chatpic_core::{BlobStore, ChatPic, Folder, InstallationSecret, OsEntropy};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::RwLock;

/// Objects by folder and name; clones are handles onto the same objects.
#[derive(Clone, Debug, Default)]
struct Shelves(Arc<RwLock<HashMap<Folder, BTreeMap<String, Bytes>>>>);

#[async_trait]
impl BlobStore for Shelves {
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
        let mut shelves = self.0.write().await;
        // A name is written once: whoever comes second changes nothing.
        shelves.entry(folder.clone()).or_default().entry(name.to_owned()).or_insert(sealed);
        Ok(())
    }

    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
        Ok(self.0.read().await.get(folder).and_then(|shelf| shelf.get(name)).cloned())
    }

    async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64> {
        Ok(self.0.write().await.remove(folder).map_or(0, |shelf| shelf.len() as u64))
    }

    async fn count(&self, folder: &Folder) -> StoreResult<u64> {
        Ok(self.0.read().await.get(folder).map_or(0, |shelf| shelf.len() as u64))
    }

    async fn has_room(&self, _free_percent: u8) -> StoreResult<bool> {
        Ok(true)
    }

    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
        let listed = async {
            let folders: Vec<_> = self.0.read().await.keys().cloned().map(Ok).collect();
            stream::iter(folders)
        };
        stream::once(listed).flatten().boxed()
    }
}

#[tokio::main]
async fn main() -> Result<(), chatpic_core::Error> {
    let shares = Arc::new(MemoryShares::default());
    let builder = ChatPic::builder(InstallationSecret::random(&OsEntropy));
    let chatpic = builder.stores(shares, Arc::new(Shelves::default())).build().await?;
    chatpic.check_stores().await
}

#[cfg(test)]
mod proof {
    use chatpic_core::testing::conformance::Open;

    use super::*;

    fn shelves() -> Open<dyn BlobStore> {
        let shelves = Shelves::default();
        Box::new(move || {
            let handle: Arc<dyn BlobStore> = Arc::new(shelves.clone());
            Box::pin(async move { handle })
        })
    }

    chatpic_core::blob_store_conformance!(shelves);
}
