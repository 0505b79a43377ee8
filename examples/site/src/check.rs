//! `chatpic check`: what is wrong with a configuration, in words.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chatpic_core::secret::Derivation;
use chatpic_core::store::memory::MemoryShares;
use chatpic_core::{ChatPic, Clock, InstallationSecret, OsEntropy, SystemClock, Timestamp};
use chatpic_storage::Inspected;
use rustix::fs::{Access, access};

use crate::commands::{DONE, Status, check_limits, note, options, say};
use crate::config::Settings;
use crate::error::{CommandError, io_error};

/// No clock of a computer that is set shows an earlier time: 1 November 2026.
const CLOCK_AT_LEAST: Timestamp = Timestamp(1_793_491_200_000);
/// How far clocks may be apart: all nodes go by their own.
const CLOCKS_APART: Duration = Duration::from_secs(2);

/// Checks the settings, the secret, the stores and the clock, in this order, until something is wrong. Makes nothing, and
/// leaves nothing behind.
pub(crate) async fn check(settings: &Settings) -> Result<Status, CommandError> {
    options(settings)?;
    check_limits(&settings.limits.limits())?;
    let place = &settings.place;
    check_secret(&place.secret_file())?;
    say("settings: ok")?;
    settings.memory_shortage().into_iter().for_each(|shortage| note(&shortage));
    let database = chatpic_storage::inspect(&place.database_url()).await?;
    check_version(&database)?;
    let is_made = match (place.find_secret(&database).await?, database.fingerprint) {
        (Some(secret), Some(noted)) if Derivation::new(&secret).fingerprint() != noted => {
            return Err(chatpic_core::Error::ForeignSecret.into());
        }
        (secret, noted) => secret.is_some() && noted.is_some(),
    };
    if !is_made {
        check_future_folder(&place.data)?;
    }
    place.check_images(&database).await?;
    check_blobs(settings).await?;
    say(if is_made {
        "stores: ok\nroom: ok"
    } else {
        "stores: none yet; `chatpic serve` makes them at its first start"
    })?;
    check_clock(SystemClock.now(), database.clock)?;
    say("clock: ok")?;
    Ok(DONE)
}

/// Whether the blob store keeps what it is given, which is deleted at once, and has room.
async fn check_blobs(settings: &Settings) -> Result<(), CommandError> {
    let url = settings.place.blobs_url();
    if let Some(folder) = chatpic_storage::blob_folder(&url).filter(|folder| !folder.is_dir()) {
        return check_future_folder(&folder);
    }
    let blobs = chatpic_storage::blob_store(&url)?;
    // The database was looked at, and is not opened: a ChatPic in memory asks the blob store alone.
    let chatpic = ChatPic::builder(InstallationSecret::random(&OsEntropy))
        .stores(Arc::new(MemoryShares::default()), blobs)
        .limits(settings.limits.limits())
        .sweep_every(None);
    let chatpic = chatpic.build().await?;
    chatpic.check_stores().await?;
    Ok(chatpic.check_room().await?)
}

fn check_version(database: &Inspected) -> Result<(), CommandError> {
    let Inspected { schema, known, .. } = database;
    let Some(schema) = schema.filter(|schema| schema != known) else { return Ok(()) };
    Err(CommandError::Setting(if schema < *known {
        format!(
            "the database's tables have version {schema}, older than this ChatPic's {known}: back them up, and \
             `chatpic serve` brings them up to date when it starts"
        )
    } else {
        format!("the database's tables have version {schema}, which is newer than this ChatPic's {known}")
    }))
}

/// Whether a folder that is not there, or empty, can be made and written.
fn check_future_folder(folder: &Path) -> Result<(), CommandError> {
    let there = std::path::absolute(folder).map_err(io_error("can't tell the folder"))?;
    let there = there.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let allowed = access(there, Access::WRITE_OK | Access::EXEC_OK);
    allowed
        .map_err(|error| io_error(format!("can't write into the folder {}", there.display()))(error.into()))
}

fn check_secret(file: &Path) -> Result<(), CommandError> {
    let mode = match std::fs::metadata(file) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        // It is made when the stores are opened, or that says why not.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(format!("can't use the secret file {}", file.display()))(error)),
    };
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let file = file.display();
    Err(CommandError::Setting(format!(
        "the secret file {file} is open to others than its owner (mode {mode:03o}): `chmod 600 {file}`"
    )))
}

fn check_clock(ours: Timestamp, database: Option<Timestamp>) -> Result<(), CommandError> {
    if ours < CLOCK_AT_LEAST {
        return Err(CommandError::Setting("this computer's clock is not set".to_owned()));
    }
    let Some(theirs) = database else { return Ok(()) };
    let (ahead, behind) = (theirs.until(ours), ours.until(theirs));
    if ahead.max(behind) <= CLOCKS_APART {
        return Ok(());
    }
    let how = if ahead > behind { "ahead of" } else { "behind" };
    Err(CommandError::Setting(format!(
        "this computer's clock is {} seconds {how} the database server's: set both by NTP",
        ahead.max(behind).as_secs()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[test]
    fn clocks_may_differ_by_two_seconds() {
        let after = |by: i64| Some(Timestamp(NOW.0 + by));
        for fine in [None, Some(NOW), after(2000), after(-2000)] {
            assert!(check_clock(NOW, fine).is_ok(), "{fine:?}");
        }
        let told =
            |database| check_clock(NOW, database).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told(after(-3_600_000)).contains("3600 seconds ahead of"), "{}", told(after(-3_600_000)));
        assert!(told(after(5000)).contains("5 seconds behind"), "{}", told(after(5000)));
        let unset = check_clock(Timestamp(1000), Some(Timestamp(1000)));
        assert!(unset.is_err_and(|error| error.to_string().contains("not set")));
    }
}
