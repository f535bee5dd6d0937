//! A run under way: the conversation with the sandbox, whichever attempt of the job holds it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;

use super::calls::{ASK_TOOL, CallServer, Came, Function};
use super::outcome::CallRecord;
use crate::error::ToolError;
use crate::jobs::{CompletionRequest, Failure, Run};
use crate::llm;
use crate::registry::OpenQuestion;
use crate::sandbox::{CallFailure, CallId, Event, Outcome, Reply, RunHandle};

/// How long nothing may happen before a run that waits for the host is stopped: calls that are made
/// together have all arrived by then.
const QUIET: Duration = Duration::from_millis(25);
/// Time between two pieces of output that are told as progress.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Bytes of output in one message of progress.
const TOLD_BYTES: usize = 2000;
/// Calls that are listed in a result.
const LISTED_CALLS: usize = 200;

/// A run under way. Dropping it ends the run and all its calls.
pub(super) struct Live {
    handle: RunHandle,
    server: Arc<CallServer>,
    /// Calls under way. The registry runs each in a task of its own, so a wakeup less is had by
    /// waiting for them here.
    serving: FuturesUnordered<BoxFuture<'static, Served>>,
    /// Questions that the host has to answer, oldest first.
    questions: VecDeque<Asked>,
    /// How many questions the host was asked so far.
    asked: u32,
    records: Vec<CallRecord>,
    /// Calls beyond those in `records`.
    unlisted: u32,
    output: Output,
    /// The place among the runs at a time; given back while the run waits for the host.
    place: Option<OwnedSemaphorePermit>,
}

/// What became of one call.
struct Served {
    id: CallId,
    record: Option<usize>,
    function: Function,
    began: Instant,
    came: Came,
}

/// A question that the host has to answer.
struct Asked {
    id: CallId,
    record: Option<usize>,
    function: Function,
    began: Instant,
    question: Box<OpenQuestion>,
    /// Step of the job that the answer becomes.
    step: String,
}

/// Output that is waiting to be told.
struct Output {
    pending: String,
    told: u32,
    due: Option<tokio::time::Instant>,
}

/// Where a conversation stopped.
pub(super) enum Stopped {
    /// The run is over.
    Ended(Box<Outcome>),
    /// The run is parked: the host has to write something.
    Waits(Box<CompletionRequest>),
}

impl Live {
    pub(super) fn new(handle: RunHandle, server: CallServer, place: OwnedSemaphorePermit) -> Self {
        Self {
            handle,
            server: Arc::new(server),
            serving: FuturesUnordered::new(),
            questions: VecDeque::new(),
            asked: 0,
            records: Vec::new(),
            unlisted: 0,
            output: Output { pending: String::new(), told: 0, due: None },
            place: Some(place),
        }
    }

    /// Calls so far, in the order in which they were made, and how many more there were.
    pub(super) fn records(&mut self) -> (Vec<CallRecord>, u32) {
        (std::mem::take(&mut self.records), self.unlisted)
    }

    /// Writes down what its calls resulted in.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn settle(&mut self) -> Result<(), ToolError> {
        self.server.settle().await
    }

    /// Goes on until the run ends or has to wait for the host.
    pub(super) async fn converse(&mut self, run: &Run) -> Stopped {
        loop {
            let waits = self.serving.is_empty() && !self.questions.is_empty();
            let due = self.output.due;
            tokio::select! {
                biased;
                event = self.handle.next() => match event {
                    Some(Event::Output { text, .. }) => self.output.push(&text),
                    Some(Event::Call(call)) => {
                        let id = call.id;
                        let record = self.record(&call.tool);
                        let server = Arc::clone(&self.server);
                        self.serve(id, record, Function::Tool, async move { server.call(call).await });
                    }
                    Some(Event::Ask(question)) => {
                        let id = question.id;
                        let record = self.record(ASK_TOOL);
                        let server = Arc::clone(&self.server);
                        self.serve(id, record, Function::Ask, async move { server.ask(question).await });
                    }
                    Some(Event::Ended(outcome)) => {
                        self.output.tell(run);
                        self.serving.clear();
                        return Stopped::Ended(outcome);
                    }
                    None => return Stopped::Ended(Box::new(lost())),
                },
                Some(served) = self.serving.next() => self.served(served).await,
                () = at(due) => self.output.tell(run),
                () = tokio::time::sleep(QUIET), if waits => {
                    if let Some(request) = self.question() {
                        self.handle.park().await;
                        self.place = None;
                        return Stopped::Waits(request);
                    }
                }
            }
        }
    }

    /// Takes up a parked run in a new attempt: hands in what the host wrote meanwhile. `None` when
    /// everything is answered and the run goes on; else the next question.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn take_up(
        &mut self,
        run: &Run,
    ) -> Result<Option<Box<CompletionRequest>>, Failure> {
        self.server = Arc::new(self.server.taken_up_by(run));
        while let Some(asked) = self.questions.pop_front() {
            let answer = run.stored::<llm::Outcome>(&asked.step).await?;
            let Some(answer) = answer else {
                self.questions.push_front(asked);
                return Ok(self.question());
            };
            let came = self.server.answer(&asked.question, answer.text, asked.function).await;
            let Asked { id, record, function, began, .. } = asked;
            match came {
                // It wants the text put right, which comes before all other questions.
                Came::Question(question) => {
                    let asked = self.asked(id, record, function, began, question);
                    self.questions.push_front(asked);
                }
                came @ Came::Reply(..) => {
                    self.served(Served { id, record, function, began, came }).await;
                }
            }
        }
        self.handle.resume().await;
        Ok(None)
    }

    /// The oldest question as a step of the job.
    fn question(&self) -> Option<Box<CompletionRequest>> {
        self.questions.front().map(|asked| {
            let request = asked.question.request.clone();
            Box::new(CompletionRequest { step: asked.step.clone(), ..request })
        })
    }

    fn serve(
        &mut self,
        id: CallId,
        record: Option<usize>,
        function: Function,
        work: impl Future<Output = Came> + Send + 'static,
    ) {
        let began = Instant::now();
        self.serving.push(Box::pin(async move {
            let came = work.await;
            Served { id, record, function, began, came }
        }));
    }

    async fn served(&mut self, served: Served) {
        let Served { id, record, function, began, came } = served;
        match came {
            Came::Reply(reply, call_id) => {
                self.finish_record(record, began, &reply, call_id);
                self.handle.reply(id, reply).await;
            }
            Came::Question(question) => {
                let asked = self.asked(id, record, function, began, question);
                self.questions.push_back(asked);
            }
        }
    }

    fn asked(
        &mut self,
        id: CallId,
        record: Option<usize>,
        function: Function,
        began: Instant,
        question: Box<OpenQuestion>,
    ) -> Asked {
        self.asked += 1;
        let step = format!("host#{}", self.asked);
        Asked { id, record, function, began, question, step }
    }

    /// Refuses every open question, when the run cannot be kept for the host.
    pub(super) async fn refuse_questions(&mut self, failure: &CallFailure) {
        while let Some(asked) = self.questions.pop_front() {
            let came = Came::Reply(Err(failure.clone()), None);
            let Asked { id, record, function, began, .. } = asked;
            self.served(Served { id, record, function, began, came }).await;
        }
        self.handle.resume().await;
    }

    fn record(&mut self, tool: &str) -> Option<usize> {
        if self.records.len() >= LISTED_CALLS {
            self.unlisted += 1;
            return None;
        }
        let tool = tool.chars().filter(|letter| !letter.is_control()).take(64).collect();
        self.records.push(CallRecord::cut_off(tool));
        Some(self.records.len() - 1)
    }

    fn finish_record(
        &mut self,
        record: Option<usize>,
        began: Instant,
        reply: &Reply,
        call_id: Option<String>,
    ) {
        if let Some(record) = record.and_then(|index| self.records.get_mut(index)) {
            record.ok = reply.is_ok();
            record.code = reply.as_ref().err().map(|failure| failure.code.clone());
            record.call_id = call_id;
            record.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
    }
}

impl Output {
    fn push(&mut self, text: &str) {
        self.pending.push_str(text);
        if self.pending.len() > 2 * TOLD_BYTES {
            let start = self.pending.ceil_char_boundary(self.pending.len() - TOLD_BYTES);
            self.pending.drain(..start);
        }
        self.due.get_or_insert_with(|| tokio::time::Instant::now() + TELL_EVERY);
    }

    /// Tells the newest output as progress.
    fn tell(&mut self, run: &Run) {
        self.due = None;
        let start = self.pending.len().saturating_sub(TOLD_BYTES);
        let start = self.pending.ceil_char_boundary(start);
        let text = self.pending.get(start..).unwrap_or_default().trim_end();
        if !text.is_empty() {
            self.told += 1;
            run.progress(f64::from(self.told), None, text);
        }
        self.pending.clear();
    }
}

async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The end of a run whose sandbox went away without a word.
fn lost() -> Outcome {
    use crate::sandbox::{Captured, End, IsolationReport, Unfinished};

    Outcome {
        end: End::Unfinished(Unfinished::Interrupted),
        stdout: Captured::default(),
        stderr: Captured::default(),
        files: Vec::new(),
        skipped_files: Vec::new(),
        images: Vec::new(),
        calls: 0,
        duration: Duration::ZERO,
        isolation: Arc::new(IsolationReport::new(std::collections::BTreeMap::new())),
    }
}
