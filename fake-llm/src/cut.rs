//! Where a spoiled body ends, and what its bytes look like.

use crate::encode::{BodyKind, Encoded, NotExpressible};
use crate::fault::{Fault, HttpEnd, LineEnding};
use crate::plan::End;

/// What is left of the events, and how HTTP ends.
pub(crate) struct Cut {
    pub(crate) events: Vec<Vec<u8>>,
    pub(crate) end: End,
}

/// The first cut or reset among the faults.
pub(crate) fn cut_point(
    encoded: &Encoded,
    faults: &[Fault],
) -> Result<Option<Cut>, NotExpressible> {
    let http = |end: HttpEnd| match end {
        HttpEnd::Complete => End::Complete,
        HttpEnd::Torn => End::Torn,
    };
    let whole = |count: usize| {
        encoded.frames.iter().take(count).map(|frame| frame.bytes.clone()).collect::<Vec<_>>()
    };
    for fault in faults {
        match fault {
            Fault::CutAfterEvents { events, http_end } => {
                needs_events(encoded, *events, "cut_after_events")?;
                return Ok(Some(Cut { events: whole(*events), end: http(*http_end) }));
            }
            Fault::CutBeforeEnd { http_end } => {
                let end = encoded.frames.iter().position(|frame| frame.is_end);
                return Ok(Some(Cut {
                    events: whole(end.unwrap_or(encoded.frames.len())),
                    end: http(*http_end),
                }));
            }
            Fault::ResetAfterEvents { events } => {
                needs_events(encoded, *events, "reset_after_events")?;
                return Ok(Some(Cut { events: whole(*events), end: End::Reset }));
            }
            Fault::CutInJson { after_events, http_end } => {
                needs_events(encoded, after_events + 1, "cut_in_json")?;
                let mut events = whole(*after_events);
                let next = encoded.frames.get(*after_events);
                events.extend(next.map(|frame| half_of_json(&frame.bytes)));
                return Ok(Some(Cut { events, end: http(*http_end) }));
            }
            Fault::CutInUtf8 { http_end } => {
                return cut_in_character(encoded, http(*http_end)).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The first half of the event's JSON together with what stands before it.
fn half_of_json(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let mut end = start + (bytes.len() - start) / 2;
    // Inside a character it would be another fault.
    while end > start && bytes.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    bytes.iter().take(end).copied().collect()
}

fn cut_in_character(encoded: &Encoded, end: End) -> Result<Cut, NotExpressible> {
    let mut events = Vec::new();
    for frame in &encoded.frames {
        // Lead bytes of characters that have several bytes are 0xC0 and above.
        if let Some(position) = frame.bytes.iter().position(|byte| *byte >= 0xC0) {
            events.push(frame.bytes.iter().take(position + 1).copied().collect());
            return Ok(Cut { events, end });
        }
        events.push(frame.bytes.clone());
    }
    Err(NotExpressible("`cut_in_utf8`: the answer has no character of several bytes".into()))
}

/// Changes the framing's line ends; JSON text has no raw ones of its own.
pub(crate) fn change_line_ends(
    encoded: &mut Encoded,
    ending: LineEnding,
) -> Result<(), NotExpressible> {
    match (encoded.kind, ending) {
        (BodyKind::EventStream, _) | (BodyKind::Lines, LineEnding::Lf | LineEnding::CrLf) => {}
        (BodyKind::Lines, LineEnding::Cr) => {
            return Err(NotExpressible(
                "`line_ends`: a lone CR does not end an NDJSON line".into(),
            ));
        }
        (BodyKind::Json, _) => {
            return Err(NotExpressible("`line_ends` needs a streamed answer".into()));
        }
    }
    for frame in &mut encoded.frames {
        frame.bytes = with_line_ends(&frame.bytes, ending);
    }
    Ok(())
}

fn with_line_ends(bytes: &[u8], ending: LineEnding) -> Vec<u8> {
    let ending: &[u8] = match ending {
        LineEnding::Lf => b"\n",
        LineEnding::CrLf => b"\r\n",
        LineEnding::Cr => b"\r",
    };
    let mut changed = Vec::with_capacity(bytes.len() + 8);
    for byte in bytes {
        match byte {
            b'\r' => {}
            b'\n' => changed.extend_from_slice(ending),
            other => changed.push(*other),
        }
    }
    changed
}

/// A comment with the line ends of the stream it goes into.
pub(crate) fn comment_for(event: Option<&Vec<u8>>) -> Vec<u8> {
    let has = |end: &[u8]| event.is_some_and(|event| event.ends_with(end));
    if has(b"\r\n") {
        b": keep-alive\r\n\r\n".to_vec()
    } else if has(b"\r") {
        b": keep-alive\r\r".to_vec()
    } else {
        b": keep-alive\n\n".to_vec()
    }
}

/// The answer must be long enough for what the fault asks.
pub(crate) fn needs_events(
    encoded: &Encoded,
    wanted: usize,
    name: &str,
) -> Result<(), NotExpressible> {
    let count = encoded.frames.len();
    if wanted <= count {
        return Ok(());
    }
    Err(NotExpressible(format!("`{name}`: the answer has {count} events, not {wanted}")))
}
