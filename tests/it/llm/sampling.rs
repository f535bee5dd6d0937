//! The client's own model, over a real connection of the protocol.
#![expect(deprecated, reason = "sampling is what these clients offer, deprecated or not")]

use std::sync::{Arc, Mutex};

use atelier::jobs::{Ask, Run, ToolOutput};
use atelier::llm::ClientModels;
use atelier::llm::guard::Guard;
use atelier::llm::sampling::{SamplingModel, create_message, read_result};
use atelier::llm::{
    Event, ExpectedKind, Expects, LlmError, Message, Outcome, Part, Request, Role, Route, Stop,
    ToolCall, ToolDeclaration,
};
use atelier::registry::{CallContext, Origin, Tool, Toolset};
use atelier::storage::PrincipalId;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ErrorCode,
    ErrorData, Implementation, RequestId, SamplingMessage, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleClient, RoleServer, RunningService, ServiceExt};
use rmcp::{ClientHandler, ServerHandler};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{PROMPT, question};
use crate::support::workshop::WorkshopBuilder;

struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::default())
    }
}

type Answer = Result<CreateMessageResult, ErrorData>;

#[derive(Clone)]
struct Client {
    answer: Answer,
    declares_sampling: bool,
    asked: Arc<Mutex<Vec<CreateMessageRequestParams>>>,
}

impl ClientHandler for Client {
    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Answer {
        self.asked.lock().unwrap().push(params);
        self.answer.clone()
    }

    fn get_info(&self) -> ClientConfig {
        let capabilities = if self.declares_sampling {
            ClientCapabilities::builder().enable_sampling().build()
        } else {
            ClientCapabilities::default()
        };
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }
}

struct Connection {
    server: RunningService<RoleServer, Server>,
    client: RunningService<RoleClient, Client>,
}

async fn connect(answer: Answer, declares_sampling: bool) -> Connection {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = Client { answer, declares_sampling, asked: Arc::default() };
    let (server, client) = tokio::join!(Server.serve(near), client.serve(far));
    Connection { server: server.unwrap(), client: client.unwrap() }
}

impl Connection {
    async fn ask(&self, request: &Request) -> Result<Outcome, LlmError> {
        let model = SamplingModel::of(self.server.peer(), &RequestId::Number(1))
            .expect("the client has a model");
        let cancel = CancellationToken::new();
        Guard::default().complete(model.as_ref(), request, None, &cancel, &|_| {}).await
    }

    fn asked(&self) -> Vec<CreateMessageRequestParams> {
        self.client.service().asked.lock().unwrap().clone()
    }
}

fn says(text: &str) -> CreateMessageResult {
    CreateMessageResult::new(SamplingMessage::assistant_text(text), "house-model".to_owned())
}

#[tokio::test]
async fn the_clients_model_answers() {
    let connection = connect(Ok(says("<p>hi</p>")), true).await;
    let outcome = connection.ask(&question()).await.unwrap();
    assert_eq!((outcome.text.as_str(), outcome.route), ("<p>hi</p>", Route::Sampling));
    assert_eq!(outcome.model_used.as_deref(), Some("house-model"));
    assert_eq!((outcome.cost_usd, outcome.usage.output_tokens), (None, None));
    let asked = connection.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].system_prompt.as_deref(), Some("Answer briefly."));
    assert_eq!(serde_json::to_value(&asked[0].messages).unwrap()[0]["content"]["text"], PROMPT);
}

#[tokio::test]
async fn a_client_without_sampling_has_no_model() {
    let connection = connect(Ok(says("never")), false).await;
    assert!(SamplingModel::of(connection.server.peer(), &RequestId::Number(1)).is_none());
}

#[tokio::test]
async fn declining_is_told_apart_from_failing() {
    for (code, expected) in [
        (ErrorCode(-1), "sampling_denied"),
        (ErrorCode::METHOD_NOT_FOUND, "sampling_denied"),
        (ErrorCode::INTERNAL_ERROR, "model_request_rejected"),
    ] {
        let refusal = Err(ErrorData::new(code, "secret words of the client", None));
        let connection = connect(refusal, true).await;
        let error = connection.ask(&question()).await.unwrap_err();
        assert_eq!(error.code.as_str(), expected);
        assert!(!format!("{error:?}").contains("secret words"));
        assert_eq!(connection.asked().len(), 1, "nobody is asked twice");
    }
}

#[tokio::test]
async fn a_client_that_left_is_an_error() {
    let connection = connect(Ok(says("never")), true).await;
    let model = SamplingModel::of(connection.server.peer(), &RequestId::Number(1)).unwrap();
    connection.client.cancel().await.unwrap();
    let cancel = CancellationToken::new();
    let result =
        Guard::default().complete(model.as_ref(), &question(), None, &cancel, &|_| {}).await;
    assert_eq!(result.unwrap_err().code.as_str(), "model_request_rejected");
}

#[tokio::test]
async fn tools_need_a_client_whose_model_calls_tools() {
    let connection = connect(Ok(says("never")), true).await;
    let mut request = question();
    request.tools = vec![ToolDeclaration {
        name: "add".to_owned(),
        description: "Adds".to_owned(),
        schema: json!({"type": "object"}),
    }];
    let error = connection.ask(&request).await.unwrap_err();
    assert_eq!(error.code.as_str(), "sampling_denied");
    assert_eq!(connection.asked().len(), 0);
}

#[test]
fn requests_carry_pictures_calls_and_results_and_no_other_files() {
    let mut request = Request::new("Be brief.", "look", Expects::kind(ExpectedKind::Text));
    request.messages[0].parts.push(Part::File {
        media_type: "image/png".to_owned(),
        name: "a.png".to_owned(),
        base64: "AAAA".to_owned(),
    });
    let call = ToolCall { id: "c".to_owned(), name: "add".to_owned(), arguments: json!({"x": 1}) };
    let parts = vec![Part::ThoughtSignature("state".to_owned()), Part::ToolCall(call)];
    request.messages.push(Message { role: Role::Assistant, parts });
    let result = Part::ToolResult { call_id: "c".to_owned(), content: "2".to_owned() };
    request.messages.push(Message { role: Role::Tool, parts: vec![result] });
    request.tools = vec![ToolDeclaration {
        name: "add".to_owned(),
        description: "Adds".to_owned(),
        schema: json!({"type": "object"}),
    }];
    let params = create_message(&request).unwrap();
    assert_eq!(params.validate(), Ok(()));
    insta::assert_json_snapshot!("sampling_request", params);

    request.messages[0].parts.push(Part::File {
        media_type: "application/pdf".to_owned(),
        name: "a.pdf".to_owned(),
        base64: "AAAA".to_owned(),
    });
    let error = create_message(&request).unwrap_err();
    assert_eq!(error.code.as_str(), "model_request_rejected");
    assert!(error.message.contains("a.pdf"), "{error}");
}

#[test]
fn results_are_read_as_events() {
    let text = |stop: Option<&str>| {
        let mut result = says("hi");
        result.stop_reason = stop.map(str::to_owned);
        read_result(result).unwrap()
    };
    for (reason, stop) in [
        (None, Stop::Complete),
        (Some("endTurn"), Stop::Complete),
        (Some("maxTokens"), Stop::MaxTokens),
    ] {
        let expected = [
            Event::Model("house-model".to_owned()),
            Event::Text("hi".to_owned()),
            Event::End(stop),
        ];
        assert_eq!(text(reason), expected);
    }
    let picture: CreateMessageResult = serde_json::from_value(json!({
        "model": "m",
        "role": "assistant",
        "content": {"type": "image", "data": "AAAA", "mimeType": "image/png"},
    }))
    .unwrap();
    assert_eq!(read_result(picture).unwrap_err().code.as_str(), "model_request_rejected");
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoParams {}

#[derive(schemars::JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
struct Written(String);

impl From<Written> for ToolOutput {
    fn from(written: Written) -> Self {
        Self::structured(json!({"text": written.0}))
    }
}

fn writer() -> Tool {
    Tool::builder("writer", "Writer", Toolset::Agent).description("Writes").job(
        |run: Run, _params: NoParams| async move {
            let ask = Ask {
                step: "llm#1".to_owned(),
                model: None,
                request: question(),
                as_text: None,
                attempt: 1,
                max_attempts: 1,
                errors: Vec::new(),
            };
            Ok(Written(run.complete(ask).await?.text))
        },
    )
}

#[tokio::test]
async fn the_host_writes_when_the_user_declines_and_a_page_gets_the_error() {
    let refusal = Err(ErrorData::new(ErrorCode(-1), "User rejected sampling request", None));
    let connection = connect(refusal, true).await;
    let workshop = WorkshopBuilder::new(vec![writer()]).build().await;
    for (name, host_completion, key, expected) in
        [("ann", true, "status", "needs_completion"), ("page", false, "code", "sampling_denied")]
    {
        let mut context = CallContext::new(PrincipalId(name.to_owned()), Origin::Client);
        context.models = ClientModels {
            sampling: SamplingModel::of(connection.server.peer(), &RequestId::Number(1)),
            host_completion,
            ..ClientModels::default()
        };
        let outcome = workshop.registry.call("writer", json!({}), context).await;
        assert_eq!(outcome.structured[key], expected, "{:?}", outcome.structured);
    }
    assert_eq!(connection.asked().len(), 2);
}
