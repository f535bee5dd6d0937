//! Starting the program of a server: a small port, so that a server can be started inside a
//! sandbox instead.

use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};

use crate::config::mcp_servers::StdioSpec;

/// A program that was started, with its streams.
pub struct Launched {
    /// What it reads.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Where it complains.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// The program itself.
    pub process: Box<dyn Process>,
}

/// A running program. Dropped, it is killed with all that it started.
#[async_trait]
pub trait Process: Send + Sync + 'static {
    /// Kills it and all that it started, at once. May be called again.
    fn kill(&self);

    /// Asks it to end.
    fn ask_to_end(&self);

    /// Waits for its end and says how it ended.
    async fn ended(&mut self) -> String;
}

/// Starts programs.
pub trait Launch: Send + Sync + 'static {
    /// Starts the program of a server with pipes for its streams.
    ///
    /// # Errors
    /// Why it cannot be started, in words.
    fn launch<'a>(&'a self, spec: &'a StdioSpec) -> BoxFuture<'a, Result<Launched, String>>;
}

/// Starts programs on this machine as they are, each in a process group of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalLaunch;

impl Launch for LocalLaunch {
    fn launch<'a>(&'a self, spec: &'a StdioSpec) -> BoxFuture<'a, Result<Launched, String>> {
        Box::pin(async move { start(spec) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the adapter that starts servers")]
fn start(spec: &StdioSpec) -> Result<Launched, String> {
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    if let Some(folder) = &spec.folder {
        if !folder.is_dir() {
            return Err(format!("its working folder {} does not exist", folder.display()));
        }
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("`{}` is not installed, or not in the PATH", spec.program)
        }
        _ => format!("`{}`: {error}", spec.program),
    })?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("its streams cannot be opened".to_owned());
    };
    let errors = child.stderr.take();
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    Ok(Launched {
        input: Box::new(input),
        output: Box::new(output),
        errors: errors.map(|errors| Box::new(errors) as Box<dyn AsyncRead + Send + Unpin>),
        process: Box::new(Group { child, group: Mutex::new(group) }),
    })
}

/// A child that leads a process group.
struct Group {
    child: Child,
    /// The group's id, until nothing may be sent to it any more.
    group: Mutex<Option<i32>>,
}

impl Group {
    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let group = *self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            // The group may be gone already.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

#[async_trait]
impl Process for Group {
    #[cfg(unix)]
    fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    #[cfg(not(unix))]
    fn kill(&self) {}

    #[cfg(unix)]
    fn ask_to_end(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    #[cfg(not(unix))]
    fn ask_to_end(&self) {}

    async fn ended(&mut self) -> String {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // What it started and left behind goes with it. From here on the group's id may belong to
        // somebody else.
        self.kill();
        self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        how
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
