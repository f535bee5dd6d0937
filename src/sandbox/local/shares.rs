//! What a service has of the host: folders that it shares, with all hidden that is not meant, and
//! copies of small files.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Gid, Signal, Uid, WaitOptions};
use rustix::thread::UnshareFlags;

use super::launcher::{Failure, Step as _, die_with_parent};
use super::plan::ServicePlan;
use super::root::{Protect, Source, make_folder, relative, write};
use super::sys::{self, Fork};
use crate::sandbox::{ShareAccess, SharedFolder};

/// What lies over the files of a shared folder that are not meant.
const EMPTY_FILE: &str = "./.empty-file";
const EMPTY_FOLDER: &str = "./.empty-folder";
/// Most files of a shared folder that are hidden one by one.
const MOST_HIDDEN: usize = 1000;
/// Largest file that is copied.
const COPY_BYTES: u64 = 1 << 20;

/// A folder that a service shares with the host, and what it holds besides.
pub(super) struct Share<'a> {
    plan: &'a SharedFolder,
    source: Source,
    owner: (Uid, Gid),
    hidden: Vec<(OsString, FileType)>,
}

impl<'a> Share<'a> {
    pub(super) fn open_all(service: &'a ServicePlan) -> Result<Vec<Self>, Failure> {
        service.shares.iter().map(Self::open).collect()
    }

    fn open(plan: &'a SharedFolder) -> Result<Self, Failure> {
        let named = |what: &str| format!("{what} the shared folder {}", plan.folder.display());
        let opened = Source::open(&plan.folder)?;
        let Some(source @ Source::Object { is_folder: true, .. }) = opened else {
            return Err(Failure::new(named("find"), rustix::io::Errno::NOTDIR));
        };
        let mut hidden = Vec::new();
        let entries = rustix::fs::open(
            plan.folder.as_path(),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .and_then(rustix::fs::Dir::read_from)
        .map_err(|error| Failure::new(named("list"), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Failure::new(named("list"), error))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let is_meant = plan.files.iter().any(|file| OsStr::new(file) == name);
            if is_meant || name == "." || name == ".." {
                continue;
            }
            if hidden.len() == MOST_HIDDEN {
                return Err(Failure::new(
                    format!("{}: it holds more than {MOST_HIDDEN} other files", named("share")),
                    rustix::io::Errno::TOOBIG,
                ));
            }
            // Some file systems do not say what an entry is.
            let kind = match entry.file_type() {
                FileType::Unknown => rustix::fs::lstat(plan.folder.join(name))
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            hidden.push((name.to_owned(), kind));
        }
        let stat = rustix::fs::stat(plan.folder.as_path())
            .map_err(|error| Failure::new(named("look at"), error))?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        Ok(Self { plan, source, owner, hidden })
    }

    /// Mounts it. When the server is root, what belongs to the folder's owner belongs to the
    /// service's user inside.
    pub(super) fn place(&self, user: Option<u32>) -> Result<(), Failure> {
        let folder = &self.plan.folder;
        let protect = match self.plan.access {
            // To connect to a socket is no writing to its file system.
            ShareAccess::Read | ShareAccess::Connect => Protect::ReadOnly,
            ShareAccess::Write => Protect::Data,
        };
        let users = match user {
            Some(user) if user != self.owner.0.as_raw() => {
                // Where that cannot be had, the rights of the files decide.
                mapping(self.owner, user).ok()
            }
            Some(_) | None => None,
        };
        self.source.place_for(folder, protect, users.as_ref().map(|users| users.as_fd()))?;
        if self.hidden.is_empty() {
            return Ok(());
        }
        make_folder(Path::new(EMPTY_FOLDER))?;
        write(Path::new(EMPTY_FILE), "")?;
        rustix::fs::chmod(EMPTY_FILE, Mode::empty()).step("hide what is not shared")?;
        for (name, kind) in &self.hidden {
            let cover = match kind {
                FileType::Directory => EMPTY_FOLDER,
                // What a link leads to is not there.
                FileType::Symlink => continue,
                _ => EMPTY_FILE,
            };
            let target = relative(&folder.join(name));
            match rustix::mount::mount_bind(cover, target.as_path()) {
                // It is gone meanwhile.
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => {
                    return Err(Failure::new(
                        format!("hide what is not shared of {}", folder.display()),
                        error,
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Reads small files while they can still be reached.
pub(super) fn read_copies(paths: &[PathBuf]) -> Result<Vec<(&Path, Vec<u8>)>, Failure> {
    let read = |path: &PathBuf| -> io::Result<Vec<u8>> {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = Vec::new();
        let file = std::fs::File::from(file);
        io::Read::read_to_end(&mut io::Read::take(file, COPY_BYTES + 1), &mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > COPY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    };
    paths
        .iter()
        .map(|path| match read(path) {
            Ok(bytes) => Ok((path.as_path(), bytes)),
            Err(error) => Err(Failure::new(format!("read {}", path.display()), error)),
        })
        .collect()
}

/// Puts a copy where the original is, for the service's user alone.
pub(super) fn place_copy(path: &Path, bytes: &[u8], owner: Option<u32>) -> Result<(), Failure> {
    let target = relative(path);
    let failed = |error: io::Error| Failure::new(format!("copy {}", path.display()), error);
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match rustix::fs::open(target.as_path(), flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => file,
        // It is readable already, as a part of something else.
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    };
    if let Some(owner) = owner {
        let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
        rustix::fs::fchown(&file, Some(user), Some(group)).map_err(|error| failed(error.into()))?;
    }
    io::Write::write_all(&mut std::fs::File::from(file), bytes).map_err(failed)
}

/// A user namespace that says who stands for whom on a mount.
fn mapping((user, group): (Uid, Gid), inside: u32) -> Result<OwnedFd, Failure> {
    const STEP: &str = "map the owner of a shared folder";
    let (ready, tells) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step(STEP)?;
    let holder = match sys::fork().step(STEP)? {
        Fork::Child => {
            let _ = die_with_parent();
            let done = sys::unshare(UnshareFlags::NEWUSER).is_ok();
            let _ = rustix::io::write(&tells, &[u8::from(done)]);
            drop(ready);
            // Until it is killed, a moment later.
            loop {
                std::thread::sleep(std::time::Duration::from_mins(1));
            }
        }
        Fork::Parent(holder) => holder,
    };
    drop(tells);
    let mut word = [0];
    let made = rustix::io::read(&ready, &mut word).step(STEP).and_then(|_| {
        let number = holder.as_raw_nonzero();
        for (name, id) in [("uid_map", user.as_raw()), ("gid_map", group.as_raw())] {
            let path = format!("/proc/{number}/{name}");
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty()).step(STEP)?;
            rustix::io::write(&file, format!("{id} {inside} 1").as_bytes()).step(STEP)?;
        }
        let path = format!("/proc/{number}/ns/user");
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step(STEP)
    });
    let _ = rustix::process::kill_process(holder, Signal::KILL);
    let _ = rustix::process::waitpid(Some(holder), WaitOptions::empty());
    made
}

/// Whether this process may do in the shared folders what it is meant to; to be asked by the service's
/// own user.
pub(super) fn check(service: &ServicePlan) -> Result<(), Failure> {
    use rustix::fs::Access;
    for share in &service.shares {
        let (rights, verb) = match share.access {
            ShareAccess::Read | ShareAccess::Connect => (Access::READ_OK, "read"),
            ShareAccess::Write => (Access::READ_OK | Access::WRITE_OK, "write to"),
        };
        let first = share.files.first().map(|name| share.folder.join(name));
        let looked = [
            (share.folder.as_path(), rights | Access::EXEC_OK),
            (first.as_deref().unwrap_or(&share.folder), rights),
        ];
        for (path, rights) in looked {
            match rustix::fs::access(path, rights) {
                // A socket may be only written to, a file may come later.
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(_) if share.access == ShareAccess::Connect => {}
                Err(error) => {
                    return Err(Failure::told(
                        &format!("share {}", share.folder.display()),
                        format!(
                            "{error}: the user as which sandboxed programs run may not {verb} {}; \
                             let it, or start Atelier as the owner of that folder",
                            path.display()
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}
