//! The HTTP API beside MCP: the same tools, rights and results as plain JSON.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, routing};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::auth::Caller;
use super::door::Door;
use super::openapi;
use crate::error::{ErrorKind, ToolError};
use crate::registry::{CallContext, CallOutcome, Origin};

/// Header of a call's idempotency key.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// The routes of the API.
pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new()
        .route("/api/tools", routing::get(list))
        .route("/api/tools/{name}", routing::post(call))
        .route("/api/openapi.json", routing::get(description))
        .with_state(door)
}

async fn list(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let tools: Vec<Value> = door
        .app
        .registry
        .tools(&caller.rights)
        .map(|tool| {
            json!({
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "toolset": tool.toolset.as_str(),
                "annotations": {
                    "readOnlyHint": tool.annotations.read_only,
                    "destructiveHint": tool.annotations.destructive,
                    "idempotentHint": tool.annotations.idempotent,
                    "openWorldHint": tool.annotations.open_world,
                },
                "inputSchema": tool.input_schema,
                "outputSchema": tool.output_schema,
            })
        })
        .collect();
    Json(json!({"tools": tools}))
}

async fn description(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
) -> Json<Value> {
    Json(openapi::document(door.app.registry.tools(&caller.rights)))
}

async fn call(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    arguments: Result<Json<Value>, JsonRejection>,
) -> Response {
    let arguments = match arguments {
        Ok(Json(arguments)) => arguments,
        Err(rejection) => return unreadable(&rejection),
    };
    if door.tool(&name, &caller.rights).is_none() && !door.is_foreign(&name, &caller.rights).await {
        let error = ToolError::not_found("unknown_tool", format!("there is no tool `{name}`"))
            .hint("GET /api/tools lists the tools");
        return (StatusCode::NOT_FOUND, Json(error.to_json())).into_response();
    }
    let cancel = CancellationToken::new();
    // Dropped with this handler when the client leaves, which stops the call.
    let _gone = cancel.clone().drop_guard();
    let context = CallContext {
        rights: caller.rights,
        cancel,
        idempotency_key: headers
            .get(IDEMPOTENCY_HEADER)
            .and_then(|key| key.to_str().ok())
            .map(str::to_owned),
        answer_budget: door.answer_budget(),
        ..CallContext::new(caller.principal, Origin::Api)
    };
    // The call runs on its own, so that it sees the end of the client instead of vanishing.
    let running = tokio::spawn(async move { door.call(&name, arguments, context).await });
    match running.await {
        Ok(outcome) => answer(outcome),
        Err(error) => {
            let error = ToolError::internal(&error);
            (StatusCode::INTERNAL_SERVER_ERROR, Json(error.to_json())).into_response()
        }
    }
}

fn answer(outcome: CallOutcome) -> Response {
    let status = match outcome.error_kind {
        None if outcome.running_job.is_some() => StatusCode::ACCEPTED,
        None => StatusCode::OK,
        Some(kind) => status_of(kind, &outcome.structured),
    };
    let retry_after = outcome.structured.get("retry_after_s").and_then(Value::as_f64);
    let mut response = (status, Json(outcome.structured)).into_response();
    if let Some(seconds) = retry_after.filter(|_| outcome.is_error)
        && let Ok(value) = format!("{:.0}", seconds.ceil()).parse()
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// The status of an error.
pub(super) fn status_of(kind: ErrorKind, structured: &Value) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        // Too many, or too much: only the first gets better by waiting.
        ErrorKind::Limit if structured.get("retry_after_s").is_some() => {
            StatusCode::TOO_MANY_REQUESTS
        }
        ErrorKind::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        // The registry of "client closed request": nobody may be left to read it.
        ErrorKind::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::CONFLICT),
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn unreadable(rejection: &JsonRejection) -> Response {
    let error = ToolError::invalid("invalid_arguments", rejection.body_text())
        .hint("send the arguments as a JSON object with `Content-Type: application/json`");
    (rejection.status(), Json(error.to_json())).into_response()
}
