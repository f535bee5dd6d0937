"""The kernel's fences, put up from inside: what a worker does to itself before it sees any code.

The launcher (Rust) builds the private root, compiles the seccomp filters and opens the Landlock rule
set; this file only enters and applies. Every step that fails raises `LayerError` with its name and
errno, so that a fence is never missing silently.
"""

import ctypes
import os
import platform
import resource
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

SECCOMP_SET_MODE_FILTER = 1
EINVAL = 22

# capset, seccomp, landlock_restrict_self
_NUMBERS = {"x86_64": (126, 317, 446), "aarch64": (91, 277, 446)}
_CAPSET, _SECCOMP, _LANDLOCK_RESTRICT_SELF = _NUMBERS.get(platform.machine(), (-1, -1, -1))

_libc = ctypes.CDLL(None, use_errno=True)
_bare_fork = ctypes.PyDLL(None).fork
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
_libc.syscall.restype = ctypes.c_long


class LayerError(Exception):
    """A fence that could not be put up."""

    def __init__(self, step, code):
        super().__init__(f"{step}: {os.strerror(code)}")
        self.step = step
        self.code = code


def _check(step, result):
    if result < 0:
        raise LayerError(step, ctypes.get_errno())
    return result


def fork():
    """Forks without the interpreter's own after-fork work, most of what a fork costs.

    That work repairs locks that other threads may hold; this process has no other thread. What it
    does besides, new seeds for `random`, the runner does. Interpreters without the one lock need it.
    """
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return _check("fork", _bare_fork())
    return os.fork()


def unshare(step, flags):
    _check(step, _libc.unshare(ctypes.c_int(flags)))


def setns(step, descriptor, flags):
    _check(step, _libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)))


def mount(step, source, target, kind, flags, data=None):
    _check(step, _libc.mount(source, target, kind, flags, data))


def prctl(step, option, *arguments):
    padded = arguments + (0,) * (4 - len(arguments))
    _check(step, _libc.prctl(option, *padded))


def die_with_parent():
    prctl("parent death signal", PR_SET_PDEATHSIG, 9)


def adopt_orphans():
    prctl("child subreaper", PR_SET_CHILD_SUBREAPER, 1)


def mount_proc(flags=0):
    mount("mount /proc", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | flags)


def close_root():
    """Nothing may be created in the private root from now on; done once the zygote has its caches."""
    flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
    mount("read-only root", None, b"/", None, flags)


def own_namespaces(plan):
    """Puts this process (already pid 1 of its own pid namespace) behind namespaces of its own.

    The mounts come before the user namespace: the pid namespace belongs to the zygote's user
    namespace, and only that one may mount its /proc.
    """
    unshare("unshare mount and ipc", CLONE_NEWNS | CLONE_NEWIPC)
    folder = plan["folder"].encode()
    options = "size={tmpfs_bytes},nr_inodes={tmpfs_inodes},mode=700".format(**plan["limits"])
    mount("mount run folder", b"tmpfs", folder, b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())
    # The old /proc stays open for one write, since the new one is read-only and lies on top.
    old_proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount_proc(MS_RDONLY)
    unshare("unshare user", CLONE_NEWUSER)
    _write_at(old_proc, "setgroups", "deny")
    _write_at(old_proc, "uid_map", "1000 0 1")
    _write_at(old_proc, "gid_map", "1000 0 1")
    os.close(old_proc)


def _write_at(folder, name, text):
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LayerError(f"write {name}", error.errno) from None


def tasks_of_this_user():
    """Without a user namespace the kernel counts everything that the user runs."""
    own, count = os.getuid(), 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == own:
                    count += len(os.listdir(f"/proc/{entry}/task"))
            except OSError:
                pass  # it ended meanwhile
    return count


def limit_resources(limits):
    pairs = (
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 1024),
        (resource.RLIMIT_AS, limits["address_space_bytes"]),
    )
    for kind, value in pairs:
        if value is None:
            continue
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError) as error:
            raise LayerError(f"limit {kind}", getattr(error, "errno", None) or EINVAL) from None


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def drop_capabilities():
    """Gives up every right in the own user namespace; no_new_privs keeps execve from granting any."""
    prctl("clear ambient capabilities", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapabilityHeader(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    _check("drop capabilities", _libc.syscall(
        ctypes.c_long(_CAPSET), ctypes.byref(header), ctypes.byref(data)))


def forbid_new_privileges():
    prctl("no_new_privs", PR_SET_NO_NEW_PRIVS, 1)


def be_dumpable():
    # A change of credentials hides /proc/self from its own process and from the memory watchdog.
    prctl("dumpable", PR_SET_DUMPABLE, 1)


def restrict_files(ruleset):
    _check("landlock", _libc.syscall(
        ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filters:
    """The seccomp programs, laid out in memory once so that a worker only points at them."""

    def __init__(self, programs):
        self._buffers = [ctypes.create_string_buffer(code, len(code)) for code in programs]
        self._programs = [
            _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
            for code, buffer in zip(programs, self._buffers)
        ]

    def __bool__(self):
        return bool(self._programs)

    def apply(self):
        for program in self._programs:
            _check("seccomp", _libc.syscall(
                ctypes.c_long(_SECCOMP), ctypes.c_uint(SECCOMP_SET_MODE_FILTER),
                ctypes.c_uint(0), ctypes.byref(program)))
