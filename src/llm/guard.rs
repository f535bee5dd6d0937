//! The rules around every model: what counts as an answer, what is tried again, what is too much.
//!
//! - An answer counts only when its stream reached its end with a reason to stop. Everything
//!   before is thrown away when it did not.
//! - A refusal is final: no retry, no partial text. An empty answer is asked for once more.
//! - An answer that ran into the limit of output is continued once, through a turn of the user.
//! - Failures that pass are retried at most twice, with full jitter or as long as the provider
//!   asks, inside one deadline; a stream that broke off once, and only while no tool has run.
//! - The caller's cancellation ends every phase at once, waiting included.

mod answer;
mod backoff;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

use self::answer::{Answer, AttemptFailure};
use self::backoff::{Backoff, Retries};
use super::models::Price;
use super::{
    LanguageModel, LlmError, LlmErrorCode, Message, Outcome, Request, Role, Route, Stop, Usage,
    attributes,
};

/// Limits of a model call.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the whole call with its retries.
    pub total: Duration,
    /// Bytes of one answer.
    pub text_bytes: usize,
    /// Tool calls of one answer.
    pub calls: usize,
    /// Requests for one answer.
    pub tries: u32,
    /// Requests to one provider at a time.
    pub concurrency: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_mins(15),
            text_bytes: 4 * 1024 * 1024,
            calls: 128,
            tries: 3,
            concurrency: 8,
        }
    }
}

/// What is told of an answer while it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth<'growth> {
    /// A request begins: what came of an earlier one that failed is void. The text before these
    /// bytes stands.
    Begins {
        /// Bytes that stand.
        bytes_before: usize,
    },
    /// A piece of the answer, and the size with it.
    Text {
        /// The piece.
        piece: &'growth str,
        /// Bytes of the whole answer so far.
        bytes: usize,
    },
    /// A piece of reasoning.
    Thinking(&'growth str),
}

/// Told how the answer grows.
pub type Written<'written> = &'written (dyn Fn(Growth<'_>) + Send + Sync);

/// The guard. One serves all models of a process.
#[derive(Debug, Default)]
pub struct Guard {
    limits: Limits,
    backoff: Backoff,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The sentence that asks for the rest of an answer. It comes from the user, since models refuse
/// to go on from a turn of their own.
const CONTINUE: &str = "Your answer was cut off at the limit of output. Go on exactly where it \
    stopped: repeat nothing, add no introduction and no new code fence.";

/// What a call used so far.
#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    usage: Usage,
    tries: u32,
    cost_usd: f64,
    /// Some try cost an amount that cannot be known.
    unpriced: bool,
}

/// One question on its way: what every phase of it needs.
struct Call<'call> {
    model: &'call dyn LanguageModel,
    price: Option<&'call Price>,
    cancel: &'call CancellationToken,
    written: Written<'call>,
    deadline: Instant,
    spent: Spent,
}

impl Guard {
    /// A guard with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Asks a model under the rules. The cost is known when there is a price and the provider
    /// counted the tokens of every try that had begun.
    ///
    /// # Errors
    /// Why no complete answer came.
    pub async fn complete(
        &self,
        model: &dyn LanguageModel,
        request: &Request,
        price: Option<&Price>,
        cancel: &CancellationToken,
        written: Written<'_>,
    ) -> Result<Outcome, LlmError> {
        let span = tracing::info_span!(
            "chat",
            { attributes::SPAN_NAME } = format!("chat {}", model.model_id()),
            { attributes::OPERATION } = "chat",
            { attributes::PROVIDER } = model.provider(),
            { attributes::REQUEST_MODEL } = model.model_id(),
            { attributes::ROUTE } = ?model.route(),
            { attributes::INPUT_TOKENS } = Empty,
            { attributes::OUTPUT_TOKENS } = Empty,
            { attributes::FINISH_REASON } = Empty,
            { attributes::TRIES } = Empty,
            { attributes::ERROR_TYPE } = Empty,
        );
        let began = Instant::now();
        let mut call = Call {
            model,
            price,
            cancel,
            written,
            deadline: began + self.limits.total,
            spent: Spent::default(),
        };
        let result = self.answer_in_full(&mut call, request).instrument(span.clone()).await;
        record(&span, &call.spent, &result);
        let answer = result?;
        Ok(Outcome {
            text: answer.text,
            calls: answer.calls,
            thought_signatures: answer.thought_signatures,
            model_used: answer.model.or_else(|| Some(model.model_id().to_owned())),
            route: model.route(),
            model_note: None,
            usage: call.spent.usage,
            cost_usd: (!call.spent.unpriced).then_some(call.spent.cost_usd),
            tries: call.spent.tries,
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            stop: answer.stop,
        })
    }

    /// The answer, with its continuation when it ran into the limit of output.
    async fn answer_in_full(
        &self,
        call: &mut Call<'_>,
        request: &Request,
    ) -> Result<Answer, LlmError> {
        let mut first = self.answer_with_retries(call, request, 0).await?;
        if first.stop != Stop::MaxTokens {
            return Ok(first);
        }
        // A cut call cannot be continued, and where nothing was written there is nothing to go on
        // from.
        if !first.calls.is_empty() || first.text.trim().is_empty() {
            return Err(incomplete(call.model));
        }
        let mut longer = request.clone();
        longer.messages.push(Message::assistant(first.text.as_str()));
        longer.messages.push(Message::user(CONTINUE));
        let rest = self.answer_with_retries(call, &longer, first.text.len()).await?;
        if rest.stop == Stop::MaxTokens {
            return Err(incomplete(call.model));
        }
        first.text.push_str(&rest.text);
        Ok(Answer { text: first.text, ..rest })
    }

    async fn answer_with_retries(
        &self,
        call: &mut Call<'_>,
        request: &Request,
        bytes_before: usize,
    ) -> Result<Answer, LlmError> {
        let tools_ran = request.messages.iter().any(|message| message.role == Role::Tool);
        let mut retries = Retries::new(self.limits.tries, tools_ran);
        loop {
            let failure = match self.attempt(call, request, bytes_before).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(wait) = retries.after(&failure, self.backoff) else {
                return Err(failure.error);
            };
            if Instant::now() + wait >= call.deadline {
                return Err(failure.error);
            }
            tracing::warn!(
                error.code = failure.error.code.as_str(),
                error.status = failure.error.status,
                retry.wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "model call failed, trying again"
            );
            tokio::select! {
                biased;
                () = call.cancel.cancelled() => return Err(cancelled()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One request, counted.
    async fn attempt(
        &self,
        call: &mut Call<'_>,
        request: &Request,
        bytes_before: usize,
    ) -> Result<Answer, AttemptFailure> {
        let gate = self.gate(call.model.provider());
        let result = {
            let work = async {
                // The gate is never closed, and without a permit the request would still be right.
                // Every client's own model is another one, so they share no gate.
                let _permit = match call.model.route() {
                    Route::Sampling => None,
                    Route::Api | Route::Local | Route::Command | Route::Host => {
                        gate.acquire().await.ok()
                    }
                };
                call.spent.tries += 1;
                (call.written)(Growth::Begins { bytes_before });
                answer::gather(call.model, request, &self.limits, &|growth| {
                    (call.written)(match growth {
                        Growth::Text { piece, bytes } => {
                            Growth::Text { piece, bytes: bytes_before + bytes }
                        }
                        Growth::Begins { .. } | Growth::Thinking(_) => growth,
                    });
                })
                .await
            };
            tokio::select! {
                biased;
                () = call.cancel.cancelled() => Err(cancelled().into()),
                () = tokio::time::sleep_until(call.deadline) => Err(timed_out(call.model).into()),
                result = work => result,
            }
        };
        match &result {
            Ok(answer) => call.spent.add(answer.usage, true, call.price),
            Err(failure) => call.spent.add(failure.usage, failure.output_began, call.price),
        }
        result
    }

    fn gate(&self, provider: &str) -> Arc<Semaphore> {
        let permits = self.limits.concurrency.max(1);
        let Ok(mut gates) = self.gates.lock() else { return Arc::new(Semaphore::new(permits)) };
        if let Some(gate) = gates.get(provider) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Semaphore::new(permits));
        gates.insert(provider.to_owned(), Arc::clone(&gate));
        gate
    }
}

impl Spent {
    fn add(&mut self, usage: Option<Usage>, output_began: bool, price: Option<&Price>) {
        let Some(usage) = usage else {
            self.unpriced |= output_began;
            return;
        };
        match price.and_then(|price| price.cost_usd(&usage)) {
            Some(cost) => self.cost_usd += cost,
            None => self.unpriced = true,
        }
        let sum = |total: &mut Option<u64>, count: Option<u64>| {
            if let Some(count) = count {
                *total = Some(total.unwrap_or(0).saturating_add(count));
            }
        };
        sum(&mut self.usage.input_tokens, usage.input_tokens);
        sum(&mut self.usage.output_tokens, usage.output_tokens);
        sum(&mut self.usage.cached_tokens, usage.cached_tokens);
        sum(&mut self.usage.reasoning_tokens, usage.reasoning_tokens);
    }
}

fn record(span: &tracing::Span, spent: &Spent, result: &Result<Answer, LlmError>) {
    span.record(attributes::TRIES, spent.tries);
    if let Some(tokens) = spent.usage.input_tokens {
        span.record(attributes::INPUT_TOKENS, tokens);
    }
    if let Some(tokens) = spent.usage.output_tokens {
        span.record(attributes::OUTPUT_TOKENS, tokens);
    }
    match result {
        Ok(answer) => span.record(attributes::FINISH_REASON, stop_word(&answer.stop).as_ref()),
        Err(error) => span.record(attributes::ERROR_TYPE, error.code.as_str()),
    };
}

fn stop_word(stop: &Stop) -> Cow<'_, str> {
    match stop {
        Stop::Complete => "stop".into(),
        Stop::ToolUse => "tool_calls".into(),
        Stop::MaxTokens => "length".into(),
        Stop::Refused => "content_filter".into(),
        Stop::Other(word) => word.as_str().into(),
    }
}

fn cancelled() -> LlmError {
    LlmError::new(LlmErrorCode::Cancelled, "the model call was cancelled")
}

fn timed_out(model: &dyn LanguageModel) -> LlmError {
    let id = model.model_id();
    LlmError::new(LlmErrorCode::Timeout, format!("`{id}` did not finish its answer in time"))
        .hint("ask for less at a time, name a faster model, or raise `llm.timeouts.total_s`")
}

fn incomplete(model: &dyn LanguageModel) -> LlmError {
    let id = model.model_id();
    LlmError::new(
        LlmErrorCode::Incomplete,
        format!("`{id}` ran into its limit of output before the answer was complete"),
    )
    .hint("ask for less at a time, or name a model with a higher limit")
}

#[cfg(test)]
mod tests;
