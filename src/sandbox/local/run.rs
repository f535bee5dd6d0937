//! One run from its first frame to the last trace of it.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::{Instant, Sleep, sleep_until};

use super::cgroup::RunGroup;
use super::collect::{Collected, collect, is_bare};
use super::kernel_files::memory_of_tree;
use super::output::Capture;
use super::worker::{WaitStatus, Worker};
use crate::sandbox::{
    AiQuestion, CallId, CodeError, Command, End, Event, Finished, Inspection, IsolationReport,
    Outcome, Reply, RunDriver, RunKind, RunSpec, Stream, ToolCall, Unfinished,
};

/// Frames other than the result.
const FRAME_BYTES: usize = 1 << 20;
/// Room in a result beside its two values.
const RESULT_EXTRA_BYTES: usize = 256 << 10;
const OUTPUT_CHUNK: usize = 16 << 10;
/// Events that output leaves free for calls and the end.
const RESERVED_EVENTS: usize = 100;
const IMAGES: usize = 16;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Time for the last output to come out of the pipes.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// What the runner says.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Frame {
    Call {
        id: u64,
        tool: String,
        #[serde(default)]
        arguments: Map<String, Value>,
    },
    Ai {
        id: u64,
        prompt: String,
        #[serde(default)]
        json_schema: Option<Value>,
        #[serde(default)]
        system: Option<String>,
        #[serde(default)]
        model: Option<String>,
    },
    Tools {
        id: u64,
    },
    Image {
        name: String,
    },
    Result(Box<ResultFrame>),
}

#[derive(Debug, Deserialize)]
struct ResultFrame {
    ok: bool,
    #[serde(default)]
    error: Option<CodeError>,
    #[serde(default)]
    report: Option<Inspection>,
    #[serde(flatten)]
    finished: Finished,
}

/// The end as far as the channel tells it.
enum Verdict {
    Said(Box<ResultFrame>),
    Unfinished(Unfinished),
    /// The process ended by itself; its status says how.
    Died,
}

/// A run under way.
pub(super) struct Run {
    worker: Worker,
    spec: RunSpec,
    driver: RunDriver,
    isolation: Arc<IsolationReport>,
    memory_limit: u64,
    stdout: Capture,
    stderr: Capture,
    waiting: HashSet<u64>,
    calls: u32,
    images: Vec<String>,
    clock: Clock,
}

/// The run's time, which stands still while it is parked.
struct Clock {
    began: Instant,
    deadline: Instant,
    parked_since: Option<Instant>,
    parked: Duration,
    parked_limit: Duration,
}

impl Clock {
    fn start(timeout: Duration, parked_limit: Duration) -> Self {
        let began = Instant::now();
        Self {
            began,
            deadline: began + timeout,
            parked_since: None,
            parked: Duration::ZERO,
            parked_limit,
        }
    }

    fn park(&mut self) {
        self.parked_since.get_or_insert_with(Instant::now);
    }

    fn resume(&mut self) {
        if let Some(since) = self.parked_since.take() {
            let time = since.elapsed();
            self.parked += time;
            self.deadline += time;
        }
    }

    /// When the run must be over, and what it is told then.
    fn next_end(&self) -> (Instant, Unfinished) {
        match self.parked_since {
            Some(since) => {
                (since + self.parked_limit.saturating_sub(self.parked), Unfinished::ParkedTooLong)
            }
            None => (self.deadline, Unfinished::Timeout),
        }
    }

    fn spent(&self) -> Duration {
        let parked =
            self.parked + self.parked_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.began.elapsed().saturating_sub(parked)
    }
}

/// A call's result on its way in.
#[derive(Serialize)]
struct Answer<'a> {
    id: u64,
    ok: bool,
    value: &'a Value,
}

impl Run {
    pub(super) fn new(
        worker: Worker,
        spec: RunSpec,
        driver: RunDriver,
        isolation: Arc<IsolationReport>,
        memory_limit: u64,
    ) -> Self {
        let keep = spec.limits.kept_output_bytes;
        let clock = Clock::start(spec.timeout, spec.limits.parked);
        Self {
            worker,
            spec,
            driver,
            isolation,
            memory_limit,
            stdout: Capture::new(keep),
            stderr: Capture::new(keep),
            waiting: HashSet::new(),
            calls: 0,
            images: Vec::new(),
            clock,
        }
    }

    /// Runs the code to its end and tells the holder of the handle; calls `told` then, and lets go of
    /// what the kernel takes its time to remove.
    pub(super) async fn drive(mut self, told: impl FnOnce()) {
        let verdict = match self.begin() {
            Ok(()) => self.until_end().await,
            Err(reason) => Verdict::Unfinished(Unfinished::Protocol(reason)),
        };
        let events = self.driver.events.clone();
        let (outcome, worker) = self.finish(verdict).await;
        // There is room: output leaves some, and calls in flight are fewer.
        let _ = events.try_send(Event::Ended(Box::new(outcome)));
        told();
        worker.release().await;
    }

    /// Sends inputs and code.
    fn begin(&mut self) -> Result<(), String> {
        for input in &self.spec.inputs {
            let header = json!({"kind": "input", "name": input.name, "size": input.bytes.len()});
            self.worker.channel.send(&header)?;
            self.worker.channel.send_bytes(&input.bytes)?;
        }
        let limits = &self.spec.limits;
        let result_bytes = 2 * limits.value_bytes + RESULT_EXTRA_BYTES;
        self.worker.channel.accept(result_bytes.max(FRAME_BYTES));
        let frame = match self.spec.kind {
            RunKind::Execute => json!({
                "kind": "run",
                "code": self.spec.code,
                "args": self.spec.function_args,
                "kwargs": self.spec.function_kwargs,
                "stubs": self.spec.stubs,
                "cpu_seconds": self.spec.timeout.as_secs() + 2,
                "value_bytes": limits.value_bytes,
                "result_bytes": result_bytes,
            }),
            RunKind::Inspect => json!({
                "kind": "inspect",
                "code": self.spec.code,
                "tools": self.spec.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
                "result_bytes": result_bytes,
            }),
        };
        self.worker.channel.send(&frame)
    }

    async fn until_end(&mut self) -> Verdict {
        let (end, _) = self.clock.next_end();
        let mut alarm: Pin<Box<Sleep>> = Box::pin(sleep_until(end));
        let group = self.worker.group.clone();
        let mut watchdog = Box::pin(watch_memory(self.worker.number, self.memory_limit, group));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut out_open, mut err_open) = (true, true);
        loop {
            tokio::select! {
                filled = self.worker.channel.fill_or_flush() => match filled {
                    Ok(true) => match self.take_frames() {
                        Ok(None) => {}
                        Ok(Some(verdict)) => return verdict,
                        Err(reason) => return Verdict::Unfinished(Unfinished::Protocol(reason)),
                    },
                    // The code closed its channel, or its process ended: the end tells which.
                    Ok(false) | Err(_) => return self.after_silence().await,
                },
                command = self.driver.commands.recv() => match self.obey(command) {
                    Ok(None) => {
                        let (end, _) = self.clock.next_end();
                        if alarm.deadline() != end {
                            alarm.as_mut().reset(end);
                        }
                    }
                    Ok(Some(unfinished)) => return Verdict::Unfinished(unfinished),
                    Err(reason) => return Verdict::Unfinished(Unfinished::Protocol(reason)),
                },
                open = read_some(&mut self.worker.stdout, &mut out), if out_open => {
                    out_open = open;
                    if self.keep(Stream::Stdout, &mut out) {
                        return Verdict::Unfinished(Unfinished::OutputLimit);
                    }
                }
                open = read_some(&mut self.worker.stderr, &mut err), if err_open => {
                    err_open = open;
                    if self.keep(Stream::Stderr, &mut err) {
                        return Verdict::Unfinished(Unfinished::OutputLimit);
                    }
                }
                () = &mut alarm => {
                    return Verdict::Unfinished(self.clock.next_end().1);
                }
                () = &mut watchdog => return Verdict::Unfinished(Unfinished::MemoryLimit),
                () = self.worker.process.death() => return self.last_words().await,
            }
        }
    }

    /// The channel is closed: either the process is about to end, or the code closed it.
    async fn after_silence(&mut self) -> Verdict {
        match tokio::time::timeout(Duration::from_millis(500), self.worker.process.death()).await {
            Ok(()) => Verdict::Died,
            Err(_) => {
                Verdict::Unfinished(Unfinished::Protocol("the code closed its channel".to_owned()))
            }
        }
    }

    /// The process has ended; a result may still lie in the channel.
    async fn last_words(&mut self) -> Verdict {
        let reading = async { while let Ok(true) = self.worker.channel.fill().await {} };
        let _ = tokio::time::timeout(DRAIN_LIMIT, reading).await;
        match self.take_frames() {
            Ok(Some(verdict)) => verdict,
            Ok(None) | Err(_) => Verdict::Died,
        }
    }

    fn take_frames(&mut self) -> Result<Option<Verdict>, String> {
        while let Some((frame, length)) = self.worker.channel.next::<Frame>()? {
            if let Frame::Result(result) = frame {
                return Ok(Some(Verdict::Said(result)));
            }
            if length > FRAME_BYTES {
                return Err(format!("a call of {length} bytes, at most {FRAME_BYTES}"));
            }
            self.take(frame)?;
        }
        Ok(None)
    }

    fn take(&mut self, frame: Frame) -> Result<(), String> {
        let (id, event) = match frame {
            Frame::Call { id, tool, arguments } => {
                (id, Event::Call(ToolCall { id: CallId(id), tool, arguments }))
            }
            Frame::Ai { id, prompt, json_schema, system, model } => {
                let id_of = CallId(id);
                (id, Event::Ask(AiQuestion { id: id_of, prompt, json_schema, system, model }))
            }
            Frame::Tools { id } => {
                let tools: Vec<_> = self
                    .spec
                    .tools
                    .iter()
                    .map(|tool| {
                        json!({
                            "name": tool.name,
                            "description": tool.description,
                            "parameters": tool.input_schema,
                        })
                    })
                    .collect();
                return self.answer(id, &Ok(Value::Array(tools)));
            }
            Frame::Image { name } => {
                if self.images.len() < IMAGES && !self.images.contains(&name) {
                    self.images.push(name);
                }
                return Ok(());
            }
            Frame::Result(_) => return Ok(()),
        };
        if self.waiting.contains(&id) {
            return Err(format!("the call {id} was made twice"));
        }
        let limits = &self.spec.limits;
        let refusal = if self.calls >= limits.calls {
            Some(format!("one run may make {} calls", limits.calls))
        } else if self.waiting.len() >= limits.calls_in_flight {
            Some(format!("one run may have {} calls in flight", limits.calls_in_flight))
        } else {
            None
        };
        if let Some(message) = refusal {
            let failure = crate::sandbox::CallFailure::new("too_many_calls", message);
            return self.answer(id, &Err(failure));
        }
        self.calls += 1;
        self.waiting.insert(id);
        // A full queue would mean that a call was counted wrongly; the code is told, nobody waits.
        if self.driver.events.try_send(event).is_err() {
            self.waiting.remove(&id);
            let failure = crate::sandbox::CallFailure::new("cancelled", "nobody answers any more");
            return self.answer(id, &Err(failure));
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, reply: &Reply) -> Result<(), String> {
        match reply {
            Ok(value) => self.worker.channel.send(&Answer { id, ok: true, value }),
            Err(failure) => self.worker.channel.send(&json!({
                "id": id,
                "ok": false,
                "code": failure.code,
                "message": failure.message,
                "details": failure.details,
            })),
        }
    }

    /// Does what the holder of the handle wants; an end when that is it.
    fn obey(&mut self, command: Option<Command>) -> Result<Option<Unfinished>, String> {
        match command {
            Some(Command::Reply { id, reply }) => {
                if self.waiting.remove(&id.0) {
                    self.answer(id.0, &reply)?;
                }
                Ok(None)
            }
            Some(Command::Park) => {
                self.worker.process.signal(Signal::STOP);
                self.clock.park();
                Ok(None)
            }
            Some(Command::Resume) => {
                self.clock.resume();
                self.worker.process.signal(Signal::CONT);
                Ok(None)
            }
            // A dropped handle is nobody's run.
            Some(Command::Cancel) | None => Ok(Some(Unfinished::Cancelled)),
        }
    }

    /// Takes a piece of output in and empties its buffer; true when there is too much of it.
    fn keep(&mut self, stream: Stream, piece: &mut Vec<u8>) -> bool {
        let capture = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        capture.push(piece);
        if self.driver.events.capacity() > RESERVED_EVENTS {
            let text = capture.text_of(piece);
            if !text.is_empty() {
                let _ = self.driver.events.try_send(Event::Output { stream, text });
            }
        }
        piece.clear();
        capture.bytes() > self.spec.limits.output_bytes
    }

    async fn finish(mut self, verdict: Verdict) -> (Outcome, Worker) {
        let duration = self.clock.spent();
        let wanted = match verdict {
            Verdict::Died => WaitStatus::Needed,
            Verdict::Said(_) | Verdict::Unfinished(_) => WaitStatus::Unneeded,
        };
        let status = self.worker.end(wanted).await;
        self.drain().await;
        let out_of_memory = self.worker.group.as_ref().is_some_and(RunGroup::ran_out_of_memory);
        let end = match verdict {
            Verdict::Said(result) => said(*result),
            Verdict::Unfinished(unfinished) => End::Unfinished(unfinished),
            Verdict::Died if out_of_memory => End::Unfinished(Unfinished::MemoryLimit),
            Verdict::Died => {
                let spec = self.spec.timeout;
                End::Unfinished(
                    status.map_or(Unfinished::Interrupted, |raw| decode(raw, duration, spec)),
                )
            }
        };
        let Self { worker, spec, stdout, stderr, images, calls, isolation, .. } = self;
        let (worker, found) = collect_in(worker, spec).await;
        let images = images
            .into_iter()
            .filter(|name| {
                found.files.iter().any(|file| file.name == *name && file.bytes.starts_with(PNG))
            })
            .collect();
        let outcome = Outcome {
            end,
            stdout: stdout.finish(),
            stderr: stderr.finish(),
            files: found.files,
            skipped_files: found.skipped,
            images,
            calls,
            duration,
            isolation,
        };
        (outcome, worker)
    }

    /// Reads what is left in the pipes; their writers are gone.
    async fn drain(&mut self) {
        let rest = async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            while read_some(&mut self.worker.stdout, &mut out).await {
                self.stdout.push(&out);
                out.clear();
            }
            self.stdout.push(&out);
            while read_some(&mut self.worker.stderr, &mut err).await {
                self.stderr.push(&err);
                err.clear();
            }
            self.stderr.push(&err);
        };
        let _ = tokio::time::timeout(DRAIN_LIMIT, rest).await;
    }
}

fn said(result: ResultFrame) -> End {
    match (result.report, result.error) {
        (Some(report), _) => End::Inspected(report),
        (None, Some(error)) => End::Failed(error, result.finished),
        (None, None) if result.ok => End::Success(result.finished),
        (None, None) => End::Failed(CodeError::default(), result.finished),
    }
}

/// How a process ended, from the status that `wait` gave.
fn decode(raw: i32, spent: Duration, timeout: Duration) -> Unfinished {
    const KILLED: i32 = 9;
    const CPU: i32 = 24;
    let signal = raw & 0x7f;
    match signal {
        0 => Unfinished::Exited((raw >> 8) & 0xff),
        CPU => Unfinished::CpuLimit,
        // Nobody but the kernel's processor limit kills from outside, and only late.
        KILLED if spent >= timeout => Unfinished::CpuLimit,
        number => Unfinished::Signalled(number),
    }
}

/// Appends a piece to `buffer`; false at the end of the stream.
async fn read_some(stream: &mut pipe::Receiver, buffer: &mut Vec<u8>) -> bool {
    if buffer.capacity() < OUTPUT_CHUNK {
        buffer.reserve(OUTPUT_CHUNK);
    }
    matches!(stream.read_buf(buffer).await, Ok(count) if count > 0)
}

/// Returns when the processes of a run use too much memory together.
///
/// A group says so itself, by the count of processes that the kernel killed in it: what is left of the
/// run then ends too. Without one, the processes' own shares are added up.
pub(super) async fn watch_memory(process: i32, limit: u64, group: Option<RunGroup>) {
    let group = group.map(Arc::new);
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let group = group.clone();
        let looked = tokio::task::spawn_blocking(move || match group {
            Some(group) => group.ran_out_of_memory(),
            None => memory_of_tree(process) > limit,
        });
        if looked.await.unwrap_or(false) {
            return;
        }
    }
}

/// Reads the run folder off the tasks that answer others.
async fn collect_in(worker: Worker, spec: RunSpec) -> (Worker, Collected) {
    if is_bare(&worker.folder) {
        return (worker, Collected::default());
    }
    let Ok(folder) = worker.folder.try_clone() else { return (worker, Collected::default()) };
    let found = tokio::task::spawn_blocking(move || collect(&folder, &spec.limits, &spec.inputs));
    (worker, found.await.unwrap_or_default())
}
