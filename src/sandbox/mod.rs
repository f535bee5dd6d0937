//! The port to a place where code of others runs without harm.
//!
//! [`Sandbox::start`] takes a [`RunSpec`] and answers with a [`RunHandle`]: a stream of [`Event`]s
//! (output, tool calls, questions to a model) that ends with one [`Event::Ended`]. Whoever holds the
//! handle answers the calls; dropping it kills the run.
//!
//! What holds for every adapter:
//! - nothing that the code says is believed: identity, rights and budgets belong to the holder of the
//!   handle, and the adapter alone counts calls, bytes and time;
//! - a frame that is forged, broken, too large or late ends its own run at most;
//! - when `Ended` arrives, no process of the run is left, and nobody can reach its mounts and files; they
//!   and its group are removed at once behind it;
//! - each outcome says which layers of isolation held ([`IsolationReport`]).
//!
//! [`local`] runs real CPython on this machine. What runs inside lies in the folder `sandbox/` and is
//! part of the program.

mod error;
mod event;
mod handle;
mod outcome;
mod report;
mod service;
mod spec;

#[cfg(target_os = "linux")]
pub mod local;

use std::process::ExitCode;

use async_trait::async_trait;

pub use error::SandboxError;
pub use event::{AiQuestion, CallFailure, CallId, Event, Reply, Stream, ToolCall};
pub use handle::{Command, Replier, RunDriver, RunHandle};
pub use outcome::{
    Captured, CodeError, End, Finished, InspectedCall, InspectedImport, Inspection, Outcome,
    OutputFile, Rendered, SkippedFile, SyntaxProblem, Unfinished,
};
pub use report::{IsolationReport, Layer, LayerState, ProfileReport, SandboxReport, Tier};
pub use service::{
    Service, ServiceEnd, ServiceOrder, ServiceProcess, ServiceSpec, ShareAccess, SharedFolder,
};
pub use spec::{InputFile, RunKind, RunLimits, RunSpec, ToolStub};

/// A place where code runs.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Starts a run; returns as soon as it has begun.
    async fn start(&self, spec: RunSpec) -> Result<RunHandle, SandboxError>;

    /// Starts a program that stays up; returns when it runs. It needs namespaces, whatever the least
    /// tier is: without them nothing bounds its network.
    async fn start_service(&self, spec: ServiceSpec) -> Result<Service, SandboxError> {
        let _ = spec;
        Err(SandboxError::Start("programs that stay up cannot be isolated here".to_owned()))
    }

    /// What this sandbox is made of, and what it lacks; probes when nobody did before.
    async fn report(&self) -> SandboxReport;

    /// Ends every run and every helper process, and waits until they are gone.
    async fn close(&self);
}

/// Does the work of a helper process when this program was started as one; `None` otherwise.
///
/// To be called first thing in `main`, while the process has a single thread.
pub fn helper_process() -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    {
        local::launcher::run_when_asked()
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}
