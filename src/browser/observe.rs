//! Listens to a page: what it reports, and what it waits for an answer to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::cdp::json::Fields as _;
use super::cdp::{Event, Listener};
use super::report::{
    ConsoleLevel, ConsoleMessage, Dialog, FailedRequest, Load, PageException, Phase, RequestFailure,
};

/// Findings of one kind that are kept; further ones are counted.
const KEPT: usize = 100;
/// Letters of a text that are kept.
const TEXT: usize = 2_000;
const URL: usize = 500;
/// Questions that may wait for us. A page that asks for more at once is not answered further, and
/// so does not finish loading.
const QUESTIONS: usize = 8_192;

/// Something that the page waits for.
#[derive(Debug)]
pub(super) enum Question {
    /// A request, to be answered or refused.
    Request { session: String, params: Value },
    /// A dialog, to be closed.
    Dialog { session: String, params: Value },
    /// A frame's process or a worker, which waits to be let go.
    Attached { params: Value },
}

/// How far the page is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) is_loaded: bool,
    pub(super) is_crashed: bool,
    /// Whether it tried to go elsewhere. Chrome then gives up loading it, and no load event comes.
    pub(super) has_left: bool,
    /// Whether it opens one dialog after the other.
    pub(super) is_nagging: bool,
    /// Whether any script said anything.
    pub(super) has_spoken: bool,
}

#[derive(Default)]
struct Seen {
    progress: Progress,
    load: Load,
    thrown: Vec<(u64, PageException)>,
}

/// Collects what one page does, in all its sessions.
pub(super) struct Observer {
    seen: Mutex<Seen>,
    changed: Notify,
    questions: mpsc::Sender<Question>,
}

/// One session of an observed page.
pub(super) struct SessionListener {
    pub(super) session: String,
    pub(super) observer: Arc<Observer>,
    /// Whether it is the page itself, and no part of it.
    pub(super) is_page: bool,
}

impl Observer {
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<Question>) {
        let (questions, receiver) = mpsc::channel(QUESTIONS);
        let observer = Self { seen: Mutex::default(), changed: Notify::new(), questions };
        (Arc::new(observer), receiver)
    }

    pub(super) fn progress(&self) -> Progress {
        self.seen().progress
    }

    /// Waits until the page is so far.
    pub(super) async fn until(&self, is_so_far: impl Fn(Progress) -> bool) -> Progress {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let progress = self.progress();
            if is_so_far(progress) {
                return progress;
            }
            changed.await;
        }
    }

    /// Waits until the page crashes.
    pub(super) async fn crashed(&self) {
        self.until(|progress| progress.is_crashed).await;
    }

    /// Everything that was noticed until now.
    pub(super) fn load(&self) -> Load {
        let seen = self.seen();
        let mut load = seen.load.clone();
        load.exceptions.extend(seen.thrown.iter().map(|(_, exception)| exception.clone()));
        load
    }

    pub(super) fn note_request(&self, url: &str, kind: &str, failure: RequestFailure) {
        let mut seen = self.seen();
        let phase = seen.phase();
        let request = FailedRequest { url: cut(url, URL), kind: snake_case(kind), failure, phase };
        let is_known =
            |known: &FailedRequest| known.url == request.url && known.kind == request.kind;
        if !seen.load.requests.iter().any(is_known) {
            let Seen { load, .. } = &mut *seen;
            keep(&mut load.requests, request, &mut load.omitted);
        }
    }

    pub(super) fn note_departure(&self, url: &str) {
        {
            let Seen { load, .. } = &mut *self.seen();
            keep(&mut load.departures, cut(url, URL), &mut load.omitted);
        }
        self.update(|progress| progress.has_left = true);
    }

    /// Notes a dialog and returns how many there were.
    pub(super) fn note_dialog(&self, params: &Value) -> usize {
        let text = |name: &str| params.field(name).as_str().unwrap_or_default();
        let dialog = Dialog { kind: text("type").to_owned(), message: cut(text("message"), TEXT) };
        let Seen { load, .. } = &mut *self.seen();
        keep(&mut load.dialogs, dialog, &mut load.omitted);
        load.dialogs.len()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exception(&self, params: &Value) {
        let details = &params.field("exceptionDetails");
        let text = details.field("text").as_str().unwrap_or_default();
        let exception = &details.field("exception");
        let message = exception
            .field("description")
            .as_str()
            .map(|description| description.lines().next().unwrap_or_default().to_owned())
            .or_else(|| exception.get("value").map(plain))
            .unwrap_or_else(|| text.to_owned());
        let mut seen = self.seen();
        seen.progress.has_spoken = true;
        let frame = &details.field("stackTrace").field("callFrames").first_item();
        let is_rejection = text.contains("in promise");
        // A rejection is reported where nobody caught it; its trace knows where it began.
        let (first, second) = if is_rejection { (frame, details) } else { (details, frame) };
        let place = |name: &str| first.field(name).as_u64().or_else(|| second.field(name).as_u64());
        let exception = PageException {
            message: cut(&message, TEXT),
            script: details.field("url").as_str().and_then(script_name),
            line: place("lineNumber").map(|line| line + 1),
            column: place("columnNumber").map(|column| column + 1),
            is_rejection,
            phase: seen.phase(),
        };
        let id = details.field("exceptionId").as_u64().unwrap_or_default();
        let Seen { load, thrown, .. } = &mut *seen;
        keep(thrown, (id, exception), &mut load.omitted);
    }

    /// A rejection that was caught after all.
    fn revoke(&self, params: &Value) {
        let id = params.field("exceptionId").as_u64();
        self.seen().thrown.retain(|(known, _)| Some(*known) != id);
    }

    fn console(&self, params: &Value) {
        let mut seen = self.seen();
        seen.progress.has_spoken = true;
        let level = match params.field("type").as_str() {
            Some("error" | "assert") => ConsoleLevel::Error,
            Some("warning") => ConsoleLevel::Warning,
            Some(_) | None => return,
        };
        let arguments = params.field("args").as_array().map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<String> = arguments.iter().take(20).map(argument).collect();
        let line = params
            .field("stackTrace")
            .field("callFrames")
            .first_item()
            .field("lineNumber")
            .as_u64();
        let message = ConsoleMessage {
            level,
            text: cut(&texts.join(" "), TEXT),
            line: line.map(|line| line + 1),
            phase: seen.phase(),
        };
        let Seen { load, .. } = &mut *seen;
        keep(&mut load.console, message, &mut load.omitted);
    }

    /// What the browser itself notes. Requests are known better from their interception.
    fn log(&self, params: &Value) {
        let entry = &params.field("entry");
        let level = match entry.field("level").as_str() {
            Some("error") => ConsoleLevel::Error,
            Some("warning") => ConsoleLevel::Warning,
            Some(_) | None => return,
        };
        if entry.field("source") == "network" {
            return;
        }
        let text = entry.field("text").as_str().unwrap_or_default();
        if let Some(url) = refused_socket(text) {
            self.note_request(url, "WebSocket", RequestFailure::Foreign);
            return;
        }
        let mut seen = self.seen();
        let message = ConsoleMessage {
            level,
            text: cut(text, TEXT),
            line: entry.field("lineNumber").as_u64().map(|line| line + 1),
            phase: seen.phase(),
        };
        let Seen { load, .. } = &mut *seen;
        keep(&mut load.console, message, &mut load.omitted);
    }

    /// Notes that dialogs come without end.
    pub(super) fn note_nagging(&self) {
        self.update(|progress| progress.is_nagging = true);
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.seen().progress);
        self.changed.notify_waiters();
    }
}

impl Listener for SessionListener {
    fn hear(&self, event: Event) {
        let observer = &self.observer;
        let session = || self.session.clone();
        let params = event.params;
        let question = match event.method.as_str() {
            "Fetch.requestPaused" => Question::Request { session: session(), params },
            "Page.javascriptDialogOpening" => Question::Dialog { session: session(), params },
            "Target.attachedToTarget" => Question::Attached { params },
            "Page.loadEventFired" if self.is_page => {
                observer.update(|progress| progress.is_loaded = true);
                return;
            }
            "Inspector.targetCrashed" if self.is_page => {
                observer.update(|progress| progress.is_crashed = true);
                return;
            }
            "Runtime.exceptionThrown" => return observer.exception(&params),
            "Runtime.exceptionRevoked" => return observer.revoke(&params),
            "Runtime.consoleAPICalled" => return observer.console(&params),
            "Log.entryAdded" => return observer.log(&params),
            _ => return,
        };
        if observer.questions.try_send(question).is_err() {
            observer.seen().load.omitted += 1;
        }
    }
}

impl Seen {
    fn phase(&self) -> Phase {
        if self.progress.is_loaded { Phase::Loaded } else { Phase::Loading }
    }
}

fn keep<T>(list: &mut Vec<T>, item: T, omitted: &mut usize) {
    if list.len() < KEPT {
        list.push(item);
    } else {
        *omitted += 1;
    }
}

fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An argument of a console call, as the console shows it.
fn argument(value: &Value) -> String {
    if let Some(plain_value) = value.get("value") {
        return plain(plain_value);
    }
    let text =
        value.field("description").as_str().or_else(|| value.field("unserializableValue").as_str());
    text.or_else(|| value.field("type").as_str()).unwrap_or_default().to_owned()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The script's own path; `None` for the document itself.
fn script_name(url: &str) -> Option<String> {
    let name = url.strip_prefix(super::load::DOCUMENT).unwrap_or(url);
    (!name.is_empty()).then(|| cut(name, URL))
}

/// The address that a policy against sockets refused.
fn refused_socket(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("onnect to '").or_else(|| text.split_once("onnecting to '"))?;
    let (url, _) = rest.split_once('\'')?;
    (text.contains("Content Security Policy")).then_some(url)
}

/// Chrome's `WebSocket` as `web_socket`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_lowercase();
        snake.extend(letter.to_lowercase());
    }
    snake
}
