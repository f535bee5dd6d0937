//! The few system calls without a safe wrapper. The only file with `unsafe` in it.
#![expect(unsafe_code, reason = "system calls that no crate wraps safely, each with its argument")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

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

/// Has the runtime watch a descriptor.
pub(super) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always gives the same number, and is closed by its own drop alone,
    // which comes after `AsyncFd` has let go of it.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
