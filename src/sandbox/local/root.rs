//! The private root: a small tmpfs that holds the interpreter, read-only, and nothing of the host.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};

use super::launcher::{Failure, Step as _};
use super::plan::{DEVICES, LaunchPlan, PRIVATE_HOME};
use super::shares::{Share, place_copy, read_copies};
use super::sys;

/// Folders on which the new root can be built; what lies below is out of sight meanwhile.
const STAGES: [&str; 3] = ["/tmp", "/var", "/usr"];
const PASSWD: &str = "root:x:0:0::/:/bin/false\nsandbox:x:1000:1000::/home/sandbox:/bin/sh\n";
const GROUP: &str = "root:x:0:\nsandbox:x:1000:\n";
const HOSTS: &str = "127.0.0.1 localhost sandbox\n";

/// Builds the root and moves into it; the old one is out of reach afterwards.
pub(super) fn enter(plan: &LaunchPlan) -> Result<(), Failure> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make mounts private")?;
    // Opened before the stage covers anything of them.
    let mut sources = Vec::new();
    for path in plan.all_readable() {
        if let Some(source) = Source::open(&path)? {
            sources.push((path, source));
        }
    }
    for device in DEVICES {
        if let Some(source) = Source::open(Path::new(device))? {
            sources.push((PathBuf::from(device), source));
        }
    }
    let shares = match &plan.service {
        Some(service) => Share::open_all(service)?,
        None => Vec::new(),
    };
    let copies = match &plan.service {
        Some(service) => read_copies(&service.copies)?,
        None => Vec::new(),
    };
    let old_proc = Source::open(Path::new("/proc"))?;
    let stage = STAGES.into_iter().find(|path| Path::new(path).is_dir()).unwrap_or("/usr");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", stage, "tmpfs", flags, c"size=16m,nr_inodes=2048,mode=755")
        .step("mount the private root")?;
    rustix::process::chdir(stage).step("enter the private root")?;
    for (path, source) in &sources {
        source.place(path)?;
    }
    for share in &shares {
        share.place(plan.drop_to)?;
    }
    for (path, text) in &copies {
        place_copy(path, text, plan.drop_to)?;
    }
    if let Some(source) = old_proc {
        // Whole, or the kernel refuses fresh ones inside.
        source.place_with(Path::new("/proc"), Protect::NotAtAll)?;
    }
    furnish(plan)?;
    rustix::process::pivot_root(".", ".").step("pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("leave the old root")?;
    rustix::process::chdir("/").step("enter the private root")
}

/// The few files and folders of the root itself.
fn furnish(plan: &LaunchPlan) -> Result<(), Failure> {
    for folder in ["etc", "dev", "cache", "proc"] {
        make_folder(Path::new(folder))?;
    }
    let home = relative(Path::new(PRIVATE_HOME));
    make_folder(&home)?;
    for (name, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/hosts", HOSTS)] {
        write(Path::new(name), text)?;
    }
    // Whatever is written there lands in the run folder and dies with it.
    let temporary = format!("{PRIVATE_HOME}/.tmp");
    for link in ["tmp", "dev/shm", "var/tmp"] {
        if let Some(folder) = Path::new(link).parent() {
            make_folder(folder)?;
        }
        match rustix::fs::symlink(temporary.as_str(), link) {
            // An interpreter or its packages lie below; TMPDIR names the folder for temporary files.
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(Failure::new("link the folder for temporary files", error)),
        }
    }
    if let Some(user) = plan.drop_to {
        let user = Some(rustix::process::Uid::from_raw(user));
        rustix::fs::chown("cache", user, None).step("give away the cache folder")?;
    }
    Ok(())
}

/// Something of the old root.
pub(super) enum Source {
    /// A link is copied.
    Link(PathBuf),
    /// Anything else is mounted.
    Object { handle: OwnedFd, is_folder: bool },
}

/// What is done about rights on a mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protect {
    ReadOnly,
    /// Written to, and nothing in it is a program or a device.
    Data,
    NotAtAll,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let kind = match rustix::fs::lstat(path) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(Failure::new(format!("look at {}", path.display()), error)),
        };
        // A link at the top, like /bin; one deeper, like /etc/localtime, is followed.
        if kind == FileType::Symlink && path.parent() == Some(Path::new("/")) {
            let target = rustix::fs::readlink(path, Vec::new()).map_err(|error| {
                Failure::new(format!("read the link {}", path.display()), error)
            })?;
            let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
            return Ok(Some(Self::Link(target)));
        }
        let handle = match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(handle) => handle,
            // A dangling link.
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Failure::new(format!("open {}", path.display()), error)),
        };
        let stat = rustix::fs::fstat(&handle).step("look at a source")?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Ok(Some(Self::Object { handle, is_folder }))
    }

    fn place(&self, path: &Path) -> Result<(), Failure> {
        self.place_with(path, Protect::ReadOnly)
    }

    fn place_with(&self, path: &Path, protect: Protect) -> Result<(), Failure> {
        self.place_for(path, protect, None)
    }

    /// As if it belonged to somebody else, where the file system can do that.
    pub(super) fn place_for(
        &self,
        path: &Path,
        protect: Protect,
        users: Option<BorrowedFd<'_>>,
    ) -> Result<(), Failure> {
        let target = relative(path);
        let (handle, is_folder) = match self {
            Self::Link(to) => {
                return rustix::fs::symlink(to.as_path(), target.as_path())
                    .map_err(|error| Failure::new(format!("link {}", path.display()), error));
            }
            Self::Object { handle, is_folder } => (handle, *is_folder),
        };
        if is_folder {
            make_folder(&target)?;
        } else {
            if let Some(folder) = target.parent() {
                make_folder(folder)?;
            }
            write(&target, "")?;
        }
        let failed =
            |error: rustix::io::Errno| Failure::new(format!("bind {}", path.display()), error);
        let mapped = users.and_then(|users| sys::mapped_mount(handle.as_fd(), users).ok());
        if let Some(tree) = mapped {
            let (flags, here) = (MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH, rustix::fs::CWD);
            rustix::mount::move_mount(&tree, c"", here, target.as_path(), flags).map_err(failed)?;
        } else {
            let source = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::mount::mount_bind_recursive(source.as_str(), target.as_path())
                .map_err(failed)?;
        }
        if protect == Protect::NotAtAll {
            return Ok(());
        }
        // Flags that the host has set are locked for an ordinary user and must be set again.
        let had = rustix::fs::statvfs(target.as_path()).step("look at a mount")?.f_flag;
        let mut flags = MountFlags::BIND | MountFlags::NOSUID;
        flags |= match protect {
            Protect::ReadOnly => MountFlags::RDONLY,
            Protect::Data | Protect::NotAtAll => MountFlags::NOEXEC,
        };
        if is_folder {
            flags |= MountFlags::NODEV;
        }
        for (have, want) in [
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ] {
            if had.contains(have) {
                flags |= want;
            }
        }
        rustix::mount::mount_remount(target.as_path(), flags, c"")
            .map_err(|error| Failure::new(format!("protect {}", path.display()), error))
    }
}

pub(super) fn relative(path: &Path) -> PathBuf {
    Path::new(".").join(path.strip_prefix("/").unwrap_or(path))
}

pub(super) fn make_folder(path: &Path) -> Result<(), Failure> {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        so_far.push(part);
        match rustix::fs::mkdir(so_far.as_path(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            // The private root is ours; a read-only part is a mount that holds the folder already.
            Err(rustix::io::Errno::ROFS) if so_far.is_dir() => {}
            Err(error) => {
                return Err(Failure::new(format!("make the folder {}", so_far.display()), error));
            }
        }
    }
    Ok(())
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| Failure::new(format!("make {}", path.display()), error))?;
    io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes())
        .map_err(|error| Failure::new(format!("write {}", path.display()), error))
}
