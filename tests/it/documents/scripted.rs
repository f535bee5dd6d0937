//! A model that says what a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use atelier::llm::{Event, LanguageModel, LlmError, LlmErrorCode, Request, Route, Stop};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::Barrier;

/// A model that gives prepared answers and keeps what it was asked.
#[derive(Default)]
pub(super) struct Scripted {
    pub(super) answers: Mutex<VecDeque<Vec<Event>>>,
    pub(super) requests: Mutex<Vec<Request>>,
}

#[async_trait]
impl LanguageModel for Scripted {
    fn model_id(&self) -> &'static str {
        "scripted-1"
    }

    fn route(&self) -> Route {
        Route::Sampling
    }

    fn provider(&self) -> &'static str {
        "test"
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.ok_or_else(|| {
            LlmError::new(LlmErrorCode::RequestRejected, "the script has no further answer")
        })?;
        Ok(stream::iter(answer.into_iter().map(Ok)).boxed())
    }
}

/// A whole answer.
pub(super) fn said(text: &str) -> Vec<Event> {
    vec![Event::Text(text.to_owned()), Event::End(Stop::Complete)]
}

/// An answer that ran into the limit of output.
pub(super) fn full(text: &str) -> Vec<Event> {
    vec![Event::Text(text.to_owned()), Event::End(Stop::MaxTokens)]
}

/// A model with these answers.
pub(super) fn model(answers: &[Vec<Event>]) -> Arc<Scripted> {
    Arc::new(Scripted { answers: Mutex::new(answers.to_vec().into()), ..Scripted::default() })
}

/// A model whose first requests wait for each other, so that calls overlap for certain.
pub(super) struct Meeting {
    answers: Arc<Scripted>,
    barrier: Arc<Barrier>,
    waits: Mutex<bool>,
}

impl Meeting {
    /// A model that meets others at the barrier before its first answer.
    pub(super) fn new(barrier: &Arc<Barrier>, answers: &[Vec<Event>]) -> Arc<Self> {
        let (answers, barrier) = (model(answers), Arc::clone(barrier));
        Arc::new(Self { answers, barrier, waits: Mutex::new(true) })
    }

    /// What it was asked.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.answers.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl LanguageModel for Meeting {
    fn model_id(&self) -> &str {
        self.answers.model_id()
    }

    fn route(&self) -> Route {
        self.answers.route()
    }

    fn provider(&self) -> &str {
        self.answers.provider()
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        let waits = std::mem::take(&mut *self.waits.lock().unwrap());
        if waits {
            self.barrier.wait().await;
        }
        self.answers.stream(request).await
    }
}
