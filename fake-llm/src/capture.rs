//! What a client sent, read with each vendor's request form in mind.

use serde_json::Value;

use crate::http::HttpRequest;
use crate::vendor::{Route, Vendor};

/// A request as it arrived, and what became of it.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    /// Position among all requests of this server, from 1.
    pub order: usize,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without the question mark; empty when there is none.
    pub query: String,
    /// Header names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; `Null` when it is none.
    pub body: Value,
    /// The body as text.
    pub body_text: String,
    /// The wire; `None` for listings, probes and unknown paths.
    pub vendor: Option<Vendor>,
    /// The model id, from the path or the body.
    pub model: Option<String>,
    /// Whether the client asked for a stream.
    pub streaming: bool,
    /// The system prompt.
    pub system: Option<String>,
    /// The last text the user wrote.
    pub user_text: Option<String>,
    /// The tool results at the end of the request, joined by newlines.
    pub tool_result: Option<String>,
    /// Names of the declared tools.
    pub tool_names: Vec<String>,
    /// Index of the rule that answered.
    pub rule: Option<usize>,
    /// What became of the answer.
    pub outcome: Outcome,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still being sent.
    InFlight,
    /// Sent as the script wanted, faults included.
    Sent,
    /// The client closed the connection before that.
    ClosedEarly {
        /// Milliseconds from the complete request to the close.
        after_ms: u64,
    },
}

impl CapturedRequest {
    pub(crate) fn read(request: HttpRequest, order: usize) -> (Self, Route) {
        let route = Route::of(&request.method, &request.path);
        let vendor = match route {
            Route::Generate(vendor) => Some(vendor),
            Route::Models
            | Route::GeminiModels
            | Route::OllamaTags
            | Route::OllamaVersion
            | Route::LlamaHealth
            | Route::Unknown => None,
        };
        let body_text = String::from_utf8_lossy(&request.body).into_owned();
        let body: Value = serde_json::from_str(&body_text).unwrap_or(Value::Null);
        let mut captured = Self {
            order,
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body_text,
            vendor,
            model: body["model"].as_str().map(str::to_owned),
            streaming: body["stream"].as_bool().unwrap_or(false),
            system: None,
            user_text: None,
            tool_result: None,
            tool_names: Vec::new(),
            rule: None,
            outcome: Outcome::InFlight,
            body,
        };
        if let Some(vendor) = vendor {
            captured.read_conversation(vendor);
        }
        (captured, route)
    }

    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value.as_str())
    }

    fn read_conversation(&mut self, vendor: Vendor) {
        match vendor {
            Vendor::Gemini => self.read_gemini(),
            Vendor::GeminiInteractions => self.read_interactions(),
            Vendor::Anthropic => self.read_anthropic(),
            Vendor::OpenaiChat => self.read_chat_messages(),
            Vendor::OpenaiResponses => self.read_responses(),
            Vendor::Ollama => {
                // Ollama streams unless told not to.
                self.streaming = self.body["stream"].as_bool().unwrap_or(true);
                self.read_chat_messages();
            }
        }
    }

    fn read_gemini(&mut self) {
        let (before, action) = self.path.rsplit_once(':').unwrap_or((&self.path, ""));
        self.streaming = action == "streamGenerateContent";
        self.model = before.rsplit_once("models/").map(|(_, model)| model.to_owned());
        self.system = joined_texts(&self.body["systemInstruction"]["parts"])
            .or_else(|| joined_texts(&self.body["system_instruction"]["parts"]));
        let mut turns = TurnReader::default();
        for content in items(&self.body["contents"]) {
            let is_user = content["role"].as_str() != Some("model");
            for part in items(&content["parts"]) {
                if let Some(response) = part.get("functionResponse") {
                    turns.tool_result(compact_text(&response["response"]));
                } else if let Some(text) = part["text"].as_str() {
                    turns.text(is_user, text);
                }
            }
            turns.end_message(is_user);
        }
        turns.store(self);
        for tool in items(&self.body["tools"]) {
            let names = items(&tool["functionDeclarations"])
                .iter()
                .filter_map(|function| function["name"].as_str())
                .map(str::to_owned);
            self.tool_names.extend(names);
        }
    }

    fn read_interactions(&mut self) {
        self.system = self.body["system_instruction"].as_str().map(str::to_owned);
        let mut turns = TurnReader::default();
        if let Some(text) = self.body["input"].as_str() {
            turns.text(true, text);
            turns.end_message(true);
        }
        for step in items(&self.body["input"]) {
            match step["type"].as_str() {
                Some("user_input") => {
                    turns.texts(true, &step["content"]);
                    turns.end_message(true);
                }
                Some("function_result") => turns.tool_result(result_text(&step["result"])),
                // A bare content block is allowed as input.
                Some("text") => {
                    turns.text(true, step["text"].as_str().unwrap_or_default());
                    turns.end_message(true);
                }
                _ => turns.end_message(false),
            }
        }
        turns.store(self);
        self.read_tool_names(|tool| tool["name"].as_str());
    }

    fn read_anthropic(&mut self) {
        self.system = self.body["system"]
            .as_str()
            .map(str::to_owned)
            .or_else(|| joined_texts(&self.body["system"]));
        let mut turns = TurnReader::default();
        for message in items(&self.body["messages"]) {
            let is_user = message["role"].as_str() == Some("user");
            if let Some(text) = message["content"].as_str() {
                turns.text(is_user, text);
            }
            for block in items(&message["content"]) {
                match block["type"].as_str() {
                    Some("text") => {
                        turns.text(is_user, block["text"].as_str().unwrap_or_default());
                    }
                    Some("tool_result") => turns.tool_result(result_text(&block["content"])),
                    _ => {}
                }
            }
            turns.end_message(is_user);
        }
        turns.store(self);
        self.read_tool_names(|tool| tool["name"].as_str());
    }

    fn read_chat_messages(&mut self) {
        let mut systems = Vec::new();
        let mut turns = TurnReader::default();
        for message in items(&self.body["messages"]) {
            let content = &message["content"];
            match message["role"].as_str() {
                Some("system" | "developer") => systems.push(result_text(content)),
                Some("tool") => turns.tool_result(result_text(content)),
                role => {
                    let is_user = role == Some("user");
                    if let Some(text) = content.as_str() {
                        turns.text(is_user, text);
                    }
                    turns.texts(is_user, content);
                    turns.end_message(is_user);
                }
            }
        }
        self.system = (!systems.is_empty()).then(|| systems.join("\n"));
        turns.store(self);
        self.read_tool_names(|tool| tool["function"]["name"].as_str());
    }

    fn read_responses(&mut self) {
        let mut systems: Vec<String> = Vec::new();
        systems.extend(self.body["instructions"].as_str().map(str::to_owned));
        let mut turns = TurnReader::default();
        if let Some(text) = self.body["input"].as_str() {
            turns.text(true, text);
            turns.end_message(true);
        }
        for item in items(&self.body["input"]) {
            if item["type"].as_str() == Some("function_call_output") {
                turns.tool_result(result_text(&item["output"]));
                continue;
            }
            match item["role"].as_str() {
                Some("system" | "developer") => systems.push(result_text(&item["content"])),
                role => {
                    let is_user = role == Some("user");
                    if let Some(text) = item["content"].as_str() {
                        turns.text(is_user, text);
                    }
                    turns.texts(is_user, &item["content"]);
                    turns.end_message(is_user);
                }
            }
        }
        self.system = (!systems.is_empty()).then(|| systems.join("\n"));
        turns.store(self);
        self.read_tool_names(|tool| tool["name"].as_str());
    }

    fn read_tool_names(&mut self, name_of: impl Fn(&Value) -> Option<&str>) {
        self.tool_names = items(&self.body["tools"])
            .iter()
            .filter_map(|tool| name_of(tool).map(str::to_owned))
            .collect();
    }
}

/// Keeps the last user text and the tool results that follow the last turn of the model.
#[derive(Default)]
struct TurnReader {
    current: Vec<String>,
    user_text: Option<String>,
    tool_results: Vec<String>,
}

impl TurnReader {
    fn text(&mut self, is_user: bool, text: &str) {
        if is_user {
            self.current.push(text.to_owned());
        }
    }

    fn texts(&mut self, is_user: bool, blocks: &Value) {
        for block in items(blocks) {
            if let Some(text) = block["text"].as_str() {
                self.text(is_user, text);
            }
        }
    }

    fn tool_result(&mut self, text: String) {
        self.tool_results.push(text);
    }

    fn end_message(&mut self, is_user: bool) {
        if !is_user {
            self.tool_results.clear();
        }
        if !self.current.is_empty() {
            self.user_text = Some(self.current.join("\n"));
            self.current.clear();
        }
    }

    fn store(self, captured: &mut CapturedRequest) {
        captured.user_text = self.user_text;
        captured.tool_result =
            (!self.tool_results.is_empty()).then(|| self.tool_results.join("\n"));
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn joined_texts(blocks: &Value) -> Option<String> {
    let texts: Vec<&str> =
        items(blocks).iter().filter_map(|block| block["text"].as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// A tool result is a string on some wires and a list of content blocks on others.
fn result_text(value: &Value) -> String {
    joined_texts(value).unwrap_or_else(|| compact_text(value))
}

fn compact_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
