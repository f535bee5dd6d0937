//! What a run left in its folder, read by the folder's descriptor after every process is gone.
//!
//! Nothing is followed: links, other mounts and `..` end a look-up in the kernel, and what is no
//! regular file is passed over. So a name can only ever lead to bytes that the run itself wrote.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::sandbox::{InputFile, OutputFile, RunLimits, SkippedFile};

const DEPTH: usize = 8;
/// Entries that are looked at; a folder with more is cut with a note.
const ENTRIES: usize = 4096;
/// Passed over entries that are named.
const NAMED: usize = 20;
const NAME_CHARACTERS: usize = 200;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) files: Vec<OutputFile>,
    pub(super) skipped: Vec<SkippedFile>,
}

struct Walk<'a> {
    limits: &'a RunLimits,
    inputs: &'a [InputFile],
    found: Collected,
    names: BTreeSet<String>,
    bytes: u64,
    entries: usize,
    unnamed: usize,
}

/// Whether a run left nothing that could be taken; cheap, so that most runs end without more.
pub(super) fn is_bare(folder: &OwnedFd) -> bool {
    Dir::read_from(folder).is_ok_and(|entries| {
        entries.flatten().all(|entry| entry.file_name().to_bytes().starts_with(b"."))
    })
}

/// Reads a run folder. Inputs that were not changed are no output.
pub(super) fn collect(folder: &OwnedFd, limits: &RunLimits, inputs: &[InputFile]) -> Collected {
    let mut walk = Walk {
        limits,
        inputs,
        found: Collected::default(),
        names: BTreeSet::new(),
        bytes: 0,
        entries: 0,
        unnamed: 0,
    };
    walk.folder(folder.as_fd(), "", DEPTH);
    if walk.unnamed > 0 {
        walk.found.skipped.push(SkippedFile {
            name: "...".to_owned(),
            reason: format!("{} more were left out", walk.unnamed),
        });
    }
    walk.found.files.sort_by(|one, other| one.name.cmp(&other.name));
    walk.found
}

impl Walk<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str, depth: usize) {
        let Ok(entries) = Dir::read_from(folder) else {
            self.skip(path, "the folder cannot be read");
            return;
        };
        let mut names: Vec<CString> = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else { break };
            let name = entry.file_name();
            // Hidden things, the folder for temporary files first of all, are nobody's output.
            if name.to_bytes().starts_with(b".") || name == c"__pycache__" {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES {
                self.unnamed += 1;
                continue;
            }
            names.push(name.to_owned());
        }
        names.sort();
        for name in names {
            self.entry(folder, path, &name, depth);
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, path: &str, name: &CStr, depth: usize) {
        let shown = shown(path, name);
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let opened = match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve) {
            Ok(opened) => opened,
            Err(rustix::io::Errno::LOOP) => return self.skip(&shown, "a link"),
            Err(error) => return self.skip(&shown, &format!("it cannot be opened ({error})")),
        };
        let Ok(stat) = rustix::fs::fstat(&opened) else { return };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth == 0 => self.skip(&shown, "nested too deeply"),
            FileType::Directory => self.folder(opened.as_fd(), &shown, depth - 1),
            FileType::RegularFile => {
                self.file(opened, shown, u64::try_from(stat.st_size).unwrap_or(u64::MAX));
            }
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => self.skip(&shown, "no regular file"),
        }
    }

    fn file(&mut self, opened: OwnedFd, name: String, size: u64) {
        if self.found.files.len() >= self.limits.files {
            return self.skip(&name, &format!("more than {} files", self.limits.files));
        }
        let left = self.limits.file_bytes.saturating_sub(self.bytes);
        if size > left {
            return self.skip(
                &name,
                &format!(
                    "{size} bytes; all files together have at most {}",
                    self.limits.file_bytes
                ),
            );
        }
        let mut bytes = Vec::new();
        if std::fs::File::from(opened).take(size).read_to_end(&mut bytes).is_err() {
            return self.skip(&name, "it cannot be read");
        }
        if self.inputs.iter().any(|input| input.name == name && input.bytes == bytes) {
            return;
        }
        if !self.names.insert(name.clone()) {
            return self.skip(&name, "its name cannot be told from another one");
        }
        self.bytes += size;
        self.found.files.push(OutputFile { name, bytes });
    }

    fn skip(&mut self, name: &str, reason: &str) {
        if self.found.skipped.len() < NAMED {
            self.found
                .skipped
                .push(SkippedFile { name: name.to_owned(), reason: reason.to_owned() });
        } else {
            self.unnamed += 1;
        }
    }
}

/// A name that can be shown and saved under: no control characters, valid UTF-8.
fn shown(path: &str, name: &CStr) -> String {
    let clean: String = name
        .to_string_lossy()
        .chars()
        .map(|letter| if letter.is_control() || letter == '\\' { '_' } else { letter })
        .take(NAME_CHARACTERS)
        .collect();
    if path.is_empty() { clean } else { format!("{path}/{clean}") }
}
