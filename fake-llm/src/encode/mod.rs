//! Encoders: from a neutral reply to the bytes of one vendor.

mod anthropic;
mod errors;
mod gemini;
mod interactions;
mod listings;
mod ollama;
mod openai_chat;
mod openai_responses;
mod outline;

use serde_json::Value;

pub(crate) use errors::{error_body, error_frame};
pub(crate) use listings::listing;
pub(crate) use outline::Turn;

use crate::vendor::Vendor;

/// Fixed so that two runs of a test send the same bytes: 2026-09-21T16:13:20Z.
const CREATED: i64 = 1_790_007_200;
const CREATED_TEXT: &str = "2026-09-21T16:13:20Z";
/// Opaque to clients, who must send it back unchanged.
const SIGNATURE: &str = "RmFrZVNpZ25hdHVyZUZvclRlc3Rz";

/// The script asks for something this wire has no form for. Answering anyway would teach clients a
/// wire that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotExpressible(pub(crate) String);

/// One complete SSE event, one NDJSON line, or a whole JSON body.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_end: bool,
}

impl Frame {
    /// An SSE event without a name.
    fn data(data: &Value) -> Self {
        Self::text(format!("data: {data}\n\n"))
    }

    /// An SSE event with a name.
    fn event(name: &str, data: &Value) -> Self {
        Self::text(format!("event: {name}\ndata: {data}\n\n"))
    }

    /// An NDJSON line.
    fn line(data: &Value) -> Self {
        Self::text(format!("{data}\n"))
    }

    fn text(text: String) -> Self {
        Self { bytes: text.into_bytes(), is_end: false }
    }

    /// Marks a terminal event, which [`crate::Fault::DuplicateEnd`] repeats.
    fn end(mut self) -> Self {
        self.is_end = true;
        self
    }
}

/// How the frames form a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Server-sent events.
    EventStream,
    /// One JSON value per line.
    Lines,
    /// One JSON value.
    Json,
}

/// An encoded answer before any fault.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) kind: BodyKind,
}

impl Encoded {
    pub(crate) fn json(content_type: &'static str, body: &Value) -> Self {
        Self {
            status: 200,
            content_type,
            headers: Vec::new(),
            frames: vec![Frame::text(body.to_string()).end()],
            kind: BodyKind::Json,
        }
    }

    fn event_stream(content_type: &'static str, frames: Vec<Frame>) -> Self {
        Self { status: 200, content_type, headers: Vec::new(), frames, kind: BodyKind::EventStream }
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Encodes the reply in the form the request asked for.
pub(crate) fn encode(vendor: Vendor, turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let encoded = match vendor {
        Vendor::Gemini => gemini::encode(turn),
        Vendor::GeminiInteractions => interactions::encode(turn),
        Vendor::Anthropic => anthropic::encode(turn),
        Vendor::OpenaiChat => openai_chat::encode(turn),
        Vendor::OpenaiResponses => openai_responses::encode(turn),
        Vendor::Ollama => ollama::encode(turn),
    }?;
    Ok(with_request_id(vendor, turn, encoded))
}

/// A text event such as the vendor would send, for text that comes after the end.
pub(crate) fn late_text(vendor: Vendor, turn: &Turn<'_>, text: &str) -> Frame {
    match vendor {
        Vendor::Gemini => gemini::text_frame(turn, text),
        Vendor::GeminiInteractions => interactions::text_frame(0, text),
        Vendor::Anthropic => anthropic::text_frame(0, text),
        Vendor::OpenaiChat => openai_chat::text_frame(turn, text),
        Vendor::OpenaiResponses => openai_responses::late_text_frame(turn, text),
        Vendor::Ollama => ollama::text_frame(turn, text),
    }
}

/// Providers' support asks for these ids, so clients keep them.
pub(crate) fn with_request_id(vendor: Vendor, turn: &Turn<'_>, encoded: Encoded) -> Encoded {
    match vendor {
        Vendor::Anthropic => encoded.with_header("request-id", turn.id("req_")),
        Vendor::OpenaiChat | Vendor::OpenaiResponses => {
            encoded.with_header("x-request-id", turn.id("req_"))
        }
        Vendor::Gemini | Vendor::GeminiInteractions | Vendor::Ollama => encoded,
    }
}
