//! Sealed images in a folder of this computer or in an object store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatpic_core::store::StoreResult;
use chatpic_core::{BlobStore, Folder, StoreError};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

/// Free space of a disk, in percent, under which it takes no more.
const FREE_PERCENT: u128 = 5;

/// A blob store over any object store; an object's key is `{folder}/{name}`, below a prefix if one is set.
#[derive(Clone, Debug)]
pub struct ObjectBlobs {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    local: Option<Local>,
}

/// A folder of this computer.
#[derive(Clone, Debug)]
struct Local {
    files: Arc<LocalFileSystem>,
    folder: PathBuf,
}

impl ObjectBlobs {
    /// Objects in this object store.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, prefix: Path::default(), local: None }
    }

    /// Objects as files below this folder, which is made if it is missing; each is on disk before it counts
    /// as stored.
    pub fn local(folder: &std::path::Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| failed("make the folder", error))?;
        let files =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| failed("open the folder", error))?;
        let files = Arc::new(files.with_fsync(true).with_automatic_cleanup(true));
        let local = Local { files: files.clone(), folder: folder.to_owned() };
        Ok(Self { local: Some(local), ..Self::new(files) })
    }

    /// Objects in this bucket of S3, or of a server that speaks its protocol and keeps `If-None-Match: *`; what
    /// else is needed comes from the `AWS_*` variables.
    ///
    /// A request is tried again when S3 asks for it, for ten seconds at most.
    #[cfg(feature = "s3")]
    pub fn s3(bucket: &str) -> Result<Self, StoreError> {
        use std::time::Duration;

        use object_store::RetryConfig;
        use object_store::aws::AmazonS3Builder;

        // Somebody else may have chosen already; any choice will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let retry =
            RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
        let bucket = AmazonS3Builder::from_env().with_retry(retry).with_bucket_name(bucket).build();
        Ok(Self::new(Arc::new(bucket.map_err(|error| failed("open the bucket", error))?)))
    }

    /// The same store, below this path.
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { prefix: Path::from(prefix), ..self }
    }

    fn place(&self, folder: &Folder) -> Path {
        self.prefix.clone().join(folder.as_str())
    }

    fn key(&self, folder: &Folder, name: &str) -> Path {
        self.place(folder).join(name)
    }

    /// Removes what a crash in the middle of a write may have left in a folder of files; no listing shows it.
    async fn clear_leftovers(&self, folder: &Folder) -> Result<(), BoxError> {
        let Some(local) = &self.local else { return Ok(()) };
        let place = local.files.path_to_filesystem(&self.place(folder))?;
        match tokio::task::spawn_blocking(move || std::fs::remove_dir_all(place)).await? {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn failed(operation: &'static str, source: impl Into<BoxError>) -> StoreError {
    StoreError { store: "object store", operation, source: source.into() }
}

#[async_trait]
impl BlobStore for ObjectBlobs {
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
        let once = PutOptions::from(PutMode::Create);
        let put = self.objects.put_opts(&self.key(folder, name), sealed.into(), once).await;
        put.map(drop).map_err(|error| failed("store an object", error))
    }

    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
        let found = match self.objects.get(&self.key(folder, name)).await {
            Ok(object) => object.bytes().await.map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        found.map_err(|error| failed("read an object", error))
    }

    async fn delete_folder(&self, folder: &Folder) -> StoreResult<u64> {
        let listed = self.objects.list(Some(&self.place(folder))).map_ok(|object| object.location);
        let mut deleted = self.objects.delete_stream(listed.boxed());
        let mut count = 0;
        while let Some(object) = deleted.next().await {
            match object {
                Ok(_) => count += 1,
                // Somebody else deletes this folder too.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("delete a folder", error)),
            }
        }
        self.clear_leftovers(folder).await.map_err(|error| failed("delete a folder", error))?;
        Ok(count)
    }

    async fn has_room(&self) -> StoreResult<bool> {
        let Some(local) = &self.local else { return Ok(true) };
        let folder = local.folder.clone();
        let measured = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder)).await;
        let disk = measured.map_err(|error| failed("measure the disk", error))?;
        let disk = disk.map_err(|error| failed("measure the disk", error))?;
        Ok(u128::from(disk.f_bavail) * 100 >= u128::from(disk.f_blocks) * FREE_PERCENT)
    }

    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
        let listed = async {
            let listed = self.objects.list_with_delimiter(Some(&self.prefix)).await;
            let places = listed.map_err(|error| failed("list the folders", error))?.common_prefixes;
            // Whatever else lies there isn't ours to touch.
            let folders = places.into_iter().filter_map(|place| place.filename()?.parse().ok().map(Ok));
            Ok(stream::iter(folders))
        };
        stream::once(listed).try_flatten().boxed()
    }
}
