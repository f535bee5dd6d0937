//! What is said in a chat, and what is shown of it.

use serde::{Deserialize, Serialize};

use crate::agent::event::Event;
use crate::registry::Rights;
use crate::storage::{ChatFile, PrincipalId, TurnState};

/// Who talks, and what they may use.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who it is.
    pub principal: PrincipalId,
    /// What they may use.
    pub rights: Rights,
}

/// Which tools an answer may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// All that the person may use.
    #[default]
    All,
    /// All but those that are named.
    Except,
    /// None.
    Nothing,
}

/// What was chosen for an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Model by its name; `None`: whatever is configured.
    pub model: Option<String>,
    /// Which tools.
    pub tools: ToolMode,
    /// The named ones.
    pub names: Vec<String>,
}

/// Something to say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Say {
    /// Conversation; `None`: a new one.
    pub conversation: Option<String>,
    /// The turn that it follows; `None`: it begins the conversation, perhaps once more.
    pub parent: Option<String>,
    /// Words.
    pub text: String,
    /// Ids of attached files.
    pub files: Vec<String>,
    /// Model and tools.
    pub choice: Choice,
}

/// What came of saying something.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// The conversation.
    pub conversation: String,
    /// The turn.
    pub turn: String,
}

/// A turn as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Exchange {
    /// Its id.
    pub id: String,
    /// The turn before.
    pub parent: Option<String>,
    /// What was said.
    pub question: String,
    /// Attached files.
    pub files: Vec<ChatFile>,
    /// Model and tools.
    pub choice: Choice,
    /// How it stands.
    pub state: TurnState,
    /// When it was said.
    pub created_at: i64,
    /// Turns with the same parent, this one among them, oldest first.
    pub siblings: Vec<String>,
    /// What happened, without what later events made superfluous.
    pub events: Vec<Event>,
    /// Why there are no events, where there are none.
    pub note: Option<String>,
}

/// A conversation as it is shown: one branch of it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// When it began.
    pub created_at: i64,
    /// When something was last said.
    pub updated_at: i64,
    /// The branch.
    pub turns: Vec<Exchange>,
}

/// Who can answer here.
#[derive(Debug, Clone, Serialize)]
pub struct Ways {
    /// Model that answers when none is named; `None`: nobody.
    pub default_model: Option<String>,
    /// Names that can be chosen.
    pub models: Vec<String>,
    /// Why nobody can answer, and what to do.
    pub problem: Option<String>,
}
