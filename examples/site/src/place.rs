//! Where an installation keeps its shares, its images and its secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chatpic_core::{BlobStore, Builder, ChatPic, InstallationSecret, ShareStore};
use chatpic_storage::{ObjectBlobs, SqliteShares};
use clap::Args;

use crate::secret;

/// Why a command failed, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The computer refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What was answered.
        source: std::io::Error,
    },
    /// ChatPic refused.
    #[error("{0}")]
    ChatPic(#[from] chatpic_core::Error),
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
}

impl From<chatpic_core::StoreError> for CommandError {
    fn from(error: chatpic_core::StoreError) -> Self {
        Self::ChatPic(error.into())
    }
}

pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> CommandError {
    let what = what.into();
    move |source| CommandError::Io { what, source }
}

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
        let shares: Arc<dyn ShareStore> = match &self.database {
            Some(url) => chatpic_storage::share_store(url).await?,
            None => Arc::new(SqliteShares::open(&self.folder()?.join("chatpic.sqlite")).await?),
        };
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
        std::fs::create_dir_all(&self.data).map_err(io_error(what))?;
        Ok(&self.data)
    }
}
