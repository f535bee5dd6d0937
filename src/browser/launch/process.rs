//! A Chrome process with everything below it, from its start until nothing of it is left.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::spawn::{Namespaces, Plan, SpawnError, spawn};

/// How much of what Chrome complains about is kept.
const COMPLAINTS_BYTES: usize = 8 * 1024;

/// A running process tree. Dropping it kills it.
pub(in crate::browser) struct Process {
    pid: Pid,
    handle: OwnedFd,
    /// Whether the kernel kills everything below it with it.
    is_contained: bool,
    ended: watch::Receiver<bool>,
    complaints: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    // Removed after the process was killed.
    _profile: Option<super::profile::Profile>,
}

impl Process {
    /// Starts it. `errors` is our end of its standard error.
    pub(super) async fn start(
        plan: Plan,
        errors: OwnedFd,
        profile: Option<super::profile::Profile>,
    ) -> Result<Self, SpawnError> {
        let is_contained = !matches!(plan.namespaces, Namespaces::None);
        let (started, start) = oneshot::channel();
        let (tell, ended) = watch::channel(false);
        // The kernel ends the process with the thread that started it, so that not even a kill of
        // this program leaves Chrome behind. Threads of the runtime come and go; this one stays.
        let supervise = move || {
            let outcome = spawn(&plan).and_then(|pid| {
                let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty());
                let handle = handle.map_err(|error| SpawnError {
                    stage: super::spawn::Stage::Descriptors,
                    error: error.into(),
                });
                handle.map(|handle| (pid, handle))
            });
            // Our copies of the child's ends must go, or its end would never show.
            drop(plan);
            let pid = outcome.as_ref().ok().map(|(pid, _)| *pid);
            // Whoever asked may be gone; then nobody holds the process, and it must not live.
            if let Err(Ok((pid, _))) = started.send(outcome) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            if let Some(pid) = pid {
                while rustix::process::waitpid(Some(pid), WaitOptions::empty())
                    .is_err_and(|error| error == rustix::io::Errno::INTR)
                {}
            }
            let _ = tell.send(true);
        };
        let failed = |error: io::Error| SpawnError { stage: super::spawn::Stage::Clone, error };
        std::thread::Builder::new().name("chrome".to_owned()).spawn(supervise).map_err(failed)?;
        let gone = || failed(io::Error::other("the thread that starts it has ended"));
        let (pid, handle) = start.await.map_err(|_| gone())??;
        let complaints = Arc::<Mutex<Vec<u8>>>::default();
        let errors = pipe::Receiver::from_owned_fd(errors).map_err(failed)?;
        let reader = tokio::spawn(keep_last(errors, Arc::clone(&complaints)));
        Ok(Self { pid, handle, is_contained, ended, complaints, reader, _profile: profile })
    }

    /// Its id.
    pub(in crate::browser) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended.
    pub(in crate::browser) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until it has ended.
    pub(in crate::browser) async fn wait(&self) {
        let mut ended = self.ended.clone();
        // An error means that the supervisor is gone, and with it the process.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Gives it time to end by itself, then kills it, and waits until it is gone.
    pub(in crate::browser) async fn end(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.wait()).await.is_err() {
            self.kill();
            self.wait().await;
        }
        self.kill();
    }

    /// Kills it with everything below it.
    pub(in crate::browser) fn kill(&self) {
        if !self.has_ended() {
            let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
        }
        if !self.is_contained {
            // An error says that nobody is left.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// What it complained about last.
    pub(in crate::browser) fn complaints(&self) -> String {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&complaints).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reader.abort();
        self.kill();
    }
}

async fn keep_last(mut errors: pipe::Receiver, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let surplus = kept.len().saturating_sub(COMPLAINTS_BYTES);
        kept.drain(..surplus);
    }
}
