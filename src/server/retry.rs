//! The client's own model, and the person in front of it, over protocol 2026-07-28: a question is
//! returned in place of a result, and the client repeats its call with the answer.
//!
//! The state that travels with the question is the completion's handle, or the job that waits for
//! a person, sealed for the principal and the tool: a client can give back only what it was given.

#![expect(deprecated, reason = "sampling is the only way to a client's own model")]

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CreateMessageRequest, ElicitRequest, ErrorData, InputRequest, InputRequests,
    InputRequiredResult, InputResponses, RequestStateCodec, SealOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ServeError;
use super::person;
use crate::llm::sampling;
use crate::registry::{PersonAnswer, PersonQuestion, SamplingAsk};
use crate::storage::{Catalog, CompletionHandle, JobId, PrincipalId, keys};

/// Setting of the installation that holds the key.
const KEY_SETTING: &str = "request_state_key";
/// Key of the question among the input requests.
const QUESTION: &str = "completion";

/// Key of the question to a person.
const APPROVAL: &str = "approval";

/// What travels with a question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Asked {
    /// A question to the client's model.
    Model {
        /// The completion.
        handle: CompletionHandle,
        /// Its round.
        round: i64,
    },
    /// A question to the person in front of the client.
    Person {
        /// The job that waits.
        job: JobId,
        /// The question's id.
        question: String,
    },
}

/// Asks by retried calls.
pub(super) struct Retries {
    codec: RequestStateCodec,
    ttl: Duration,
}

impl Retries {
    /// Reads the key of the installation, or makes it. All processes on one store have the same.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn new(catalog: &Arc<dyn Catalog>, ttl: Duration) -> Result<Self, ServeError> {
        let key = catalog.setting_or_insert(KEY_SETTING, &keys::secret()?).await?;
        let codec = RequestStateCodec::try_new(key)
            .map_err(|error| ServeError::Configuration(format!("`{KEY_SETTING}`: {error}")))?;
        Ok(Self { codec, ttl })
    }

    /// The question to the client's model; `None` when sampling has no form for it.
    ///
    /// # Errors
    /// Never in practice: the state is text.
    pub(super) fn question(
        &self,
        ask: &SamplingAsk,
        principal: &PrincipalId,
        tool: &str,
    ) -> Result<Option<InputRequiredResult>, ErrorData> {
        let Some(questions) = questions(ask) else { return Ok(None) };
        let state = Asked::Model { handle: ask.handle.clone(), round: ask.round };
        let sealed = self.sealed(&state, principal, tool)?;
        Ok(Some(InputRequiredResult::new(Some(questions), Some(sealed))))
    }

    /// The question to the person in front of the client; `None` when elicitation has no form for
    /// it.
    ///
    /// # Errors
    /// Never in practice: the state is text.
    pub(super) fn person(
        &self,
        (id, job, question): (String, JobId, PersonQuestion),
        principal: &PrincipalId,
        tool: &str,
    ) -> Result<Option<InputRequiredResult>, ErrorData> {
        let Some(params) = person::params(&question) else { return Ok(None) };
        let request = InputRequest::Elicitation(ElicitRequest::new(params));
        let questions = InputRequests::from([(APPROVAL.to_owned(), request)]);
        let sealed = self.sealed(&Asked::Person { job, question: id }, principal, tool)?;
        Ok(Some(InputRequiredResult::new(Some(questions), Some(sealed))))
    }

    fn sealed(
        &self,
        state: &Asked,
        principal: &PrincipalId,
        tool: &str,
    ) -> Result<String, ErrorData> {
        let bound_to = bound_to(principal, tool);
        let options = SealOptions::new().associated_data(&bound_to).ttl(self.ttl);
        self.codec
            .seal_json_with(state, &options)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// What a repeated call was asked.
    ///
    /// # Errors
    /// Invalid parameters when the state is not one of ours, another caller's or too old.
    pub(super) fn open(
        &self,
        sealed: &str,
        principal: &PrincipalId,
        tool: &str,
    ) -> Result<Asked, ErrorData> {
        self.codec.open_json_with(sealed, &bound_to(principal, tool)).map_err(|error| {
            ErrorData::invalid_params(
                format!("{error}; repeat the call without `requestState`"),
                None,
            )
        })
    }
}

/// The input requests of a question, for results and for tasks; `None` when it carries something
/// that sampling has no form for.
pub(super) fn questions(ask: &SamplingAsk) -> Option<InputRequests> {
    let params = sampling::create_message(&ask.request).ok()?;
    let request = InputRequest::CreateMessage(CreateMessageRequest::new(params));
    Some(InputRequests::from([(QUESTION.to_owned(), request)]))
}

/// The text that the client's model wrote; `None` when it declined or answered something else.
pub(super) fn answer(responses: Option<&InputResponses>) -> Option<String> {
    let response = responses?.get(QUESTION)?;
    let content = response.get("content")?;
    let blocks = match content {
        Value::Array(blocks) => blocks.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut text = String::new();
    for block in blocks {
        if block.get("type").and_then(Value::as_str) != Some("text") {
            return None;
        }
        text.push_str(block.get("text").and_then(Value::as_str)?);
    }
    (!text.is_empty()).then_some(text)
}

/// What the person answered.
pub(super) fn person_answer(responses: Option<&InputResponses>) -> PersonAnswer {
    responses
        .and_then(|responses| responses.get(APPROVAL))
        .map_or(PersonAnswer::Unreachable, person::read)
}

fn bound_to(principal: &PrincipalId, tool: &str) -> Vec<u8> {
    // Names of principals may hold anything but the separator that JSON escapes.
    serde_json::json!([principal, tool]).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn responses(value: Value) -> InputResponses {
        InputResponses::from([(QUESTION.to_owned(), value)])
    }

    #[test]
    fn only_text_is_an_answer() {
        let text = |value| answer(Some(&responses(value)));
        let block = json!({"type": "text", "text": "<html>"});
        assert_eq!(text(json!({"role": "assistant", "content": block})).as_deref(), Some("<html>"));
        let blocks = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(text(json!({"content": blocks})).as_deref(), Some("ab"));
        assert_eq!(text(json!({"content": {"type": "image", "data": ""}})), None);
        assert_eq!(text(json!({"content": []})), None);
        assert_eq!(text(json!({"action": "decline"})), None);
        assert_eq!(text(json!(7)), None);
        assert_eq!(answer(None), None);
        assert_eq!(answer(Some(&InputResponses::new())), None);
    }

    #[test]
    fn states_are_bound_to_caller_and_tool_and_expire() {
        let codec = RequestStateCodec::try_new([7_u8; 32]).unwrap();
        let retries = Retries { codec, ttl: Duration::from_mins(1) };
        let ask = SamplingAsk {
            handle: CompletionHandle("cmp_x".into()),
            round: 3,
            request: crate::llm::Request::new(
                "s",
                "u",
                crate::llm::Expects::kind(crate::llm::ExpectedKind::Html),
            ),
        };
        let ada = PrincipalId::from("ada");
        let sealed = retries.question(&ask, &ada, "t").unwrap().unwrap().request_state.unwrap();
        let Asked::Model { handle, round } = retries.open(&sealed, &ada, "t").unwrap() else {
            panic!("it was asked of the model");
        };
        assert_eq!((handle.0.as_str(), round), ("cmp_x", 3));
        let question = PersonQuestion {
            message: "May I?".into(),
            schema: json!({"type": "object", "properties": {"ok": {"type": "boolean"}}}),
            job: None,
        };
        let asked = ("q1".to_owned(), JobId("j1".into()), question);
        let asked = retries.person(asked, &ada, "t").unwrap().unwrap();
        assert!(asked.input_requests.unwrap().contains_key("approval"));
        let sealed_person = asked.request_state.unwrap();
        let Asked::Person { job, question } = retries.open(&sealed_person, &ada, "t").unwrap()
        else {
            panic!("it was asked of the person");
        };
        assert_eq!((job.as_str(), question.as_str()), ("j1", "q1"));
        assert!(retries.open(&sealed_person, &"bob".into(), "t").is_err());
        assert!(retries.open(&sealed, &"bob".into(), "t").is_err());
        assert!(retries.open(&sealed, &ada, "u").is_err());
        let (head, tail) = sealed.split_at(sealed.len() / 2);
        let other = if tail.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{head}{other}{}", &tail[1..]);
        assert!(retries.open(&forged, &ada, "t").is_err());
        assert!(retries.open("", &ada, "t").is_err());
        let expired = Retries { ttl: Duration::ZERO, ..retries };
        let sealed = expired.question(&ask, &ada, "t").unwrap().unwrap().request_state.unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let error = expired.open(&sealed, &ada, "t").unwrap_err();
        assert!(error.message.contains("expired"), "{}", error.message);
    }
}
