//! The data folder: whether it can be written, how much room it has, whether the database is sound.

use std::path::{Path, PathBuf};

use super::{Check, Status};
use crate::app::check_database;
use crate::config::prepare_data_dir;

/// Below this much room, writing will soon fail.
const LITTLE_ROOM_BYTES: u64 = 512 * 1024 * 1024;

pub(super) async fn checks(folder: &Path) -> Vec<Check> {
    if !folder.exists() {
        return vec![absent(folder)];
    }
    let writable = match prepare_data_dir(folder) {
        Ok(()) => Check::ok("data folder", folder.display().to_string()),
        Err(problem) => {
            let detail = format!("{}: {}", problem.place, problem.message);
            return vec![Check::finding("data folder", Status::Failed, detail, problem.hint)];
        }
    };
    let mut checks = vec![writable, room(folder)];
    checks.extend(network_share(folder));
    checks.push(database(folder).await);
    checks
}

/// A folder that the first start will make, where it can.
fn absent(folder: &Path) -> Check {
    let parent = folder.ancestors().find(|path| path.exists()).map(PathBuf::from);
    let writable = parent.is_some_and(|path| tempfile::NamedTempFile::new_in(path).is_ok());
    if writable {
        Check::ok("data folder", format!("{}, made at the first start", folder.display()))
    } else {
        Check::finding(
            "data folder",
            Status::Failed,
            format!("{} is not there and cannot be made", folder.display()),
            "name another folder with `--data-dir PATH` or `ATELIER_DATA_DIR`",
        )
    }
}

fn room(folder: &Path) -> Check {
    match rustix::fs::statvfs(folder) {
        Err(error) => Check::finding(
            "disk space",
            Status::Warning,
            format!("unknown: {error}"),
            format!("df -h {}", folder.display()),
        ),
        Ok(figures) => {
            let bytes = figures.f_bavail.saturating_mul(figures.f_frsize);
            let detail = format!("{} MiB free", bytes / (1024 * 1024));
            if bytes < LITTLE_ROOM_BYTES {
                let fix = "free space on this disk, or move the data folder";
                Check::finding("disk space", Status::Warning, detail, fix)
            } else {
                Check::ok("disk space", detail)
            }
        }
    }
}

/// SQLite's locks cannot be trusted over a network: two machines would damage the database.
#[cfg(target_os = "linux")]
fn network_share(folder: &Path) -> Option<Check> {
    // The word is signed on some machines and 32 bits wide on all.
    let kind = u64::try_from(rustix::fs::statfs(folder).ok()?.f_type & 0xFFFF_FFFF).ok()?;
    let name = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x00C3_6400, "Ceph"),
    ]
    .into_iter()
    .find(|(number, _)| kind == *number)
    .map(|(_, name)| name)?;
    Some(Check::finding(
        "file system",
        Status::Warning,
        format!("the data folder lies on a network share ({name}), where locks are unreliable"),
        "keep the data folder on a local disk: `--data-dir PATH` or `ATELIER_DATA_DIR`",
    ))
}

#[cfg(not(target_os = "linux"))]
fn network_share(_folder: &Path) -> Option<Check> {
    None
}

async fn database(folder: &Path) -> Check {
    match check_database(folder).await {
        Ok(true) => Check::ok("database", "SQLite finds no damage"),
        Ok(false) => Check::ok("database", "none yet, made at the first start"),
        Err(error) => Check::finding(
            "database",
            Status::Failed,
            error.to_string(),
            "stop Atelier, then restore the data folder from a backup, or name another one with `--data-dir PATH`",
        ),
    }
}
