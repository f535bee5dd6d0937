//! The folder of runs: for each its log of events, its conversation, and what people decided.
//!
//! ```text
//! runs/<run>/events.jsonl         one event per line, written as it happens
//! runs/<run>/owner.json           whose run it is, and its job
//! runs/<run>/messages.json        the conversation after the last whole turn
//! runs/<run>/decision-2.1.<hash>  a person's word on a call, by the hash of what was asked
//! ```
//!
//! Everything is readable after the program was killed, and by every process on the data folder.
//! The name of a run is unguessable: it is the capability to its trace.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::engine::Decision;
use super::event::{Event, EventKind};
use crate::error::ToolError;
use crate::llm::Message;
use crate::storage::{JobId, PrincipalId, keys};

const EVENTS: &str = "events.jsonl";
const MESSAGES: &str = "messages.json";
const OWNER: &str = "owner.json";
/// How often a log of another process is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that one look reads.
const CHUNK: usize = 256 * 1024;

/// Name of a run: 128 random bits in 22 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new one.
    ///
    /// # Errors
    /// When there is no random source.
    pub fn new() -> Result<Self, ToolError> {
        Ok(Self(keys::content_token()?))
    }

    /// Reads one; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 22
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "this is no name of a run".to_owned())
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whose a run is, and which job carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOwner {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The job.
    pub job: JobId,
}

/// A call's place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Answer of the model that it came with, from 1.
    pub turn: u32,
    /// Place in that answer, from 1.
    pub position: u32,
}

type Live = Arc<Mutex<HashMap<RunId, watch::Sender<u64>>>>;

/// The folder of runs. Clones share what they know of runs of this process.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
    live: Live,
}

impl Runs {
    /// Runs in this folder, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, live: Live::default() }
    }

    fn dir(&self, run: &RunId) -> std::io::Result<Dir> {
        let folder = Dir::open_ambient_dir(&self.folder, ambient_authority())?;
        folder.open_dir(run.as_str())
    }

    fn made_dir(&self, run: &RunId) -> std::io::Result<Dir> {
        let folder = self.folder.join(run.as_str());
        Dir::create_ambient_dir_all(&folder, ambient_authority())?;
        Dir::open_ambient_dir(&folder, ambient_authority())
    }

    /// The log of a run, to write on.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn log(&self, run: &RunId) -> Result<EventLog, ToolError> {
        self.open_log(run)
            .map_err(|error| ToolError::internal(&format!("the log of a run: {error}")))
    }

    fn open_log(&self, run: &RunId) -> std::io::Result<EventLog> {
        let dir = self.made_dir(run)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = dir.open_with(EVENTS, &options)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A line that was cut by a crash is closed, and skipped by readers.
        if text.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
        }
        let mut seq = 0;
        let mut told = HashSet::new();
        for event in lines(&text) {
            seq = event.seq.max(seq);
            told.extend(event.kind.key());
        }
        let sender = {
            let mut live = lock(&self.live);
            live.entry(run.clone()).or_insert_with(|| watch::channel(seq).0).clone()
        };
        let state = LogState { file, seq, told, broken: false };
        let log = LogParts {
            state: Mutex::new(state),
            sender,
            run: run.clone(),
            live: Arc::clone(&self.live),
        };
        Ok(EventLog { parts: Arc::new(log) })
    }

    /// The events of a run after a number.
    ///
    /// # Errors
    /// `run_not_found`.
    pub fn events(&self, run: &RunId, after: u64) -> Result<Vec<Event>, ToolError> {
        let read = || {
            let mut text = Vec::new();
            self.dir(run)?.open(EVENTS)?.read_to_end(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        let text = read().map_err(|_| not_found(run.as_str()))?;
        Ok(lines(&text).filter(|event| event.seq > after).collect())
    }

    /// Follows a run from behind a number, until its end.
    pub fn follow(&self, run: &RunId, after: u64) -> Follower {
        Follower {
            runs: self.clone(),
            run: run.clone(),
            after,
            offset: 0,
            rest: Vec::new(),
            ready: std::collections::VecDeque::new(),
            over: false,
        }
    }

    /// Keeps whose run it is and which job carries it.
    pub(super) fn claim(&self, run: &RunId, principal: &PrincipalId, job: &JobId) {
        let owner = RunOwner { principal: principal.clone(), job: job.clone() };
        let write = || {
            let dir = self.made_dir(run)?;
            let new = format!("owner.{}.new", uuid::Uuid::new_v4().simple());
            dir.write(&new, serde_json::to_vec(&owner)?)?;
            dir.rename(&new, &dir, OWNER)
        };
        if let Err(error) = write() {
            tracing::warn!(error.cause = %error, "the owner of a run could not be kept");
        }
    }

    /// Whose run it is and which job carries it.
    pub fn owner(&self, run: &RunId) -> Option<RunOwner> {
        let text = self.dir(run).ok()?.read(OWNER).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps the conversation as it stands after a whole turn.
    pub(super) fn save_messages(&self, run: &RunId, messages: &[Message]) {
        let save = || {
            let dir = self.made_dir(run)?;
            let new = format!("{MESSAGES}.new");
            dir.write(&new, serde_json::to_vec(messages)?)?;
            dir.rename(&new, &dir, MESSAGES)
        };
        if let Err(error) = save() {
            tracing::warn!(error.cause = %error, "the conversation of a run could not be kept");
        }
    }

    /// The conversation of a run after its last whole turn; `None` before the first one.
    pub fn messages(&self, run: &RunId) -> Option<Vec<Message>> {
        let text = self.dir(run).ok()?.read(MESSAGES).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps a person's word on a call. The first one stands.
    ///
    /// # Errors
    /// `approval_not_found` when nothing is asked there, or about other arguments; `already_decided`.
    pub fn decide(
        &self,
        run: &RunId,
        place: (u32, u32),
        arguments_sha: &str,
        decision: &Decision,
    ) -> Result<(), ToolError> {
        let (turn, position) = place;
        let wanted = self.events(run, 0)?.into_iter().any(|event| {
            matches!(&event.kind, EventKind::ApprovalWanted { turn: t, position: p, arguments_sha: sha, .. }
                if (*t, *p) == place && sha == arguments_sha)
        });
        if !wanted {
            return Err(ToolError::not_found(
                "approval_not_found",
                format!("nothing is asked about call {turn}.{position} with these arguments"),
            )
            .hint("answer what the newest `approval_wanted` of this run asks"));
        }
        let write = || {
            let dir = self.made_dir(run)?;
            let new = format!("decision-{turn}.{position}.{}.new", uuid::Uuid::new_v4().simple());
            dir.write(&new, serde_json::to_vec(decision)?)?;
            let place = Place { turn, position };
            let linked = dir.hard_link(&new, &dir, decision_file(place, arguments_sha));
            dir.remove_file(&new)?;
            linked
        };
        write().map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                ToolError::new(
                    crate::error::ErrorKind::Conflict,
                    "already_decided",
                    format!("call {turn}.{position} was decided already"),
                )
                .hint("look at the run: its events say what was decided")
            } else {
                ToolError::internal(&format!("a decision could not be kept: {error}"))
            }
        })
    }

    /// A person's word on a call, when there is one.
    pub(super) fn decision(
        &self,
        run: &RunId,
        place: Place,
        arguments_sha: &str,
    ) -> Option<Decision> {
        let text = self.dir(run).ok()?.read(decision_file(place, arguments_sha)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

fn decision_file(place: Place, arguments_sha: &str) -> String {
    let Place { turn, position } = place;
    // A hash is hex; whatever else comes along leads nowhere.
    let hash: String = arguments_sha.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    format!("decision-{turn}.{position}.{hash}")
}

/// There is no such run.
pub(super) fn not_found(run: &str) -> ToolError {
    let shown: String = run.chars().filter(|letter| !letter.is_control()).take(40).collect();
    ToolError::not_found("run_not_found", format!("there is no run `{shown}`"))
        .hint("use the run's name as `run_workflow` or `atelier workflow run` gave it")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events in a piece of a log; a line that is none is skipped.
fn lines(text: &[u8]) -> impl Iterator<Item = Event> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Now, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// A run's log, to write on. Clones write on the same one.
#[derive(Debug, Clone)]
pub struct EventLog {
    parts: Arc<LogParts>,
}

#[derive(Debug)]
struct LogParts {
    state: Mutex<LogState>,
    sender: watch::Sender<u64>,
    run: RunId,
    live: Live,
}

#[derive(Debug)]
struct LogState {
    file: File,
    seq: u64,
    told: HashSet<String>,
    broken: bool,
}

impl EventLog {
    /// Number of the last event.
    pub fn last(&self) -> u64 {
        lock(&self.parts.state).seq
    }

    /// Writes an event, unless it was told before. A log that cannot be written costs the trace
    /// and not the run.
    pub fn tell(&self, kind: EventKind) {
        let mut state = lock(&self.parts.state);
        if let Some(key) = kind.key()
            && !state.told.insert(key)
        {
            return;
        }
        state.seq += 1;
        let event = Event { seq: state.seq, at: now_ms(), kind };
        let Ok(mut line) = serde_json::to_vec(&event) else { return };
        line.push(b'\n');
        if let Err(error) = state.file.write_all(&line)
            && !std::mem::replace(&mut state.broken, true)
        {
            tracing::warn!(error.cause = %error, "the log of a run cannot be written");
        }
        self.parts.sender.send_replace(state.seq);
    }
}

impl Drop for LogParts {
    fn drop(&mut self) {
        // Followers that come later look at the file.
        lock(&self.live).remove(&self.run);
    }
}

/// Reads a run's events as they come.
#[derive(Debug)]
pub struct Follower {
    runs: Runs,
    run: RunId,
    after: u64,
    offset: u64,
    rest: Vec<u8>,
    ready: std::collections::VecDeque<Event>,
    over: bool,
}

impl Follower {
    /// The next event; `None` at the end of the run.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.over = event.kind.is_final();
                if event.seq > self.after {
                    self.after = event.seq;
                    return Some(event);
                }
                continue;
            }
            let mut news = lock(&self.runs.live).get(&self.run).map(watch::Sender::subscribe);
            if self.read() {
                continue;
            }
            if self.over {
                return None;
            }
            match &mut news {
                Some(news) => {
                    let _ = tokio::time::timeout(LOOK, news.changed()).await;
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Reads what is new; `false` when nothing is.
    fn read(&mut self) -> bool {
        let read = || {
            let mut file = self.runs.dir(&self.run)?.open(EVENTS)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = Vec::new();
            file.take(CHUNK as u64).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let Ok(bytes) = read() else { return false };
        if bytes.is_empty() {
            return false;
        }
        self.offset += bytes.len() as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return true };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        self.ready.extend(lines(&whole));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u32, delta: &str) -> EventKind {
        EventKind::Text { number, delta: delta.to_owned() }
    }

    fn stopped() -> EventKind {
        EventKind::Stopped { reason: "cancelled".into() }
    }

    #[tokio::test]
    async fn a_log_is_followed_and_survives_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs"));
        let run = RunId::new().unwrap();
        assert_eq!(runs.events(&run, 0).unwrap_err().code, "run_not_found");
        let log = runs.log(&run).unwrap();
        log.tell(text(1, "a"));
        let mut follower = runs.follow(&run, 0);
        assert_eq!(follower.next().await.unwrap().kind, text(1, "a"));
        let waiting = tokio::spawn(async move {
            let event = follower.next().await;
            (event, follower)
        });
        log.tell(text(1, "b"));
        let (event, mut follower) = waiting.await.unwrap();
        assert_eq!(event.unwrap().seq, 2);
        drop(log);
        // The program was killed while it wrote.
        let path = folder.path().join("runs").join(run.as_str()).join(EVENTS);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"seq\": 3, \"at\"").unwrap();
        let log = runs.log(&run).unwrap();
        log.tell(stopped());
        assert_eq!(follower.next().await.unwrap().kind, stopped());
        assert!(follower.next().await.is_none());
        let all = runs.events(&run, 1).unwrap();
        assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(runs.follow(&run, 2).next().await.unwrap().seq, 3);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().to_owned());
        let run = RunId::new().unwrap();
        let finished = || EventKind::CallStarted {
            turn: 1,
            position: 1,
            tool: "t".into(),
            arguments: serde_json::Value::Null,
        };
        runs.log(&run).unwrap().tell(finished());
        let log = runs.log(&run).unwrap();
        log.tell(finished());
        log.tell(text(1, "x"));
        log.tell(text(1, "x"));
        assert_eq!(runs.events(&run, 0).unwrap().len(), 3);
    }

    #[test]
    fn the_first_decision_stands_and_names_its_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().to_owned());
        let run = RunId::new().unwrap();
        let log = runs.log(&run).unwrap();
        let code = |result: Result<(), ToolError>| result.unwrap_err().code;
        let decide = |sha: &str, decision| runs.decide(&run, (1, 2), sha, &decision);
        assert_eq!(code(decide("s", Decision::Allow)), "approval_not_found");
        log.tell(EventKind::ApprovalWanted {
            turn: 1,
            position: 2,
            tool: "t".into(),
            arguments: serde_json::Value::Null,
            arguments_sha: "s".into(),
            reason: String::new(),
        });
        assert_eq!(code(decide("other", Decision::Allow)), "approval_not_found");
        let place = Place { turn: 1, position: 2 };
        assert_eq!(runs.decision(&run, place, "s"), None);
        decide("s", Decision::Allow).unwrap();
        assert_eq!(code(decide("s", Decision::AllowForRun)), "already_decided");
        assert_eq!(runs.decision(&run, place, "s"), Some(Decision::Allow));
        // A second question about the same call is another question.
        assert_eq!(runs.decision(&run, place, "t"), None);
    }

    #[test]
    fn names_of_runs_lead_nowhere_else() {
        assert!(RunId::parse(RunId::new().unwrap().as_str()).is_some());
        for text in ["", "..", "../../../../etc/passwd1", "a/b/c/d/e/f/g/h/i/j/k"] {
            assert_eq!(RunId::parse(text), None, "{text}");
        }
    }
}
