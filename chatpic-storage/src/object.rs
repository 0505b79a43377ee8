//! Sealed images in a folder of this computer or in an object store.

use std::fs::{DirBuilder, DirEntry, ReadDir};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatpic_core::store::StoreResult;
use chatpic_core::{BlobStore, Folder, StoreError};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

/// Folders of this computer's disk that are listed at a time.
const PAGE: usize = 500;

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

impl Local {
    /// The folders below a path, those included that hold nothing but what a crash left.
    fn folders(&self, prefix: &Path) -> BoxStream<'static, StoreResult<Folder>> {
        let unlisted = |error: BoxError| failed("list the folders", error);
        let place = prefix.parts().fold(self.folder.clone(), |place, part| place.join(part.as_ref()));
        let opening = async move {
            match tokio::task::spawn_blocking(move || std::fs::read_dir(place)).await {
                Ok(Ok(entries)) => Ok(Some(entries)),
                // Nothing was put there yet.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Ok(Err(error)) => Err(unlisted(error.into())),
                Err(error) => Err(unlisted(error.into())),
            }
        };
        let pages = move |entries: Option<ReadDir>| async move {
            let Some(mut entries) = entries else { return Ok(None) };
            let reading = tokio::task::spawn_blocking(move || {
                let page: std::io::Result<Vec<_>> = entries.by_ref().take(PAGE).collect();
                page.map(|page| (page, entries))
            });
            let (page, entries) =
                reading.await.map_err(std::io::Error::other).flatten().map_err(|e| unlisted(e.into()))?;
            // Whatever else lies there isn't ours to touch.
            let folder = |entry: &DirEntry| entry.file_name().to_str()?.parse().ok().map(Ok);
            let folders: Vec<_> = page.iter().filter_map(folder).collect();
            Ok(Some((stream::iter(folders), (!page.is_empty()).then_some(entries))))
        };
        let listed = async move { Ok(stream::try_unfold(opening.await?, pages).try_flatten()) };
        stream::once(listed).try_flatten().boxed()
    }
}

impl ObjectBlobs {
    /// Objects in this object store.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, prefix: Path::default(), local: None }
    }

    /// Objects as files below this folder, which is made for its owner alone if it is missing; each is on disk before it
    /// counts as stored.
    pub fn local(folder: &std::path::Path) -> Result<Self, StoreError> {
        let making = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        making.map_err(|error| failed("make the folder", error))?;
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

/// What an object store refused, in words.
fn refused(operation: &'static str, error: Error) -> StoreError {
    // A listing that is refused has no kind of its own, but its answer's status.
    let told = error.to_string();
    let is_missing = matches!(error, Error::NotFound { .. }) || told.contains("NoSuchBucket");
    let is_denied = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || told.contains("403 Forbidden")
        || told.contains("401 Unauthorized");
    let words = if is_missing {
        "there is no such bucket or folder"
    } else if is_denied && told.contains("RequestTimeTooSkewed") {
        "this computer's clock and the server's differ too much"
    } else if is_denied {
        "it refuses the keys, or they may not do this"
    } else {
        return failed(operation, error);
    };
    failed(operation, format!("{words}: {told}"))
}

#[async_trait]
impl BlobStore for ObjectBlobs {
    async fn put(&self, folder: &Folder, name: &str, sealed: Bytes) -> StoreResult<()> {
        let once = PutOptions::from(PutMode::Create);
        let put = self.objects.put_opts(&self.key(folder, name), sealed.into(), once).await;
        put.map(drop).map_err(|error| refused("store an object", error))
    }

    async fn get(&self, folder: &Folder, name: &str) -> StoreResult<Option<Bytes>> {
        let found = match self.objects.get(&self.key(folder, name)).await {
            Ok(object) => object.bytes().await.map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        found.map_err(|error| refused("read an object", error))
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

    async fn count(&self, folder: &Folder) -> StoreResult<u64> {
        if let Some(local) = &self.local {
            // No folder below a missing one is listed as empty.
            let place = local.folder.clone();
            let there = tokio::task::spawn_blocking(move || std::fs::metadata(place)).await;
            let there = there.map_err(|error| failed("open the folder", error))?;
            there.map_err(|error| failed("open the folder", error))?;
        }
        let listed = self.objects.list(Some(&self.place(folder)));
        let counted = listed.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await;
        counted.map_err(|error| refused("count the objects of a folder", error))
    }

    async fn has_room(&self, free_percent: u8) -> StoreResult<bool> {
        let Some(local) = &self.local else { return Ok(true) };
        let folder = local.folder.clone();
        let measured = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder)).await;
        let disk = measured.map_err(|error| failed("measure the disk", error))?;
        let disk = disk.map_err(|error| failed("measure the disk", error))?;
        Ok(u128::from(disk.f_bavail) * 100 >= u128::from(disk.f_blocks) * u128::from(free_percent))
    }

    fn folders(&self) -> BoxStream<'_, StoreResult<Folder>> {
        if let Some(local) = &self.local {
            return local.folders(&self.prefix);
        }
        // Object by object, page after page: only the last folder is remembered.
        let depth = self.prefix.parts().count();
        let listed = self.objects.list(Some(&self.prefix));
        // Whatever else lies there isn't ours to touch.
        let folder = move |object: ObjectMeta| object.location.parts().nth(depth)?.as_ref().parse().ok();
        let folders = listed.try_filter_map(move |object| std::future::ready(Ok(folder(object))));
        let mut last = None;
        let changed = folders.try_filter(move |folder: &Folder| {
            std::future::ready(last.replace(folder.clone()).as_ref() != Some(folder))
        });
        changed.map_err(|error| refused("list the folders", error)).boxed()
    }
}
