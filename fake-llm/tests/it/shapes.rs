//! Every event of every encoder has the keys seen in recordings of the real services.
//!
//! `fixtures/shapes.json` lists, per kind of event, the key paths that all recordings have and
//! those that some have. What no recording shows but the vendors document is named here.

use std::collections::BTreeSet;

use fake_llm::{FakeLlm, Reply, Script, Vendor};
use serde_json::{Map, Value, json};

use crate::raw_client;

/// Documented by the vendor, absent from the recordings.
const DOCUMENTED: &[(Vendor, &str, &str)] = &[
    (Vendor::Gemini, "last chunk", "usageMetadata.cachedContentTokenCount"),
    (Vendor::Gemini, "whole", "usageMetadata.cachedContentTokenCount"),
    (Vendor::OpenaiChat, "chunk", "usage"),
    (Vendor::Anthropic, "whole", "content[].text"),
    (Vendor::Anthropic, "whole", "content[].caller"),
    (Vendor::Anthropic, "whole", "content[].caller.type"),
    (Vendor::Anthropic, "whole", "stop_details"),
    // Imitators of OpenAI send reasoning under this name.
    (Vendor::OpenaiChat, "chunk", "choices[].delta.reasoning_content"),
    // Recorded in `response.output_item.done`, which carries the same item.
    (Vendor::OpenaiResponses, "response.completed", "response.output[].summary[].text"),
    (Vendor::OpenaiResponses, "response.completed", "response.output[].summary[].type"),
    (Vendor::GeminiInteractions, "whole", "steps[].summary"),
    (Vendor::GeminiInteractions, "whole", "steps[].summary[].text"),
    (Vendor::GeminiInteractions, "whole", "steps[].summary[].type"),
    (Vendor::Ollama, "line", "message.thinking"),
    (Vendor::Ollama, "line", "message.tool_calls"),
    (Vendor::Ollama, "line", "message.tool_calls[].function"),
    (Vendor::Ollama, "line", "message.tool_calls[].function.arguments"),
    (Vendor::Ollama, "line", "message.tool_calls[].function.name"),
    (Vendor::Ollama, "line", "message.tool_calls[].id"),
    (Vendor::Ollama, "whole", "message.thinking"),
    (Vendor::Ollama, "whole", "message.tool_calls"),
    (Vendor::Ollama, "whole", "message.tool_calls[].function"),
    (Vendor::Ollama, "whole", "message.tool_calls[].function.arguments"),
    (Vendor::Ollama, "whole", "message.tool_calls[].function.name"),
    (Vendor::Ollama, "whole", "message.tool_calls[].id"),
];

/// Recorded, but no part of what a client can rely on: padding against traffic analysis, Azure's
/// filter reports, tools of the vendor's own, and settings this server does not echo.
const NOT_IMITATED: &[&str] =
    &["obfuscation", "item.phase", "response.tool_usage", "response.moderation"];

/// Events the recordings lack altogether: the stream of visible text and thoughts is documented.
const UNRECORDED: &[(Vendor, &str)] = &[
    (Vendor::GeminiInteractions, "step.start/model_output"),
    (Vendor::GeminiInteractions, "step.delta/text"),
    (Vendor::GeminiInteractions, "step.delta/thought_summary"),
    (Vendor::OpenaiChat, "whole"),
    (Vendor::OpenaiResponses, "whole"),
];

fn kind(vendor: Vendor, event: &Value, streaming: bool) -> String {
    if !streaming {
        return "whole".into();
    }
    let sub = |name: &str, object: &Value| {
        let sub = object["type"].as_str().unwrap();
        format!("{name}/{sub}")
    };
    let name = event["type"].as_str().or(event["event_type"].as_str()).unwrap_or_default();
    match vendor {
        Vendor::Gemini if event["candidates"][0].get("finishReason").is_some() => {
            "last chunk".into()
        }
        Vendor::OpenaiChat if event["choices"] == json!([]) => "usage".into(),
        Vendor::Gemini | Vendor::OpenaiChat => "chunk".into(),
        Vendor::Ollama if event["done"] == true => "last".into(),
        Vendor::Ollama => "line".into(),
        Vendor::Anthropic | Vendor::OpenaiResponses | Vendor::GeminiInteractions => match name {
            "content_block_start" => sub(name, &event["content_block"]),
            "content_block_delta" | "step.delta" => sub(name, &event["delta"]),
            "response.output_item.added" | "response.output_item.done" => sub(name, &event["item"]),
            "step.start" => sub(name, &event["step"]),
            other => other.into(),
        },
    }
}

/// Key paths, without what the caller or the model chose.
fn paths(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                found.insert(path.clone());
                let chosen = matches!(key.as_str(), "args" | "input" | "arguments" | "metadata")
                    || (prefix.starts_with("response")
                        && matches!(key.as_str(), "tools" | "text" | "reasoning"));
                if !chosen {
                    paths(field, &path, found);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(item, &format!("{prefix}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn listed(shape: &Map<String, Value>, name: &str) -> BTreeSet<String> {
    shape[name].as_str().unwrap().split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_event_has_the_keys_of_the_real_one() {
    let shapes: Value = serde_json::from_str(include_str!("../fixtures/shapes.json")).unwrap();
    let mut complaints = Vec::new();
    for vendor in Vendor::ALL {
        let recorded = &shapes[serde_json::to_value(vendor).unwrap().as_str().unwrap()];
        for streaming in [true, false] {
            let reply = Reply::empty()
                .and_thinking("Hm.")
                .and_text("One moment.")
                .and_tool_call("call_1", "get_weather", json!({ "city": "Cairo" }))
                .usage(fake_llm::Usage {
                    input_tokens: Some(30),
                    output_tokens: Some(20),
                    cached_tokens: Some(10),
                    reasoning_tokens: Some(5),
                });
            let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
            for event in raw_client::ask(&server, vendor, streaming).await.events() {
                let kind = kind(vendor, &event, streaming);
                let Some(shape) = recorded[&kind].as_object() else {
                    if !UNRECORDED.contains(&(vendor, kind.as_str())) {
                        complaints.push(format!("{vendor:?} {kind}: no such event recorded"));
                    }
                    continue;
                };
                let mut ours = BTreeSet::new();
                paths(&event, "", &mut ours);
                let always = listed(shape, "always");
                let mut known: BTreeSet<String> = &always | &listed(shape, "sometimes");
                if vendor == Vendor::Gemini {
                    // Chunks and whole answers are one message type of Google's.
                    for shape in recorded.as_object().unwrap().values() {
                        let shape = shape.as_object().unwrap();
                        known.extend(listed(shape, "always"));
                        known.extend(listed(shape, "sometimes"));
                    }
                }
                for path in ours.difference(&known) {
                    if !DOCUMENTED.contains(&(vendor, kind.as_str(), path.as_str())) {
                        complaints.push(format!("{vendor:?} {kind}: invented `{path}`"));
                    }
                }
                for path in always.difference(&ours) {
                    let skipped = NOT_IMITATED.iter().any(|skipped| path.starts_with(skipped));
                    if !skipped {
                        complaints.push(format!("{vendor:?} {kind}: lacks `{path}`"));
                    }
                }
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
