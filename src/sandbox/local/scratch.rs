//! Run folders on disk, for machines without a private root.
//!
//! The folder that holds them carries the process id and start time of its server, so that a later
//! start can remove what one left that was killed.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::kernel_files::{children, make_folder, start_time};

const PREFIX: &str = "atelier-sandbox-";

/// Makes the folder: nobody but its owner may list it.
pub(super) fn make(owner: Option<u32>) -> Result<TempDir, String> {
    let make = || -> std::io::Result<TempDir> {
        let process = std::process::id();
        let started = start_time(process.cast_signed())?;
        sweep(&std::env::temp_dir());
        let prefix = format!("{PREFIX}{process}-{started}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        make_folder(&folder.path().join("cache"))?;
        if let Some(owner) = owner {
            let user = Some(rustix::process::Uid::from_raw(owner));
            for path in [folder.path().to_owned(), folder.path().join("cache")] {
                rustix::fs::chown(&path, user, None)?;
            }
        }
        Ok(folder)
    };
    make().map_err(|error| format!("a folder for runs cannot be made: {error}"))
}

/// Removes what servers left that are no more. What belongs to other users stays theirs.
fn sweep(parent: &Path) {
    for folder in children(parent).into_iter().filter(|folder| is_left(folder)) {
        // Whoever owns it may remove it meanwhile, which is what we want.
        let _ = remove(folder);
    }
}

#[expect(clippy::disallowed_methods, reason = "folders of runs, of no store")]
fn remove(folder: PathBuf) -> std::io::Result<()> {
    std::fs::remove_dir_all(folder)
}

fn is_left(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
    let (Some(process), Some(started), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(process) = process.parse() else { return false };
    !start_time(process).is_ok_and(|time| time.to_string() == started)
}
