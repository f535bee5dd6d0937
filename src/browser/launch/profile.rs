//! The folder that Chrome writes to, where no namespace gives it one in memory.
//!
//! A lock tells a living owner from a dead one, so that what a killed program left behind is
//! removed at the next start.
#![expect(clippy::disallowed_methods, reason = "profiles are this adapter's own folders")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Gid, Uid};

const PREFIX: &str = "atelier-chrome-";
const LOCK: &str = "owner";
const FOLDER: &str = "profile";

/// A profile folder. Dropping it removes it.
pub(in crate::browser) struct Profile {
    _lock: File,
    folder: tempfile::TempDir,
}

impl Profile {
    /// Makes one below this folder, for this user.
    pub(super) fn create(parent: &Path, owner: Option<(Uid, Gid)>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let inner = folder.path().join(FOLDER);
        fs::create_dir(&inner)?;
        if let Some((user, group)) = owner {
            rustix::fs::chown(&inner, Some(user), Some(group))?;
            rustix::fs::chmod(folder.path(), rustix::fs::Mode::from_raw_mode(0o711))?;
        }
        rustix::fs::chmod(&inner, rustix::fs::Mode::from_raw_mode(0o700))?;
        Ok(Self { _lock: lock, folder })
    }

    /// Where Chrome writes.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(FOLDER)
    }
}

/// Removes the profiles below this folder whose owners have died.
pub(super) fn remove_leftovers(parent: &Path) {
    let Ok(entries) = parent.read_dir() else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file its owner is just about to make one.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Another user's folder stays; its owner removes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
