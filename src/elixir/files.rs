//! The project's files, through a handle on its folder: no path and no link leads out of it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use sha2::{Digest, Sha256};

use super::error::{ElixirError, Refusal};

/// Largest source file that is read.
const FILE_BYTES: u64 = 2 * 1024 * 1024;

/// Most files that a project may have where we look.
const FILES: usize = 20_000;

/// Folders that hold no sources of the project.
const SKIPPED: [&str; 6] = ["_build", "deps", "node_modules", "assets", "static", "cover"];

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where projects may lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// By the configuration.
    pub(crate) configured: Vec<PathBuf>,
    /// Of these, where the caller works, when it says so.
    pub(crate) of_caller: Option<Vec<PathBuf>>,
}

/// A project's folder.
#[derive(Debug)]
pub(crate) struct Root {
    dir: Dir,
    path: PathBuf,
}

impl Root {
    /// Opens a folder that lies in one of the allowed ones.
    ///
    /// # Errors
    /// When it does not, or cannot be opened.
    pub(crate) fn open(given: &str, allowed: &Allowed) -> Result<Self, ElixirError> {
        let denied = |message: String| {
            let listed: Vec<String> =
                allowed.configured.iter().map(|path| path.display().to_string()).collect();
            let now = if listed.is_empty() {
                "none is allowed now".to_owned()
            } else {
                format!("allowed now: {}", listed.join(", "))
            };
            ElixirError::refused(
                Refusal::PathNotAllowed,
                message,
                format!(
                    "add the folder to `elixir.allowed_roots` (ATELIER_ELIXIR__ALLOWED_ROOTS, separated by `:`); {now}"
                ),
            )
        };
        let path = Path::new(given.trim());
        if !path.is_absolute() {
            return Err(ElixirError::refused(
                Refusal::PathNotAllowed,
                format!("`target_project_path` is `{}`, which is not absolute", path.display()),
                "write the whole path of the project's folder",
            ));
        }
        // What exists outside the allowed folders is nobody's business, so this comes first.
        let outside = || denied(format!("`{}` is not in an allowed folder", path.display()));
        let real = path.canonicalize().map_err(|error| {
            if allowed.configured.iter().any(|root| path.starts_with(root)) {
                ElixirError::refused(
                    Refusal::NotAProject,
                    format!("`{}` cannot be opened: {error}", path.display()),
                    "name the folder of an existing project",
                )
            } else {
                outside()
            }
        })?;
        let lies_in = |folders: &[PathBuf]| {
            folders
                .iter()
                .filter_map(|root| root.canonicalize().ok())
                .any(|root| real.starts_with(root))
        };
        if !lies_in(&allowed.configured) {
            return Err(outside());
        }
        if let Some(folders) = &allowed.of_caller
            && !lies_in(folders)
        {
            let named: Vec<String> =
                folders.iter().map(|path| path.display().to_string()).collect();
            return Err(ElixirError::refused(
                Refusal::PathNotAllowed,
                format!("`{}` is in none of the folders that the client has open", path.display()),
                format!("open the project in the client; it names now: {}", named.join(", ")),
            ));
        }
        let dir = Dir::open_ambient_dir(&real, ambient_authority()).map_err(|error| {
            ElixirError::refused(
                Refusal::NotAProject,
                format!("`{}` is no folder that can be opened: {error}", real.display()),
                "name the project's folder, the one that holds `mix.exs`",
            )
        })?;
        Ok(Self { dir, path: real })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A file's text; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read as text.
    pub(crate) fn read(&self, path: &str) -> Result<Option<String>, ElixirError> {
        let failed = |why: String| {
            ElixirError::refused(
                Refusal::NotAccessible,
                format!("`{path}` {why}"),
                "make it a readable text file of the project, then repeat the call",
            )
        };
        let metadata = match self.dir.metadata(path) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                // A dangling link would be followed when written.
                if self.dir.symlink_metadata(path).is_ok() {
                    return Err(failed("is a link that leads nowhere".to_owned()));
                }
                return Ok(None);
            }
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        if !metadata.is_file() {
            return Err(failed("is no file".to_owned()));
        }
        if metadata.len() > FILE_BYTES {
            return Err(failed(format!("is larger than {FILE_BYTES} bytes")));
        }
        let mut text = String::new();
        self.dir
            .open(path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| failed(format!("cannot be read: {error}")))?;
        Ok(Some(text))
    }

    /// Files below a folder with one of these endings, sorted. Links to folders are not followed.
    pub(crate) fn list(&self, folder: &str, endings: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.trim_end_matches('/').to_owned()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = self.dir.read_dir(if folder.is_empty() { "." } else { &folder })
            else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let Ok(kind) = entry.file_type() else { continue };
                let path =
                    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let hidden = name.starts_with('.') || SKIPPED.contains(&name.as_str());
                if kind.is_dir() && !hidden {
                    open.push(path);
                } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                    found.push(path);
                }
                if found.len() >= FILES {
                    return found;
                }
            }
        }
        found.sort();
        found
    }

    /// Folders directly in a folder.
    pub(crate) fn folders(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = self.dir.read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// One file of a change: what was there and what shall be there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FileChange {
    /// Relative path.
    pub(crate) path: String,
    /// Text before; `None`: no file.
    pub(crate) before: Option<String>,
    /// Text after; `None`: no file.
    pub(crate) after: Option<String>,
}

/// Writes all files of a change or none.
///
/// # Errors
/// [`Refusal::Conflict`] when a file is not as it was read; [`Refusal::NotAccessible`] when one
/// cannot be written. In both cases every file is as before.
pub(crate) fn apply(root: &Root, changes: &[FileChange]) -> Result<(), ElixirError> {
    for change in changes {
        if root.read(&change.path)? != change.before {
            return Err(ElixirError::refused(
                Refusal::Conflict,
                format!("`{}` was changed by somebody else", change.path),
                "look at the file, then repeat the call",
            ));
        }
    }
    let mut writer =
        Writer { root, folders: Vec::new(), staged: BTreeMap::new(), done: Vec::new() };
    let outcome = writer.stage(changes).and_then(|()| writer.commit(changes));
    if let Err((path, error)) = outcome {
        writer.roll_back();
        return Err(ElixirError::refused(
            Refusal::NotAccessible,
            format!("`{path}` cannot be written: {error}; no file was changed"),
            "check the permissions and the free space of the project's folder",
        ));
    }
    Ok(())
}

type Failed = (String, std::io::Error);

struct Writer<'a> {
    root: &'a Root,
    /// Folders made here, outer before inner.
    folders: Vec<String>,
    /// Temporary files by their target.
    staged: BTreeMap<String, String>,
    /// Changes whose target is in place.
    done: Vec<FileChange>,
}

impl Writer<'_> {
    fn stage(&mut self, changes: &[FileChange]) -> Result<(), Failed> {
        for change in changes {
            let Some(text) = &change.after else { continue };
            let failed = |error| (change.path.clone(), error);
            self.make_folders(&change.path).map_err(failed)?;
            let temporary = self.write_temporary(&change.path, text).map_err(failed)?;
            self.staged.insert(change.path.clone(), temporary);
        }
        Ok(())
    }

    fn make_folders(&mut self, path: &str) -> std::io::Result<()> {
        for (place, _) in path.match_indices('/') {
            let Some(folder) = path.get(..place) else { continue };
            match self.root.dir.create_dir(folder) {
                Ok(()) => self.folders.push(folder.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_temporary(&self, path: &str, text: &str) -> std::io::Result<String> {
        let (folder, name) =
            path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let slash = if folder.is_empty() { "" } else { "/" };
        let temporary = format!("{folder}{slash}.{name}.atelier-{}", std::process::id());
        let _ = self.root.dir.remove_file(&temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let written = self.root.dir.open_with(&temporary, &options).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // An edited file keeps its mode bits.
            if let Ok(metadata) = self.root.dir.metadata(path) {
                file.set_permissions(metadata.permissions())?;
            }
            file.sync_all()
        });
        if written.is_err() {
            let _ = self.root.dir.remove_file(&temporary);
        }
        written.map(|()| temporary)
    }

    fn commit(&mut self, changes: &[FileChange]) -> Result<(), Failed> {
        for change in changes {
            let outcome = match self.staged.get(&change.path) {
                Some(temporary) => self.put(temporary, &change.path),
                None => self.root.dir.remove_file(&change.path),
            };
            outcome.map_err(|error| (change.path.clone(), error))?;
            self.staged.remove(&change.path);
            self.done.push(change.clone());
        }
        Ok(())
    }

    /// Puts a temporary file in its place. A link within the project stays one: its target changes.
    fn put(&self, temporary: &str, path: &str) -> std::io::Result<()> {
        let linked = self
            .root
            .dir
            .symlink_metadata(path)
            .is_ok_and(|metadata| metadata.file_type().is_symlink());
        if linked {
            let target = self.root.dir.canonicalize(path)?;
            return self.root.dir.rename(temporary, &self.root.dir, target);
        }
        self.root.dir.rename(temporary, &self.root.dir, path)
    }

    fn roll_back(&mut self) {
        for temporary in self.staged.values() {
            let _ = self.root.dir.remove_file(temporary);
        }
        self.staged.clear();
        for change in std::mem::take(&mut self.done).into_iter().rev() {
            let restored = match &change.before {
                Some(text) => self
                    .write_temporary(&change.path, text)
                    .and_then(|temporary| self.put(&temporary, &change.path)),
                None => self.root.dir.remove_file(&change.path),
            };
            if let Err(error) = restored {
                tracing::error!(path = change.path, %error, "a file of a failed change could not be restored");
            }
        }
        for folder in self.folders.iter().rev() {
            let _ = self.root.dir.remove_dir(folder);
        }
    }
}

/// Removes folders that a change left empty, inner before outer; others stay.
pub(crate) fn remove_empty_folders(root: &Root, paths: &[String]) {
    for path in paths {
        let mut rest = path.as_str();
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if !folder.contains('/') || root.dir.remove_dir(folder).is_err() {
                break;
            }
            rest = folder;
        }
    }
}
