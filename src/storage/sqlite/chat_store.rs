//! Conversations of the chat.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::error::from_sqlx;
use super::{SqliteCatalog, clock, decoded};
use crate::storage::{
    ChatFile, ChatKey, ChatStore, Conversation, NewTurn, PrincipalId, Sha256Hex, StorageResult,
    Turn, TurnState,
};

/// Columns of a turn, in a query that names its table `t`.
macro_rules! turn_columns {
    () => {
        "t.id, t.conversation, t.parent, t.run, t.question, t.files, t.choice, t.state, \
         t.answer, t.created_at"
    };
}

impl FromRow<'_, SqliteRow> for Conversation {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            head: row.try_get("head")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Turn {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            conversation: row.try_get("conversation")?,
            parent: row.try_get("parent")?,
            run: row.try_get("run")?,
            question: row.try_get("question")?,
            files: row.try_get("files")?,
            choice: row.try_get("choice")?,
            state: decoded(row, "state", TurnState::parse)?,
            answer: row.try_get("answer")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for ChatFile {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            sha: Sha256Hex(row.try_get("sha")?),
            name: row.try_get("name")?,
            media_type: row.try_get("media_type")?,
            bytes: row.try_get("bytes")?,
        })
    }
}

/// Words as a pattern that finds them anywhere, whatever letters they have.
fn pattern(words: &str) -> String {
    let mut pattern = String::from("%");
    for letter in words.trim().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[async_trait]
impl ChatStore for SqliteCatalog {
    async fn add_turn(&self, new: NewTurn) -> StorageResult<bool> {
        let NewTurn { principal, title, turn } = new;
        let mut write = self.write().await?;
        if let Some(title) = title {
            sqlx::query(
                "INSERT INTO chat_conversation (id, principal, title, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $4)",
            )
            .bind(&turn.conversation)
            .bind(principal.as_str())
            .bind(title)
            .bind(write.now)
            .execute(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
        }
        if let Some(parent) = &turn.parent {
            let known: Option<i64> = sqlx::query_scalar(
                "SELECT created_at FROM chat_turn WHERE id = $1 AND conversation = $2",
            )
            .bind(parent)
            .bind(&turn.conversation)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
            if known.is_none() {
                return Ok(false);
            }
        }
        let updated = sqlx::query(
            "UPDATE chat_conversation SET head = $3, updated_at = $4 \
             WHERE id = $1 AND principal = $2",
        )
        .bind(&turn.conversation)
        .bind(principal.as_str())
        .bind(&turn.id)
        .bind(write.now)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        if updated.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO chat_turn \
             (id, conversation, parent, run, question, files, choice, state, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&turn.id)
        .bind(&turn.conversation)
        .bind(&turn.parent)
        .bind(&turn.run)
        .bind(&turn.question)
        .bind(&turn.files)
        .bind(&turn.choice)
        .bind(TurnState::Running.as_str())
        .bind(write.now)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(true)
    }

    async fn conversations(
        &self,
        principal: &PrincipalId,
        words: &str,
        limit: u32,
    ) -> StorageResult<Vec<Conversation>> {
        sqlx::query_as(
            "SELECT id, title, head, created_at, updated_at FROM chat_conversation AS c \
             WHERE principal = $1 AND (title LIKE $2 ESCAPE '\\' OR EXISTS ( \
               SELECT 1 FROM chat_turn AS t WHERE t.conversation = c.id \
               AND (t.question LIKE $2 ESCAPE '\\' OR t.answer LIKE $2 ESCAPE '\\'))) \
             ORDER BY updated_at DESC, id LIMIT $3",
        )
        .bind(principal.as_str())
        .bind(pattern(words))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn conversation(
        &self,
        principal: &PrincipalId,
        id: &str,
    ) -> StorageResult<Option<Conversation>> {
        sqlx::query_as(
            "SELECT id, title, head, created_at, updated_at FROM chat_conversation \
             WHERE principal = $1 AND id = $2",
        )
        .bind(principal.as_str())
        .bind(id)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn turns(&self, principal: &PrincipalId, conversation: &str) -> StorageResult<Vec<Turn>> {
        sqlx::query_as(concat!(
            "SELECT ",
            turn_columns!(),
            " FROM chat_turn AS t JOIN chat_conversation AS c ON c.id = t.conversation \
             WHERE c.principal = $1 AND c.id = $2 ORDER BY t.created_at, t.rowid"
        ))
        .bind(principal.as_str())
        .bind(conversation)
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn turn(&self, principal: &PrincipalId, id: &str) -> StorageResult<Option<Turn>> {
        sqlx::query_as(concat!(
            "SELECT ",
            turn_columns!(),
            " FROM chat_turn AS t JOIN chat_conversation AS c ON c.id = t.conversation \
             WHERE c.principal = $1 AND t.id = $2"
        ))
        .bind(principal.as_str())
        .bind(id)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn running_turns(&self, principal: &PrincipalId) -> StorageResult<Vec<Turn>> {
        sqlx::query_as(concat!(
            "SELECT ",
            turn_columns!(),
            " FROM chat_turn AS t JOIN chat_conversation AS c ON c.id = t.conversation \
             WHERE c.principal = $1 AND t.state = 'running' ORDER BY t.created_at"
        ))
        .bind(principal.as_str())
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn settle_turn(&self, id: &str, state: TurnState, answer: &str) -> StorageResult<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "UPDATE chat_turn SET state = $2, answer = $3 WHERE id = $1 AND state = 'running'",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(answer)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await
    }

    async fn select_turn(
        &self,
        principal: &PrincipalId,
        conversation: &str,
        turn: &str,
    ) -> StorageResult<bool> {
        let mut write = self.write().await?;
        let updated = sqlx::query(
            "UPDATE chat_conversation SET head = $3 WHERE id = $2 AND principal = $1 \
             AND EXISTS (SELECT 1 FROM chat_turn WHERE id = $3 AND conversation = $2)",
        )
        .bind(principal.as_str())
        .bind(conversation)
        .bind(turn)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(updated.rows_affected() == 1)
    }

    async fn rename_conversation(
        &self,
        principal: &PrincipalId,
        id: &str,
        title: &str,
    ) -> StorageResult<bool> {
        let mut write = self.write().await?;
        let updated =
            sqlx::query("UPDATE chat_conversation SET title = $3 WHERE id = $2 AND principal = $1")
                .bind(principal.as_str())
                .bind(id)
                .bind(title)
                .execute(&mut *write.transaction)
                .await
                .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(updated.rows_affected() == 1)
    }

    async fn delete_conversation(&self, principal: &PrincipalId, id: &str) -> StorageResult<bool> {
        let mut write = self.write().await?;
        let deleted = sqlx::query("DELETE FROM chat_conversation WHERE id = $2 AND principal = $1")
            .bind(principal.as_str())
            .bind(id)
            .execute(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(deleted.rows_affected() == 1)
    }

    async fn add_chat_file(&self, principal: &PrincipalId, file: &ChatFile) -> StorageResult<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO chat_file (id, principal, sha, name, media_type, bytes, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&file.id)
        .bind(principal.as_str())
        .bind(file.sha.as_str())
        .bind(&file.name)
        .bind(&file.media_type)
        .bind(file.bytes)
        .bind(write.now)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await
    }

    async fn chat_file(
        &self,
        principal: &PrincipalId,
        id: &str,
    ) -> StorageResult<Option<ChatFile>> {
        sqlx::query_as(
            "SELECT id, sha, name, media_type, bytes FROM chat_file \
             WHERE principal = $1 AND id = $2",
        )
        .bind(principal.as_str())
        .bind(id)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)
    }

    async fn add_chat_key(
        &self,
        sha: &Sha256Hex,
        principal: &PrincipalId,
        kind: ChatKey,
        ttl_ms: i64,
    ) -> StorageResult<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO chat_key (sha, principal, kind, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(sha.as_str())
        .bind(principal.as_str())
        .bind(kind.as_str())
        .bind(write.now.saturating_add(ttl_ms))
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await
    }

    async fn chat_session(&self, sha: &Sha256Hex) -> StorageResult<Option<PrincipalId>> {
        let principal: Option<String> = sqlx::query_scalar(concat!(
            "SELECT principal FROM chat_key WHERE sha = $1 AND kind = 'session' AND expires_at > ",
            clock!()
        ))
        .bind(sha.as_str())
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)?;
        Ok(principal.map(PrincipalId))
    }

    async fn take_chat_link(&self, sha: &Sha256Hex) -> StorageResult<Option<PrincipalId>> {
        let mut write = self.write().await?;
        let principal: Option<String> = sqlx::query_scalar(
            "DELETE FROM chat_key WHERE sha = $1 AND kind = 'link' AND expires_at > $2 \
             RETURNING principal",
        )
        .bind(sha.as_str())
        .bind(write.now)
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(principal.map(PrincipalId))
    }
}
