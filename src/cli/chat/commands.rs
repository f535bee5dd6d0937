//! What can be typed beside messages.

use std::io::Write as _;
use std::path::Path;

use super::{Terminal, Then};
use crate::agent::chat::{ToolMode, json, markdown};
use crate::cli::CommandError;

const HELP: &str = "\
/model [NAME]      the models, or the one to ask from now on; `auto` for the configured one
/tools [+T|-T …]   the tools; -NAME leaves one out, +NAME takes it back, `all`, `none`
/new               begins another conversation
/open [N|ID|last]  the conversations, or one of them
/save FILE         the conversation as Markdown, or as JSON for FILE.json
/quit              leaves";

impl Terminal {
    /// Does what a line beginning with `/` says.
    pub(super) async fn command(&mut self, line: &str) -> Result<Then, CommandError> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match name {
            "/quit" | "/exit" => return Ok(Then::Leave),
            "/help" => self.screen.line(HELP)?,
            "/model" => self.model(rest).await?,
            "/tools" => self.tools(rest)?,
            "/new" => {
                self.conversation = None;
                self.parent = None;
                self.screen.line("A new conversation begins.")?;
            }
            "/open" => self.open(rest).await?,
            "/save" => self.save(rest).await?,
            _ => self
                .screen
                .line(&format!("error: there is no `{name}`\nhint: /help lists what there is"))?,
        }
        Ok(Then::GoOn)
    }

    async fn model(&mut self, name: &str) -> Result<(), CommandError> {
        if name.is_empty() {
            let ways = self.chat.ways().await;
            let chosen = self.choice.model.as_deref().or(ways.default_model.as_deref());
            for model in &ways.models {
                let mark = if chosen == Some(model.as_str()) { "*" } else { " " };
                self.screen.line(&format!("{mark} {model}"))?;
            }
            if let Some(chosen) =
                chosen.filter(|chosen| !ways.models.iter().any(|one| one == chosen))
            {
                self.screen.line(&format!("* {chosen}"))?;
            }
            return Ok(());
        }
        self.choice.model = (name != "auto").then(|| name.to_owned());
        self.screen.line(&format!("The next answer is asked of {name}."))?;
        Ok(())
    }

    fn tools(&mut self, words: &str) -> Result<(), CommandError> {
        let known = self.chat.tools(&self.person);
        for word in words.split_whitespace() {
            let is_known = |name: &str| known.iter().any(|tool| tool.name == name);
            match (word, word.strip_prefix('-'), word.strip_prefix('+')) {
                ("all", ..) => {
                    self.choice.tools = ToolMode::All;
                    self.choice.names.clear();
                }
                ("none", ..) => self.choice.tools = ToolMode::Nothing,
                (_, Some(name), _) if is_known(name) => {
                    self.choice.tools = ToolMode::Except;
                    self.choice.names.push(name.to_owned());
                }
                (_, _, Some(name)) if is_known(name) => {
                    if self.choice.tools == ToolMode::Nothing {
                        let all = known.iter().map(|tool| tool.name.clone());
                        self.choice.names = all.collect();
                        self.choice.tools = ToolMode::Except;
                    }
                    self.choice.names.retain(|other| other != name);
                }
                _ => self.screen.line(&format!(
                    "error: `{word}` is not understood\nhint: `all`, `none`, or a tool's name behind + or -"
                ))?,
            }
        }
        for tool in &known {
            let is_on = match self.choice.tools {
                ToolMode::All => true,
                ToolMode::Nothing => false,
                ToolMode::Except => !self.choice.names.contains(&tool.name),
            };
            self.screen.line(&format!("{} {}", if is_on { "*" } else { " " }, tool.name))?;
        }
        Ok(())
    }

    async fn open(&mut self, which: &str) -> Result<(), CommandError> {
        let principal = self.person.principal.clone();
        let found = match self.chat.conversations(&principal, "").await {
            Ok(found) => found,
            Err(error) => return self.refused(&error),
        };
        if which.is_empty() {
            self.listed = found.iter().map(|one| one.id.clone()).collect();
            for (number, one) in (1..).zip(&found) {
                self.screen.line(&format!("{number:>3}  {}  ({})", one.title, one.id))?;
            }
            if found.is_empty() {
                self.screen.line("There are no conversations yet.")?;
            }
            return Ok(());
        }
        let by_number = which
            .parse::<usize>()
            .ok()
            .and_then(|number| self.listed.get(number.checked_sub(1)?).cloned());
        let id = match which {
            "last" => found.first().map(|one| one.id.clone()),
            _ => by_number,
        };
        match self.chat.conversation(&principal, id.as_deref().unwrap_or(which)).await {
            Ok(shown) => {
                self.screen.line(&markdown(&shown))?;
                self.parent = shown.turns.last().map(|turn| turn.id.clone());
                self.conversation = Some(shown.id);
                Ok(())
            }
            Err(error) => self.refused(&error),
        }
    }

    async fn save(&mut self, file: &str) -> Result<(), CommandError> {
        let Some(id) = &self.conversation else {
            self.screen
                .line("error: there is no conversation yet\nhint: say something, or /open one")?;
            return Ok(());
        };
        if file.is_empty() {
            self.screen.line("error: /save needs the name of a file\nhint: /save chat.md")?;
            return Ok(());
        }
        let shown = match self.chat.conversation(&self.person.principal, id).await {
            Ok(shown) => shown,
            Err(error) => return self.refused(&error),
        };
        let is_json = Path::new(file).extension().is_some_and(|ending| ending == "json");
        let text = if is_json { format!("{:#}\n", json(&shown)) } else { markdown(&shown) };
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file)
            .and_then(|mut opened| opened.write_all(text.as_bytes()));
        match written {
            Ok(()) => self.screen.line(&format!("Saved as {file}."))?,
            Err(error) => self.screen.line(&format!(
                "error: {file} cannot be written: {error}\nhint: name a file that is not there yet"
            ))?,
        }
        Ok(())
    }
}
