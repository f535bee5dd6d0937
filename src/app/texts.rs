//! Texts that other servers ask for, written by our models within a budget.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::llm::resolve::{Choice, Models};
use crate::llm::{
    ClientModels, ExpectedKind, Expects, LlmError, Message, Part, Request, Role, Usage,
};
use crate::mcp_client::{Speaker, TextPart, TextWish, Texts, WrittenText};
use crate::storage::{Catalog, PrincipalId};

/// Window of the budget.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Name of the count.
const COUNT: &str = "sampling_tokens";
/// Bytes of a token, generously.
const TOKEN_BYTES: usize = 6;
/// Most tokens of one text, whatever is asked for.
const MOST_TOKENS: u32 = 32_000;
/// Most bytes of one request, pictures included.
const REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// Writes texts with the configured models.
pub(super) struct ModelTexts {
    pub(super) models: Arc<Models>,
    pub(super) catalog: Arc<dyn Catalog>,
}

#[async_trait]
impl Texts for ModelTexts {
    async fn write(
        &self,
        server: &str,
        tokens_per_day: i64,
        wish: TextWish,
    ) -> Result<WrittenText, String> {
        // No person's count: whoever calls does not decide what the server asks for.
        let holder = PrincipalId::from(format!("mcp_server:{server}").as_str());
        let used = self.count(&holder, 0, tokens_per_day).await?;
        if used.is_none_or(|used| used >= tokens_per_day) {
            return Err(format!(
                "the {tokens_per_day} model tokens a day of this server are used up; `sampling_tokens_per_day` in its entry of mcp_servers.json allows more"
            ));
        }
        let client =
            ClientModels { host_completion: false, local_models: true, ..ClientModels::default() };
        let choice = self.models.choose(None, &client).await.map_err(|error| words(&error))?;
        let Choice::Model { model, .. } = choice else {
            return Err("no language model is configured here".to_owned());
        };
        let max_tokens = wish.max_tokens.clamp(1, MOST_TOKENS);
        let most = usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES);
        let request = request(wish, max_tokens, |media_type| model.reads(media_type))?;
        let outcome = self
            .models
            .complete(model.as_ref(), &request, &CancellationToken::new(), &|_| {})
            .await
            .map_err(|error| words(&error))?;
        let spent = tokens(&outcome.usage, &request, &outcome.text);
        self.count(&holder, spent, i64::MAX).await?;
        let end = outcome.text.floor_char_boundary(most);
        Ok(WrittenText {
            is_cut: end < outcome.text.len(),
            text: outcome.text.get(..end).unwrap_or_default().to_owned(),
            model: outcome.model_used.unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

impl ModelTexts {
    async fn count(
        &self,
        holder: &PrincipalId,
        amount: i64,
        limit: i64,
    ) -> Result<Option<i64>, String> {
        self.catalog.add_quota(holder, COUNT, DAY_MS, amount, limit).await.map_err(|error| {
            tracing::warn!(error.cause = %error, "tokens of a server could not be counted");
            "the tokens of this server cannot be counted at the moment".to_owned()
        })
    }
}

fn request(
    wish: TextWish,
    max_tokens: u32,
    reads: impl Fn(&str) -> bool,
) -> Result<Request, String> {
    let mut bytes = wish.system.len();
    let mut messages = Vec::new();
    for (speaker, parts) in wish.said {
        let mut said = Vec::new();
        for part in parts {
            said.push(match part {
                TextPart::Words(words) => {
                    bytes += words.len();
                    Part::Text(words)
                }
                TextPart::Picture { media_type, base64 } if reads(&media_type) => {
                    bytes += base64.len();
                    Part::File { name: "picture".to_owned(), media_type, base64 }
                }
                TextPart::Picture { media_type, .. } => {
                    let media_type: String =
                        media_type.chars().filter(|letter| !letter.is_control()).take(60).collect();
                    return Err(format!("the model here cannot see pictures ({media_type})"));
                }
            });
        }
        let role = match speaker {
            Speaker::User => Role::User,
            Speaker::Model => Role::Assistant,
        };
        messages.push(Message { role, parts: said });
    }
    if bytes > REQUEST_BYTES {
        return Err(format!("the request has {bytes} bytes; {REQUEST_BYTES} are allowed"));
    }
    let mut system = wish.system;
    if !system.is_empty() {
        system.push_str("\n\n");
    }
    let _ = write!(system, "Your answer may have at most about {max_tokens} tokens.");
    Ok(Request { system, messages, tools: Vec::new(), expects: Expects::kind(ExpectedKind::Text) })
}

/// What was spent; an estimate where the vendor does not say.
fn tokens(usage: &Usage, request: &Request, text: &str) -> i64 {
    let estimate = |bytes: usize| bytes as u64 / 3 + 1;
    let read = usage.input_tokens.unwrap_or_else(|| {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let bytes: usize =
            parts.map(|part| if let Part::Text(words) = part { words.len() } else { 4_500 }).sum();
        estimate(bytes + request.system.len())
    });
    let written = usage.output_tokens.unwrap_or_else(|| estimate(text.len()));
    i64::try_from(read.saturating_add(written)).unwrap_or(i64::MAX)
}

fn words(error: &LlmError) -> String {
    error.message.clone()
}
