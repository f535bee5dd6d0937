//! Files of the kernel (`/proc`, control groups): small, never waited for, of no store.
#![expect(
    clippy::disallowed_methods,
    reason = "files of the kernel, which only this adapter reads"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

pub(super) fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Writes into a file that is there.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The lines of a file.
pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    Ok(read(path)?.lines().map(str::to_owned).collect())
}

/// A folder that may be there already.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Folders in a folder.
pub(super) fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// When a process began, in ticks since boot: with its id it names the process for good.
pub(super) fn start_time(process: i32) -> io::Result<u64> {
    let stat = read(Path::new(&format!("/proc/{process}/stat")))?;
    // The name, in brackets, may hold anything; the 20th word behind it is the time.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19))
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The process behind a descriptor of one, as this process numbers it.
pub(super) fn process_of(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let info = read(Path::new(&format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())))?;
    info.lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|number| number.trim().parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Memory of a process and all below it, shared pages divided among those who share them.
pub(super) fn memory_of_tree(process: i32) -> u64 {
    let mut sum = 0;
    let mut queue = vec![process];
    while let Some(process) = queue.pop() {
        sum += memory_of(process);
        let folder = PathBuf::from(format!("/proc/{process}/task"));
        for thread in children(&folder) {
            let text = read(&thread.join("children")).unwrap_or_default();
            queue.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
        }
    }
    sum
}

fn memory_of(process: i32) -> u64 {
    let text = read(Path::new(&format!("/proc/{process}/smaps_rollup"))).unwrap_or_default();
    let kilobytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    kilobytes * 1024
}
