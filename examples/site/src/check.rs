//! `chatpic check`: what is wrong with a configuration, in words.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use chatpic_core::{Clock, SystemClock, Timestamp};

use crate::commands::{DONE, Status, open, options, say};
use crate::config::Settings;
use crate::place::{CommandError, io_error};

/// No clock of a computer that is set shows an earlier time: 1 November 2026.
const CLOCK_AT_LEAST: Timestamp = Timestamp(1_793_491_200_000);
/// How far clocks may be apart: all nodes go by their own.
const CLOCKS_APART: Duration = Duration::from_secs(2);

/// Checks the settings, the secret, the stores and the clock, in this order, until something is wrong.
pub(crate) async fn check(settings: &Settings) -> Result<Status, CommandError> {
    options(settings)?;
    check_secret(&settings.place.secret_file())?;
    say("settings: ok")?;
    let database = chatpic_storage::inspect(&settings.place.database_url()).await?;
    if let Some(schema) = database.schema.filter(|schema| *schema < database.known) {
        return Err(CommandError::Setting(format!(
            "the database's tables have version {schema}, older than this ChatPic's {}: back them up, and `chatpic \
             serve` brings them up to date when it starts",
            database.known
        )));
    }
    let chatpic = open(settings).await?;
    chatpic.check_stores().await?;
    say("stores: ok")?;
    chatpic.check_room().await?;
    say("room: ok")?;
    check_clock(SystemClock.now(), database.clock)?;
    say("clock: ok")?;
    Ok(DONE)
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
