//! Asks model servers which models they have.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::providers::Server;
use crate::llm::models::{Provider, Wire, is_valid_id};

/// How long an answer holds, also that there is nobody.
const FRESH: Duration = Duration::from_mins(1);
/// Most bytes of a listing.
const LISTING_BYTES: usize = 4 * 1024 * 1024;

/// What servers answered, for a minute.
#[derive(Debug, Default)]
pub(super) struct Probe {
    answers: Mutex<HashMap<String, Answer>>,
}

/// What a server answered.
#[derive(Debug, Clone)]
struct Answer {
    since: Instant,
    /// `None`: it is away, or has no model.
    model: Option<String>,
}

impl Probe {
    /// A model of the server: the preferred one when it is there, else the first.
    pub(super) async fn model_of(
        &self,
        http: &reqwest::Client,
        server: &Server,
        preferred: Option<&str>,
    ) -> Option<String> {
        if let Some(answer) = self.remembered(server.root.as_str()) {
            return answer.model;
        }
        let answer = tokio::time::timeout(server.patience, ask(http, server, preferred))
            .await
            .ok()
            .flatten();
        if let Ok(mut answers) = self.answers.lock() {
            let answer = Answer { since: Instant::now(), model: answer.clone() };
            answers.insert(server.root.to_string(), answer);
        }
        answer
    }

    fn remembered(&self, root: &str) -> Option<Answer> {
        let answers = self.answers.lock().ok()?;
        answers.get(root).filter(|answer| answer.since.elapsed() < FRESH).cloned()
    }
}

async fn ask(http: &reqwest::Client, server: &Server, preferred: Option<&str>) -> Option<String> {
    let listing = match server.provider {
        Provider::Ollama => listing(http, server, &server.address("api/tags")).await?,
        Provider::LlamaCpp => {
            // While it loads a model it lists it already, but answers nothing.
            let health = http.get(server.root_address("health")).send().await.ok()?;
            if !health.status().is_success() {
                return None;
            }
            listing(http, server, &server.address("models")).await?
        }
        Provider::OpenAi | Provider::OpenRouter | Provider::Gemini | Provider::Anthropic => {
            listing(http, server, &server.address("models")).await?
        }
    };
    let (list, field) = match server.wire {
        Wire::Ollama => ("models", "name"),
        Wire::Gemini
        | Wire::GeminiIx
        | Wire::Anthropic
        | Wire::OpenAiChat
        | Wire::OpenAiResponses => ("data", "id"),
    };
    let ids = listing.get(list)?.as_array()?;
    let ids = ids.iter().filter_map(|model| model.get(field)?.as_str());
    let mut ids = ids.filter(|id| is_valid_id(id)).peekable();
    let first = (*ids.peek()?).to_owned();
    Some(ids.find(|id| Some(*id) == preferred).map_or(first, str::to_owned))
}

async fn listing(http: &reqwest::Client, server: &Server, address: &str) -> Option<Value> {
    let mut request = http.get(address);
    if let Some(key) = &server.key {
        request = request.bearer_auth(key.expose().trim());
    }
    let mut response = request.send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > LISTING_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}
