//! Starts a process inside namespaces of its own: the one place with unsafe code.
//!
//! The standard library cannot start a child in a new user namespace together with a new process
//! namespace, since that takes the clone itself. So this file does what its `Command` does, with
//! those flags, and with nothing between clone and exec but system calls on memory that was made
//! ready before.
#![expect(unsafe_code, reason = "clone and exec have no safe form; see the SAFETY notes")]

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Pid, Signal, Uid};

/// Beyond the descriptors that the child gets.
const FIRST_FREE: c_int = 10;

/// What is started, and into what it is put.
pub(super) struct Plan {
    /// The program and its arguments.
    pub(super) command: Vec<CString>,
    /// The whole environment, as `NAME=value`.
    pub(super) environment: Vec<CString>,
    /// Which namespaces are new.
    pub(super) namespaces: Namespaces,
    /// Who the process becomes.
    pub(super) becomes: Option<(Uid, Gid)>,
    /// Folders that empty file systems in memory are laid over, with the mount's options.
    pub(super) covers: Vec<(CString, CString)>,
    /// What the process has as its descriptors 0 to 4.
    pub(super) descriptors: [OwnedFd; 5],
}

/// Which namespaces a process gets.
#[derive(Debug, Clone)]
pub(super) enum Namespaces {
    /// None.
    None,
    /// Made with the privileges of root: network, processes, mounts, messages.
    ByRoot,
    /// The same inside a new user namespace, with these texts for its maps.
    ByUser {
        /// For `/proc/self/uid_map`.
        users: CString,
        /// For `/proc/self/gid_map`.
        groups: CString,
    },
}

impl Namespaces {
    fn flags(&self) -> c_int {
        const INNER: c_int =
            libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
        match self {
            Self::None => 0,
            Self::ByRoot => INNER,
            Self::ByUser { .. } => INNER | libc::CLONE_NEWUSER,
        }
    }
}

/// How far the child came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Clone,
    Maps,
    Mounts,
    Identity,
    Descriptors,
    Exec,
}

impl Stage {
    const IN_CHILD: [Self; 5] =
        [Self::Maps, Self::Mounts, Self::Identity, Self::Descriptors, Self::Exec];

    /// What was tried.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clone => "making namespaces",
            Self::Maps => "mapping users into the namespace",
            Self::Mounts => "covering folders",
            Self::Identity => "becoming another user",
            Self::Descriptors => "making pipes",
            Self::Exec => "starting the program",
        }
    }
}

/// Why nothing was started.
#[derive(Debug)]
pub(super) struct SpawnError {
    pub(super) stage: Stage,
    pub(super) error: io::Error,
}

/// What the child needs, ready before it exists.
struct Ready<'a> {
    plan: &'a Plan,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    sources: Vec<OwnedFd>,
    report: OwnedFd,
    parent: Option<Pid>,
}

/// Starts the process. It is killed when the calling thread ends.
pub(super) fn spawn(plan: &Plan) -> Result<Pid, SpawnError> {
    let failed = |error: Errno| SpawnError { stage: Stage::Descriptors, error: error.into() };
    let (reports, low_report) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    // The child's sources must not lie where it is about to put its own descriptors.
    let move_up = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, FIRST_FREE);
    let report = move_up(low_report.as_fd()).map_err(failed)?;
    drop(low_report);
    let sources = plan.descriptors.iter().map(|fd| move_up(fd.as_fd())).collect::<Result<_, _>>();
    let ready = Ready {
        plan,
        arguments: pointers(&plan.command),
        environment: pointers(&plan.environment),
        sources: sources.map_err(failed)?,
        report,
        parent: matches!(plan.namespaces, Namespaces::None).then(rustix::process::getpid),
    };
    let flags = c_long::from(plan.namespaces.flags() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of the memory, and a
    // null stack means that it goes on with the copy of this thread's. The child runs only
    // `child`, which keeps to system calls (other threads may have held locks, of the allocator
    // too, at the moment of the clone), and never returns from it.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    if pid == 0 {
        child(&ready);
    }
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
        return Err(SpawnError { stage: Stage::Clone, error: io::Error::last_os_error() });
    };
    drop(ready);
    let mut told = Vec::new();
    // The end of the pipe without a report is the exec that closed it.
    let _ = File::from(reports).read_to_end(&mut told);
    let [stage, number @ ..] = told.as_slice() else { return Ok(pid) };
    let number = <[u8; 4]>::try_from(number).map_or(0, i32::from_ne_bytes);
    let stage = Stage::IN_CHILD.iter().find(|known| **known as u8 == *stage);
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    Err(SpawnError {
        stage: stage.copied().unwrap_or(Stage::Exec),
        error: io::Error::from_raw_os_error(number),
    })
}

/// Null-terminated, as exec wants them.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child's whole life before exec. Nothing here allocates, locks or unwinds.
fn child(ready: &Ready<'_>) -> ! {
    let Err((stage, error)) = become_program(ready);
    let [a, b, c, d] = error.raw_os_error().to_ne_bytes();
    let _ = rustix::io::write(&ready.report, &[stage as u8, a, b, c, d]);
    // SAFETY: ends this process without running what belongs to the parent.
    unsafe { libc::_exit(127) }
}

fn become_program(ready: &Ready<'_>) -> Result<std::convert::Infallible, (Stage, Errno)> {
    let plan = ready.plan;
    if let Namespaces::ByUser { users, groups } = &plan.namespaces {
        // An unprivileged process may map its group only after it gave up `setgroups`.
        write_to(c"/proc/self/setgroups", c"deny").map_err(|error| (Stage::Maps, error))?;
        write_to(c"/proc/self/uid_map", users).map_err(|error| (Stage::Maps, error))?;
        write_to(c"/proc/self/gid_map", groups).map_err(|error| (Stage::Maps, error))?;
    }
    if !matches!(plan.namespaces, Namespaces::None) {
        cover(plan).map_err(|error| (Stage::Mounts, error))?;
    }
    identify(ready).map_err(|error| (Stage::Identity, error))?;
    for (source, target) in ready.sources.iter().zip(0..) {
        // SAFETY: both numbers are plain; the target is the child's own to replace.
        if unsafe { libc::dup2(source.as_raw_fd(), target) } < 0 {
            return Err((Stage::Descriptors, last_error()));
        }
    }
    // SAFETY: resets what the parent set for itself, so that the program starts as from a shell;
    // and marks every further descriptor to be closed by exec, whoever opened it. The set is
    // plain memory that sigemptyset fills.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::syscall(libc::SYS_close_range, 5_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    let Some(program) = plan.command.first() else { return Err((Stage::Exec, Errno::NOENT)) };
    // SAFETY: the arrays are null-terminated and point into texts of the plan, which lives.
    unsafe {
        libc::execve(program.as_ptr(), ready.arguments.as_ptr(), ready.environment.as_ptr());
    }
    Err((Stage::Exec, last_error()))
}

/// Lays empty folders over what the process has no business to see.
fn cover(plan: &Plan) -> Result<(), Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    for (folder, options) in &plan.covers {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount(c"tmpfs", folder.as_c_str(), c"tmpfs", flags, options.as_c_str())?;
    }
    // Containers may forbid it; then the processes outside are seen by name, and no more.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None);
    Ok(())
}

/// Gives up root, leaves the parent's group and terminal, and ties the life to the parent's.
fn identify(ready: &Ready<'_>) -> Result<(), Errno> {
    rustix::process::chdir(c"/")?;
    rustix::process::setsid()?;
    if let Some((user, group)) = ready.plan.becomes {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    // Only now: a change of identity clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever lost the parent before that line would wait for ever. In a namespace the parent
    // cannot be seen; there the end of the pipes tells.
    if ready.parent.is_some() && rustix::process::getppid() != ready.parent {
        return Err(Errno::SRCH);
    }
    Ok(())
}

fn write_to(file: &CStr, text: &CStr) -> Result<(), Errno> {
    let file = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(drop)
}

fn last_error() -> Errno {
    // SAFETY: the location is this thread's own, and always there.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
