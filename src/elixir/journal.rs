//! What was changed in projects, so that it can be taken back: by undo, and after a crash in the
//! middle of a change.
//!
//! A record is written before the first file is touched. One that is still pending when the next
//! call takes the project's lock belongs to a call that died; its files are put back first.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::error::{ElixirError, Refusal};
use super::files::{FileChange, Root, apply, remove_empty_folders};

/// Longest wait for another call on the same project.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records that are kept.
const RECORDS: usize = 200;

/// One change of a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Call that made it.
    pub(crate) call_id: String,
    /// Who called.
    pub(crate) principal: String,
    /// The project's folder.
    pub(crate) root: PathBuf,
    pub(crate) changes: Vec<FileChange>,
    /// The call's own result, for a repetition of the same call.
    pub(crate) result: serde_json::Value,
}

/// Where records are kept.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

/// Holds a project for one call.
#[derive(Debug)]
pub(crate) struct Lock {
    _handle: File,
}

impl Journal {
    /// Records in this folder, which is made when it is needed.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Waits until no other call works on the project, in this process or another.
    ///
    /// # Errors
    /// When another call does not end.
    pub(crate) fn lock(root: &Root) -> Result<Lock, ElixirError> {
        let failed = |error: std::io::Error| {
            ElixirError::refused(
                Refusal::NotAccessible,
                format!("`{}` cannot be locked: {error}", root.path().display()),
                "name a folder on a local disk",
            )
        };
        let handle = root.dir().open(".").map_err(failed)?;
        let start = Instant::now();
        loop {
            match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _handle: handle }),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(ElixirError::refused(
                        Refusal::Conflict,
                        format!("another call works on `{}`", root.path().display()),
                        "repeat the call when it has ended",
                    ));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    fn open(&self) -> Result<Dir, ElixirError> {
        Dir::create_ambient_dir_all(&self.folder, ambient_authority()).map_err(Self::unusable)?;
        Dir::open_ambient_dir(&self.folder, ambient_authority()).map_err(Self::unusable)
    }

    #[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
    fn unusable(error: std::io::Error) -> ElixirError {
        ElixirError::refused(
            Refusal::NotAccessible,
            format!("what could be undone cannot be kept: {error}"),
            "check the data folder with `atelier doctor`; nothing was changed",
        )
    }

    fn name(call_id: &str) -> String {
        let safe: String = call_id.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{safe}.json")
    }

    /// The record of a call, when it was carried out.
    pub(crate) fn find(&self, call_id: &str) -> Result<Option<Record>, ElixirError> {
        let folder = self.open()?;
        Ok(read(&folder, &Self::name(call_id)))
    }

    /// Puts back what a call left half done.
    pub(crate) fn recover(&self, root: &Root) -> Result<(), ElixirError> {
        let folder = self.open()?;
        for name in names(&folder, ".pending") {
            let Some(record) = read(&folder, &name).filter(|record| record.root == root.path())
            else {
                continue;
            };
            let mut back = Vec::new();
            for change in &record.changes {
                // Only what that call wrote is taken back; what somebody wrote since is theirs.
                if change.before != change.after && root.read(&change.path)? == change.after {
                    back.push(reversed(change));
                }
            }
            apply(root, &back)?;
            tracing::warn!(files = back.len(), "a change that a crash had cut off was taken back");
            let _ = folder.remove_file(&name);
        }
        Ok(())
    }

    /// Writes the files of a change, with the record that can take them back.
    pub(crate) fn carry_out(&self, root: &Root, record: &Record) -> Result<(), ElixirError> {
        let folder = self.open()?;
        let name = Self::name(&record.call_id);
        let pending = format!("{name}.pending");
        write(&folder, &pending, record).map_err(Self::unusable)?;
        match apply(root, &record.changes) {
            Ok(()) => {
                folder.rename(&pending, &folder, &name).map_err(Self::unusable)?;
                prune(&folder);
                Ok(())
            }
            Err(error) => {
                let _ = folder.remove_file(&pending);
                Err(error)
            }
        }
    }

    /// The newest change of a project by a principal.
    pub(crate) fn newest(
        &self,
        root: &Path,
        principal: &str,
    ) -> Result<Option<Record>, ElixirError> {
        let folder = self.open()?;
        let mut found: Vec<_> = names(&folder, ".json")
            .into_iter()
            .filter_map(|name| {
                let moment = folder.metadata(&name).ok()?.modified().ok()?;
                let record = read(&folder, &name)?;
                (record.root == root && record.principal == principal).then_some((moment, record))
            })
            .collect();
        found.sort_by_key(|(moment, _)| *moment);
        Ok(found.pop().map(|(_, record)| record))
    }

    /// Takes a change back.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when one of its files is not as the change left it.
    pub(crate) fn undo(
        &self,
        root: &Root,
        record: &Record,
    ) -> Result<Vec<FileChange>, ElixirError> {
        let mut touched = Vec::new();
        for change in &record.changes {
            if root.read(&change.path)? != change.after {
                touched.push(format!("`{}`", change.path));
            }
        }
        if !touched.is_empty() {
            return Err(ElixirError::refused(
                Refusal::Conflict,
                format!("{} changed since, so nothing was taken back", touched.join(", ")),
                "take the changes back by hand, or with the project's version control",
            ));
        }
        let back: Vec<FileChange> = record.changes.iter().map(reversed).collect();
        apply(root, &back)?;
        let removed: Vec<String> = back
            .iter()
            .filter(|change| change.after.is_none())
            .map(|change| change.path.clone())
            .collect();
        remove_empty_folders(root, &removed);
        let _ = self.open()?.remove_file(Self::name(&record.call_id));
        Ok(back)
    }
}

fn reversed(change: &FileChange) -> FileChange {
    FileChange {
        path: change.path.clone(),
        before: change.after.clone(),
        after: change.before.clone(),
    }
}

fn names(folder: &Dir, ending: &str) -> Vec<String> {
    let Ok(entries) = folder.entries() else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(ending))
        .collect()
}

fn read(folder: &Dir, name: &str) -> Option<Record> {
    let mut text = String::new();
    folder.open(name).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(folder: &Dir, name: &str, record: &Record) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = folder.open_with(name, &options)?;
    file.write_all(serde_json::to_string(record)?.as_bytes())?;
    file.sync_all()
}

/// Forgets the oldest records beyond [`RECORDS`].
fn prune(folder: &Dir) {
    let mut known: Vec<_> = names(folder, ".json")
        .into_iter()
        .filter_map(|name| Some((folder.metadata(&name).ok()?.modified().ok()?, name)))
        .collect();
    known.sort();
    let surplus = known.len().saturating_sub(RECORDS);
    for (_, name) in known.into_iter().take(surplus) {
        let _ = folder.remove_file(name);
    }
}
