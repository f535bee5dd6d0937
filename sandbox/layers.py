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

# capget, capset, seccomp, landlock_restrict_self
_NUMBERS = {"x86_64": (125, 126, 317, 446), "aarch64": (90, 91, 277, 446)}
_CAPGET, _CAPSET, _SECCOMP, _LANDLOCK_RESTRICT_SELF = _NUMBERS.get(platform.machine(), (-1,) * 4)

_libc = ctypes.CDLL(None, use_errno=True)
_bare_fork = ctypes.PyDLL(None, use_errno=True).fork
_unshare, _setns, _mount, _prctl, _syscall = (
    _libc.unshare, _libc.setns, _libc.mount, _libc.prctl, _libc.syscall)
_unshare.argtypes = (ctypes.c_int,)
_setns.argtypes = (ctypes.c_int, ctypes.c_int)
_mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
_syscall.restype = ctypes.c_long


class LayerError(Exception):
    """A fence that could not be put up."""

    def __init__(self, step, code):
        super().__init__(f"{step}: {os.strerror(code)}")
        self.step = step
        self.code = code


def fork():
    """Forks without the interpreter's own after-fork work, most of what a fork costs.

    That work repairs locks that other threads may hold; this process has no other thread. What it
    does besides, new seeds for `random`, the runner does. Interpreters without the one lock need it.
    """
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        pid = _bare_fork()
        if pid < 0:
            raise LayerError("fork", ctypes.get_errno())
        return pid
    return os.fork()


def walk(steps):
    """Takes each step: its name, a function of the kernel, and its arguments.

    Steps are laid out in the zygote, so that a fork has as little as possible to make.
    """
    for step, function, arguments in steps:
        if function(*arguments) < 0:
            raise LayerError(step, ctypes.get_errno())


def _prctl_step(step, option, argument=0):
    return step, _prctl, (option, argument, 0, 0, 0)


DIE_WITH_PARENT = _prctl_step("parent death signal", PR_SET_PDEATHSIG, 9)
ADOPT_ORPHANS = _prctl_step("child subreaper", PR_SET_CHILD_SUBREAPER, 1)
FORBID_NEW_PRIVILEGES = _prctl_step("no_new_privs", PR_SET_NO_NEW_PRIVS, 1)
# A change of credentials hides /proc/self from its own process and from the memory watchdog.
BE_DUMPABLE = _prctl_step("dumpable", PR_SET_DUMPABLE, 1)
UNSHARE_PID = (("unshare pid", _unshare, (CLONE_NEWPID,)),)
MOUNT_PROC = ("mount /proc", _mount,
              (b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None))
# Nothing may be created in the private root from now on; done once the zygote has its caches.
CLOSE_ROOT = ("read-only root", _mount,
              (None, b"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, None))


def own_mounts(folder, limits):
    """A run folder of its own, for a process that is already pid 1 of its own pid namespace."""
    options = "size={tmpfs_bytes},nr_inodes={tmpfs_inodes},mode=700".format(**limits)
    return (
        ("unshare mount and ipc", _unshare, (CLONE_NEWNS | CLONE_NEWIPC,)),
        ("mount run folder", _mount,
         (b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())),
    )


# The mounts come before the user namespace: the pid namespace belongs to the zygote's user namespace,
# and only that one may mount its /proc.
OWN_USER = (
    ("mount /proc", _mount,
     (b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, None)),
    ("unshare user", _unshare, (CLONE_NEWUSER,)),
)
MAPS = (("setgroups", b"deny"), ("uid_map", b"1000 0 1"), ("gid_map", b"1000 0 1"))


def enter(step, namespace):
    """The step into a namespace of processes that this descriptor names."""
    return step, _setns, (namespace, CLONE_NEWPID)


def map_user(folder):
    """Names this user inside, through a folder below /proc that the new namespace cannot write to."""
    for name, text in MAPS:
        write_at(folder, name, text)


def write_at(folder, name, text):
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, 0, dir_fd=folder)
        try:
            os.write(descriptor, text)
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


def common_bounds(limits):
    """What binds the zygote too, so that workers inherit it."""
    return _bounds((
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 1024),
        (resource.RLIMIT_AS, limits["address_space_bytes"]),
    ))


def worker_bounds(limits):
    """What is counted for each worker, or would stop the zygote."""
    return _bounds((
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
    ))


def _bounds(wanted):
    bounds = []
    for kind, value in wanted:
        if value is not None:
            _, hard = resource.getrlimit(kind)
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)
            bounds.append((kind, (value, value)))
    return tuple(bounds)


def limit_resources(bounds):
    for kind, pair in bounds:
        try:
            resource.setrlimit(kind, pair)
        except (OSError, ValueError) as error:
            raise LayerError(f"limit {kind}", getattr(error, "errno", None) or EINVAL) from None


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_capability_header = _CapabilityHeader(0x20080522, 0)
_no_capabilities = (ctypes.c_uint32 * 6)()
# Every right in the own user namespace is given up; no_new_privs keeps execve from granting any.
DROP_CAPABILITIES = (
    _prctl_step("clear ambient capabilities", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL),
    ("drop capabilities", _syscall, (
        ctypes.c_long(_CAPSET), ctypes.byref(_capability_header), ctypes.byref(_no_capabilities))),
)


def restrict_files(ruleset):
    return ("landlock", _syscall, (
        ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


# The kernel reads it where it lies, so it stays.
_programs = []


def filters(programs):
    """The steps that apply seccomp programs."""
    steps = []
    for code in programs:
        buffer = ctypes.create_string_buffer(code, len(code))
        program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
        _programs.append((program, buffer))
        steps.append(("seccomp", _syscall, (
            ctypes.c_long(_SECCOMP), ctypes.c_uint(SECCOMP_SET_MODE_FILTER), ctypes.c_uint(0),
            ctypes.byref(program))))
    return tuple(steps)


_capabilities = (ctypes.c_uint32 * 6)()
# Changes nothing.
_PRACTICE = (
    ("practise", _unshare, (0,)),
    DIE_WITH_PARENT,
    ("practise", _syscall, (
        ctypes.c_long(_CAPGET), ctypes.byref(_capability_header), ctypes.byref(_capabilities))),
)


def practise(rounds, bounds):
    """Goes the way of a worker often, so that CPython has noted what it notes before there is one."""
    devices = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(rounds):
            limit_resources(bounds)
            write_at(devices, "null", b"practise")
            walk(_PRACTICE)
    except LayerError:
        pass  # whether this machine allows it, the first worker finds out
    finally:
        os.close(devices)
