//! Which model answers: the one readable list.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ClientModels, LanguageModel, LlmError, LlmErrorCode, Outcome, Request};

/// Who is to answer.
pub enum Choice {
    /// A model that is reached from here.
    Model {
        /// The model.
        model: Arc<dyn LanguageModel>,
        /// Why it is another one than the caller named.
        note: Option<String>,
    },
    /// The client's own model, by a returned request and a retried call.
    Sampling,
    /// The host, by `submit_completion`.
    Host,
}

/// The models of the configuration.
#[derive(Debug, Default)]
pub struct Models {}

impl Models {
    /// The models of a configuration.
    pub fn new(_config: &crate::config::llm::LlmConfig) -> Self {
        Self {}
    }

    /// Picks who answers.
    ///
    /// # Errors
    /// When a named model cannot be used, or nobody can answer.
    pub async fn choose(
        &self,
        _requested: Option<&str>,
        _client: &ClientModels,
    ) -> Result<Choice, LlmError> {
        Ok(Choice::Host)
    }

    /// Asks a model under the guard's rules. `written` is told the size of the answer so far.
    ///
    /// # Errors
    /// Why no complete answer came.
    pub async fn complete(
        &self,
        _model: &dyn LanguageModel,
        _request: &Request,
        _cancel: &CancellationToken,
        _written: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Outcome, LlmError> {
        Err(LlmError::new(LlmErrorCode::NoLanguageModel, "no model"))
    }

    /// Tokens that one principal may use a day.
    pub const fn daily_tokens(&self) -> Option<i64> {
        None
    }
}
