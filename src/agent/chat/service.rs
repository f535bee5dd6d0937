//! What the page and the terminal do: say something, follow, stop, decide, look back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::events::{compact, ending, words};
use super::files::{shown_name, sniff};
use super::history::files_of;
use super::model::{Choice, Exchange, Person, Said, Say, Shown, ToolMode, Ways};
use crate::agent::engine::{
    ApprovalBy, Decision, ON_REQUEST, RunLimits, RunRequest, ToolChoice, readable, without_bytes,
};
use crate::agent::event::{Event, EventKind, ShownPicture};
use crate::agent::runs::{Follower, RunId, now_ms};
use crate::agent::service::Agent;
use crate::error::{ErrorKind, ToolError};
use crate::llm::ClientModels;
use crate::llm::resolve::{Choice as ModelChoice, Models};
use crate::prompts::Prompts;
use crate::registry::{CallContext, Caller, Origin, Registry, ToolDescription, Toolset};
use crate::storage::blobs::Blobs;
use crate::storage::{
    CallId, Catalog, ChatFile, Conversation, JobState, NewTurn, PrincipalId, Sha256Hex, Turn,
    TurnState,
};

/// A workflow may be run from a chat.
const RUN_WORKFLOW: &str = "run_workflow";
/// Longest message.
const MESSAGE_BYTES: usize = 400_000;
/// Most files with a message.
const FILES: usize = 10;
/// Letters of a title.
const TITLE: usize = 60;
/// Conversations of a list.
const LISTED: u32 = 200;
/// Seconds that one call of a tool may take: pages are written and looked at in that time.
const CALL_S: f64 = 900.0;
/// Seconds of one answer with all its calls.
const RUN_S: f64 = 3600.0;
/// A turn whose run is not there after this time was never begun.
const NEVER_BEGUN_MS: i64 = 60_000;

/// What a [`Chat`] works with.
pub struct ChatParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes of files.
    pub blobs: Blobs,
    /// Carries turns out.
    pub agent: Agent,
    /// The tools.
    pub registry: Arc<Registry>,
    /// Knows the tools of everybody.
    pub caller: Caller,
    /// Who answers.
    pub models: Arc<Models>,
    /// Prompts.
    pub prompts: Arc<Prompts>,
}

/// The chat of everybody.
pub struct Chat {
    pub(super) parts: ChatParts,
}

impl Chat {
    /// A chat over these.
    pub const fn new(parts: ChatParts) -> Self {
        Self { parts }
    }

    /// Who can answer.
    pub async fn ways(&self) -> Ways {
        let models = self.parts.models.reachable_ids();
        match self.parts.models.choose(None, &client_models()).await {
            Ok(ModelChoice::Model { model, .. }) => {
                Ways { default_model: Some(model.model_id().to_owned()), models, problem: None }
            }
            Ok(ModelChoice::Sampling | ModelChoice::Host) => {
                Ways { default_model: None, models, problem: Some("nobody can answer".to_owned()) }
            }
            Err(error) => Ways { default_model: None, models, problem: Some(error.message) },
        }
    }

    /// The tools that an answer may use.
    pub fn tools(&self, person: &Person) -> Vec<ToolDescription> {
        let caller = &self.parts.caller;
        let mut tools = caller.tools(&person.rights, Origin::Workflow);
        // The loop waits for jobs by itself, and whoever answers needs no other model to ask.
        tools.retain(|tool| {
            (tool.name == RUN_WORKFLOW || !ON_REQUEST.contains(&tool.name.as_str()))
                && caller.hints(&tool.name).is_none_or(|hints| hints.toolset != Toolset::Jobs)
        });
        tools
    }

    /// Says something: a new turn, whose answer begins at once and goes on by itself.
    ///
    /// # Errors
    /// When there is nothing to say or too much, the conversation, the parent or a file is not
    /// there, the parent is still being answered, or nobody can answer. Nothing is stored then.
    pub async fn say(&self, person: &Person, say: Say) -> Result<Said, ToolError> {
        let principal = &person.principal;
        let files = self.files(principal, &say).await?;
        if let Err(error) =
            self.parts.models.choose(say.choice.model.as_deref(), &client_models()).await
        {
            return Err(error.into());
        }
        let mut messages = Vec::new();
        if let Some(conversation) = &say.conversation {
            self.settle(principal).await?;
            let turns = self.parts.catalog.turns(principal, conversation).await?;
            if turns.is_empty() {
                return Err(conversation_not_found());
            }
            if let Some(parent) = &say.parent {
                let found = turns.iter().find(|turn| turn.id == *parent);
                let parent = found.ok_or_else(turn_not_found)?;
                if parent.state == TurnState::Running {
                    return Err(ToolError::new(
                        ErrorKind::Conflict,
                        "turn_running",
                        "the answer before is still being written",
                    )
                    .hint("wait for its end, or stop it"));
                }
                messages = self.history(principal, &turns, &parent.id).await?;
            }
        }
        messages.push(self.user_message(&say.text, &files).await?);
        let run = RunId::new()?;
        let said =
            Said { conversation: say.conversation.clone().unwrap_or_else(new_id), turn: new_id() };
        let new = NewTurn {
            principal: principal.clone(),
            title: say.conversation.is_none().then(|| title_of(&say.text, &files)),
            turn: Turn {
                id: said.turn.clone(),
                conversation: said.conversation.clone(),
                parent: say.parent.clone(),
                run: run.as_str().to_owned(),
                question: say.text.clone(),
                files: json_text(&files)?,
                choice: json_text(&say.choice)?,
                state: TurnState::Running,
                answer: None,
                created_at: 0,
            },
        };
        if !self.parts.catalog.add_turn(new).await? {
            return Err(conversation_not_found());
        }
        let request = RunRequest {
            run,
            title: "chat".to_owned(),
            system: self.parts.prompts.render("agent/chat", "", BTreeMap::new())?.system,
            messages,
            model: say.choice.model.clone(),
            tools: tool_choice(&say.choice),
            approval: crate::agent::engine::Approval::Default,
            approval_by: ApprovalBy::Follower,
            limits: RunLimits { call_s: CALL_S, run_s: RUN_S, ..RunLimits::default() },
            response_schema: None,
            on_interrupted: crate::agent::engine::OnInterrupted::Ask,
            retry: crate::agent::engine::Retry::default(),
        };
        let context = CallContext {
            rights: person.rights.clone(),
            models: client_models(),
            ..CallContext::new(principal.clone(), Origin::Workflow)
        };
        let started = self.parts.agent.start(&self.parts.registry, &request, context).await;
        if let Err(error) = started {
            let note = error.hint.as_ref().map_or_else(
                || error.message.clone(),
                |hint| format!("{} ({hint})", error.message),
            );
            self.parts.catalog.settle_turn(&said.turn, TurnState::Failed, &note).await?;
        }
        Ok(said)
    }

    /// Keeps a file for a later message.
    ///
    /// # Errors
    /// When it is of no type that models read, empty or too large; the store's.
    pub async fn attach(
        &self,
        principal: &PrincipalId,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<ChatFile, ToolError> {
        let media_type = sniff(name, &bytes)?;
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let sha = self.parts.blobs.put(bytes).await?;
        let file = ChatFile {
            id: new_id(),
            sha,
            name: shown_name(name),
            media_type: media_type.to_owned(),
            bytes: length,
        };
        self.parts.catalog.add_chat_file(principal, &file).await?;
        Ok(file)
    }

    /// A file that this principal attached, with its bytes.
    ///
    /// # Errors
    /// `file_not_found`; the store's.
    pub async fn file(
        &self,
        principal: &PrincipalId,
        id: &str,
    ) -> Result<(ChatFile, bytes::Bytes), ToolError> {
        let found = self.parts.catalog.chat_file(principal, id).await?;
        let file = found.ok_or_else(|| file_not_found(id))?;
        let bytes = self.parts.blobs.get(&file.sha).await?;
        Ok((file, bytes))
    }

    /// Conversations whose title, questions or answers contain the words, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn conversations(
        &self,
        principal: &PrincipalId,
        words: &str,
    ) -> Result<Vec<Conversation>, ToolError> {
        self.settle(principal).await?;
        Ok(self.parts.catalog.conversations(principal, words, LISTED).await?)
    }

    /// A conversation with the branch that is shown, and what happened in it so far.
    ///
    /// # Errors
    /// `conversation_not_found`; the store's.
    pub async fn conversation(
        &self,
        principal: &PrincipalId,
        id: &str,
    ) -> Result<Shown, ToolError> {
        self.settle(principal).await?;
        let found = self.parts.catalog.conversation(principal, id).await?;
        let conversation = found.ok_or_else(conversation_not_found)?;
        let turns = self.parts.catalog.turns(principal, id).await?;
        let mut branch = Vec::new();
        let mut at = conversation.head.clone();
        while let Some(turn) = at.as_ref().and_then(|id| turns.iter().find(|turn| turn.id == *id)) {
            // A circle could only come from a damaged store.
            if branch.len() > turns.len() {
                break;
            }
            branch.push(turn);
            at.clone_from(&turn.parent);
        }
        branch.reverse();
        let turns = branch.into_iter().map(|turn| self.exchange(principal, turn, &turns)).collect();
        Ok(Shown {
            id: conversation.id,
            title: conversation.title,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            turns,
        })
    }

    fn exchange(&self, principal: &PrincipalId, turn: &Turn, all: &[Turn]) -> Exchange {
        let events = self.events(principal, turn);
        let siblings = all.iter().filter(|other| other.parent == turn.parent);
        Exchange {
            id: turn.id.clone(),
            parent: turn.parent.clone(),
            question: turn.question.clone(),
            files: files_of(turn),
            choice: serde_json::from_str(&turn.choice).unwrap_or_default(),
            state: turn.state,
            created_at: turn.created_at,
            siblings: siblings.map(|other| other.id.clone()).collect(),
            note: if events.is_empty() { turn.answer.clone() } else { None },
            events: compact(events),
        }
    }

    fn events(&self, principal: &PrincipalId, turn: &Turn) -> Vec<Event> {
        RunId::parse(&turn.run)
            .and_then(|run| self.parts.agent.events(principal, &run, 0).ok())
            .unwrap_or_default()
    }

    /// Follows a turn's answer from behind an event's number.
    ///
    /// # Errors
    /// `turn_not_found`; `run_not_found` when it was never begun; the store's.
    pub async fn follow(
        &self,
        principal: &PrincipalId,
        turn: &str,
        after: u64,
    ) -> Result<Follower, ToolError> {
        let run = self.run_of(principal, turn).await?;
        self.parts.agent.follow(principal, &run, after)
    }

    /// Notes the end of whatever has ended, so that lists and searches know.
    ///
    /// # Errors
    /// The store's.
    pub async fn settle(&self, principal: &PrincipalId) -> Result<(), ToolError> {
        for turn in self.parts.catalog.running_turns(principal).await? {
            let events = self.events(principal, &turn);
            let never_begun =
                events.is_empty() && now_ms().saturating_sub(turn.created_at) > NEVER_BEGUN_MS;
            let (state, answer) = match ending(&events) {
                Some(ending) => ending,
                None if never_begun => (TurnState::Failed, "the answer was never begun".to_owned()),
                None => continue,
            };
            self.parts.catalog.settle_turn(&turn.id, state, &answer).await?;
        }
        Ok(())
    }

    /// Stops an answer. What was written stands.
    ///
    /// # Errors
    /// `turn_not_found`; the store's.
    pub async fn stop(&self, principal: &PrincipalId, turn: &str) -> Result<(), ToolError> {
        let run = self.run_of(principal, turn).await?;
        let state = self.parts.agent.stop(principal, &run).await?;
        // One that nobody carried out writes no last event.
        if state == JobState::Cancelled {
            let events = self.parts.agent.events(principal, &run, 0).unwrap_or_default();
            if ending(&events).is_none() {
                let said = words(&events);
                self.parts.catalog.settle_turn(turn, TurnState::Stopped, &said).await?;
            }
        }
        Ok(())
    }

    /// Tells what the person decided about a call.
    ///
    /// # Errors
    /// `turn_not_found`, `approval_not_found`, `already_decided`.
    pub async fn decide(
        &self,
        principal: &PrincipalId,
        turn: &str,
        place: (u32, u32),
        arguments_sha: &str,
        decision: &Decision,
    ) -> Result<(), ToolError> {
        let run = self.run_of(principal, turn).await?;
        self.parts.agent.decide(principal, &run, place, arguments_sha, decision)
    }

    /// The result of a call as it is shown: text that holds nothing unseen, and no bytes of
    /// pictures.
    ///
    /// # Errors
    /// `unknown_reference`; the store's.
    pub async fn result(
        &self,
        principal: &PrincipalId,
        call_id: &str,
    ) -> Result<String, ToolError> {
        let value = self.parts.caller.result(principal, &CallId(call_id.to_owned())).await?;
        Ok(readable(&format!("{:#}", without_bytes(&value, Some(call_id)))))
    }

    /// The whole result of a call, as text that holds nothing unseen.
    ///
    /// # Errors
    /// `unknown_reference`; the store's.
    pub async fn whole_result(
        &self,
        principal: &PrincipalId,
        call_id: &str,
    ) -> Result<String, ToolError> {
        let value = self.parts.caller.result(principal, &CallId(call_id.to_owned())).await?;
        Ok(readable(&format!("{value:#}")))
    }

    /// A picture or document that a call of this turn brought along, with its bytes.
    ///
    /// # Errors
    /// `turn_not_found`; `file_not_found` for what no result of the turn holds; the store's.
    pub async fn picture(
        &self,
        principal: &PrincipalId,
        turn: &str,
        sha: &str,
    ) -> Result<(ShownPicture, bytes::Bytes), ToolError> {
        let run = self.run_of(principal, turn).await?;
        let events = self.parts.agent.events(principal, &run, 0)?;
        let pictures = events.into_iter().flat_map(|event| {
            let EventKind::CallFinished { pictures, .. } = event.kind else { return Vec::new() };
            pictures
        });
        let picture = pictures
            .into_iter()
            .find(|picture| picture.sha == sha)
            .ok_or_else(|| file_not_found(sha))?;
        let bytes = self.parts.blobs.get(&Sha256Hex(picture.sha.clone())).await?;
        Ok((picture, bytes))
    }

    /// Shows the branch that this turn is on: its newest continuation.
    ///
    /// # Errors
    /// `turn_not_found`; the store's.
    pub async fn select(
        &self,
        principal: &PrincipalId,
        conversation: &str,
        turn: &str,
    ) -> Result<(), ToolError> {
        let turns = self.parts.catalog.turns(principal, conversation).await?;
        let mut last = turn.to_owned();
        // Later turns come later in the list, so one pass finds the newest way down.
        let mut seen = 0;
        while let Some(next) =
            turns.iter().rev().find(|other| other.parent.as_deref() == Some(last.as_str()))
        {
            last.clone_from(&next.id);
            seen += 1;
            if seen > turns.len() {
                break;
            }
        }
        if self.parts.catalog.select_turn(principal, conversation, &last).await? {
            Ok(())
        } else {
            Err(turn_not_found())
        }
    }

    /// Gives a conversation another title.
    ///
    /// # Errors
    /// `conversation_not_found`; `empty_title`; the store's.
    pub async fn rename(
        &self,
        principal: &PrincipalId,
        id: &str,
        title: &str,
    ) -> Result<(), ToolError> {
        let title: String = readable(title).replace(['\n', '\t'], " ");
        let title: String = title.trim().chars().take(200).collect();
        if title.is_empty() {
            return Err(ToolError::invalid("empty_title", "the title has no letters")
                .hint("write at least one"));
        }
        if self.parts.catalog.rename_conversation(principal, id, &title).await? {
            Ok(())
        } else {
            Err(conversation_not_found())
        }
    }

    /// Removes a conversation; answers that are being written are stopped.
    ///
    /// # Errors
    /// `conversation_not_found`; the store's.
    pub async fn delete(&self, principal: &PrincipalId, id: &str) -> Result<(), ToolError> {
        for turn in self.parts.catalog.turns(principal, id).await? {
            if turn.state == TurnState::Running {
                // One that has just ended needs no stop.
                let _ = self.stop(principal, &turn.id).await;
            }
        }
        if self.parts.catalog.delete_conversation(principal, id).await? {
            Ok(())
        } else {
            Err(conversation_not_found())
        }
    }

    async fn run_of(&self, principal: &PrincipalId, turn: &str) -> Result<RunId, ToolError> {
        let found = self.parts.catalog.turn(principal, turn).await?;
        found.and_then(|turn| RunId::parse(&turn.run)).ok_or_else(turn_not_found)
    }

    /// The files of a message, which must be neither empty nor too long.
    async fn files(&self, principal: &PrincipalId, say: &Say) -> Result<Vec<ChatFile>, ToolError> {
        if say.text.trim().is_empty() && say.files.is_empty() {
            return Err(ToolError::invalid("empty_message", "there is nothing to say")
                .hint("write something or attach a file"));
        }
        if say.text.len() > MESSAGE_BYTES || say.files.len() > FILES {
            return Err(ToolError::invalid(
                "message_too_long",
                format!(
                    "the message has {} bytes and {} files; {MESSAGE_BYTES} bytes and {FILES} files are allowed",
                    say.text.len(),
                    say.files.len()
                ),
            )
            .hint("attach long texts as a file, or say it in several messages"));
        }
        let mut files = Vec::new();
        for id in &say.files {
            let found = self.parts.catalog.chat_file(principal, id).await?;
            files.push(found.ok_or_else(|| file_not_found(id))?);
        }
        Ok(files)
    }
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chat").finish_non_exhaustive()
    }
}

/// Nobody reads a question that goes back to a host.
fn client_models() -> ClientModels {
    ClientModels { host_completion: false, local_models: true, ..ClientModels::default() }
}

fn tool_choice(choice: &Choice) -> ToolChoice {
    let all = ToolChoice { also: vec![RUN_WORKFLOW.to_owned()], ..ToolChoice::default() };
    match choice.tools {
        ToolMode::All => all,
        ToolMode::Except => ToolChoice { except: choice.names.clone(), ..all },
        ToolMode::Nothing => ToolChoice { nothing: true, ..all },
    }
}

/// A title of the first words.
fn title_of(text: &str, files: &[ChatFile]) -> String {
    let text = readable(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut title = String::new();
    for word in words {
        if !title.is_empty() && title.chars().count() + word.chars().count() >= TITLE {
            title.push('…');
            break;
        }
        if !title.is_empty() {
            title.push(' ');
        }
        title.extend(word.chars().take(TITLE));
    }
    match (title.is_empty(), files.first()) {
        (true, Some(file)) => file.name.clone(),
        (true, None) => "Conversation".to_owned(),
        (false, _) => title,
    }
}

/// A new id, later ones behind earlier ones.
fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn json_text(value: &impl Serialize) -> Result<String, ToolError> {
    serde_json::to_string(value).map_err(|error| ToolError::internal(&error))
}

fn conversation_not_found() -> ToolError {
    ToolError::not_found("conversation_not_found", "there is no such conversation")
        .hint("look into the list of conversations: it may have been deleted")
}

fn turn_not_found() -> ToolError {
    ToolError::not_found("turn_not_found", "there is no such turn in this conversation")
        .hint("load the conversation again: it may have been deleted")
}

fn file_not_found(id: &str) -> ToolError {
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    ToolError::not_found("file_not_found", format!("there is no attached file `{id}`"))
        .hint("attach it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_first_words() {
        assert_eq!(title_of("make\na \u{202e} timer", &[]), "make a timer");
        let long = title_of(&"word ".repeat(40), &[]);
        assert!(long.ends_with("word…") && long.chars().count() <= TITLE + 1, "{long}");
        assert_eq!(title_of(&"x".repeat(500), &[]).len(), TITLE);
    }
}
