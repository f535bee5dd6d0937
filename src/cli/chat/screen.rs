//! What the terminal shows of an answer.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use crate::agent::engine::{CallStatus, readable};
use crate::agent::event::EventKind;

/// Letters of arguments in the line of a call.
const ARGUMENTS: usize = 160;

/// Standard output, and what stands on it already.
pub(super) struct Screen {
    is_watched: bool,
    /// Text of the question that is being answered, as it came, and how much of it is shown.
    texts: BTreeMap<u32, Growing>,
    summaries: Vec<u32>,
    at_line_start: bool,
    last_words: String,
}

#[derive(Default)]
struct Growing {
    text: String,
    shown: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            is_watched: io::stdin().is_terminal() && io::stdout().is_terminal(),
            texts: BTreeMap::new(),
            summaries: Vec::new(),
            at_line_start: true,
            last_words: String::new(),
        }
    }

    /// Whether a person sits there.
    pub(super) const fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Asks for the next message.
    pub(super) fn prompt(&self) -> io::Result<()> {
        if self.is_watched { self.write("\n› ") } else { Ok(()) }
    }

    /// Asks a question that has to be answered.
    pub(super) fn ask(&self, question: &str) -> io::Result<()> {
        self.write(question)?;
        if self.is_watched { Ok(()) } else { self.write("\n") }
    }

    /// A word for a person who begins.
    pub(super) fn hint(&self, text: &str) {
        if self.is_watched {
            let _ = self.line(text);
        }
    }

    /// A line of the program, with whatever others wrote made harmless.
    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        self.write(&format!("{}\n", readable(text)))
    }

    /// Leaves the cursor on a line of its own.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.is_watched { self.write("\n") } else { Ok(()) }
    }

    /// Shows what happened.
    pub(super) fn show(&mut self, kind: &EventKind) -> io::Result<()> {
        match kind {
            EventKind::Started { .. } => {
                self.texts.clear();
                self.summaries.clear();
                self.last_words.clear();
                Ok(())
            }
            EventKind::TurnStarted { number, kind } => {
                if kind == "summary" {
                    self.summaries.push(*number);
                }
                self.texts.insert(*number, Growing::default());
                Ok(())
            }
            EventKind::Text { number, delta } if !self.summaries.contains(number) => {
                self.texts.entry(*number).or_default().text.push_str(delta);
                if self.is_watched { self.catch_up(*number) } else { Ok(()) }
            }
            EventKind::TextReset { number, bytes } => {
                let growing = self.texts.entry(*number).or_default();
                growing.text.truncate(growing.text.floor_char_boundary(*bytes));
                if growing.shown > growing.text.len() {
                    growing.shown = 0;
                    self.note("(the model was asked once more)")?;
                }
                Ok(())
            }
            EventKind::TurnFinished { number, text, .. } if !self.summaries.contains(number) => {
                text.clone_into(&mut self.texts.entry(*number).or_default().text);
                text.clone_into(&mut self.last_words);
                self.catch_up(*number)?;
                self.fresh_line()
            }
            EventKind::CallStarted { tool, arguments, .. } => {
                let shown: String =
                    readable(&arguments.to_string()).chars().take(ARGUMENTS).collect();
                self.note(&format!("· {} {shown}", readable(tool)))
            }
            EventKind::CallFinished { tool, status, ms, head, links, .. } => {
                self.note(&format!("· {}: {} after {ms} ms", readable(tool), words(*status)))?;
                if !status.is_ok() {
                    let head: String = readable(head).chars().take(300).collect();
                    self.note(&format!("  {}", head.replace('\n', " ")))?;
                }
                for link in links {
                    self.fresh_line()?;
                    self.line(&format!("  {}: {}", link.name, link.url))?;
                }
                Ok(())
            }
            EventKind::ApprovalWanted { tool, arguments, reason, .. } => {
                self.fresh_line()?;
                self.line(&format!("`{tool}` needs your approval: {reason}."))?;
                self.line(&format!("{arguments:#}"))
            }
            EventKind::Done { stop_reason, answer, totals, detail, .. } => {
                if answer.trim() != self.last_words.trim() {
                    self.fresh_line()?;
                    self.line(answer)?;
                }
                if stop_reason.as_str() != "answered" {
                    let detail = detail.as_deref().unwrap_or_default();
                    self.note(&format!("(ended by {} {detail})", stop_reason.as_str()))?;
                }
                if self.is_watched {
                    let tokens = totals.input_tokens + totals.output_tokens;
                    let cost = if totals.cost_usd > 0.0 {
                        format!(", ${:.4}", totals.cost_usd)
                    } else {
                        String::new()
                    };
                    self.note(&format!("({tokens} tokens{cost})"))?;
                }
                Ok(())
            }
            EventKind::Failed { message, hint, .. } => {
                self.rest()?;
                self.line(&format!("error: {message}"))?;
                match hint {
                    Some(hint) => self.line(&format!("hint: {hint}")),
                    None => Ok(()),
                }
            }
            EventKind::Stopped { reason } => {
                self.rest()?;
                self.line(if reason == "interrupted" { "(interrupted)" } else { "(stopped)" })
            }
            EventKind::Text { .. }
            | EventKind::TurnFinished { .. }
            | EventKind::Resumed { .. }
            | EventKind::Thinking { .. }
            | EventKind::CallProgress { .. }
            | EventKind::ApprovalGiven { .. }
            | EventKind::WaitingForHost { .. }
            | EventKind::Usage(_) => Ok(()),
        }
    }

    /// Writes what came of a text and is not shown yet. It is cleaned as a whole, since a sequence
    /// may be cut anywhere.
    fn catch_up(&mut self, number: u32) -> io::Result<()> {
        let Some(growing) = self.texts.get_mut(&number) else { return Ok(()) };
        let clean = readable(&growing.text);
        let fresh = clean.get(growing.shown..).unwrap_or_default().to_owned();
        growing.shown = clean.len();
        if fresh.is_empty() {
            return Ok(());
        }
        self.at_line_start = fresh.ends_with('\n');
        self.write(&fresh)
    }

    /// What of an unfinished answer is not shown yet.
    fn rest(&mut self) -> io::Result<()> {
        if let Some(number) = self.texts.keys().next_back().copied()
            && !self.summaries.contains(&number)
        {
            self.catch_up(number)?;
        }
        self.fresh_line()
    }

    fn fresh_line(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.at_line_start, true) { Ok(()) } else { self.write("\n") }
    }

    /// A line about what happens beside the answer.
    fn note(&mut self, text: &str) -> io::Result<()> {
        self.fresh_line()?;
        if self.is_watched {
            self.write(&format!("\u{1b}[2m{text}\u{1b}[0m\n"))
        } else {
            self.write(&format!("{text}\n"))
        }
    }

    /// A reader that went away is no failure.
    #[expect(clippy::unused_self, reason = "there is one screen, and it is this one")]
    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }
}

const fn words(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok => "done",
        CallStatus::Failed => "failed",
        CallStatus::Unknown => "no such tool",
        CallStatus::InvalidArguments => "wrong arguments",
        CallStatus::TimedOut => "took too long",
        CallStatus::Denied => "declined",
        CallStatus::Skipped => "not made",
        CallStatus::Interrupted => "interrupted",
    }
}
