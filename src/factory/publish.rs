//! Files of packages on disk: staged where nobody looks, published by one rename.

use std::io;
use std::path::{Path, PathBuf};

use super::error::{FactoryError, Refusal};
use super::ir::PackageFile;

/// Folder of the data folder that holds published packages.
pub(super) const SERVERS: &str = "servers";

/// Most copies of one name in a folder of the caller.
const COPIES: usize = 1000;

/// Writes a package into a folder that was not there, or held an earlier attempt.
///
/// # Errors
/// When the disk refuses.
pub(super) async fn stage(folder: &Path, files: &[PackageFile]) -> Result<(), FactoryError> {
    let work = async {
        remove(folder).await?;
        write_all(folder, files).await?;
        open_to_all(folder).await
    };
    work.await.map_err(|error| refused(folder, &error))
}

/// Moves a staged package to where it is found.
///
/// # Errors
/// When the disk refuses.
pub(super) async fn publish(staged: &Path, place: &Path) -> Result<(), FactoryError> {
    let work = async {
        if let Some(parent) = place.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        // Of a job that runs again: the same files.
        remove(place).await?;
        tokio::fs::rename(staged, place).await
    };
    work.await.map_err(|error| refused(place, &error))
}

/// Removes what was staged.
pub(super) async fn forget(folder: &Path) {
    if let Err(error) = remove(folder).await {
        tracing::warn!(error.cause = %error, "a staged package could not be removed");
    }
}

/// Writes a copy into a folder of the caller, under a name that is free.
///
/// # Errors
/// When the disk refuses.
pub(super) async fn copy_out(
    parent: &Path,
    name: &str,
    files: &[PackageFile],
) -> Result<PathBuf, FactoryError> {
    let work = async {
        let staging = parent.join(format!(".{name}.part"));
        remove(&staging).await?;
        write_all(&staging, files).await?;
        for number in 1..=COPIES {
            let wanted = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let folder = parent.join(wanted);
            if !tokio::fs::try_exists(&folder).await? {
                tokio::fs::rename(&staging, &folder).await?;
                return Ok(folder);
            }
        }
        Err(io::Error::other(format!("there are {COPIES} copies already")))
    };
    work.await.map_err(|error| refused(parent, &error))
}

async fn write_all(folder: &Path, files: &[PackageFile]) -> io::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        tokio::fs::write(&path, &file.text).await?;
    }
    Ok(())
}

/// Lets every user read what lies below a folder that they cannot enter from above: programs of
/// packages run as a user of their own when this program is root.
#[cfg(unix)]
pub(super) async fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        tokio::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).await?;
        let mut entries = tokio::fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let facts = entry.metadata().await?;
            if facts.is_dir() {
                folders.push(entry.path());
            } else if facts.is_file() {
                let mode = facts.permissions().mode();
                // Readable as a whole, and to be executed by whoever may read.
                let wanted = mode | 0o444 | ((mode & 0o100) >> 3) | ((mode & 0o100) >> 6);
                if mode != wanted {
                    let rights = std::fs::Permissions::from_mode(wanted);
                    tokio::fs::set_permissions(entry.path(), rights).await?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) async fn open_to_all(_folder: &Path) -> io::Result<()> {
    Ok(())
}

async fn remove(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn refused(folder: &Path, error: &io::Error) -> FactoryError {
    FactoryError::new(
        Refusal::NotAccessible,
        format!(
            "the package cannot be written to {}: {error}; nothing was published",
            folder.display()
        ),
        "free space or correct the rights there, then repeat the call",
    )
}
