//! Where an installation keeps its shares, its images and its secret.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use chatpic_core::{Builder, ChatPic, InstallationSecret};
use chatpic_storage::Inspected;
use clap::Args;
use futures::StreamExt;

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
    /// Opens the stores, with this secret or the one in the file. What is missing is made, but for the secret of a database
    /// that has one.
    ///
    /// # Errors
    /// [`CommandError`] when a file, a folder or a store can't be used.
    pub async fn builder(&self, secret: Option<InstallationSecret>) -> Result<Builder, CommandError> {
        let database = chatpic_storage::inspect(&self.database_url()).await?;
        let secret = match secret {
            Some(secret) => Some(secret),
            None => self.find_secret(&database).await?,
        };
        self.check_images(&database).await?;
        let secret = match secret {
            Some(secret) => secret,
            None => self.make_secret()?,
        };
        if self.database.is_none() || self.blobs.is_none() {
            self.make_folder()?;
        }
        let shares = chatpic_storage::share_store(&self.database_url()).await?;
        let blobs = chatpic_storage::blob_store(&self.blobs_url())?;
        Ok(ChatPic::builder(secret).stores(shares, blobs))
    }

    /// The secret, if there is one.
    ///
    /// # Errors
    /// [`CommandError::Setting`] when the database has one that is missing here: nothing in it could be opened, and whoever
    /// looks for that secret must not find another in its place.
    pub(crate) async fn find_secret(
        &self,
        database: &Inspected,
    ) -> Result<Option<InstallationSecret>, CommandError> {
        let secret = secret::load(&self.secret_file()).map_err(self.unusable_secret())?;
        // Whoever noted the fingerprint that was found had made the secret before.
        if secret.is_none() && database.fingerprint.is_some() {
            return Err(CommandError::Setting(format!(
                "there is a database, but its installation's secret is missing: put it back as {}, or name its file \
                 with --secret-file; nothing was written",
                self.secret_file().display()
            )));
        }
        Ok(secret)
    }

    /// Checks that images and database belong together: a database that is used has its folder of images, and one that was
    /// never used has none. Its sweep would take images of another database for what uploads left, and delete them.
    ///
    /// # Errors
    /// [`CommandError::Setting`] when they do not.
    pub(crate) async fn check_images(&self, database: &Inspected) -> Result<(), CommandError> {
        let url = self.blobs_url();
        let folder = chatpic_storage::blob_folder(&url);
        let is_missing = folder.as_ref().is_some_and(|folder| !folder.is_dir());
        let place = folder.map_or_else(|| "the bucket".to_owned(), |folder| folder.display().to_string());
        let problem = if database.fingerprint.is_some() {
            is_missing.then(|| format!("the folder of images, {place}, is missing: put it back"))
        } else if !is_missing
            && chatpic_storage::blob_store(&url)?.folders().next().await.transpose()?.is_some()
        {
            Some(format!(
                "there are images in {place}, but their database is missing: put it back, or move them away"
            ))
        } else {
            None
        };
        problem
            .map_or(Ok(()), |problem| Err(CommandError::Setting(format!("{problem}; nothing was written"))))
    }

    fn make_secret(&self) -> Result<InstallationSecret, CommandError> {
        if self.secret_file.is_none() {
            self.make_folder()?;
        }
        secret::create(&self.secret_file()).map_err(self.unusable_secret())
    }

    fn unusable_secret(&self) -> impl FnOnce(std::io::Error) -> CommandError {
        io_error(format!("can't use the secret file {}", self.secret_file().display()))
    }

    /// Where the secret stands.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.secret_file.clone().unwrap_or_else(|| self.data.join("secret"))
    }

    /// Where shares are kept.
    pub(crate) fn database_url(&self) -> String {
        self.database.clone().unwrap_or_else(|| self.within("sqlite", "chatpic.sqlite"))
    }

    /// Where sealed images are kept.
    pub(crate) fn blobs_url(&self) -> String {
        self.blobs.clone().unwrap_or_else(|| self.within("file", "blobs"))
    }

    /// The URL of something in the data folder.
    fn within(&self, scheme: &str, name: &str) -> String {
        let path = self.data.join(name).display().to_string();
        format!("{scheme}://{}", path.replace('%', "%25"))
    }

    fn make_folder(&self) -> Result<(), CommandError> {
        let what = format!("can't make the folder {}", self.data.display());
        // Whoever else is on this computer need not even know when something was shared.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.data).map_err(io_error(what))
    }
}
