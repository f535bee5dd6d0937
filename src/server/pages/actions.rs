//! What the gallery changes: names, versions, and whether a document is there at all.
//!
//! Deleting and restoring are tools, so they are called as tools. Everything is answered in JSON.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{self, Access};
use super::error::PagesError;
use super::gallery::exact_time;
use super::{PagesState, Renaming, add_common};
use crate::error::ToolError;
use crate::llm::ClientModels;
use crate::registry::{CallContext, Grant, Origin, Terms};
use crate::server::api::status_of;
use crate::storage::{DocumentKind, Owner, PrincipalId};

/// More than an action needs.
pub(super) const BODY_BYTES: usize = 16 * 1024;
/// How long a person waits for a change.
const PATIENCE: Duration = Duration::from_mins(2);

type Body<T> = Result<Json<T>, JsonRejection>;

/// What an action is about.
#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    kind: DocumentKind,
    user: String,
    name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RenameBody {
    #[serde(flatten)]
    subject: Subject,
    new_name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoreBody {
    #[serde(flatten)]
    subject: Subject,
    version: i64,
}

/// What a person may do in the gallery at a time.
pub(super) fn grant() -> Grant {
    Grant::new(Terms {
        holder: "gallery".to_owned(),
        origin: Origin::Api,
        calls: None,
        calls_per_minute: None,
        concurrent_calls: 16,
        call_time: PATIENCE,
        tokens_per_day: None,
        argument_bytes: BODY_BYTES,
        result_bytes: usize::MAX,
        depth: 1,
    })
}

/// `GET /gallery/versions`: the versions of a document, newest first.
pub(super) async fn versions(
    State(state): State<PagesState>,
    uri: Uri,
    headers: HeaderMap,
    subject: Result<Query<Subject>, QueryRejection>,
) -> Result<Response, PagesError> {
    let Access::Granted(principal) = access::check(state.parts(), &uri, &headers)? else {
        return Err(PagesError::NotOpened);
    };
    let Ok(Query(subject)) = subject else { return Err(PagesError::NotFound) };
    let owner = Owner { principal, user: subject.user };
    let catalog = &state.parts().catalog;
    let found = catalog.document(&owner, subject.kind, &subject.name).await?;
    let document = found.ok_or(PagesError::NotFound)?;
    let urls = &state.parts().urls;
    let versions: Vec<Value> = catalog
        .versions(&document.id)
        .await?
        .into_iter()
        .map(|version| {
            json!({
                "version": version.n,
                "created_at": exact_time(version.created_at),
                "bytes": version.bytes,
                "current": version.n == document.head,
                "url": match document.kind {
                    DocumentKind::WebApp => urls.version(&document.token, version.n),
                    DocumentKind::Pdf => urls.pdf_version(&document.token, version.n),
                },
            })
        })
        .collect();
    Ok(json_answer(StatusCode::OK, json!({"versions": versions})))
}

/// `POST /gallery/rename`.
pub(super) async fn rename(
    State(state): State<PagesState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body<RenameBody>,
) -> Result<Response, PagesError> {
    let principal = access::check_action(state.parts(), &uri, &headers)?;
    let Ok(Json(RenameBody { subject, new_name })) = body else { return Ok(unreadable()) };
    let renaming = Renaming {
        owner: Owner { principal, user: subject.user },
        kind: subject.kind,
        name: subject.name,
        new_name,
    };
    Ok(match (state.parts().rename)(renaming).await {
        Ok(document) => json_answer(StatusCode::OK, json!({"name": document.name})),
        Err(error) => refusal(&error),
    })
}

/// `POST /gallery/restore`.
pub(super) async fn restore(
    State(state): State<PagesState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body<RestoreBody>,
) -> Result<Response, PagesError> {
    let principal = access::check_action(state.parts(), &uri, &headers)?;
    let Ok(Json(RestoreBody { subject, version })) = body else { return Ok(unreadable()) };
    let further = json!({"version": version});
    Ok(by_tool(&state, principal, "restore_document_version", subject, further).await)
}

/// `POST /gallery/delete`.
pub(super) async fn delete(
    State(state): State<PagesState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body<Subject>,
) -> Result<Response, PagesError> {
    let principal = access::check_action(state.parts(), &uri, &headers)?;
    let Ok(Json(subject)) = body else { return Ok(unreadable()) };
    Ok(by_tool(&state, principal, "delete_document", subject, json!({})).await)
}

/// Calls a tool about a document in the name of the person who looks at the gallery.
async fn by_tool(
    state: &PagesState,
    principal: PrincipalId,
    tool: &str,
    subject: Subject,
    mut arguments: Value,
) -> Response {
    let Some(rights) = state.parts().principals.rights(&principal).cloned() else {
        return PagesError::NotOpened.into_response();
    };
    let name = match subject.kind {
        DocumentKind::WebApp => "app_name",
        DocumentKind::Pdf => "doc_name",
    };
    if let Some(arguments) = arguments.as_object_mut() {
        arguments.insert(name.to_owned(), Value::from(subject.name));
    }
    let context = CallContext {
        rights,
        models: ClientModels::default(),
        user: Some(subject.user),
        ..CallContext::new(principal, Origin::Api)
    };
    let (caller, grant) = (&state.parts().caller, &state.inner.grant);
    let outcome = caller.call(grant, None, tool, arguments, context).await;
    let status =
        outcome.error_kind.map_or(StatusCode::OK, |kind| status_of(kind, &outcome.structured));
    json_answer(status, outcome.structured)
}

fn refusal(error: &ToolError) -> Response {
    let structured = error.to_json();
    json_answer(status_of(error.kind, &structured), structured)
}

fn unreadable() -> Response {
    let error = ToolError::invalid("invalid_arguments", "the request says not what it is about")
        .hint("reload the gallery and try again");
    refusal(&error)
}

fn json_answer(status: StatusCode, body: Value) -> Response {
    const POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    add_common(headers);
    response
}
