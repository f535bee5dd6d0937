//! What other servers ask back for: folders, texts of a language model, answers of a person.
//!
//! Each is given only where the server's entry says so, texts within a budget of tokens a day.
//! Whatever is refused is refused with the reason, and costs the server's call at most an error.

#![expect(deprecated, reason = "servers of every protocol ask for texts and roots")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rmcp::model::{
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    ElicitationAction, Role, SamplingMessage, SamplingMessageContentBlock,
};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::config::mcp_servers::{Root, ServerSpec};
use crate::registry::{CallerPerson, PersonAnswer, PersonQuestion};

/// Texts that are written for one server at a time.
const AT_ONCE: usize = 2;
/// Letters of a server's question that a person is shown.
const QUESTION: usize = 4_000;

/// A part of what a model is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPart {
    /// Words.
    Words(String),
    /// A picture in base64.
    Picture {
        /// Its media type.
        media_type: String,
        /// Its bytes.
        base64: String,
    },
}

/// A text that a server asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextWish {
    /// Instructions.
    pub system: String,
    /// What was said: whether by the model, and what.
    pub said: Vec<(Speaker, Vec<TextPart>)>,
    /// Tokens that the text may have.
    pub max_tokens: u32,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The user, or the server in their name.
    User,
    /// The model.
    Model,
}

/// A text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenText {
    /// The text.
    pub text: String,
    /// The model that wrote it.
    pub model: String,
    /// Whether it was cut to the tokens that it may have.
    pub is_cut: bool,
}

/// Writes texts for other servers.
#[async_trait]
pub trait Texts: Send + Sync + 'static {
    /// Writes one, within the server's tokens of the day.
    ///
    /// # Errors
    /// Why not, in words for the server.
    async fn write(
        &self,
        server: &str,
        tokens_per_day: i64,
        wish: TextWish,
    ) -> Result<WrittenText, String>;
}

/// What a server is given when it asks.
#[derive(Clone, Default)]
pub(super) struct Offer {
    pub(super) roots: Vec<Root>,
    pub(super) texts: Option<OfferedTexts>,
    pub(super) asks_people: bool,
}

/// Texts for one server.
#[derive(Clone)]
pub(super) struct OfferedTexts {
    texts: Arc<dyn Texts>,
    server: String,
    tokens_per_day: i64,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Offer")
            .field("texts", &self.texts.is_some())
            .finish_non_exhaustive()
    }
}

impl Offer {
    /// What the entry of a server lets it have.
    pub(super) fn of(name: &str, spec: &ServerSpec, texts: Option<&Arc<dyn Texts>>) -> Self {
        let texts = texts.filter(|_| spec.allow_sampling).map(|texts| OfferedTexts {
            texts: Arc::clone(texts),
            server: name.to_owned(),
            tokens_per_day: spec.sampling_tokens_per_day,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        });
        Self { roots: spec.roots.clone(), texts, asks_people: spec.allow_elicitation }
    }

    /// A text for a server.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn text(
        &self,
        params: CreateMessageRequestParams,
    ) -> Result<CreateMessageResult, String> {
        let Some(offered) = &self.texts else {
            return Err(
                "it asks for a text of a language model, which it is not given; `allow_sampling` in its entry of mcp_servers.json allows it"
                    .to_owned(),
            );
        };
        if params.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return Err("the model that answers here calls no tools of the server".to_owned());
        }
        let wish = wish(params)?;
        // Never closed.
        let _place = offered.places.acquire().await.ok();
        let written = offered.texts.write(&offered.server, offered.tokens_per_day, wish).await?;
        let message = SamplingMessage::assistant_text(written.text);
        let stop = if written.is_cut {
            CreateMessageResult::STOP_REASON_END_MAX_TOKEN
        } else {
            CreateMessageResult::STOP_REASON_END_TURN
        };
        Ok(CreateMessageResult::new(message, written.model).with_stop_reason(stop))
    }
}

fn wish(params: CreateMessageRequestParams) -> Result<TextWish, String> {
    let mut said = Vec::new();
    for message in params.messages {
        let speaker = match message.role {
            Role::User => Speaker::User,
            Role::Assistant => Speaker::Model,
        };
        let mut parts = Vec::new();
        for block in message.content.into_vec() {
            parts.push(match block {
                SamplingMessageContentBlock::Text(text) => TextPart::Words(text.text),
                SamplingMessageContentBlock::Image(image) => {
                    TextPart::Picture { media_type: image.mime_type, base64: image.data }
                }
                _ => return Err("only words and pictures can be given to the model".to_owned()),
            });
        }
        said.push((speaker, parts));
    }
    if said.is_empty() {
        return Err("the request says nothing to the model".to_owned());
    }
    Ok(TextWish {
        system: params.system_prompt.unwrap_or_default(),
        said,
        max_tokens: params.max_tokens,
    })
}

/// The people in front of the calls that are under way. A server of the older protocols does not
/// say for which call it asks, so somebody is asked only while there is a single call.
#[derive(Debug, Default)]
pub(super) struct People(Mutex<Vec<UnderWay>>);

/// A call that is under way, with the person in front of it.
type UnderWay = (u64, Option<Arc<dyn CallerPerson>>);

impl People {
    fn list(&self) -> MutexGuard<'_, Vec<UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call until the guard is dropped.
    pub(super) fn enter(&self, person: Option<&Arc<dyn CallerPerson>>) -> Entered<'_> {
        let mut list = self.list();
        let id = list.last().map_or(0, |(last, _)| last + 1);
        list.push((id, person.cloned()));
        Entered { people: self, id }
    }

    /// Whom to ask.
    pub(super) fn the_one(&self) -> Option<Arc<dyn CallerPerson>> {
        match self.list().as_slice() {
            [(_, person)] => person.clone(),
            _ => None,
        }
    }
}

/// A call that is noted.
pub(super) struct Entered<'a> {
    people: &'a People,
    id: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.people.list().retain(|(id, _)| *id != self.id);
    }
}

/// Passes a server's question on to a person, who is told who asks.
pub(super) async fn elicited(
    server: &str,
    params: &ElicitRequestParams,
    person: Option<Arc<dyn CallerPerson>>,
) -> ElicitResult {
    let declined = || ElicitResult::new(ElicitationAction::Decline);
    let (
        Some(person),
        ElicitRequestParams::FormElicitationParams { message, requested_schema, .. },
    ) = (person, params)
    else {
        return declined();
    };
    let Ok(schema) = serde_json::to_value(requested_schema) else { return declined() };
    let words: String = message
        .chars()
        .filter(|letter| !letter.is_control() || *letter == '\n')
        .take(QUESTION)
        .collect();
    let message = format!("The MCP server `{server}` asks:\n\n{words}");
    let question = PersonQuestion { message, schema, job: None };
    match person.ask(&question).await {
        PersonAnswer::Accepted(content) => {
            let mut result = ElicitResult::new(ElicitationAction::Accept);
            result.content = Some(content).filter(Value::is_object);
            result
        }
        PersonAnswer::Dismissed => ElicitResult::new(ElicitationAction::Cancel),
        PersonAnswer::Declined | PersonAnswer::Unreachable => declined(),
    }
}
