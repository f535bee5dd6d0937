//! A worker: a fork behind all its fences that waits for its one run.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::cgroup::{Groups, RunGroup};
use super::fence;
use super::frames::Channel;
use super::helper::receive;
use super::kernel_files::process_of;
use super::plan::LaunchPlan;
use super::sys::watch;
use super::zygote::{Purpose, Refusal, Zygote};
use crate::sandbox::Layer;

/// Longest time for a fork to put up its fences.
const GREETING_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for killed processes to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(20);

/// Everything that the server holds of one worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) channel: Channel,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
    /// The run folder; readable after the worker's death.
    pub(super) folder: OwnedFd,
    /// The run's mounts, which nobody can reach once its processes are gone. The kernel waits for
    /// all processors when it removes them; holding them keeps that out of the process's end.
    mounts: Option<OwnedFd>,
    /// Layers that the worker reports, and the groups that the server put it into.
    pub(super) held: Vec<Layer>,
    pub(super) born: Instant,
    /// Its number here, for the memory watchdog.
    pub(super) number: i32,
    pub(super) group: Option<RunGroup>,
    groups: Option<Arc<Groups>>,
    pub(super) process: Process,
    exited: Option<oneshot::Receiver<i32>>,
    status: Option<i32>,
    strays_possible: bool,
    /// The run folder on disk, where there is no private root.
    _scratch: Option<TempDir>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Greeting {
    Held { held: Vec<Layer> },
    Failed { failed: String, message: String },
}

/// Where run folders lie when there is no private root.
#[derive(Debug)]
pub(super) struct Scratch<'a> {
    pub(super) parent: &'a Path,
    /// Their owner, when the server is root.
    pub(super) owner: Option<u32>,
}

impl Worker {
    /// Has the zygote fork one, and waits until its fences are up.
    pub(super) async fn fork(
        zygote: &Zygote,
        plan: &LaunchPlan,
        groups: Option<Arc<Groups>>,
        scratch: Scratch<'_>,
        purpose: Purpose,
    ) -> Result<Self, Refusal> {
        let local = |error: io::Error| Refusal::new("make a worker's descriptors", error);
        let (ours, theirs) = StdUnixStream::pair().map_err(local)?;
        let (stdout, stdout_end) = pipe_pair().map_err(local)?;
        let (stderr, stderr_end) = pipe_pair().map_err(local)?;
        let folder = if plan.namespaces { None } else { Some(scratch.make().map_err(local)?) };
        let rules = match &folder {
            Some(folder) if plan.landlock => own_rules(plan, folder.path())?,
            Some(_) | None => None,
        };
        let mut descriptors = vec![theirs.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
        descriptors.extend(rules.as_ref().map(|rules| rules.as_fd()));
        let forked = zygote.fork(folder.as_ref().map(TempDir::path), purpose, &descriptors).await?;
        drop((theirs, stdout_end, stderr_end, rules));
        // From here on, leaving early kills the process: see `Doomed`.
        let process = Doomed(Some(forked.process));
        let number = process_of(process.as_fd()?).map_err(local)?;
        let mut held = Vec::new();
        let group = match &groups {
            Some(groups) => {
                held.extend([Layer::CgroupMemory, Layer::CgroupPids]);
                Some(admit(Arc::clone(groups), number).await?)
            }
            None => None,
        };
        ours.set_nonblocking(true).map_err(local)?;
        let stream = UnixStream::from_std(ours).map_err(local)?;
        let greeting = tokio::time::timeout(GREETING_LIMIT, greeting(&stream))
            .await
            .map_err(|_| Refusal::new("put up the fences", "it takes too long"))?;
        let (greeting, handles) = greeting?;
        match greeting {
            Greeting::Held { held: reported } => held.extend(reported),
            Greeting::Failed { failed, message } => {
                return Err(Refusal { step: failed, message });
            }
        }
        let mut handles = handles.into_iter();
        let Some(run_folder) = handles.next() else {
            return Err(Refusal::new("put up the fences", "the run folder is missing"));
        };
        held.sort();
        Ok(Self {
            channel: Channel::new(stream, Vec::new()),
            stdout: pipe::Receiver::from_owned_fd(stdout).map_err(local)?,
            stderr: pipe::Receiver::from_owned_fd(stderr).map_err(local)?,
            folder: run_folder,
            mounts: handles.next(),
            held,
            born: Instant::now(),
            number,
            group,
            groups,
            process: Process::watch(process.survive()?).map_err(local)?,
            exited: Some(forked.exited),
            status: None,
            strays_possible: !plan.namespaces,
            _scratch: folder,
        })
    }

    /// Kills the run.
    pub(super) fn kill(&self) {
        self.process.signal(Signal::KILL);
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Kills the run and waits until nothing of it is left; the raw wait status when it is known.
    pub(super) async fn end(&mut self, wanted: WaitStatus) -> Option<i32> {
        self.kill();
        if tokio::time::timeout(DEATH_LIMIT, self.process.death()).await.is_err() {
            tracing::error!(process = self.number, "a sandboxed process does not die");
        }
        if self.strays_possible || wanted == WaitStatus::Needed {
            self.collected().await;
        }
        self.status
    }

    async fn collected(&mut self) {
        if let Some(exited) = self.exited.take() {
            let waited = tokio::time::timeout(DEATH_LIMIT, exited).await;
            // Without the zygote nobody knows how it ended.
            self.status = waited.ok().and_then(Result::ok);
        }
    }

    /// Lets the mounts go and gives the group back; to be called when the run has ended. The kernel
    /// counts a process as part of its group until it has been collected, which the zygote does
    /// meanwhile.
    pub(super) async fn release(mut self) {
        self.collected().await;
        let (mounts, group, groups) = (self.mounts.take(), self.group.take(), self.groups.take());
        // Both may wait for the kernel.
        let _ = tokio::task::spawn_blocking(move || {
            drop(mounts);
            if let (Some(group), Some(groups)) = (group, groups) {
                groups.give_back(group);
            }
        })
        .await;
    }
}

/// The first process of a run.
#[derive(Debug)]
pub(super) struct Process(AsyncFd<OwnedFd>);

impl Process {
    fn watch(process: OwnedFd) -> io::Result<Self> {
        watch(process, Interest::READABLE).map(Self)
    }

    /// Returns once it has ended; with namespaces, nothing of the run lives then.
    pub(super) async fn death(&self) {
        // The descriptor of a process stays readable for ever, so the guard need not be cleared.
        let _ = self.0.readable().await;
    }

    /// Whether it has not ended.
    pub(super) fn is_alive(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(self.0.get_ref(), PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut polled, Some(&at_once)), Ok(0))
    }

    /// Sends it a signal, which reaches nobody else even when it is gone.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(self.0.get_ref(), signal);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether an end waits for the zygote's word on how the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitStatus {
    /// Yes.
    Needed,
    /// The process was killed by us anyway.
    Unneeded,
}

/// A process that is killed unless it is wanted.
struct Doomed(Option<OwnedFd>);

impl Doomed {
    fn as_fd(&self) -> Result<std::os::fd::BorrowedFd<'_>, Refusal> {
        self.0.as_ref().map(|it| it.as_fd()).ok_or_else(Self::missing)
    }

    fn survive(mut self) -> Result<OwnedFd, Refusal> {
        self.0.take().ok_or_else(Self::missing)
    }

    fn missing() -> Refusal {
        Refusal::new("fork a worker", "its descriptor is missing")
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        }
    }
}

impl Scratch<'_> {
    fn make(&self) -> io::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(self.parent)?;
        if let Some(owner) = self.owner {
            let (user, group) =
                (rustix::process::Uid::from_raw(owner), rustix::process::Gid::from_raw(owner));
            rustix::fs::chown(folder.path(), Some(user), Some(group))?;
        }
        Ok(folder)
    }
}

/// The rule set of one worker among others on the same file system.
fn own_rules(plan: &LaunchPlan, folder: &Path) -> Result<Option<OwnedFd>, Refusal> {
    let readable = plan.all_readable();
    let cache: Option<PathBuf> = plan.cache.clone();
    let readable = readable.iter().chain(&cache).map(PathBuf::as_path);
    fence::rule_set(readable, [folder], []).map_err(|error| Refusal::new("landlock", error))
}

/// Takes a group and moves the process in. The kernel may wait a moment for its other processors.
pub(super) async fn admit(groups: Arc<Groups>, number: i32) -> Result<RunGroup, Refusal> {
    let refuse = |error: String| Refusal::new("join a control group", error);
    tokio::task::spawn_blocking(move || {
        let group = groups.take()?;
        match group.add(number) {
            Ok(()) => Ok(group),
            Err(error) => {
                groups.give_back(group);
                Err(error)
            }
        }
    })
    .await
    .map_err(|error| refuse(error.to_string()))?
    .map_err(|error: io::Error| refuse(error.to_string()))
}

fn pipe_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// The first frame, sent before any code is there: the only time that descriptors are accepted.
async fn greeting(stream: &UnixStream) -> Result<(Greeting, Vec<OwnedFd>), Refusal> {
    let lost = |error: &dyn std::fmt::Display| Refusal::new("put up the fences", error);
    let (mut data, mut handles) = (Vec::new(), Vec::new());
    loop {
        let (piece, received) = stream
            .async_io(Interest::READABLE, || receive(stream.as_fd()))
            .await
            .map_err(|error| lost(&error))?;
        if piece.is_empty() {
            return Err(lost(&"the worker ended"));
        }
        data.extend(piece);
        handles.extend(received);
        if let Some((length, rest)) = data.split_first_chunk::<4>()
            && rest.len() >= usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX)
        {
            let greeting = serde_json::from_slice(rest).map_err(|error| lost(&error))?;
            return Ok((greeting, handles));
        }
    }
}
