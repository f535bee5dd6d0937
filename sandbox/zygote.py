"""The zygote: an interpreter that is warm, runs no user code, and forks workers on request.

It speaks JSON over one SEQPACKET socket (descriptor 0) and ends when that socket closes. As pid 1 of
its pid namespace it takes every run with it. A worker puts up its fences before it sees any code,
hands the server its run folder and the list of fences, and waits for its one run.

  to the zygote    {"run": N, "idle": B} with [channel, stdout, stderr, (landlock)], {"end": true}
  from the zygote  {"event": "ready", ...}, {"event": "forked", "run": N, "pid": P} with [pidfd],
                   {"event": "exited", "run": N, "status": S}, {"event": "refused", "run": N, ...}
"""

import array
import base64
import errno
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from socket import MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET

import atelier_bridge as bridge
import atelier_layers as layers
import atelier_runner as runner

# Numbers that descriptors of a worker have.
CHANNEL = 3
RULES = 4
FIRST_FREE = 5
DESCRIPTOR_BYTES = array.array("i").itemsize
RIGHTS_BYTES = socket.CMSG_SPACE(4 * DESCRIPTOR_BYTES)
MESSAGE_BYTES = 16384
STRAY_PASSES = 10000
# CPython rewrites the code of a function that is called often, and has done so by then.
PRACTICE_ROUNDS = 40
# A zygote that is not ready by then never will be, and its server, which waited less, may be gone.
READY_SECONDS = 150
# Exit code for the supervisor, which then removes what the server would have removed.
SERVER_IS_GONE = 3


class Zygote:
    def __init__(self, bundle):
        self.plan = bundle["plan"]
        self.has_namespaces = self.plan["namespaces"]
        self.control = socket.socket(fileno=0)
        self.rules = bundle["landlock"]
        # Most of the filters bind the zygote too, so that workers inherit them at no cost; they put
        # up for themselves only what refuses the calls that forking and fencing need.
        self.common = _filters(bundle["seccomp"]["common"])
        self.filters = _filters(bundle["seccomp"]["worker"])
        self.return_home = ()
        self.dismissed = False
        self.workers = {}  # pidfd -> (run, pid)

    def tell(self, message):
        self.send(json.dumps(message).encode())

    def send(self, message, descriptors=()):
        rights = ()
        if descriptors:
            rights = ((SOL_SOCKET, SCM_RIGHTS, array.array("i", descriptors)),)
        self.control.sendmsg((message,), rights)

    def prepare(self):
        """Everything that workers inherit."""
        signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
        signal.alarm(READY_SECONDS)
        layers.walk((layers.DIE_WITH_PARENT,))
        channel, server = self._reserve_descriptors()
        if self.has_namespaces:
            layers.walk((layers.MOUNT_PROC,))
            own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            self.return_home = (layers.enter("return to the own pid namespace", own),)
            socket.sethostname("sandbox")
            os.chdir("/")
        else:
            layers.walk((layers.ADOPT_ORPHANS,))
        sys.path.extend(self.plan["search_paths"])
        preloaded, missing = self._preload()
        if self.has_namespaces:
            layers.walk((layers.CLOSE_ROOT,))
        runner.prepare_streams()
        self.runner = runner.Runner(channel)
        self._lay_out()
        layers.limit_resources(self.common_bounds)
        _find_symbols()
        layers.practise(PRACTICE_ROUNDS, self.common_bounds)
        self.runner.practise(PRACTICE_ROUNDS, server)
        server.close()
        gc.collect()
        gc.disable()
        gc.freeze()
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise RuntimeError(f"the preloaded modules started {threads - 1} threads: a fork is unsafe")
        if self.common:
            layers.walk((layers.FORBID_NEW_PRIVILEGES,) + self.common)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        version = ".".join(str(part) for part in sys.version_info[:3])
        self.tell({"event": "ready", "python": version, "preloaded": preloaded, "missing": missing})

    def _reserve_descriptors(self):
        """Fills the numbers of workers, so that nothing a worker needs on its way lies there.

        Returns both ends of a channel to practise with; a worker puts its own in place of the first.
        """
        null = os.open("/dev/null", os.O_RDONLY)
        ends = socket.socketpair()
        sources = [null, ends[0].fileno(), ends[1].fileno(), null if self.rules is None else self.rules]
        self.null, channel, server, rules = [
            fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for source in sources]
        for end in ends:
            end.close()
        os.close(null)
        os.dup2(channel, CHANNEL, inheritable=False)
        os.dup2(rules, RULES, inheritable=False)
        os.close(channel)
        os.close(rules)
        if self.rules is not None and self.rules > RULES:
            os.close(self.rules)
        return socket.socket(fileno=CHANNEL), socket.socket(fileno=server)

    def _lay_out(self):
        """What workers do and report, so that they only walk along."""
        plan, limits = self.plan, self.plan["limits"]
        held = ["environment", "rlimits"]
        self.common_bounds = layers.common_bounds(limits)
        self.worker_bounds = layers.worker_bounds(limits)
        if self.has_namespaces:
            self.mounts = layers.own_mounts(plan["folder"], limits)
            self._live_in(plan["folder"])
            held += ["user_namespace", "mount_namespace", "pid_namespace", "network_namespace",
                     "ipc_namespace", "uts_namespace", "private_root"]
        fences = layers.DROP_CAPABILITIES + (layers.DIE_WITH_PARENT, layers.BE_DUMPABLE)
        if plan["fenced"]:
            fences += (layers.FORBID_NEW_PRIVILEGES,)
            held.append("no_new_privs")
        filtered = ["seccomp"] if self.filters else []
        # Without and with rules for files.
        self.fences = (fences + self.filters, fences + (layers.restrict_files(RULES),) + self.filters)
        self.greetings = [
            bridge.pack({"held": held + rules + filtered}) for rules in ([], ["landlock"])]

    def _live_in(self, folder):
        for name, value in (("HOME", folder), ("TMPDIR", f"{folder}/.tmp"), ("PWD", folder)):
            os.environ[name] = value
        self.runner.enter(folder)

    def _preload(self):
        preloaded, missing = [], {}
        for name in self.plan["preload"]:
            try:
                importlib.import_module(name)
                preloaded.append(name)
            except Exception as error:  # a package may fail in any way; the zygote lives without it
                missing[name] = f"{type(error).__name__}: {error}"
        return preloaded, missing

    def serve(self):
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor != self.control.fileno():
                    poll.unregister(descriptor)
                    self._bury(descriptor)
                elif not self._obey(poll):
                    return

    def _obey(self, poll):
        data, rights, _, _ = self.control.recvmsg(
            MESSAGE_BYTES, RIGHTS_BYTES, MSG_CMSG_CLOEXEC)
        if not data:
            return False
        descriptors = array.array("i")
        for _, _, payload in rights:
            descriptors.frombytes(payload[: len(payload) - len(payload) % DESCRIPTOR_BYTES])
        request = bridge.decoded(data)
        if "end" in request:
            self.dismissed = True
            return False
        run = request["run"]
        try:
            pid = self._fork(request, descriptors)
            pidfd = os.pidfd_open(pid)
            self.workers[pidfd] = (run, pid)
            poll.register(pidfd, select.POLLIN)
            self.send(b'{"event":"forked","run":%d,"pid":%d}' % (run, pid), (pidfd,))
        except (OSError, layers.LayerError) as error:
            code = getattr(error, "errno", None) or getattr(error, "code", 0)
            self.tell({"event": "refused", "run": run, "errno": code, "message": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, request, descriptors):
        if self.has_namespaces:
            layers.walk(layers.UNSHARE_PID)
        try:
            pid = layers.fork()
            if pid == 0:
                try:
                    self._become_worker(request, descriptors)
                finally:
                    os._exit(70)
        finally:
            layers.walk(self.return_home)
        return pid

    def _bury(self, pidfd):
        run, pid = self.workers.pop(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        if not self.has_namespaces:
            self._kill_strays()
        self.send(b'{"event":"exited","run":%d,"status":%d}' % (run, status))

    def _kill_strays(self):
        """Without a pid namespace, what a run left behind comes to this process as its new parent.

        They are stopped first, so that a fork bomb cannot outrun the killing.
        """
        known = {pid for _, pid in self.workers.values()}
        for _ in range(STRAY_PASSES):
            strays = _descendants(os.getpid(), known)
            if not strays:
                return
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in strays:
                    _signal(pid, number)
            _reap(known)

    def end_all(self):
        """Takes every run along; with namespaces the end of this process does."""
        if not self.has_namespaces:
            for _, pid in self.workers.values():
                _signal(pid, signal.SIGKILL)
            self.workers.clear()
            self._kill_strays()

    def _become_worker(self, request, descriptors):
        self.workers.clear()
        channel, out, err = descriptors[:3]
        has_rules = self.rules is not None or len(descriptors) > 3
        # This is where the control socket was.
        os.dup2(self.null, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(channel, CHANNEL, False)
        if len(descriptors) > 3:
            os.dup2(descriptors[3], RULES, False)
        os.closerange(FIRST_FREE, 1 << 16)
        try:
            handles = self._fence_in(request, has_rules)
        except BaseException as error:
            code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
            report = {"failed": getattr(error, "step", type(error).__name__), "errno": code,
                      "message": str(error)}
            self.runner.channel.greet(bridge.pack(report), ())
            os._exit(71)
        self.runner.channel.greet(self.greetings[has_rules], handles)
        for descriptor in handles:
            os.close(descriptor)
        self.runner.serve(request["idle"])

    def _fence_in(self, request, has_rules):
        """Applies every layer of the plan; returns what the server keeps of it.

        The server keeps the run folder, to read it after the run, and the mounts: the kernel takes
        long to remove those, which must not hold up the end of the process.
        """
        os.setsid()
        if self.has_namespaces:
            layers.walk(self.mounts)
            # The old one stays open for the maps, since the new one is read-only and lies on top.
            proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            layers.walk(layers.OWN_USER)
            layers.map_user(proc)
            os.close(proc)
            os.chdir(self.runner.folder)
            handles = (os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),
                       os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            bounds = self.worker_bounds
        else:
            layers.walk((layers.ADOPT_ORPHANS,))
            folder = request["folder"]
            self._live_in(folder)
            os.chdir(folder)
            handles = (os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),)
            # Without a user namespace the kernel counts everything that the user runs.
            limits = self.plan["limits"]
            processes = limits["processes"] + layers.tasks_of_this_user()
            bounds = layers.worker_bounds({**limits, "processes": processes})
        os.mkdir(".tmp", 0o700)
        layers.limit_resources(bounds)
        layers.walk(self.fences[has_rules])
        os.close(RULES)
        return handles


def _find_symbols():
    """The linker looks for a function of the C library at its first call.

    None of these changes anything, but that the zygote may come to lead a session of its own.
    """
    os.closerange(1 << 16, (1 << 16) + 1)
    for refused in (lambda: os.mkdir("/"), os.setsid):
        try:
            refused()
        except OSError:
            pass


def _filters(programs):
    return layers.filters([base64.b64decode(code) for code in programs])


def _descendants(root, known):
    """All processes below `root`, without those in `known` and what is below them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z" or int(fields[1]) == root:
                parents.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [root]
    while queue:
        for child in parents.get(queue.pop(), ()):
            if child not in known:
                found.append(child)
                queue.append(child)
    return found


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass  # it is gone already


def _reap(known):
    """Collects dead children that are no workers; a worker's status is read through its pidfd."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            time.sleep(0.001)
            return
        if ended.si_pid in known:
            # It stays collectable until its own turn, and would be reported again and again.
            return
        os.waitpid(ended.si_pid, 0)


def main(bundle):
    zygote = Zygote(bundle)
    try:
        zygote.prepare()
    except BaseException as error:
        code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
        zygote.tell({"event": "failed", "step": getattr(error, "step", "prepare the interpreter"),
                     "errno": code, "message": f"{type(error).__name__}: {error}"})
        os._exit(1)
    try:
        zygote.serve()
    except OSError as error:
        if error.errno not in (errno.ECONNRESET, errno.EPIPE):
            raise
    finally:
        zygote.end_all()
    os._exit(0 if zygote.dismissed else SERVER_IS_GONE)
