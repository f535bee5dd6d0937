//! The attacks, as data: each is a function `attack()` that returns `ok` or the name of an error.

use atelier::sandbox::Tier;

/// One attempt.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Body of `attack()`.
    pub(crate) body: &'static str,
    /// What it must return behind every fence.
    inside: &'static str,
    /// What it returns where no namespaces hold it back.
    without_namespaces: Option<&'static str>,
    /// What shows that the attempt itself is sound.
    pub(crate) control: Control,
    /// The weakest tier that must hold it back.
    pub(crate) least: Tier,
}

impl Case {
    /// What must come of it on a tier.
    pub(crate) fn expected(&self, tier: Tier) -> &'static str {
        match tier {
            Tier::Process | Tier::NoUserns => self.without_namespaces.unwrap_or(self.inside),
            Tier::NoLandlock | Tier::NoCgroup | Tier::Full => self.inside,
        }
    }

    const fn or_without_namespaces(self, seen: &'static str) -> Self {
        Self { without_namespaces: Some(seen), ..self }
    }
}

/// Why a refusal inside means something.
#[derive(Clone, Copy)]
pub(crate) enum Control {
    /// The same attempt in a plain process comes to something else.
    Outside,
    /// The same, when the plain process is root's.
    OutsideAsRoot,
    /// A harmless sibling of the attempt returns `ok` inside.
    Sibling(&'static str),
}

use Control::{Outside, OutsideAsRoot, Sibling};

const fn case(
    name: &'static str,
    body: &'static str,
    inside: &'static str,
    control: Control,
) -> Case {
    Case { name, body, inside, without_namespaces: None, control, least: Tier::NoUserns }
}

/// One that only namespaces hold back.
const fn namespaced(
    name: &'static str,
    body: &'static str,
    inside: &'static str,
    control: Control,
) -> Case {
    Case { least: Tier::NoLandlock, ..case(name, body, inside, control) }
}

/// What every attempt may use. `SECRET` is a file of the host that everybody may read.
pub(crate) const PRELUDE: &str = r#"
import ctypes, errno, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def name(code):
    return errno.errorcode.get(code, str(code))
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    return "ok" if result >= 0 else name(ctypes.get_errno())
def attempt(action):
    try:
        action()
    except OSError as error:
        return name(error.errno)
    except (MemoryError, ValueError, RuntimeError) as error:
        return type(error).__name__
    return "ok"
def in_child(action):
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
        except BaseException:
            os._exit(250)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return "ok" if code == 0 else name(code)
"#;

const WRITE_HERE: &str = "return attempt(lambda: open('own.txt', 'w').close())";
const PIPE: &str = "return attempt(lambda: os.pipe())";
const NULL: &str = "return attempt(lambda: open('/dev/null', 'w').close())";

/// All of them.
pub(crate) const CASES: &[Case] = &[
    // Files.
    case("read a file of the host", "return attempt(lambda: open(SECRET).read())", "ENOENT", Outside).or_without_namespaces("EACCES"),
    case("list a folder of the host", "return attempt(lambda: os.listdir(os.path.dirname(SECRET)))", "ENOENT", Outside).or_without_namespaces("EACCES"),
    case("read through /proc/1/root", "return attempt(lambda: open('/proc/1/root' + SECRET).read())", "ENOENT", Sibling(NULL)).or_without_namespaces("EACCES"),
    case("read through /proc/self/cwd", "return attempt(lambda: open('/proc/self/cwd/../../..' + SECRET).read())", "ENOENT", Sibling("open('own2', 'w').close(); return attempt(lambda: open('own2').read())")).or_without_namespaces("EACCES"),
    case("write below /usr", "return attempt(lambda: open('/usr/planted', 'w'))", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("write into the root", "return attempt(lambda: open('/planted', 'w'))", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("write into /etc", "return attempt(lambda: open('/etc/planted', 'w'))", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("write over the interpreter", "return attempt(lambda: open('/proc/self/exe', 'r+b'))", "EACCES", Sibling("return attempt(lambda: open(sys.executable, 'rb').read(4))")),
    namespaced("open the memory of the machine", "return attempt(lambda: open('/dev/mem', 'rb'))", "ENOENT", Sibling(NULL)),
    case("make a device", "return attempt(lambda: os.mknod('device', 0o20666, os.makedev(1, 3)))", "EPERM", Sibling("return attempt(lambda: os.mkfifo('pipe'))")),
    case("link a file of the system", "return attempt(lambda: os.link('/usr/bin/env', 'env'))", "EXDEV", Sibling("open('one', 'w').close(); return attempt(lambda: os.link('one', 'two'))")).or_without_namespaces("EPERM"),
    case("change the root", "return attempt(lambda: os.chroot('.'))", "EPERM", OutsideAsRoot),
    case("set a kernel parameter", "return attempt(lambda: open('/proc/sys/kernel/core_pattern', 'w').write('x') and None)", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("set one of its own namespace", "return attempt(lambda: open('/proc/sys/kernel/shmmax', 'r+').write('1') and None)", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("hide from the memory killer", "return attempt(lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'))", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("map itself to root", "return attempt(lambda: os.write(os.open('/proc/self/uid_map', os.O_WRONLY), b'0 0 1'))", "EROFS", Sibling(WRITE_HERE)).or_without_namespaces("EACCES"),
    case("the passwords of the host", "return attempt(lambda: open('/etc/shadow').read())", "ENOENT", OutsideAsRoot).or_without_namespaces("EACCES"),
    case("a home folder", "return attempt(lambda: os.listdir('/root'))", "ENOENT", OutsideAsRoot).or_without_namespaces("EACCES"),
    namespaced("devices beyond a few", "return 'few' if set(os.listdir('/dev')) <= {'null', 'random', 'urandom', 'shm'} else 'ok'", "few", Outside),
    case("the terminal of the server", "return attempt(lambda: open('/dev/tty'))", "ENOENT", Sibling(NULL)).or_without_namespaces("EACCES"),
    case("folders of other runs", "
    try:
        seen = os.listdir(os.path.dirname(os.getcwd()))
    except OSError as error:
        return name(error.errno)
    return 'alone' if seen == ['sandbox'] else str(seen)", "alone", Sibling("return attempt(lambda: os.listdir('.'))")).or_without_namespaces("EACCES"),
    case("a file of the host as output", "os.symlink(SECRET, 'link'); return attempt(lambda: open('link').read())", "ENOENT", Outside).or_without_namespaces("EACCES"),
    // Disk.
    namespaced("fill the disk", "return attempt(lambda: [open(f'big{n}', 'wb').write(bytes(8 << 20)) for n in range(40)])", "ENOSPC", Sibling("return attempt(lambda: open('small', 'wb').write(bytes(1 << 20)))")),
    case("write one huge file", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); return attempt(lambda: os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 1 << 40))", "EFBIG", Sibling("return attempt(lambda: os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 1 << 20))")),
    namespaced("use up all inodes", "return attempt(lambda: [open(f'file{n}', 'w').close() for n in range(10000)])", "ENOSPC", Sibling("return attempt(lambda: [open(f'file{n}', 'w').close() for n in range(100)])")),
    namespaced("folders without end", "
    def dig():
        for _ in range(10000):
            os.mkdir('d')
            os.chdir('d')
    return attempt(dig)", "ENOSPC", Sibling("return attempt(lambda: os.makedirs('a/b/c'))")),
    case("one huge file, unprepared", "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); return in_child(lambda: os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 1 << 40))", "SIGXFSZ", Sibling("return in_child(lambda: os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 1 << 20))")),
    // Network.
    case("a TCP socket", "return attempt(lambda: socket.socket())", "EPERM", Outside),
    case("a UDP socket", "return attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))", "EPERM", Outside),
    case("an IPv6 socket", "return attempt(lambda: socket.socket(socket.AF_INET6))", "EPERM", Outside),
    case("a Unix socket", "return attempt(lambda: socket.socket(socket.AF_UNIX))", "EPERM", Outside),
    case("a netlink socket", "return attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))", "EPERM", Outside),
    case("a raw socket", "return attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))", "EPERM", OutsideAsRoot),
    case("a datagram pair that could send elsewhere", "return attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))", "EPERM", Outside),
    case("connect the channel elsewhere", "return call(42, 3, 0, 0)", "EPERM", Sibling("return attempt(lambda: socket.socketpair())")),
    case("a socket past the library", "return call(41, 1, 1, 0)", "EPERM", Outside),
    case("a socket to the hypervisor", "return call(41, 40, 1, 0)", "EPERM", Outside),
    case("a socket to the kernel's ciphers", "return call(41, 38, 5, 0)", "EPERM", Outside),
    case("a name on the network", "return attempt(lambda: socket.getaddrinfo('example.invalid', 80))", "-3", Sibling("return attempt(lambda: socket.getaddrinfo('127.0.0.1', 80))")),
    case("bind one end of a pair", "return call(49, socket.socketpair()[0].detach(), 0, 0)", "EPERM", Outside),
    case("listen on one end of a pair", "return call(50, socket.socketpair()[0].detach(), 1)", "EPERM", Outside),
    case("accept on one end of a pair", "return call(288, socket.socketpair()[0].detach(), 0, 0, 0)", "EPERM", Outside),
    // Kernel surface. Wrong arguments reach the kernel outside and come to another error.
    case("io_uring", "return call(425, 0, 0)", "EPERM", Outside),
    case("bpf", "return call(321, 999, 0, 0)", "EPERM", OutsideAsRoot),
    case("userfaultfd", "return call(323, 0xffff)", "EPERM", OutsideAsRoot),
    case("perf events", "return call(298, 0, 0, 0, 0, 0)", "EPERM", Outside),
    case("read a key ring", "return call(250, 0, -3, 0)", "EPERM", Outside),
    case("add a key", "return call(248, 0, 0, 0, 0, -3)", "EPERM", Outside),
    case("request a key", "return call(249, 0, 0, 0, 0)", "EPERM", Outside),
    case("trace a process", "return in_child(lambda: (_ for _ in ()).throw(OSError(ctypes.get_errno(), '')) if libc.ptrace(0, 0, 0, 0) < 0 else None)", "EPERM", Outside),
    case("read another process's memory", "return call(310, os.getpid(), 0, 0, 0, 0, 0)", "EPERM", Outside),
    case("write another process's memory", "return call(311, os.getpid(), 0, 0, 0, 0, 0)", "EPERM", Outside),
    case("take a descriptor of another process", "return call(438, -1, 0, 0)", "EPERM", Outside),
    case("mount", "return call(165, 1, 1, 1, 0, 0)", "EPERM", Outside),
    case("unmount", "return call(166, 1, 0)", "EPERM", OutsideAsRoot),
    case("swap the root", "return call(155, 1, 1)", "EPERM", OutsideAsRoot),
    case("open a file system", "return call(430, 1, 0)", "EPERM", OutsideAsRoot),
    case("clone a mount tree", "return call(428, -1, 1, 0)", "EPERM", Outside),
    case("move a mount", "return call(429, -1, 1, -1, 1, 0)", "EPERM", OutsideAsRoot),
    case("change a mount", "return call(442, -1, 1, 0, 0, 0)", "EPERM", OutsideAsRoot),
    case("a user namespace by unshare", "return in_child(lambda: (_ for _ in ()).throw(OSError(1, '')) if call(272, 0x10000000) != 'ok' else None)", "EPERM", Outside),
    case("a user namespace by clone", "return call(56, 0x10000000 | 0x80000000, 0, 0, 0, 0)", "EPERM", Outside),
    case("a network namespace by clone", "return call(56, 0x40000000, 0, 0, 0, 0)", "EPERM", Sibling("return in_child(lambda: None)")),
    case("clone3, whose flags cannot be seen", "return call(435, 0, 0)", "ENOSYS", Outside),
    case("join a namespace", "return call(308, -1, 0)", "EPERM", Outside),
    case("load a module", "return call(175, 0, 0, 0)", "EPERM", OutsideAsRoot),
    case("load a module from a file", "return call(313, -1, 0, 0)", "EPERM", OutsideAsRoot),
    case("remove a module", "return call(176, 0, 0)", "EPERM", OutsideAsRoot),
    case("load another kernel", "return call(246, 0, 99, 0, 0)", "EPERM", OutsideAsRoot),
    case("reboot", "return call(169, 0, 0, 0, 0)", "EPERM", OutsideAsRoot),
    case("set the clock", "return call(227, 0, 0)", "EPERM", Outside),
    case("set the time of day", "return call(164, 1, 0)", "EPERM", Outside),
    case("rename the machine", "return call(170, 1, 1)", "EPERM", OutsideAsRoot),
    case("open by handle", "return call(304, -1, 0, 0)", "EPERM", OutsideAsRoot),
    case("change the personality", "return call(135, 0xffffffff)", "EPERM", Outside),
    case("secret memory", "return call(447, 0xffff)", "EPERM", Outside),
    case("a message queue", "return call(240, 1, 0, 0, 0)", "EPERM", Outside),
    case("a System V queue", "return call(68, 0x7a7a7a, 0)", "EPERM", Outside),
    case("watch the file system", "return call(300, 0xffff, 0)", "EPERM", OutsideAsRoot),
    case("swap on a file", "return call(167, 1, 0)", "EPERM", OutsideAsRoot),
    case("process accounting", "return call(163, 1)", "EPERM", OutsideAsRoot),
    case("read the kernel's log", "return call(103, 10, 0, 0)", "EPERM", OutsideAsRoot),
    case("input and output ports", "return call(172, 9)", "EPERM", Outside),
    case("segment tables", "return call(154, 0, 0, 0)", "EPERM", Outside),
    case("type into a terminal", "return call(16, 0, 0x5412, 0)", "EPERM", Outside),
    case("a call that nobody reviewed", "return call(600)", "ENOSYS", Sibling("return call(39)")),
    case("the x32 table", "return in_child(lambda: libc.syscall(ctypes.c_long(0x40000000 + 39)))", "SIGSYS", Outside),
    case(
        "the i386 table",
        "import mmap
    code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex('b814000000cd80c3'))
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    return in_child(run)",
        "SIGSYS",
        Outside,
    ),
    case("advise another process's memory", "return call(440, -1, 0, 0, 0, 0)", "EPERM", Outside),
    case("compare with another process", "return call(312, os.getpid(), os.getpid(), 99, 0, 0)", "EPERM", Outside),
    case("read the table of mounts", "return call(457, 0, 0, 0, 0)", "EPERM", Outside),
    case("tune the clock", "return call(159, 0)", "EPERM", Outside),
    case("tune a clock by number", "return call(305, 0, 0)", "EPERM", Outside),
    case("quotas", "return call(179, 0xffffff, 0, 0, 0)", "EPERM", Outside),
    case("name a file by handle", "return call(303, -100, 0, 0, 0, 0)", "EPERM", Outside),
    case("swap off", "return call(168, 0)", "EPERM", OutsideAsRoot),
    case("a larger pipe than allowed", "import fcntl; return attempt(lambda: fcntl.fcntl(os.pipe()[0], 1031, 64 << 20))", "EPERM", Sibling("import fcntl; return attempt(lambda: fcntl.fcntl(os.pipe()[0], 1031, 8192))")),
    case("lock memory", "return 'ok' if libc.mlockall(3) == 0 else name(ctypes.get_errno())", "ENOMEM", OutsideAsRoot),
    // Rights.
    case("become root", "return attempt(lambda: os.setuid(0))", "EINVAL", OutsideAsRoot).or_without_namespaces("EPERM"),
    case("become another group", "return attempt(lambda: os.setgid(12))", "EINVAL", OutsideAsRoot).or_without_namespaces("EPERM"),
    case("more descriptors than allowed", "import resource; return attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)))", "ValueError", Sibling("import resource; return attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)))")),
    namespaced("a program with more rights", "import subprocess; return 'NoNewPrivs:\\t1' in subprocess.run(['/bin/cat', '/proc/self/status'], capture_output=True, text=True).stdout and 'held' or 'ok'", "held", Sibling("import subprocess; return subprocess.run(['/bin/echo', 'ok'], capture_output=True, text=True).stdout.strip()")),
    namespaced("capabilities", "return {line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapPrm', 'CapEff', 'CapAmb'))} == {'0' * 16} and 'none' or 'ok'", "none", OutsideAsRoot),
    case("a socket from a child program", "import subprocess; return subprocess.run([sys.executable, '-I', '-c', 'import socket\\ntry:\\n socket.socket(); print(\"ok\")\\nexcept PermissionError: print(\"EPERM\")'], capture_output=True, text=True).stdout.strip()", "EPERM", Outside),
    case("a higher priority", "return attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))", "EACCES", OutsideAsRoot),
    case("real-time scheduling", "return attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))", "EPERM", Sibling("return attempt(lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)))")),
    case("another user's files as its own", "open('own', 'w').close(); return attempt(lambda: os.chown('own', 0, 0))", "EINVAL", OutsideAsRoot).or_without_namespaces("EPERM"),
    case("a program that runs as its owner", "import shutil; shutil.copy('/bin/true', 'tool'); os.chmod('tool', 0o4755); return in_child(lambda: os.execv('./tool', ['tool'])) == 'ok' and ('held' if os.getuid() != 0 else 'ok')", "held", OutsideAsRoot),
    // Processes.
    namespaced("see other processes", "return 'ok' if any(int(entry) not in (os.getpid(),) for entry in os.listdir('/proc') if entry.isdigit()) else 'alone'", "alone", Outside),
    namespaced("signal all processes", "return in_child(lambda: os.kill(-1, 0))", "ESRCH", Sibling(PIPE)),
    namespaced("signal its neighbours by number", "return 'alone' if all(attempt(lambda: os.kill(number, 0)) == 'ESRCH' for number in range(2, 3000) if number != os.getpid()) else 'ok'", "alone", OutsideAsRoot),
    namespaced("signal its parent", "return 'none' if os.getppid() == 0 else 'ok'", "none", Outside),
    case(
        "a fork bomb",
        "children = []
    def bomb():
        for _ in range(1000):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    result = attempt(bomb)
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return result",
        "EAGAIN",
        Sibling("return in_child(lambda: None)"),
    ),
    case(
        "a thread bomb",
        "import threading
    stop = threading.Event()
    result = attempt(lambda: [threading.Thread(target=stop.wait, daemon=True).start() for _ in range(1000)])
    stop.set()
    return result",
        "RuntimeError",
        Outside,
    ),
    case("all descriptors", "return attempt(lambda: [os.dup(0) for _ in range(5000)])", "EMFILE", Sibling("return attempt(lambda: [os.dup(0) for _ in range(20)])")),
    // Secrets.
    case("the environment", "return 'clean' if set(os.environ) <= {'PATH', 'LANG', 'LC_CTYPE', 'HOME', 'TMPDIR', 'PWD', 'MPLBACKEND', 'MPLCONFIGDIR', 'OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMEXPR_NUM_THREADS'} else 'ok'", "clean", Outside),
    namespaced("inherited descriptors", "return 'clean' if {int(entry) for entry in os.listdir('/proc/self/fd')} <= {0, 1, 2, 3, 4, 5} and os.readlink('/proc/self/fd/0') == '/dev/null' else str(os.listdir('/proc/self/fd'))", "clean", Sibling(PIPE)),
    namespaced("the host's name", "return 'hidden' if socket.gethostname() == 'sandbox' else 'ok'", "hidden", Outside),
    namespaced("network interfaces", "return 'none' if not [line for line in open('/proc/net/dev').readlines()[2:] if not line.split()[0].startswith('lo')] else 'ok'", "none", Sibling(PIPE)),
];

/// Memory that belongs to no process: refused where no group counts it.
pub(crate) const UNCOUNTED: &[Case] = &[
    case(
        "memory behind a descriptor",
        "return attempt(lambda: os.memfd_create('m'))",
        "EPERM",
        Outside,
    ),
    case("a segment of shared memory", "return call(29, 0, 4096, 0o1600)", "EPERM", Outside),
    case(
        "anonymous shared memory",
        "import mmap; return attempt(lambda: mmap.mmap(-1, 4096))",
        "EPERM",
        Outside,
    ),
    case("a message queue", "return call(240, 1, 0, 0, 0)", "EPERM", Outside),
];
