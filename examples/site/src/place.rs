//! Where an installation keeps its shares, its images and its secret.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chatpic_core::{BlobStore, Builder, ChatPic, InstallationSecret};
use chatpic_storage::ObjectBlobs;
use clap::Args;

use crate::error::{CommandError, io_error};
use crate::secret;

/// Where an installation keeps its shares, its images and its secret: in one folder, unless told otherwise.
// No `Debug`: a URL may hold a password.
#[derive(Args)]
pub struct Place {
    /// Folder of the database, the sealed images and the secret
    #[arg(long, env = "CHATPIC_DATA", default_value = "./chatpic-data", value_name = "DIR", global = true)]
    pub data: PathBuf,
    /// Where shares are kept: sqlite://FILE, postgres://.. or mysql://USER:PASSWORD@HOST/DATABASE
    /// [default: DIR/chatpic.sqlite]
    // Not shown with its value: a URL may hold a password.
    #[arg(long, env = "CHATPIC_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    pub database: Option<String>,
    /// Where sealed images are kept: file://DIR or s3://BUCKET/PREFIX, with keys, region and endpoint from the
    /// AWS_* variables [default: DIR/blobs]
    #[arg(long, env = "CHATPIC_BLOBS", value_name = "URL", hide_env_values = true, global = true)]
    pub blobs: Option<String>,
    /// File of the installation's secret [default: DIR/secret, made at the first start]
    #[arg(long, env = "CHATPIC_SECRET_FILE", value_name = "FILE", global = true)]
    pub secret_file: Option<PathBuf>,
}

impl Place {
    /// Opens the stores, with this secret or the one in the file; the folder is made if anything lies in it.
    ///
    /// # Errors
    /// [`CommandError`] when a file, a folder or a store can't be used.
    pub async fn builder(&self, secret: Option<InstallationSecret>) -> Result<Builder, CommandError> {
        let secret = match secret {
            Some(secret) => secret,
            None => self.secret()?,
        };
        if self.database.is_none() {
            self.folder()?;
        }
        let shares = chatpic_storage::share_store(&self.database_url()).await?;
        let blobs: Arc<dyn BlobStore> = match &self.blobs {
            Some(url) => chatpic_storage::blob_store(url)?,
            None => Arc::new(ObjectBlobs::local(&self.folder()?.join("blobs"))?),
        };
        Ok(ChatPic::builder(secret).stores(shares, blobs))
    }

    /// Where the secret stands.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.secret_file.clone().unwrap_or_else(|| self.data.join("secret"))
    }

    /// Where shares are kept.
    pub(crate) fn database_url(&self) -> String {
        let own = || format!("sqlite://{}", self.data.join("chatpic.sqlite").display()).replace('%', "%25");
        self.database.clone().unwrap_or_else(own)
    }

    fn secret(&self) -> Result<InstallationSecret, CommandError> {
        if self.secret_file.is_none() {
            self.folder()?;
        }
        let file = self.secret_file();
        let what = format!("can't use the secret file {}", file.display());
        secret::load_or_create(&file).map_err(io_error(what))
    }

    fn folder(&self) -> Result<&Path, CommandError> {
        let what = format!("can't make the folder {}", self.data.display());
        // Whoever else is on this computer need not even know when something was shared.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.data).map_err(io_error(what))?;
        Ok(&self.data)
    }
}
