//! The wires this server speaks and how a request is told apart.

use serde::{Deserialize, Serialize};

/// One wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Vendor {
    /// Google `generateContent`.
    #[serde(rename = "gemini")]
    Gemini,
    /// Google Interactions.
    #[serde(rename = "gemini_ix")]
    GeminiInteractions,
    /// Anthropic Messages.
    #[serde(rename = "anthropic")]
    Anthropic,
    /// OpenAI chat completions and its many imitators.
    #[serde(rename = "openai_chat")]
    OpenaiChat,
    /// OpenAI Responses.
    #[serde(rename = "openai_responses")]
    OpenaiResponses,
    /// Ollama's own chat API.
    #[serde(rename = "ollama")]
    Ollama,
}

impl Vendor {
    /// Every wire, for tests that walk over all of them.
    pub const ALL: [Self; 6] = [
        Self::Gemini,
        Self::GeminiInteractions,
        Self::Anthropic,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::Ollama,
    ];

    /// The path prefix a client puts between [`crate::FakeLlm::base_url`] and its endpoint.
    #[must_use]
    pub fn version_path(self) -> &'static str {
        match self {
            Self::Gemini | Self::GeminiInteractions => "/v1beta/",
            Self::Anthropic | Self::OpenaiChat | Self::OpenaiResponses => "/v1/",
            Self::Ollama => "/",
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Generate(Vendor),
    /// OpenAI's, llama.cpp's and Anthropic's listing share one path; headers tell them apart.
    Models,
    GeminiModels,
    OllamaTags,
    OllamaVersion,
    LlamaHealth,
    Unknown,
}

impl Route {
    /// Decides by the end of the path, since base URLs carry all kinds of prefixes.
    pub(crate) fn of(method: &str, path: &str) -> Self {
        if method == "POST" {
            return generate_vendor(path).map_or(Self::Unknown, Self::Generate);
        }
        if method != "GET" {
            return Self::Unknown;
        }
        if path.ends_with("/api/tags") {
            Self::OllamaTags
        } else if path.ends_with("/api/version") {
            Self::OllamaVersion
        } else if path.ends_with("/health") {
            Self::LlamaHealth
        } else if path.ends_with("/v1beta/models") {
            Self::GeminiModels
        } else if path.ends_with("/models") {
            Self::Models
        } else {
            Self::Unknown
        }
    }
}

fn generate_vendor(path: &str) -> Option<Vendor> {
    if path.ends_with(":streamGenerateContent") || path.ends_with(":generateContent") {
        Some(Vendor::Gemini)
    } else if path.ends_with("/interactions") {
        Some(Vendor::GeminiInteractions)
    } else if path.ends_with("/chat/completions") {
        Some(Vendor::OpenaiChat)
    } else if path.ends_with("/messages") {
        Some(Vendor::Anthropic)
    } else if path.ends_with("/responses") {
        Some(Vendor::OpenaiResponses)
    } else if path.ends_with("/api/chat") {
        Some(Vendor::Ollama)
    } else {
        None
    }
}
