//! From an encoded answer and its faults to the exact bytes, pauses and end of a response.

use std::time::Duration;

use crate::capture::CapturedRequest;
use crate::cut::{change_line_ends, comment_for, cut_point, needs_events};
use crate::encode::{
    BodyKind, Encoded, Frame, NotExpressible, Turn, encode, error_body, error_frame, late_text,
    with_request_id,
};
use crate::fault::Fault;
use crate::reply::{Part, Reply};
use crate::script::Answer;
use crate::vendor::Vendor;

/// A response ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Silence before the status line.
    pub(crate) before_head: Option<Pause>,
    /// `None` resets the connection instead of answering.
    pub(crate) head: Option<Head>,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// Body bytes up to the vendor's first terminal event. Clients stop reading there, so leaving
    /// after that is not early.
    pub(crate) enough_bytes: usize,
}

/// Status and headers, framing aside.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length(usize),
    CloseDelimited,
}

/// One write, or a silence between writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Pause(Pause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    For(Duration),
    UntilClientLeaves,
}

impl Pause {
    fn of(millis: Option<u64>) -> Self {
        millis.map_or(Self::UntilClientLeaves, |millis| Self::For(Duration::from_millis(millis)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As HTTP wants it.
    Complete,
    /// FIN without the last chunk, or before the promised length.
    Torn,
    /// RST.
    Reset,
}

impl Plan {
    /// Plans the answer to a model request.
    pub(crate) fn for_model(
        vendor: Vendor,
        request: &CapturedRequest,
        answer: &Answer,
    ) -> Result<Self, NotExpressible> {
        let reply = with_huge_text(&answer.reply, &answer.faults);
        let turn = Turn {
            request,
            reply: &reply,
            first_tool_index: first_tool_index(vendor, request, &answer.faults)?,
        };
        if let Some(replaced) = replaced(Some(vendor), &answer.faults) {
            let encoded = with_request_id(vendor, &turn, replaced);
            return finish(encoded, &answer.faults);
        }
        let mut encoded = encode(vendor, &turn)?;
        for fault in &answer.faults {
            change_events(vendor, &turn, fault, &mut encoded)?;
        }
        finish(encoded, &answer.faults)
    }

    /// Plans the answer to a listing or a probe.
    pub(crate) fn for_listing(encoded: Encoded, faults: &[Fault]) -> Result<Self, NotExpressible> {
        let encoded = replaced(None, faults).unwrap_or(encoded);
        finish(encoded, faults)
    }

    /// Plans the answer to a path no vendor has, which only a replacing fault can give.
    pub(crate) fn for_unknown(faults: &[Fault]) -> Result<Self, NotExpressible> {
        let encoded = replaced(None, faults).ok_or_else(|| {
            NotExpressible("this path has no answer to spoil; use a status or a page".into())
        })?;
        finish(encoded, faults)
    }

    /// The answer when the script has none.
    pub(crate) fn for_problem(vendor: Option<Vendor>, status: u16, message: &str) -> Self {
        let body = error_body(vendor, status, None, Some(message), None);
        let mut encoded = Encoded::json("application/json; charset=utf-8", &body);
        encoded.status = status;
        build(encoded, &[])
    }
}

/// Faults that put another answer in the place of the model's.
fn replaced(vendor: Option<Vendor>, faults: &[Fault]) -> Option<Encoded> {
    const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head>\
        <body><h1>Welcome to the guest network</h1></body></html>";
    faults.iter().find_map(|fault| match fault {
        Fault::Status { status, retry_after, retry_after_ms, message, code, body } => {
            let value = error_body(
                vendor,
                *status,
                code.as_deref(),
                message.as_deref(),
                retry_after.as_deref(),
            );
            let mut encoded = Encoded::json("application/json; charset=utf-8", &value);
            encoded.status = *status;
            if let Some(body) = body {
                replace_body(&mut encoded, body);
            }
            if let Some(value) = retry_after {
                encoded.headers.push(("retry-after", value.clone()));
            }
            if let Some(millis) = retry_after_ms {
                encoded.headers.push(("retry-after-ms", millis.to_string()));
            }
            Some(encoded)
        }
        Fault::HtmlPage => {
            let mut encoded = Encoded::json("text/html; charset=utf-8", &serde_json::Value::Null);
            replace_body(&mut encoded, LOGIN_PAGE);
            Some(encoded)
        }
        Fault::Redirect { status, location } => {
            let mut encoded = Encoded::json("text/html; charset=utf-8", &serde_json::Value::Null);
            replace_body(&mut encoded, "");
            encoded.status = *status;
            encoded.headers.push(("location", location.clone()));
            Some(encoded)
        }
        _ => None,
    })
}

fn replace_body(encoded: &mut Encoded, body: &str) {
    encoded.frames = vec![Frame { bytes: body.as_bytes().to_vec(), is_end: true }];
}

fn with_huge_text(reply: &Reply, faults: &[Fault]) -> Reply {
    const PIECE_BYTES: usize = 16 * 1024;
    let mut reply = reply.clone();
    for fault in faults {
        match fault {
            Fault::HugeEvent { bytes } => reply.parts.push(Part::Text("x".repeat(*bytes))),
            Fault::HugeAnswer { bytes } => {
                let mut missing = *bytes;
                while missing > 0 {
                    let size = missing.min(PIECE_BYTES);
                    reply.parts.push(Part::Text("x".repeat(size)));
                    missing -= size;
                }
            }
            _ => {}
        }
    }
    reply
}

fn first_tool_index(
    vendor: Vendor,
    request: &CapturedRequest,
    faults: &[Fault],
) -> Result<u64, NotExpressible> {
    let index = faults.iter().find_map(|fault| match fault {
        Fault::ToolIndex { index } => Some(*index),
        _ => None,
    });
    match index {
        Some(_) if vendor != Vendor::OpenaiChat || !request.streaming => {
            Err(NotExpressible("`tool_index` exists only in OpenAI chat streams".into()))
        }
        index => Ok(index.unwrap_or(0)),
    }
}

/// Faults that add or remove whole events.
fn change_events(
    vendor: Vendor,
    turn: &Turn<'_>,
    fault: &Fault,
    encoded: &mut Encoded,
) -> Result<(), NotExpressible> {
    let needs_stream = |kind: BodyKind, name: &str| match kind {
        BodyKind::EventStream | BodyKind::Lines => Ok(()),
        BodyKind::Json => Err(NotExpressible(format!("`{name}` needs a streamed answer"))),
    };
    match fault {
        Fault::DuplicateEnd => {
            needs_stream(encoded.kind, "duplicate_end")?;
            let ends: Vec<Frame> =
                encoded.frames.iter().filter(|frame| frame.is_end).cloned().collect();
            encoded.frames.extend(ends);
        }
        Fault::LateText { text } => {
            needs_stream(encoded.kind, "late_text")?;
            encoded.frames.push(late_text(vendor, turn, text));
        }
        Fault::ErrorEvent { after_events, form, message } => {
            needs_stream(encoded.kind, "error_event")?;
            needs_events(encoded, *after_events, "error_event")?;
            encoded.frames.truncate(*after_events);
            let frame = error_frame(vendor, turn, *form, message.as_deref(), *after_events);
            encoded.frames.push(frame);
        }
        Fault::EmptyBody => encoded.frames.clear(),
        _ => {}
    }
    Ok(())
}

/// Applies the faults below the level of events.
fn finish(mut encoded: Encoded, faults: &[Fault]) -> Result<Plan, NotExpressible> {
    for fault in faults {
        if let Fault::LineEnds { ending } = fault {
            change_line_ends(&mut encoded, *ending)?;
        }
    }
    let comments = faults.iter().any(|fault| matches!(fault, Fault::Comments));
    if comments && encoded.kind != BodyKind::EventStream {
        return Err(NotExpressible("`comments` needs an event stream".into()));
    }
    let cut = cut_point(&encoded, faults)?;
    let first_end = encoded.frames.iter().position(|frame| frame.is_end);
    let mut plan = build(encoded, faults);
    let mut events = match cut {
        Some(cut) => {
            plan.end = cut.end;
            cut.events
        }
        None => plan.steps.iter().filter_map(written).collect(),
    };
    let stalls = stalls(faults, events.len())?;
    let comment = comments.then(|| comment_for(events.first()));
    let drip = faults.iter().find_map(|fault| match fault {
        Fault::Drip { millis } => Some(Pause::of(Some(*millis))),
        _ => None,
    });
    let mut steps = Vec::new();
    let mut total_bytes = 0;
    let mut enough_bytes = None;
    for (index, event) in events.drain(..).enumerate() {
        steps.extend(stalls_at(&stalls, index));
        steps.extend(drip.map(Step::Pause));
        steps.extend(comment.clone().map(Step::Write));
        total_bytes += event.len() + comment.as_ref().map_or(0, Vec::len);
        if Some(index) == first_end {
            enough_bytes = Some(total_bytes);
        }
        steps.push(Step::Write(event));
    }
    plan.enough_bytes = enough_bytes.unwrap_or(total_bytes);
    steps.extend(stalls_at(&stalls, usize::MAX));
    plan.steps = rechunked(steps, faults);
    if let Some(head) = &mut plan.head
        && let Framing::Length(length) = &mut head.framing
        && plan.end == End::Complete
    {
        // Comments and clean cuts change the length a well-meaning server would announce.
        *length = total_bytes;
    }
    Ok(plan)
}

fn build(encoded: Encoded, faults: &[Fault]) -> Plan {
    let mut content_type = encoded.content_type.to_owned();
    let mut before_head = None;
    let mut resets = false;
    let mut close_delimited = false;
    for fault in faults {
        match fault {
            Fault::ContentType { content_type: other } => content_type.clone_from(other),
            Fault::StallHeaders { millis } => before_head = Some(Pause::of(*millis)),
            Fault::ResetBeforeHeaders => resets = true,
            Fault::CloseDelimited => close_delimited = true,
            _ => {}
        }
    }
    let length = encoded.frames.iter().map(|frame| frame.bytes.len()).sum();
    let framing = match encoded.kind {
        _ if close_delimited => Framing::CloseDelimited,
        BodyKind::Json => Framing::Length(length),
        BodyKind::EventStream | BodyKind::Lines => Framing::Chunked,
    };
    let mut headers = vec![("content-type".to_owned(), content_type)];
    if encoded.kind == BodyKind::EventStream {
        headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
    }
    headers.extend(encoded.headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Plan {
        before_head,
        head: (!resets).then_some(Head { status: encoded.status, headers, framing }),
        steps: encoded.frames.into_iter().map(|frame| Step::Write(frame.bytes)).collect(),
        end: if resets { End::Reset } else { End::Complete },
        enough_bytes: length,
    }
}

fn written(step: &Step) -> Option<Vec<u8>> {
    match step {
        Step::Write(bytes) => Some(bytes.clone()),
        Step::Pause(_) => None,
    }
}

fn stalls(faults: &[Fault], events: usize) -> Result<Vec<(usize, Pause)>, NotExpressible> {
    let mut stalls = Vec::new();
    for fault in faults {
        if let Fault::StallBody { after_events, millis } = fault {
            if *after_events > events {
                return Err(NotExpressible(format!(
                    "`stall_body`: the answer has {events} events, not {after_events}"
                )));
            }
            let position = if *after_events == events { usize::MAX } else { *after_events };
            stalls.push((position, Pause::of(*millis)));
        }
    }
    Ok(stalls)
}

fn stalls_at(stalls: &[(usize, Pause)], position: usize) -> Vec<Step> {
    stalls
        .iter()
        .filter(|(index, _)| *index == position)
        .map(|(_, pause)| Step::Pause(*pause))
        .collect()
}

/// Splits or merges the writes between two pauses.
fn rechunked(steps: Vec<Step>, faults: &[Fault]) -> Vec<Step> {
    let size = faults.iter().find_map(|fault| match fault {
        Fault::SplitEvery { bytes } => Some((*bytes).max(1)),
        Fault::Merge => Some(usize::MAX),
        _ => None,
    });
    let Some(size) = size else { return steps };
    let mut rechunked = Vec::new();
    let mut run: Vec<u8> = Vec::new();
    for step in steps {
        match step {
            Step::Write(bytes) => run.extend(bytes),
            Step::Pause(pause) => {
                flush(&mut run, size, &mut rechunked);
                rechunked.push(Step::Pause(pause));
            }
        }
    }
    flush(&mut run, size, &mut rechunked);
    rechunked
}

fn flush(run: &mut Vec<u8>, size: usize, steps: &mut Vec<Step>) {
    steps.extend(run.chunks(size).map(|piece| Step::Write(piece.to_vec())));
    run.clear();
}
