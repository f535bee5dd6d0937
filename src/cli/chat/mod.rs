//! `atelier chat`: the chat in the terminal, over the same conversations as the page.
//!
//! Answers go to standard output as they come, one whole line at a time where no person watches.
//! Nothing that a model or a tool wrote reaches the terminal with its escapes.

mod commands;
mod screen;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::sync::mpsc::Receiver;

use super::runtime::Interrupt;
use super::serve::{Beside, CONTENT_FLAG, chat_link};
use super::{CommandError, output};
use crate::agent::chat::{Chat, Choice, Person, Say};
use crate::agent::engine::Decision;
use crate::agent::event::EventKind;
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::error::ToolError;
use crate::registry::Rights;
use crate::server::LOCAL_PRINCIPAL;
use crate::server::ports::PortWish;
use screen::Screen;

/// Arguments of `chat`.
#[derive(Debug, Args)]
#[command(
    about = "Talk to a model that uses every tool",
    long_about = "Talks to a model that uses every tool, in the terminal or, with --page, in the \
                  browser. Conversations are kept and shared by both. Ctrl-C stops an answer, \
                  twice leaves; /help lists what can be typed.",
    after_help = "Example:\n  atelier chat\n  echo 'make a tip calculator' | atelier chat"
)]
pub(super) struct ChatArguments {
    /// Model to ask [default: the configured one]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Conversation to go on with: its id, or `last`
    #[arg(long, value_name = "ID")]
    open: Option<String>,
    /// Serve the chat page instead, and print the link that opens it in one browser
    #[arg(long, conflicts_with_all = ["model", "open"])]
    page: bool,
}

/// Talks until the person leaves.
pub(super) async fn run(
    arguments: ChatArguments,
    config: Config,
    mut interrupts: Receiver<Interrupt>,
) -> Result<ExitCode, CommandError> {
    let wish = match config.server.content_listen {
        Some(address) => PortWish::Fixed { address, flag: CONTENT_FLAG },
        None => PortWish::Kept,
    };
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let mut beside = Beside::start(&app, wish).await?;
    let pages = beside.add_pages(&app).await?;
    let outcome = if arguments.page {
        let link = chat_link(&app, pages).await?;
        output::result(&link)?;
        output::note("The link opens the chat in one browser. Ctrl-C ends.");
        interrupts.recv().await;
        Ok(ExitCode::SUCCESS)
    } else {
        let terminal = Terminal::new(&app, arguments.model, interrupts);
        Box::pin(terminal.talk(arguments.open)).await
    };
    beside.stop(&app).await;
    outcome
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Leave,
}

/// What the person does next.
enum Input {
    Line(String),
    Interrupt(Interrupt),
    End,
}

/// A conversation at a terminal.
struct Terminal {
    chat: Arc<Chat>,
    person: Person,
    choice: Choice,
    conversation: Option<String>,
    /// Last turn.
    parent: Option<String>,
    lines: Lines<BufReader<Stdin>>,
    input_ended: bool,
    interrupts: Receiver<Interrupt>,
    screen: Screen,
    /// Conversations as they were listed last, for `/open 2`.
    listed: Vec<String>,
}

impl Terminal {
    fn new(app: &Arc<App>, model: Option<String>, interrupts: Receiver<Interrupt>) -> Self {
        let rights =
            Rights { read_only: app.config.server.read_only, ..Rights::of(LOCAL_PRINCIPAL.into()) };
        Self {
            chat: Arc::clone(&app.chat),
            person: Person { principal: LOCAL_PRINCIPAL.into(), rights },
            choice: Choice { model, ..Choice::default() },
            conversation: None,
            parent: None,
            lines: BufReader::new(tokio::io::stdin()).lines(),
            input_ended: false,
            interrupts,
            screen: Screen::new(),
            listed: Vec::new(),
        }
    }

    async fn talk(mut self, open: Option<String>) -> Result<ExitCode, CommandError> {
        if let Some(problem) = self.chat.ways().await.problem {
            return Err(CommandError::Failed(format!(
                "no model can answer: {problem}\nhint: set a key such as ANTHROPIC_API_KEY, or start Ollama; `atelier doctor` says what was found"
            )));
        }
        if let Some(id) = open {
            self.command(&format!("/open {id}")).await?;
            if self.conversation.is_none() {
                return Ok(ExitCode::FAILURE);
            }
        }
        self.screen.hint("/help lists what can be typed; Ctrl-C stops an answer, twice leaves.");
        let mut was_interrupted = false;
        let mut failed = false;
        loop {
            self.screen.prompt()?;
            match self.input().await? {
                Input::End | Input::Interrupt(Interrupt::Leave) => break,
                Input::Interrupt(Interrupt::Stop) if was_interrupted => break,
                Input::Interrupt(Interrupt::Stop) => {
                    was_interrupted = true;
                    self.screen.line("(Ctrl-C again leaves)")?;
                    continue;
                }
                Input::Line(line) => {
                    let line = line.trim();
                    let then = if line.is_empty() {
                        Then::GoOn
                    } else if line.starts_with('/') {
                        self.command(line).await?
                    } else {
                        let (then, ok) = self.say(line).await?;
                        failed = !ok;
                        then
                    };
                    if then == Then::Leave {
                        break;
                    }
                }
            }
            was_interrupted = false;
        }
        self.screen.end()?;
        // In a pipe, the exit code tells of the last answer.
        let code = failed && !self.screen.is_watched();
        Ok(if code { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn input(&mut self) -> Result<Input, CommandError> {
        if self.input_ended {
            return Ok(Input::End);
        }
        tokio::select! {
            line = self.lines.next_line() => match line {
                Ok(Some(line)) => Ok(Input::Line(line)),
                Ok(None) => {
                    self.input_ended = true;
                    Ok(Input::End)
                }
                Err(error) => Err(CommandError::failed(format!("standard input: {error}"))),
            },
            interrupt = self.interrupts.recv() => {
                Ok(Input::Interrupt(interrupt.unwrap_or(Interrupt::Leave)))
            }
        }
    }

    /// Says something and shows the answer; whether there was one.
    async fn say(&mut self, text: &str) -> Result<(Then, bool), CommandError> {
        let say = Say {
            conversation: self.conversation.clone(),
            parent: self.parent.clone(),
            text: text.to_owned(),
            files: Vec::new(),
            choice: self.choice.clone(),
        };
        let said = match self.chat.say(&self.person, say).await {
            Ok(said) => said,
            Err(error) => {
                self.refused(&error)?;
                return Ok((Then::GoOn, false));
            }
        };
        self.conversation = Some(said.conversation);
        self.parent = Some(said.turn.clone());
        self.follow(&said.turn).await
    }

    async fn follow(&mut self, turn: &str) -> Result<(Then, bool), CommandError> {
        let chat = Arc::clone(&self.chat);
        let principal = self.person.principal.clone();
        let mut follower = match chat.follow(&principal, turn, 0).await {
            Ok(follower) => follower,
            Err(error) => {
                self.refused(&error)?;
                return Ok((Then::GoOn, false));
            }
        };
        let mut interrupted = 0;
        let mut answered = false;
        loop {
            let event = tokio::select! {
                event = follower.next() => event,
                interrupt = self.interrupts.recv() => {
                    interrupted += 1;
                    if interrupted > 1 || !matches!(interrupt, Some(Interrupt::Stop)) {
                        let _ = chat.stop(&principal, turn).await;
                        return Ok((Then::Leave, false));
                    }
                    if let Err(error) = chat.stop(&principal, turn).await {
                        self.refused(&error)?;
                    }
                    continue;
                }
            };
            let Some(event) = event else { break };
            if let EventKind::Done { .. } = &event.kind {
                answered = true;
            }
            self.screen.show(&event.kind)?;
            if let EventKind::ApprovalWanted { turn: at, position, arguments_sha, .. } = &event.kind
            {
                let decision = self.approve().await?;
                let place = (*at, *position);
                let decided = chat.decide(&principal, turn, place, arguments_sha, &decision).await;
                if let Err(error) = decided {
                    self.refused(&error)?;
                }
            }
        }
        Ok((Then::GoOn, answered))
    }

    /// Asks the person; whoever does not answer, declines.
    async fn approve(&mut self) -> Result<Decision, CommandError> {
        let declined = || Decision::Deny { reason: "the user declined this call".to_owned() };
        loop {
            self.screen.ask("Call it? [y]es, [a]lways in this answer, [n]o: ")?;
            let Input::Line(line) = self.input().await? else { return Ok(declined()) };
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Decision::Allow),
                "a" | "always" => return Ok(Decision::AllowForRun),
                "n" | "no" => return Ok(declined()),
                _ => {}
            }
        }
    }

    fn refused(&self, error: &ToolError) -> Result<(), CommandError> {
        self.screen.line(&format!("error: {}", error.message))?;
        if let Some(hint) = &error.hint {
            self.screen.line(&format!("hint: {hint}"))?;
        }
        Ok(())
    }
}
