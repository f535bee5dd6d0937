//! Traces of runs: every step of a workflow or a turn of a chat. The run's name, which nobody can
//! guess, is the capability. They are plain text: what models and tools wrote is never markup here.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::app::{Parameters, parameter};
use super::{ContentError, ContentState};
use crate::agent::runs::RunId;
use crate::agent::trace;

type Answer = Result<Response, ContentError>;

/// `/t/{run}` and `/t/{run}.md` as Markdown, `/t/{run}.json` as JSON.
pub(super) async fn trace(State(state): State<ContentState>, file: Parameters<String>) -> Answer {
    let file = parameter(file)?;
    let (name, as_json) = match file.strip_suffix(".json") {
        Some(name) => (name, true),
        None => (file.strip_suffix(".md").unwrap_or(&file), false),
    };
    let run = RunId::parse(name).ok_or(ContentError::NotFound)?;
    let runs = state.inner.runs.clone();
    let events = tokio::task::spawn_blocking(move || runs.events(&run, 0))
        .await
        .map_err(|_| ContentError::Unavailable)?
        .map_err(|_| ContentError::NotFound)?;
    let (media_type, body) = if as_json {
        ("application/json", format!("{:#}", trace::json(&events)))
    } else {
        ("text/plain; charset=utf-8", trace::markdown(&events))
    };
    Ok(([(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")], body).into_response())
}
