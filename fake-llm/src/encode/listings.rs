//! Listings and probes, which clients use to find out what a server offers.

use serde_json::{Value, json};

use super::{CREATED, CREATED_TEXT, Encoded};
use crate::capture::CapturedRequest;
use crate::script::ListedModel;
use crate::vendor::Route;

/// The answer to a listing or a probe; `None` for model requests and unknown paths.
pub(crate) fn listing(
    route: Route,
    request: &CapturedRequest,
    models: &[ListedModel],
) -> Option<Encoded> {
    let body = match route {
        Route::Models if request.header("anthropic-version").is_some() => anthropic(models),
        Route::Models => openai(models),
        Route::GeminiModels => gemini(models),
        Route::OllamaTags => ollama(models),
        Route::OllamaVersion => json!({ "version": "0.24.0" }),
        Route::LlamaHealth => json!({ "status": "ok" }),
        Route::Generate(_) | Route::Unknown => return None,
    };
    Some(Encoded::json("application/json; charset=utf-8", &body))
}

fn openai(models: &[ListedModel]) -> Value {
    let data: Vec<Value> = models
        .iter()
        .map(|model| {
            let mut value = json!({
                "id": model.id,
                "object": "model",
                "created": CREATED,
                "owned_by": "system",
            });
            if let Some(date) = &model.shutdown_date {
                value["shutdown_date"] = json!(date);
            }
            value
        })
        .collect();
    json!({ "object": "list", "data": data })
}

fn anthropic(models: &[ListedModel]) -> Value {
    let data: Vec<Value> = models
        .iter()
        .map(|model| {
            json!({
                "type": "model",
                "id": model.id,
                "display_name": model.id,
                "created_at": CREATED_TEXT,
            })
        })
        .collect();
    json!({
        "data": data,
        "has_more": false,
        "first_id": models.first().map(|model| &model.id),
        "last_id": models.last().map(|model| &model.id),
    })
}

fn gemini(models: &[ListedModel]) -> Value {
    let models: Vec<Value> = models
        .iter()
        .map(|model| {
            json!({
                "name": format!("models/{}", model.id),
                "version": "001",
                "displayName": model.id,
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            })
        })
        .collect();
    json!({ "models": models })
}

fn ollama(models: &[ListedModel]) -> Value {
    let models: Vec<Value> = models
        .iter()
        .map(|model| {
            json!({
                "name": model.id,
                "model": model.id,
                "modified_at": CREATED_TEXT,
                "size": 2_019_393_189,
                "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
                "details": {
                    "parent_model": "",
                    "format": "gguf",
                    "family": "llama",
                    "families": ["llama"],
                    "parameter_size": "3.2B",
                    "quantization_level": "Q4_K_M",
                },
            })
        })
        .collect();
    json!({ "models": models })
}
