//! The few system calls without a safe wrapper. The only file with `unsafe` in it.
#![expect(unsafe_code, reason = "system calls that no crate wraps safely, each with its argument")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Moves this process, which has one thread, into new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the call is unsafe because it can separate descriptors or the working folder of
    // threads that expect to share them. `FILES` is never among our flags, and the launcher that
    // calls this has no second thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Closes every descriptor from `first` on.
///
/// To be called before this process has opened any of its own, so that what closes was inherited.
pub(super) fn close_inherited(first: RawFd) -> io::Result<()> {
    let first = u32::try_from(first).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: close_range touches no memory. Descriptors that Rust values own would dangle; the
    // launcher calls this before it has made any, as the contract above demands.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The descriptor that a parent process left at `number` for this one to own.
pub(super) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD reads one flag of a descriptor and touches no memory; a number that is not
    // open gives an error, which is returned.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open, as just checked, and the launcher calls this once, for standard
    // input, which nothing else in that process uses.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Which of the two processes of a fork this is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fork {
    /// The old one, with the new one's number.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Forks this process, which has one thread.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: in a process with one thread the child is a whole copy: no lock is held by a thread
    // that it does not have. The launcher and what it forks have no second thread.
    let number = unsafe { libc::fork() };
    match number {
        0 => Ok(Fork::Child),
        number => Pid::from_raw(number)
            .filter(|_| number > 0)
            .map(Fork::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Switches on the loopback interface of this network namespace.
pub(super) fn raise_loopback() -> io::Result<()> {
    /// The flag of an interface that is switched on.
    const UP: libc::c_short = 1;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: all zeros is a request without a name and flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (target, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *target = byte.cast_signed();
    }
    // SAFETY: the kernel reads the name of the request, which ends with a zero, and writes the flags
    // into it; it outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just filled the flags, whose bits are all that is read.
    unsafe { request.ifr_ifru.ifru_flags |= UP };
    // SAFETY: as above; the kernel reads name and flags.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A detached copy of a mount on which what belongs to the ids of a user namespace's inner side belongs
/// to those of its outer side.
pub(super) fn mapped_mount(source: BorrowedFd<'_>, users: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(source, c"", flags)?;
    // SAFETY: all zeros is a request that changes nothing.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = libc::MOUNT_ATTR_IDMAP;
    wanted.userns_fd = u64::try_from(users.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads an empty text and as many bytes of the request as it is told that
    // there are; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(tree) } else { Err(io::Error::last_os_error()) }
}

/// Enters a Landlock rule set, for good.
pub(super) fn restrict_self(rules: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and flags, and touches no memory.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor from `first` on to be closed by the next exec.
pub(super) fn close_on_exec(first: RawFd) -> io::Result<()> {
    let first = u32::try_from(first).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: close_range touches no memory, and with this flag closes nothing yet.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts a copy of a descriptor at 0, 1 or 2, where nothing of Rust's owns one.
pub(super) fn become_stream(source: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: the standard streams belong to nobody in Rust; replacing one dangles nothing.
    let result = unsafe { libc::dup2(source.as_raw_fd(), number) };
    if result == number { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the runtime watch a descriptor.
pub(super) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always gives the same number, and is closed by its own drop alone,
    // which comes after `AsyncFd` has let go of it.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
