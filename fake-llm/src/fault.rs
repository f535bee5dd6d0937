//! Faults: what goes wrong with the bytes of an answer.

use serde::{Deserialize, Serialize};

/// Something that goes wrong. Several can be combined in one rule.
///
/// An "event" is one complete SSE event or one NDJSON line; comments do not count. An answer that
/// was not asked for as a stream has one event, its whole body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An HTTP error with the vendor's error body.
    Status {
        /// HTTP status.
        status: u16,
        /// Value of `retry-after`: seconds, or an HTTP date.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        /// Value of `retry-after-ms`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        /// Message inside the vendor's error body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Machine-readable code inside the vendor's error body, for instance
        /// `context_length_exceeded`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Replaces the vendor's error body altogether.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// HTTP 200 with a login page, as a captive portal answers.
    HtmlPage,
    /// The right body under another content type.
    ContentType {
        /// Value of `content-type`.
        content_type: String,
    },
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Value of `location`.
        location: String,
    },
    /// HTTP 200, right content type, not one byte of body.
    EmptyBody,
    /// Silence before the status line.
    StallHeaders {
        /// How long; without it, until the client leaves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        millis: Option<u64>,
    },
    /// Silence inside the body.
    StallBody {
        /// Events sent before.
        after_events: usize,
        /// How long; without it, until the client leaves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        millis: Option<u64>,
    },
    /// The answer ends between two events.
    CutAfterEvents {
        /// Events sent before.
        events: usize,
        /// How the end looks to HTTP.
        #[serde(default)]
        http_end: HttpEnd,
    },
    /// The answer ends just before its terminal events: everything was said but the end. Gemini has
    /// no terminal event of its own, so there the chunk with the finish reason is lost.
    CutBeforeEnd {
        /// How the end looks to HTTP.
        #[serde(default)]
        http_end: HttpEnd,
    },
    /// The answer ends in the middle of an event's JSON.
    CutInJson {
        /// Complete events sent before.
        after_events: usize,
        /// How the end looks to HTTP.
        #[serde(default)]
        http_end: HttpEnd,
    },
    /// The answer ends after the first byte of its first character that has several.
    CutInUtf8 {
        /// How the end looks to HTTP.
        #[serde(default)]
        http_end: HttpEnd,
    },
    /// The connection is reset between two events.
    ResetAfterEvents {
        /// Events sent before.
        events: usize,
    },
    /// The connection is reset before the status line.
    ResetBeforeHeaders,
    /// The body has neither length nor chunks: it lasts until the connection ends.
    CloseDelimited,
    /// Other line ends than the vendor's.
    LineEnds {
        /// The line end.
        ending: LineEnding,
    },
    /// A comment line before each SSE event, as proxies send to keep a connection alive.
    Comments,
    /// The body in transfer chunks of this many bytes, without regard to events or characters.
    SplitEvery {
        /// Bytes per chunk.
        bytes: usize,
    },
    /// All events in one transfer chunk.
    Merge,
    /// A pause before each event.
    Drip {
        /// Length of the pause.
        millis: u64,
    },
    /// One more text event of this size.
    HugeEvent {
        /// Bytes of text.
        bytes: usize,
    },
    /// More text events until their text has this size.
    HugeAnswer {
        /// Bytes of text in all.
        bytes: usize,
    },
    /// The terminal events are sent twice.
    DuplicateEnd,
    /// Text that comes after the end.
    LateText {
        /// The text.
        text: String,
    },
    /// Another index in the tool calls of an OpenAI chat stream.
    ToolIndex {
        /// Index of the first call; later ones count on.
        index: u64,
    },
    /// An error in the middle of the stream, in the vendor's form; nothing follows.
    ErrorEvent {
        /// Events sent before.
        after_events: usize,
        /// Which of OpenAI Responses' two forms; the other wires have one.
        #[serde(default)]
        form: ErrorForm,
        /// Message of the error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// How a shortened answer ends for HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpEnd {
    /// In order: a proxy that lost its own upstream ends its chunked body properly, so the client's
    /// HTTP layer sees nothing wrong.
    #[default]
    Complete,
    /// The connection closes (FIN) while HTTP expects more.
    Torn,
}

/// A line end of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnding {
    /// `\n`, as most vendors send.
    Lf,
    /// `\r\n`, as Gemini sends.
    CrLf,
    /// `\r`, which the SSE standard allows.
    Cr,
}

/// The two ways OpenAI Responses reports an error inside a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorForm {
    /// `response.failed` with the response object.
    #[default]
    ResponseFailed,
    /// A bare `error` event.
    Error,
}

impl Fault {
    /// An HTTP error without `retry-after`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
            retry_after_ms: None,
            message: None,
            code: None,
            body: None,
        }
    }

    /// An HTTP error with `retry-after`.
    #[must_use]
    pub fn status_retry_after(status: u16, retry_after: impl Into<String>) -> Self {
        Self::Status {
            status,
            retry_after: Some(retry_after.into()),
            retry_after_ms: None,
            message: None,
            code: None,
            body: None,
        }
    }

    /// A clean end after this many events.
    #[must_use]
    pub fn cut_after(events: usize) -> Self {
        Self::CutAfterEvents { events, http_end: HttpEnd::Complete }
    }

    /// An error event after this many events.
    #[must_use]
    pub fn error_event(after_events: usize) -> Self {
        Self::ErrorEvent { after_events, form: ErrorForm::ResponseFailed, message: None }
    }
}
