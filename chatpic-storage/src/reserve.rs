//! Room on a disk that is kept for what must be written even when the disk is full.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that are kept: enough to end a share with some ten thousand sessions.
const BYTES: u64 = 4 << 20;

/// A file that takes up room until it is given up.
#[derive(Clone, Debug)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    /// The reserve in this file, which need not exist yet.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Takes up the room, if there is as much and it is not taken up already.
    pub(crate) async fn keep(&self) {
        self.with(|file| {
            if fs::metadata(file).is_ok_and(|file| file.len() == BYTES) {
                return Ok(());
            }
            let taken = take(file);
            // A part of it would only make the disk fuller.
            taken.or_else(|_| fs::remove_file(file))
        })
        .await;
    }

    /// Gives the room back. Answers whether there was any.
    pub(crate) async fn give_up(&self) -> bool {
        self.with(|file| fs::remove_file(file)).await
    }

    async fn with(&self, change: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> bool {
        let file = self.0.clone();
        matches!(tokio::task::spawn_blocking(move || change(&file)).await, Ok(Ok(())))
    }
}

fn take(file: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(fallocate(file, FallocateFlags::empty(), 0, BYTES)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_given_up_once_and_taken_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("reserve");
        let reserve = Reserve::new(file.clone());
        for _ in 0..2 {
            reserve.keep().await;
            reserve.keep().await;
            let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&file).unwrap());
            assert!(blocks * 512 >= BYTES, "it is not a hole");
            assert!(reserve.give_up().await && !file.exists());
            assert!(!reserve.give_up().await);
        }
    }
}
