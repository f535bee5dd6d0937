//! What the chat keeps: conversations as trees of turns, attached files, and who may look.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PrincipalId, Sha256Hex, StorageResult};

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Last turn of the branch that is shown.
    pub head: Option<String>,
    /// When it began.
    pub created_at: i64,
    /// When something was last said.
    pub updated_at: i64,
}

/// How a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// The answer is being written, or waits for somebody.
    Running,
    /// It was answered, in full or up to a limit.
    Answered,
    /// Somebody stopped it; what was written stands.
    Stopped,
    /// No answer came.
    Failed,
}

impl TurnState {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Answered => "answered",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Reads the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Running, Self::Answered, Self::Stopped, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What somebody said, and the run that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: String,
    /// Where it belongs.
    pub conversation: String,
    /// The turn before; `None`: it begins the conversation.
    pub parent: Option<String>,
    /// Name of the run.
    pub run: String,
    /// What was said.
    pub question: String,
    /// Attached files, as JSON.
    pub files: String,
    /// Model and tools that were chosen, as JSON.
    pub choice: String,
    /// How it stands.
    pub state: TurnState,
    /// The answer's words, once it is over.
    pub answer: Option<String>,
    /// When it was said.
    pub created_at: i64,
}

/// A turn to add. It becomes the end of the branch that is shown.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// Whose conversation it is.
    pub principal: PrincipalId,
    /// Name of the conversation, when this turn begins it.
    pub title: Option<String>,
    /// The turn; state, answer and time are not read.
    pub turn: Turn,
}

/// A file that somebody attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatFile {
    /// Its id.
    pub id: String,
    /// Its blob.
    pub sha: Sha256Hex,
    /// Name for people.
    pub name: String,
    /// Media type by its bytes.
    pub media_type: String,
    /// Size.
    pub bytes: i64,
}

/// What a key of the chat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatKey {
    /// It opens the chat once.
    Link,
    /// It is a browser's session.
    Session,
}

impl ChatKey {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Session => "session",
        }
    }
}

/// Conversations. What belongs to another principal is as absent as what never was.
#[async_trait]
pub trait ChatStore {
    /// Adds a turn, and its conversation when it has a title. `false`: there is no such
    /// conversation, or no such parent in it.
    async fn add_turn(&self, new: NewTurn) -> StorageResult<bool>;
    /// Conversations whose title, questions or answers contain the words, newest first; all
    /// without words.
    async fn conversations(
        &self,
        principal: &PrincipalId,
        words: &str,
        limit: u32,
    ) -> StorageResult<Vec<Conversation>>;
    /// One conversation.
    async fn conversation(
        &self,
        principal: &PrincipalId,
        id: &str,
    ) -> StorageResult<Option<Conversation>>;
    /// All turns of a conversation, oldest first.
    async fn turns(&self, principal: &PrincipalId, conversation: &str) -> StorageResult<Vec<Turn>>;
    /// One turn.
    async fn turn(&self, principal: &PrincipalId, id: &str) -> StorageResult<Option<Turn>>;
    /// Turns that are not over.
    async fn running_turns(&self, principal: &PrincipalId) -> StorageResult<Vec<Turn>>;
    /// Notes the end of a turn; one that is over stays as it is.
    async fn settle_turn(&self, id: &str, state: TurnState, answer: &str) -> StorageResult<()>;
    /// Shows the branch that ends with this turn. `false`: no such conversation or turn.
    async fn select_turn(
        &self,
        principal: &PrincipalId,
        conversation: &str,
        turn: &str,
    ) -> StorageResult<bool>;
    /// Gives a conversation another title. `false`: there is none.
    async fn rename_conversation(
        &self,
        principal: &PrincipalId,
        id: &str,
        title: &str,
    ) -> StorageResult<bool>;
    /// Removes a conversation with its turns. `false`: there is none.
    async fn delete_conversation(&self, principal: &PrincipalId, id: &str) -> StorageResult<bool>;
    /// Keeps a file that somebody attached.
    async fn add_chat_file(&self, principal: &PrincipalId, file: &ChatFile) -> StorageResult<()>;
    /// A file that was attached.
    async fn chat_file(&self, principal: &PrincipalId, id: &str)
    -> StorageResult<Option<ChatFile>>;
    /// Keeps the hash of a key.
    async fn add_chat_key(
        &self,
        sha: &Sha256Hex,
        principal: &PrincipalId,
        kind: ChatKey,
        ttl_ms: i64,
    ) -> StorageResult<()>;
    /// Whose session this is, while it lasts.
    async fn chat_session(&self, sha: &Sha256Hex) -> StorageResult<Option<PrincipalId>>;
    /// Whose link this is; it serves no second time.
    async fn take_chat_link(&self, sha: &Sha256Hex) -> StorageResult<Option<PrincipalId>>;
}
