//! `POST …/call`: a page calls one of the tools that its app names.
//!
//! What a page may do stands in a signed capability that the server puts into it: for this app,
//! this version, and for a time. The list of tools is not in it; it is read from the document for
//! every call, so an edit takes names back at once. The call is made for the app's owner, under a
//! [`Grant`] that all pages of the app share.
//!
//! The body is JSON sent as plain text, which needs no preflight: `{token, tool_name, arguments}`.
//! The answer is `{result, error}`, and beside an error its `code` and `hint`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::app::{Parameters, parameter};
use super::problem::PageProblem;
use super::store::read_json_within;
use super::{ContentError, ContentState};
use crate::config::limits::LimitsConfig;
use crate::error::{ErrorKind, ToolError};
use crate::installation_key::{InstallationKey, Purpose};
use crate::llm::ClientModels;
use crate::page_runtime::{PageTools, Root};
use crate::registry::{CallContext, CallOutcome, Caller, Grant, Origin, Terms};
use crate::server::api::status_of;
use crate::server::{Metrics, Principals};
use crate::storage::{Document, DocumentId};

/// Arguments of one call.
const ARGUMENT_BYTES: usize = 256 * 1024;
/// A result.
const RESULT_BYTES: usize = 1024 * 1024;
/// The body around the arguments; escapes in it take room too.
const BODY_BYTES: usize = 2 * ARGUMENT_BYTES;
/// How deep a page's calls may lead.
const DEPTH: u32 = 3;
/// A capability lasts for between one and two of these. Within one, all capabilities of a version
/// are the same, so that browsers need not fetch an unchanged page again.
const PERIOD_S: i64 = 12 * 3600;
/// How long the counts of an app are kept after its last call.
const IDLE: Duration = Duration::from_hours(1);
/// Apps whose counts are kept at a time.
const KEPT_GRANTS: u64 = 10_000;
/// Label of tools that an app does not name: anything else would let pages fill the metrics.
const UNNAMED: &str = "unnamed";

/// What calls of pages are made with.
pub struct CallParts {
    /// Calls tools.
    pub caller: Caller,
    /// Who may own an app whose pages call, and with which rights.
    pub principals: Principals,
    /// How much one app's pages may call.
    pub limits: LimitsConfig,
    /// Counts them.
    pub metrics: Arc<Metrics>,
}

/// Calls tools for pages.
pub(super) struct Calls {
    parts: CallParts,
    key: InstallationKey,
    grants: Cache<DocumentId, Arc<Grant>>,
}

/// What a page sends.
#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    token: String,
    tool_name: String,
    #[serde(default)]
    arguments: Value,
}

impl Calls {
    pub(super) fn new(parts: CallParts, key: InstallationKey) -> Self {
        let grants = Cache::builder().max_capacity(KEPT_GRANTS).time_to_idle(IDLE).build();
        Self { parts, key, grants }
    }

    /// What a page is told about the tools of its app. An earlier version has no capability.
    pub(super) fn of_page(&self, document: &Document, n: i64, root: Root) -> Option<PageTools> {
        if document.tool_names.is_empty() {
            return None;
        }
        let token = match root {
            Root::Here => Some(self.capability(&document.id, n, now_s())),
            Root::TwoUp => None,
        };
        Some(PageTools { names: document.tool_names.clone(), token })
    }

    fn capability(&self, document: &DocumentId, n: i64, now_s: i64) -> String {
        let expires = (now_s.div_euclid(PERIOD_S) + 2) * PERIOD_S;
        let signature = self.key.sign(Purpose::PageCalls, &claim(document, n, expires));
        format!("{expires}.{n}.{signature}")
    }

    /// Whether a capability is for this app as it is now.
    fn check(&self, document: &Document, token: &str, now_s: i64) -> Result<(), Refusal> {
        let mut parts = token.splitn(3, '.');
        let (Some(expires), Some(n), Some(signature)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Foreign);
        };
        let (Ok(expires), Ok(n)) = (expires.parse::<i64>(), n.parse::<i64>()) else {
            return Err(Refusal::Foreign);
        };
        if !self.key.verify(Purpose::PageCalls, &claim(&document.id, n, expires), signature) {
            return Err(Refusal::Foreign);
        }
        if expires <= now_s {
            return Err(Refusal::Expired);
        }
        if n == document.head { Ok(()) } else { Err(Refusal::Outdated) }
    }

    /// What all pages of an app may do together.
    async fn grant(&self, document: &DocumentId) -> Arc<Grant> {
        let make = async {
            let limits = &self.parts.limits;
            Arc::new(Grant::new(Terms {
                holder: format!("page:{document}"),
                origin: Origin::Page,
                calls: None,
                calls_per_minute: Some(limits.page_calls_per_minute),
                concurrent_calls: limits.page_concurrent_calls,
                call_time: Duration::try_from_secs_f64(limits.page_call_s).unwrap_or(Duration::MAX),
                tokens_per_day: Some(limits.page_tokens_per_day),
                argument_bytes: ARGUMENT_BYTES,
                result_bytes: RESULT_BYTES,
                depth: DEPTH,
            }))
        };
        self.grants.get_with_by_ref(document, make).await
    }

    /// Calls a tool for a page of this app.
    async fn call(&self, document: &Document, tool: &str, arguments: Value) -> CallOutcome {
        let owner = &document.owner;
        let Some(rights) = self.parts.principals.rights(&owner.principal) else {
            return CallOutcome::refused(&no_owner());
        };
        let context = CallContext {
            rights: rights.clone(),
            user: Some(owner.user.clone()),
            // Nobody writes a text for a page, and no client is asked: a model answers, or none.
            models: ClientModels { local_models: true, ..ClientModels::default() },
            ..CallContext::new(owner.principal.clone(), Origin::Page)
        };
        let allowed: BTreeSet<String> = document.tool_names.iter().cloned().collect();
        let grant = self.grant(&document.id).await;
        self.parts.caller.call(&grant, Some(&allowed), tool, arguments, context).await
    }

    /// One line in the log and one in the metrics, without arguments.
    fn record(&self, document: &Document, tool: &str, outcome: &CallOutcome, started: Instant) {
        let is_named = document.tool_names.iter().any(|name| name == tool);
        let tool = if is_named { tool } else { UNNAMED };
        let duration = started.elapsed();
        let label = outcome.label();
        tracing::info!(
            app.id = %document.id,
            tool,
            call.id = outcome.call_id.as_ref().map(crate::storage::CallId::as_str),
            call.outcome = %label,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "a page called a tool"
        );
        self.parts.metrics.page_call(tool, &label);
    }
}

/// `POST …/call`.
pub(super) async fn call(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match checked_call(&state, token, &headers, body).await {
        Ok(outcome) => answer(outcome),
        Err(problem) => problem,
    }
}

async fn checked_call(
    state: &ContentState,
    token: Parameters<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<CallOutcome, Response> {
    let started = Instant::now();
    // Every page of ours has an opaque origin, and browsers say so with each of its requests.
    if headers.get(ORIGIN).is_none_or(|origin| origin != "null") {
        return Err(Refusal::Origin.into_response());
    }
    let document = match parameter(token) {
        Ok(token) => state.web_app(&token).await,
        Err(error) => Err(error),
    };
    let document = document.map_err(|error: ContentError| shaped(&PageProblem::from(error)))?;
    let request: Request =
        read_json_within(body, BODY_BYTES).await.map_err(|problem| shaped(&problem))?;
    let calls = &state.inner.calls;
    if let Err(refusal) = calls.check(&document, &request.token, now_s()) {
        calls.parts.metrics.page_call(UNNAMED, refusal.code());
        return Err(refusal.into_response());
    }
    let outcome = calls.call(&document, &request.tool_name, request.arguments).await;
    calls.record(&document, &request.tool_name, &outcome, started);
    Ok(outcome)
}

/// Why a request is no call of a page of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Origin,
    Foreign,
    Expired,
    Outdated,
}

impl Refusal {
    fn problem(self) -> PageProblem {
        match self {
            Self::Origin => PageProblem::new(
                "origin_not_allowed",
                StatusCode::FORBIDDEN,
                "only pages that this server hosts call tools here",
                "programs call tools over MCP or `/api`",
            ),
            Self::Foreign => PageProblem::token_refused(),
            Self::Expired => PageProblem::new(
                "page_expired",
                StatusCode::FORBIDDEN,
                "this page was opened too long ago to call tools",
                "reload the page",
            ),
            Self::Outdated => PageProblem::new(
                "page_outdated",
                StatusCode::CONFLICT,
                "this is not the newest version of the app, which alone calls tools",
                "reload the page",
            ),
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Origin => "origin_not_allowed",
            Self::Foreign => "page_token_refused",
            Self::Expired => "page_expired",
            Self::Outdated => "page_outdated",
        }
    }

    fn into_response(self) -> Response {
        shaped(&self.problem())
    }
}

fn no_owner() -> ToolError {
    ToolError::new(
        ErrorKind::Denied,
        "tool_not_allowed",
        "the owner of this app may not use this server any more",
    )
    .hint("ask the operator of the server")
}

/// An outcome in the shape that pages read: what is asked for in one field, an error in the other.
fn answer(outcome: CallOutcome) -> Response {
    if !outcome.is_error {
        return respond(StatusCode::OK, &json!({"result": outcome.structured, "error": null}));
    }
    let structured = outcome.structured;
    let status = outcome
        .error_kind
        .map_or(StatusCode::INTERNAL_SERVER_ERROR, |kind| status_of(kind, &structured));
    let retry_after = structured.get("retry_after_s").and_then(Value::as_f64);
    let mut response = respond(status, &error_shape(structured));
    if let Some(seconds) = retry_after
        && let Ok(value) = HeaderValue::try_from(format!("{:.0}", seconds.ceil()))
    {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

fn shaped(problem: &PageProblem) -> Response {
    respond(problem.status(), &error_shape(problem.to_json()))
}

/// The message alone in `error`, as the first program had it; everything else stands beside it.
fn error_shape(mut structured: Value) -> Value {
    let mut shape = json!({"result": null, "error": "the call failed"});
    if let (Some(fields), Some(shape)) = (structured.as_object_mut(), shape.as_object_mut()) {
        fields.shift_remove("status");
        if let Some(message) = fields.shift_remove("message") {
            shape.insert("error".to_owned(), message);
        }
        shape.append(fields);
    }
    shape
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn claim(document: &DocumentId, n: i64, expires: i64) -> String {
    format!("{document} {n} {expires}")
}

fn now_s() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
