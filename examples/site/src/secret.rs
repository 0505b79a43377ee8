//! The installation's secret: a file made at the first start, readable by its owner alone.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chatpic_core::{Entropy, InstallationSecret, OsEntropy};

/// Reads the secret, if there is one.
pub(crate) fn load(path: &Path) -> io::Result<Option<InstallationSecret>> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "the secret file holds no secret");
            text.parse().map(Some).map_err(wrong)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the secret. Two processes that start at once agree on one.
pub(crate) fn create(path: &Path) -> io::Result<InstallationSecret> {
    let secret = InstallationSecret::random(&OsEntropy);
    // Written whole under another name and then linked, so that nobody reads half of it and the first wins.
    let mut suffix = [0; 8];
    OsEntropy.fill(&mut suffix);
    let draft = path.with_extension(format!("new-{:016x}", u64::from_ne_bytes(suffix)));
    let linked = write(&draft, &secret).and_then(|()| std::fs::hard_link(&draft, path));
    // Whatever became of it: a draft that stays is nobody's.
    drop(std::fs::remove_file(&draft));
    match linked {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            load(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        Err(error) => Err(error),
    }
}

fn write(path: &Path, secret: &InstallationSecret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.reveal().as_bytes())?;
    file.sync_all()
}
