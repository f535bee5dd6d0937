//! The product's client library, pointed at the scripted server.

use fake_llm::{FakeLlm, Vendor};
use futures::StreamExt as _;
use genai::adapter::AdapterKind;
use genai::chat::{ChatOptions, ChatRequest, ChatStreamEvent, StreamEnd};
use genai::resolver::{AuthData, Endpoint, ProviderConfig};
use genai::{Client, ModelIden};

const KEY: &str = "test-key-of-no-value";

pub(crate) fn adapter(vendor: Vendor) -> AdapterKind {
    match vendor {
        Vendor::Gemini => AdapterKind::Gemini,
        Vendor::GeminiInteractions => AdapterKind::GeminiIx,
        Vendor::Anthropic => AdapterKind::Anthropic,
        Vendor::OpenaiChat => AdapterKind::OpenAI,
        Vendor::OpenaiResponses => AdapterKind::OpenAIResp,
        Vendor::Ollama => AdapterKind::Ollama,
    }
}

pub(crate) fn client(server: &FakeLlm, vendor: Vendor) -> Client {
    // Built with the whole workspace, the HTTP client has no TLS of its own. The first to set it
    // wins, and all set the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint::from_owned(server.endpoint(vendor));
    let provider = ProviderConfig::from_endpoint(endpoint).with_auth(AuthData::from_single(KEY));
    Client::builder().append_provider_config(adapter(vendor), provider).build().unwrap()
}

fn options() -> ChatOptions {
    ChatOptions::default()
        .with_capture_usage(true)
        .with_capture_content(true)
        .with_capture_tool_calls(true)
        .with_capture_reasoning_content(true)
}

/// Streams one answer; `None` when the stream ends without an end event.
pub(crate) async fn ask(
    server: &FakeLlm,
    vendor: Vendor,
    request: ChatRequest,
) -> genai::Result<Option<StreamEnd>> {
    let client = client(server, vendor);
    let model = ModelIden::new(adapter(vendor), "model-under-test");
    let mut stream = client.exec_chat_stream(model, request, Some(&options())).await?.stream;
    let mut end = None;
    while let Some(event) = stream.next().await {
        if let ChatStreamEvent::End(stream_end) = event? {
            end = Some(stream_end);
        }
    }
    Ok(end)
}
