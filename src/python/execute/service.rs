//! The use case of running code.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::calls::{Budget, CallServer};
use super::inputs::{self, FileSource};
use super::live::{Live, Stopped};
use super::model::{ExecuteCode, RunSettings};
use super::outcome::{Executed, executed};
use super::parking::Parking;
use super::stubs;
use crate::content_urls::ContentUrls;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Failure, Run};
use crate::registry::{Caller, Origin, ToolDescription};
use crate::sandbox::{CallFailure, RunLimits, RunSpec, Sandbox, SandboxError, ToolStub};
use crate::storage::blobs::Blobs;
use crate::storage::{Catalog, JobId};

/// Levels of code that runs code.
const LEVELS: usize = 3;
/// Runs that may wait for their turn, at each level.
const QUEUE: usize = 64;
/// How long it is known that a run of a job was ended in order. Longer than a call can be repeated.
const KNOWN_ENDINGS: Duration = Duration::from_mins(30);
/// Calls of one run that the sandbox passes on at a time; more are refused there.
const CALLS_IN_FLIGHT: usize = 128;
/// JSON bytes of one value. Results that are too large for a client are cut behind its reference.
const VALUE_BYTES: usize = 2 << 20;

/// What code is run with.
pub struct RunParts {
    /// Where it runs.
    pub sandbox: Arc<dyn Sandbox>,
    /// The tools that it may call.
    pub caller: Caller,
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Where its files are hosted.
    pub urls: ContentUrls,
    /// Where files behind addresses come from.
    pub files: Arc<dyn FileSource>,
    /// How the operator wants it.
    pub settings: RunSettings,
}

/// Runs code.
pub struct PythonRuns {
    parts: RunParts,
    parking: Parking,
    /// Places for runs, one pool for each level: code that waits for code further inside never waits
    /// for a place that its like holds.
    levels: [Level; LEVELS],
    /// Jobs whose run this process ended in order, so that a repeated call may run again.
    ended: Endings,
}

/// Jobs with the time of their end.
#[derive(Default)]
struct Endings(Mutex<HashMap<JobId, Instant>>);

impl Endings {
    fn note(&self, job: &JobId) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, time| time.elapsed() < KNOWN_ENDINGS);
        ended.insert(job.clone(), Instant::now());
    }

    fn has(&self, job: &JobId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(job)
    }
}

struct Level {
    running: Arc<Semaphore>,
    queue: Semaphore,
}

/// Notes, however an attempt ends, that nothing of its run is left.
struct EndNote<'a> {
    ended: &'a Endings,
    job: &'a JobId,
}

impl Drop for EndNote<'_> {
    fn drop(&mut self) {
        self.ended.note(self.job);
    }
}

impl PythonRuns {
    /// With these parts.
    pub fn new(parts: RunParts) -> Self {
        let level = || Level {
            running: Arc::new(Semaphore::new(parts.settings.concurrent_runs.max(1))),
            queue: Semaphore::new(QUEUE),
        };
        Self {
            parking: Parking::new(Arc::clone(&parts.catalog), parts.settings.waiting_runs),
            levels: [level(), level(), level()],
            ended: Endings::default(),
            parts,
        }
    }

    /// Runs code to its end, or until the host has to write something.
    ///
    /// # Errors
    /// [`Failure::Suspend`] with what the host has to write; else why the code was not run. What goes
    /// wrong in the code is in the result.
    pub async fn execute(&self, run: &Run, call: ExecuteCode) -> Result<Executed, Failure> {
        let job = run.job_id();
        let _note = EndNote { ended: &self.ended, job };
        let (mut live, mut question) = match self.parking.take(job) {
            Some(mut live) => {
                let question = live.take_up(run).await?;
                (live, question)
            }
            None => (self.begin(run, call).await?, None),
        };
        loop {
            let request = match question.take() {
                Some(request) => request,
                None => match live.converse(run).await {
                    Stopped::Waits(request) => request,
                    Stopped::Ended(outcome) => {
                        live.settle().await?;
                        let records = live.records();
                        let RunParts { blobs, urls, settings, .. } = &self.parts;
                        return Ok(executed(
                            *outcome,
                            records,
                            blobs,
                            urls,
                            settings.inline_images,
                        )
                        .await?);
                    }
                },
            };
            match self.parking.park(job, &run.context().principal, live) {
                Ok(()) => return Err(Failure::Suspend(request)),
                Err(back) => {
                    live = *back;
                    live.refuse_questions(&no_place()).await;
                }
            }
        }
    }

    /// Ends runs that wait. Runs under way end with their jobs.
    pub async fn close(&self) {
        self.parking.close().await;
    }

    async fn begin(&self, run: &Run, call: ExecuteCode) -> Result<Live, Failure> {
        if call.code.trim().is_empty() {
            return Err(ToolError::invalid("code_missing", "`code` is empty")
                .hint("give the program to run")
                .into());
        }
        self.refuse_second_run(run)?;
        let settings = &self.parts.settings;
        let depth = run.context().depth;
        let level = usize::try_from(depth).ok().and_then(|depth| self.levels.get(depth));
        let Some(level) = level else {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "calls_too_deep",
                format!("code that runs code lies {depth} deep; at most {} may", LEVELS - 1),
            )
            .hint("call the function itself instead of running its code")
            .into());
        };
        let tools = self.tools(run, call.tool_names.as_deref())?;
        let allowed =
            call.tool_names.is_some().then(|| tools.iter().map(|tool| tool.name.clone()).collect());
        let inputs = inputs::collect(self.parts.files.as_ref(), &call).await?;
        let place = {
            let _turn = level.queue.try_acquire().map_err(|_| too_busy())?;
            let running = Arc::clone(&level.running).acquire_owned();
            running.await.map_err(|_| ToolError::internal("the places of runs are gone"))?
        };
        let budget = Budget::new(format!("python:{}", run.job_id()), settings, call.timeout);
        let server = CallServer::new(
            self.parts.caller.clone(),
            budget,
            run,
            call.user.as_deref(),
            allowed,
            settings,
        )?;
        let spec = RunSpec {
            function_args: call.function_args,
            function_kwargs: call.function_kwargs,
            timeout: call.timeout,
            inputs,
            // Serving the module costs a little, so only code that names it gets it.
            stubs: call.code.contains(stubs::MODULE).then(|| stubs::source(&tools)),
            tools: tools.into_iter().map(stub).collect(),
            limits: RunLimits {
                value_bytes: VALUE_BYTES,
                // Refusals of our own say which limit it was.
                calls: u32::MAX,
                calls_in_flight: CALLS_IN_FLIGHT,
                file_bytes: settings.file_bytes,
                parked: settings.longest_wait,
                ..RunLimits::default()
            },
            ..RunSpec::new(call.code)
        };
        let handle = self.parts.sandbox.start(spec).await.map_err(unable)?;
        Ok(Live::new(handle, server, place))
    }

    /// Code is not run twice behind its caller's back: it may have changed things the first time.
    fn refuse_second_run(&self, run: &Run) -> Result<(), ToolError> {
        if run.fence().attempt <= 1 || self.ended.has(run.job_id()) {
            return Ok(());
        }
        Err(interrupted("the server that ran it went away"))
    }

    /// The tools that the call names, or all that its caller may call from code.
    fn tools(
        &self,
        run: &Run,
        wanted: Option<&[String]>,
    ) -> Result<Vec<ToolDescription>, ToolError> {
        let rights = &run.context().rights;
        let origin = run.context().origin.narrower(Origin::Code);
        let closed = &self.parts.settings.closed_tools;
        let caller = &self.parts.caller;
        let mut tools = match wanted {
            None => caller.tools(rights, origin),
            Some(names) => {
                let names: BTreeSet<&str> =
                    names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
                names
                    .into_iter()
                    .map(|name| caller.check(name, rights, origin))
                    .collect::<Result<_, _>>()?
            }
        };
        tools.retain(|tool| !closed.contains(&tool.name));
        Ok(tools)
    }
}

fn stub(tool: ToolDescription) -> ToolStub {
    ToolStub { name: tool.name, description: tool.description, input_schema: tool.input_schema }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn unable(error: SandboxError) -> ToolError {
    let kind = match &error {
        SandboxError::UnknownProfile { .. }
        | SandboxError::Dependencies { .. }
        | SandboxError::InvalidSpec(_) => ErrorKind::Invalid,
        SandboxError::TooWeak { .. }
        | SandboxError::Interpreter { .. }
        | SandboxError::Start(_)
        | SandboxError::Closed => ErrorKind::Unavailable,
    };
    ToolError::new(kind, error.code(), error.to_string()).hint(error.hint())
}

fn interrupted(reason: &str) -> ToolError {
    ToolError::new(
        ErrorKind::Cancelled,
        "interrupted",
        format!("the run of this code was lost: {reason}"),
    )
    .hint("it is not run again by itself, since it may have changed things; look at what it did, then call again")
}

fn too_busy() -> ToolError {
    let mut error = ToolError::new(
        ErrorKind::Limit,
        "busy",
        format!("{QUEUE} runs wait for their turn already"),
    )
    .hint("wait for one to end, then repeat this call");
    error.retry_after_s = Some(1.0);
    error
}

fn no_place() -> CallFailure {
    CallFailure::new(
        "too_many_waiting",
        "no language model is configured, and too many runs wait for the host's answers already",
    )
}
