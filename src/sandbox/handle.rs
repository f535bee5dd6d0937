//! The two ends of a run: [`RunHandle`] for whoever asked for it, [`RunDriver`] for the adapter.

use tokio::sync::mpsc;

use super::event::{CallId, Event, Reply};

/// Events that may wait for their reader; more than the calls that may be in flight.
const EVENTS: usize = 256;
/// Commands that may wait for the adapter.
const COMMANDS: usize = 256;

/// A run under way. Dropping it kills the run; its end is then waited for by the adapter.
#[derive(Debug)]
pub struct RunHandle {
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
}

/// What the holder of a handle wants.
#[derive(Debug)]
pub enum Command {
    /// Here is the answer to a call.
    Reply {
        /// Which call.
        id: CallId,
        /// The answer.
        reply: Reply,
    },
    /// Stop the clock and the code: an answer will take long.
    Park,
    /// Let both go on.
    Resume,
    /// Kill the run.
    Cancel,
}

/// The adapter's end.
#[derive(Debug)]
pub struct RunDriver {
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// Where commands come from; closed when the handle was dropped.
    pub commands: mpsc::Receiver<Command>,
}

impl RunHandle {
    /// A handle and the end that an adapter works with.
    pub fn pair() -> (Self, RunDriver) {
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        (Self { events, commands }, RunDriver { events: event_sender, commands: command_receiver })
    }

    /// The next event; `None` after [`Event::Ended`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Answers a call. An answer to a run that is over, or to a call that nobody made, is dropped.
    pub async fn reply(&self, id: CallId, reply: Reply) {
        let _ = self.commands.send(Command::Reply { id, reply }).await;
    }

    /// Something that can answer calls while the handle itself waits for events.
    pub fn replier(&self) -> Replier {
        Replier { commands: self.commands.downgrade() }
    }

    /// Stops the run's clock and its main process until [`Self::resume`].
    ///
    /// The adapter ends a run that stays parked for longer than [`super::RunLimits::parked`].
    pub async fn park(&self) {
        let _ = self.commands.send(Command::Park).await;
    }

    /// Lets a parked run go on.
    pub async fn resume(&self) {
        let _ = self.commands.send(Command::Resume).await;
    }

    /// Kills the run; its outcome follows as the last event.
    pub async fn cancel(&self) {
        let _ = self.commands.send(Command::Cancel).await;
    }

    /// Drops all events but the outcome, and refuses every call.
    pub async fn finish(mut self) -> Option<Box<super::Outcome>> {
        while let Some(event) = self.next().await {
            match event {
                Event::Output { .. } => {}
                Event::Call(super::ToolCall { id, .. })
                | Event::Ask(super::AiQuestion { id, .. }) => {
                    let refusal =
                        super::CallFailure::new("tool_not_allowed", "this run may call nothing");
                    self.reply(id, Err(refusal)).await;
                }
                Event::Ended(outcome) => return Some(outcome),
            }
        }
        None
    }
}

/// Answers calls of one run from another task; does not keep the run alive.
#[derive(Debug, Clone)]
pub struct Replier {
    commands: mpsc::WeakSender<Command>,
}

impl Replier {
    /// As [`RunHandle::reply`].
    pub async fn reply(&self, id: CallId, reply: Reply) {
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Reply { id, reply }).await;
        }
    }
}
