//! Models behind commands: the user's own `claude` and `codex`, and any program that reads a
//! prompt on standard input and prints the answer.
//!
//! They run only when the configuration enables them, with the user's own login, whose files this
//! program never reads. Each run has an empty folder of its own, the few environment variables on
//! its list, limits on time and output, and a process group that is killed as a whole when it
//! ends, whatever ends it.

mod output;
mod process;

use std::ffi::OsString;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use self::output::Reading;
use self::process::Launch;
use super::{Event, LanguageModel, LlmError, LlmErrorCode, Message, Part, Request, Role, Route};
use crate::config::llm::CommandConfig;

/// How long `claude` and `codex` may take.
const TIMEOUT: Duration = Duration::from_mins(10);

/// A model behind a command.
#[derive(Debug, Clone)]
pub struct CommandModel {
    name: String,
    command: Vec<String>,
    env: Vec<String>,
    timeout: Duration,
    reading: Reading,
    search_path: Option<OsString>,
}

impl CommandModel {
    /// Claude Code, without any of its tools.
    pub fn claude() -> Self {
        // An empty list of allowed tools would leave the built-in ones on; an empty list of tools
        // leaves none. The strict flag keeps the user's own MCP servers out.
        let arguments = [
            "claude",
            "--print",
            "--output-format",
            "json",
            "--max-turns",
            "1",
            "--tools",
            "",
            "--strict-mcp-config",
        ];
        Self::known("claude", &arguments, Reading::Claude)
    }

    /// Codex, in its read-only sandbox and without a session on disk.
    pub fn codex() -> Self {
        let arguments = [
            "codex",
            "exec",
            "--ephemeral",
            "--json",
            "--sandbox",
            "read-only",
            "--skip-git-repo-check",
            "-",
        ];
        Self::known("codex", &arguments, Reading::Codex)
    }

    fn known(name: &str, command: &[&str], reading: Reading) -> Self {
        Self {
            name: name.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: Vec::new(),
            timeout: TIMEOUT,
            reading,
            search_path: None,
        }
    }

    /// A command of the configuration.
    pub fn custom(name: &str, config: &CommandConfig) -> Self {
        Self {
            name: name.to_owned(),
            command: config.command.iter().map(|word| word.replace("{model}", name)).collect(),
            env: config.env.clone(),
            timeout: Duration::from_secs(config.timeout_s),
            reading: Reading::Plain,
            search_path: None,
        }
    }

    /// Looks for the program in these folders instead of `PATH`, and hands them on as `PATH`.
    #[must_use]
    pub fn search_path(mut self, path: impl Into<OsString>) -> Self {
        self.search_path = Some(path.into());
        self
    }

    /// Ends the command after this time.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

#[async_trait]
impl LanguageModel for CommandModel {
    fn model_id(&self) -> &str {
        &self.name
    }

    fn route(&self) -> Route {
        Route::Command
    }

    fn provider(&self) -> &str {
        &self.name
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        let launch = Launch {
            name: self.name.clone(),
            command: self.command.clone(),
            env: self.env.clone(),
            search_path: self.search_path.clone(),
            timeout: self.timeout,
            prompt: prompt(&self.name, request)?,
        };
        let reading = self.reading;
        let answer = async move {
            let name = launch.name.clone();
            match process::run(launch).await.and_then(|done| output::read(reading, &name, &done)) {
                Ok(events) => events.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        Ok(stream::once(answer).flat_map(stream::iter).boxed())
    }
}

/// The conversation as one text: commands take nothing else.
fn prompt(name: &str, request: &Request) -> Result<String, LlmError> {
    let cannot = |what: &str| {
        LlmError::new(LlmErrorCode::RequestRejected, format!("the command `{name}` {what}"))
            .hint("name a model with an API, or `host`")
    };
    if !request.tools.is_empty() {
        return Err(cannot("cannot call tools"));
    }
    let mut texts = Vec::new();
    if !request.system.is_empty() {
        texts.push(request.system.clone());
    }
    let several = request.messages.len() > 1;
    for message in &request.messages {
        if several {
            let role = match message.role {
                Role::User => "[user]",
                Role::Assistant => "[assistant]",
                Role::Tool => "[tool results]",
            };
            texts.push(role.to_owned());
        }
        texts.extend(message_texts(message).ok_or_else(|| cannot("cannot read attachments"))?);
    }
    Ok(texts.join("\n\n"))
}

fn message_texts(message: &Message) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) => texts.push(text.clone()),
            Part::File { .. } => return None,
            Part::StoredFile(file) => texts.extend(file.text.clone()),
            Part::ToolCall(call) => {
                texts.push(format!("[call of `{}`: {}]", call.name, call.arguments));
            }
            Part::ToolResult { content, .. } => texts.push(content.clone()),
            Part::ThoughtSignature(_) => {}
        }
    }
    Some(texts)
}
