//! Vendors' APIs, by the crate of that name. No type of it leaves this module.
//!
//! The crate puts requests into each vendor's form and reads the streams. It loses refusals,
//! reports broken streams as complete, prints prompts into its errors and its log, and trusts what
//! endpoints send: see the submodules for what is done about each. Its log is silenced as a whole,
//! by running it under a subscriber of its own that drops everything.

mod errors;
mod frames;
mod http;
mod request;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::Stream;
use futures::stream::BoxStream;
use genai::ModelIden;
use genai::chat::{ChatStream, ChatStreamEvent, StopReason, StreamEnd};
use genai::resolver::{AuthData, Endpoint, ProviderConfig};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

pub use http::{client, endpoint, install_crypto};

use self::frames::{FrameWatch, Halt};
use super::models::{ModelRow, Provider, Wire};
use super::{
    Event, LanguageModel, LlmError, LlmErrorCode, Part, Request, Route, Stop, Usage,
    is_common_picture,
};
use crate::config::Secret;

/// A model behind a vendor's API, or behind a server that speaks like one.
pub struct ApiModel {
    client: genai::Client,
    iden: ModelIden,
    row: ModelRow,
    route: Route,
    idle: Duration,
}

/// What an [`ApiModel`] is made from.
pub struct ApiModelParts<'parts> {
    /// The shared HTTP client.
    pub http: reqwest::Client,
    /// The model.
    pub row: ModelRow,
    /// Address of the API, ending in `/`.
    pub endpoint: String,
    /// Key; servers of one's own mostly want none.
    pub key: Option<&'parts Secret>,
    /// [`Route::Api`], or [`Route::Local`] for a server that nobody configured.
    pub route: Route,
    /// Longest silence.
    pub idle: Duration,
}

impl ApiModel {
    /// A model that is ready to be asked. Nothing is sent.
    ///
    /// # Errors
    /// When the id cannot be sent as it is.
    pub fn new(parts: ApiModelParts<'_>) -> Result<Self, LlmError> {
        let ApiModelParts { http, row, endpoint, key, route, idle } = parts;
        check_id(&row)?;
        let kind = request::adapter_kind(row.provider, row.wire);
        let key = key.map_or("none", Secret::expose).trim();
        let provider = ProviderConfig::from_endpoint(Endpoint::from_owned(endpoint))
            .with_auth(AuthData::from_single(key));
        let client = genai::Client::builder()
            .with_reqwest(http)
            .append_provider_config(kind, provider)
            .build()
            .map_err(|_| {
                LlmError::new(LlmErrorCode::Unavailable, "the model client could not be set up")
            })?;
        let iden = ModelIden::new(kind, row.id.as_str());
        Ok(Self { client, iden, row, route, idle })
    }

    fn target(&self, request: &Request) -> Target {
        let bytes = request.messages.iter().flat_map(|message| &message.parts).map(part_bytes);
        Target {
            model: self.row.id.clone(),
            provider: self.row.provider,
            request_bytes: request.system.len() + bytes.sum::<usize>(),
            context_tokens: self.row.ctx,
        }
    }
}

/// On these wires the library takes an ending that names an effort off the id, so another model
/// would answer than the one that was asked.
fn check_id(row: &ModelRow) -> Result<(), LlmError> {
    const EFFORTS: [&str; 8] =
        ["-zero", "-none", "-minimal", "-low", "-medium", "-high", "-xhigh", "-max"];
    let takes_endings = matches!(row.wire, Wire::Gemini | Wire::GeminiIx | Wire::Anthropic);
    match EFFORTS.iter().find(|effort| row.id.ends_with(**effort)) {
        Some(effort) if takes_endings => Err(LlmError::new(
            LlmErrorCode::InvalidModel,
            format!("`{}` cannot be asked for: an id may not end in `{effort}` here", row.id),
        )
        .hint("leave the ending out")),
        _ => Ok(()),
    }
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Text(text) | Part::ThoughtSignature(text) => text.len(),
        Part::File { base64, .. } => base64.len(),
        Part::StoredFile(file) => file.text.as_ref().map_or(0, String::len),
        Part::ToolCall(call) => call.name.len() + call.arguments.to_string().len(),
        Part::ToolResult { content, .. } => content.len(),
    }
}

#[async_trait]
impl LanguageModel for ApiModel {
    fn model_id(&self) -> &str {
        &self.row.id
    }

    fn route(&self) -> Route {
        self.route
    }

    fn provider(&self) -> &str {
        self.row.provider.name()
    }

    fn context_tokens(&self) -> Option<u64> {
        self.row.ctx
    }

    fn reads(&self, media_type: &str) -> bool {
        (self.row.caps.vision && is_common_picture(media_type))
            || (self.row.caps.pdf && media_type == "application/pdf")
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        let target = self.target(request);
        let watch = Arc::new(FrameWatch::new(self.row.wire));
        let options = request::chat_options(request, &self.row)
            .with_stream_header_timeout(self.idle)
            .with_stream_read_timeout(self.idle)
            .with_raw_frame_sink_arc(Arc::clone(&watch) as _);
        let chat = request::chat_request(request, &self.row)?;
        let answer = self
            .client
            .exec_chat_stream(self.iden.clone(), chat, Some(&options))
            .with_subscriber(Dispatch::none())
            .await
            .map_err(|error| errors::convert(&error, &target, &watch.seen()))?;
        Ok(Box::pin(Answer {
            inner: answer.stream,
            watch,
            target,
            row: self.row.clone(),
            ready: VecDeque::new(),
            ended: false,
            frames: 0,
            work: Duration::ZERO,
        }))
    }
}

/// Who was asked, and how much, for messages.
#[derive(Debug, Clone)]
struct Target {
    model: String,
    provider: Provider,
    request_bytes: usize,
    context_tokens: Option<u64>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` ({})", self.model, self.provider.name())
    }
}

impl Target {
    fn sizes(&self) -> String {
        let bytes = self.request_bytes;
        match self.context_tokens {
            Some(tokens) => format!("it has {bytes} bytes, the model reads {tokens} tokens"),
            None => format!("it has {bytes} bytes"),
        }
    }
}

/// One answer as it comes.
struct Answer {
    inner: ChatStream,
    watch: Arc<FrameWatch>,
    target: Target,
    row: ModelRow,
    ready: VecDeque<Result<Event, LlmError>>,
    ended: bool,
    /// Frames at the last look, and the work done since without another one.
    frames: u64,
    work: Duration,
}

/// Work on one frame beyond which it has no end: the library gathers a frame at quadratic cost and
/// without a limit of its own, and shows it to nobody before it is whole.
const FRAME_WORK: Duration = Duration::from_secs(5);

impl Stream for Answer {
    type Item = Result<Event, LlmError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let started = Instant::now();
            let inner = &mut this.inner;
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
                tracing::dispatcher::with_default(&Dispatch::none(), || {
                    Pin::new(inner).poll_next(context)
                })
            }));
            match polled {
                Ok(Poll::Pending) if this.works_in_vain(started.elapsed()) => {
                    this.ended = true;
                    this.ready.push_back(Err(errors::endless_frame(&this.target)));
                }
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(item)) => this.take(item),
                Err(payload) if payload.is::<Halt>() => this.halt(),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    }
}

impl Answer {
    fn works_in_vain(&mut self, elapsed: Duration) -> bool {
        let frames = self.watch.frames();
        if frames == self.frames {
            self.work += elapsed;
        } else {
            self.frames = frames;
            self.work = Duration::ZERO;
        }
        self.work > FRAME_WORK
    }

    fn take(&mut self, item: Option<genai::Result<ChatStreamEvent>>) {
        match item {
            Some(Ok(ChatStreamEvent::Chunk(chunk))) => {
                self.ready.push_back(Ok(Event::Text(chunk.content)));
            }
            Some(Ok(ChatStreamEvent::ReasoningChunk(chunk))) => {
                self.ready.push_back(Ok(Event::Thinking(chunk.content)));
            }
            Some(Ok(ChatStreamEvent::End(end))) => self.end(end),
            // Calls and signatures are taken whole from the end.
            Some(Ok(
                ChatStreamEvent::Start
                | ChatStreamEvent::Heartbeat
                | ChatStreamEvent::ThoughtSignatureChunk(_)
                | ChatStreamEvent::ToolCallChunk(_),
            )) => {}
            Some(Err(error)) => {
                self.ended = true;
                let seen = self.watch.seen();
                self.ready.push_back(match seen.refusal {
                    // The library makes an error of a blocked prompt.
                    Some(reason) if error.status().is_none() && seen.payloads > 0 => {
                        Ok(Event::Refused(reason))
                    }
                    _ => Err(errors::convert(&error, &self.target, &seen)),
                });
            }
            None => self.cut(),
        }
    }

    /// The stream ended, in the library's view, with an end.
    fn end(&mut self, mut end: StreamEnd) {
        let seen = self.watch.seen();
        let usage = end.captured_usage.take().map(read_usage);
        self.ready.extend(usage.map(|usage| Ok(Event::Usage(usage))));
        // Some wires get an end from the library although the vendor sent none; on Interactions the
        // status at the start of the answer then passes for a reason.
        let reason = end.captured_stop_reason.take().filter(|reason| {
            self.row.wire != Wire::GeminiIx
                || (seen.completed && !matches!(reason, StopReason::Other(_)))
        });
        let Some(reason) = reason else {
            self.cut();
            return;
        };
        self.ended = true;
        if let Some(words) = seen.refusal {
            self.ready.push_back(Ok(Event::Refused(words)));
            return;
        }
        let (calls, states) = request::read_end(&self.row, end, seen.reasoning);
        self.ready.extend(calls.into_iter().map(|call| Ok(Event::ToolCall(call))));
        self.ready.extend(states.into_iter().map(|state| Ok(Event::ThoughtSignature(state))));
        let stop = match reason {
            StopReason::Completed(_) | StopReason::StopSequence(_) => Stop::Complete,
            StopReason::MaxTokens(_) => Stop::MaxTokens,
            StopReason::ToolCall(_) => Stop::ToolUse,
            StopReason::ContentFilter(reason) => {
                self.ready.push_back(Ok(Event::Refused(reason)));
                return;
            }
            StopReason::Other(reason) => Stop::Other(errors::code_word(&reason).to_owned()),
        };
        self.ready.push_back(Ok(Event::End(stop)));
    }

    /// The stream ended without the vendor's end.
    fn cut(&mut self) {
        self.ended = true;
        let seen = self.watch.seen();
        if let Some(reason) = seen.refusal {
            self.ready.push_back(Ok(Event::Refused(reason)));
        } else if let Some(failure) = seen.failure {
            self.ready.push_back(Err(errors::named(failure, &self.target)));
        } else if seen.starts_as_text || (seen.payloads == 0 && seen.blanks > 0) {
            self.ready.push_back(Err(errors::not_a_model(&self.target)));
        } else {
            self.ready.push_back(Err(errors::truncated(&self.target)));
        }
    }

    /// A frame must not be read.
    fn halt(&mut self) {
        self.ended = true;
        let halt = self.watch.seen().halt;
        self.ready.push_back(Err(halt.unwrap_or_else(|| errors::truncated(&self.target))));
    }
}

fn read_usage(usage: genai::chat::Usage) -> Usage {
    let count = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok());
    let read = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let reasoning = usage.completion_tokens_details.and_then(|details| details.reasoning_tokens);
    Usage {
        input_tokens: count(usage.prompt_tokens),
        output_tokens: count(usage.completion_tokens),
        cached_tokens: count(read),
        reasoning_tokens: count(reasoning),
    }
}
