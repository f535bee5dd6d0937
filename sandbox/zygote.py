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

import atelier_layers as layers
import atelier_runner as runner

CHANNEL = 3
FIRST_FREE = 4
DESCRIPTOR_BYTES = array.array("i").itemsize
MESSAGE_BYTES = 65536
STRAY_PASSES = 10000
# Exit code for the supervisor, which then removes what the server would have removed.
SERVER_IS_GONE = 3


class Zygote:
    def __init__(self, bundle):
        self.plan = bundle["plan"]
        self.control = socket.socket(fileno=0)
        self.landlock = bundle["landlock"]
        # Most of the filters bind the zygote too, so that workers inherit them at no cost; they put
        # up for themselves only what refuses the calls that forking and fencing need.
        self.common = _filters(bundle["seccomp"]["common"])
        self.filters = _filters(bundle["seccomp"]["worker"])
        self.dismissed = False
        self.workers = {}  # pidfd -> (run, pid)
        self.own_pids = None

    def send(self, message, descriptors=()):
        rights = []
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.control.sendmsg([json.dumps(message).encode()], rights)

    def prepare(self):
        """Everything that workers inherit."""
        layers.die_with_parent()
        if self.plan["namespaces"]:
            layers.mount_proc()
            self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            socket.sethostname("sandbox")
            os.chdir("/")
        else:
            layers.adopt_orphans()
        sys.path.extend(self.plan["search_paths"])
        preloaded, missing = self._preload()
        if self.plan["namespaces"]:
            layers.close_root()
        runner.prepare_streams()
        gc.collect()
        gc.disable()
        gc.freeze()
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise RuntimeError(f"the preloaded modules started {threads - 1} threads: a fork is unsafe")
        if self.common:
            layers.forbid_new_privileges()
            self.common.apply()
        version = ".".join(str(part) for part in sys.version_info[:3])
        self.send({"event": "ready", "python": version, "preloaded": preloaded, "missing": missing})

    def _preload(self):
        preloaded, missing = [], {}
        for name in self.plan["preload"]:
            try:
                if name == "asyncio":
                    _import_without_tls(name)
                else:
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
            MESSAGE_BYTES, socket.CMSG_SPACE(4 * DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        descriptors = array.array("i")
        for _, _, payload in rights:
            descriptors.frombytes(payload[: len(payload) - len(payload) % DESCRIPTOR_BYTES])
        request = json.loads(data)
        if "end" in request:
            self.dismissed = True
            return False
        run = request["run"]
        try:
            pid = self._fork(request, list(descriptors))
            pidfd = os.pidfd_open(pid)
            self.workers[pidfd] = (run, pid)
            poll.register(pidfd, select.POLLIN)
            self.send({"event": "forked", "run": run, "pid": pid}, [pidfd])
        except (OSError, layers.LayerError) as error:
            code = getattr(error, "errno", None) or getattr(error, "code", 0)
            self.send({"event": "refused", "run": run, "errno": code, "message": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, request, descriptors):
        if self.plan["namespaces"]:
            layers.unshare("unshare pid", layers.CLONE_NEWPID)
        try:
            pid = layers.fork()
            if pid == 0:
                try:
                    self._become_worker(request, descriptors)
                finally:
                    os._exit(70)
        finally:
            if self.own_pids is not None:
                layers.setns("return to the own pid namespace", self.own_pids, layers.CLONE_NEWPID)
        return pid

    def _bury(self, pidfd):
        run, pid = self.workers.pop(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        if not self.plan["namespaces"]:
            self._kill_strays()
        self.send({"event": "exited", "run": run, "status": status})

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
        if not self.plan["namespaces"]:
            for _, pid in self.workers.values():
                _signal(pid, signal.SIGKILL)
            self.workers.clear()
            self._kill_strays()

    def _become_worker(self, request, descriptors):
        control = self.control.detach()
        self.workers.clear()
        channel, out, err = descriptors[:3]
        landlock = descriptors[3] if len(descriptors) > 3 else self.landlock
        wanted = [(channel, CHANNEL), (out, 1), (err, 2), (os.open("/dev/null", os.O_RDONLY), control)]
        if landlock is not None:
            wanted.append((landlock, FIRST_FREE))
        # By way of high numbers, so that no copy overwrites a source.
        high = [(fcntl.fcntl(source, fcntl.F_DUPFD, 64), target) for source, target in wanted]
        for source, target in high:
            os.dup2(source, target, inheritable=target < CHANNEL)
        os.closerange(FIRST_FREE + 1 if landlock is not None else FIRST_FREE, 1 << 16)
        try:
            handles, held = self._fence_in(request, FIRST_FREE if landlock is not None else None)
        except BaseException as error:
            code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
            report = {"failed": getattr(error, "step", type(error).__name__), "errno": code,
                      "message": str(error)}
            runner.greet(CHANNEL, report, ())
            os._exit(71)
        runner.greet(CHANNEL, {"held": held}, handles)
        for descriptor in handles:
            os.close(descriptor)
        runner.serve(CHANNEL, request["idle"])

    def _fence_in(self, request, landlock):
        """Applies every layer of the plan; returns what the server keeps of it, and what holds.

        The server keeps the run folder, to read it after the run, and the mounts: the kernel takes
        long to remove those, which must not hold up the end of the process.
        """
        os.setsid()
        held = ["environment", "rlimits"]
        if self.plan["namespaces"]:
            layers.own_namespaces(self.plan)
            folder = self.plan["folder"]
            held += ["user_namespace", "mount_namespace", "pid_namespace", "network_namespace",
                     "ipc_namespace", "uts_namespace", "private_root"]
        else:
            layers.adopt_orphans()
            folder = request["folder"]
        os.chdir(folder)
        temporary = os.path.join(folder, ".tmp")
        os.mkdir(temporary, 0o700)
        for name, value in (("HOME", folder), ("TMPDIR", temporary), ("PWD", folder)):
            os.environ[name] = value
        handles = [os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        if self.plan["namespaces"]:
            handles.append(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        limits = self.plan["limits"]
        if not self.plan["namespaces"]:
            limits = {**limits, "processes": limits["processes"] + layers.tasks_of_this_user()}
        layers.limit_resources(limits)
        layers.drop_capabilities()
        layers.die_with_parent()
        layers.be_dumpable()
        if self.plan["fenced"]:
            layers.forbid_new_privileges()
            held.append("no_new_privs")
        if landlock is not None:
            layers.restrict_files(landlock)
            os.close(landlock)
            held.append("landlock")
        if self.filters:
            self.filters.apply()
            held.append("seccomp")
        return handles, held


def _filters(programs):
    return layers.Filters([base64.b64decode(code) for code in programs])


def _import_without_tls(name):
    """asyncio can do without `ssl`, which is large and of no use where there is no network."""
    present = "ssl" in sys.modules
    if not present:
        sys.modules["ssl"] = None
    try:
        importlib.import_module(name)
    finally:
        if not present:
            del sys.modules["ssl"]


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
        zygote.send({"event": "failed", "step": getattr(error, "step", "prepare the interpreter"),
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
