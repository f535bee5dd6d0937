//! What the page asks and tells: JSON in, JSON out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ChatState;
use super::access;
use crate::agent::chat::{Say, json as export_json, markdown};
use crate::agent::engine::Decision;
use crate::error::{ErrorKind, ToolError};
use crate::server::api::status_of;
use crate::server::pages::add_common;
use crate::server::pages::error::PagesError;
use crate::storage::StorageError;

/// Name of an uploaded file, percent-encoded.
const FILE_NAME: HeaderName = HeaderName::from_static("x-file-name");
/// Bytes of a result that the page shows at once.
const SHOWN_BYTES: usize = 20_000;
/// Files and results of others do nothing, wherever they are opened.
const INERT: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub(super) struct Refusal(ToolError);

impl From<ToolError> for Refusal {
    fn from(error: ToolError) -> Self {
        Self(error)
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Self(error.into())
    }
}

impl From<PagesError> for Refusal {
    fn from(error: PagesError) -> Self {
        let (kind, code) = match error {
            PagesError::NotOpened | PagesError::ChatNotOpened => (ErrorKind::Denied, "not_opened"),
            PagesError::Foreign => (ErrorKind::Denied, "foreign_request"),
            PagesError::HostRefused => (ErrorKind::Denied, "host_refused"),
            PagesError::NotFound => (ErrorKind::NotFound, "not_found"),
            PagesError::Unavailable => (ErrorKind::Unavailable, "storage_unavailable"),
            PagesError::Broken => return Self(ToolError::internal(&error)),
        };
        Self(ToolError::new(kind, code, error.to_string()).hint("open the chat through its link"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = self.0.to_json();
        let status = match self.0.code.as_ref() {
            "not_opened" => StatusCode::UNAUTHORIZED,
            "foreign_request" | "host_refused" => StatusCode::FORBIDDEN,
            "file_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "unsupported_file" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => status_of(self.0.kind, &body),
        };
        answer(status, body)
    }
}

type Answer = Result<Response, Refusal>;

/// `GET /chat/api/state`: who can answer, and which tools there are.
pub(super) async fn state(State(state): State<ChatState>, uri: Uri, headers: HeaderMap) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let tools: Vec<Value> = state
        .chat
        .tools(&person)
        .into_iter()
        .map(|tool| {
            let description = tool.description.lines().next().unwrap_or_default().to_owned();
            json!({"name": tool.name, "description": description})
        })
        .collect();
    let ways = state.chat.ways().await;
    Ok(answer(StatusCode::OK, json!({"ways": ways, "tools": tools})))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    words: String,
}

/// `GET /chat/api/conversations?words=…`
pub(super) async fn conversations(
    State(state): State<ChatState>,
    uri: Uri,
    headers: HeaderMap,
    search: Result<Query<Search>, QueryRejection>,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let Query(search) = search.unwrap_or_default();
    let found = state.chat.conversations(&person.principal, &search.words).await?;
    let list: Vec<Value> = found
        .into_iter()
        .map(|one| json!({"id": one.id, "title": one.title, "updated_at": one.updated_at}))
        .collect();
    Ok(answer(StatusCode::OK, json!({"conversations": list})))
}

/// `GET /chat/api/conversations/{id}`
pub(super) async fn conversation(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let shown = state.chat.conversation(&person.principal, &id).await?;
    Ok(answer(StatusCode::OK, json!(shown)))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    format: String,
}

/// `GET /chat/api/conversations/{id}/export?format=markdown|json`
pub(super) async fn export(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    form: Result<Query<Form>, QueryRejection>,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let shown = state.chat.conversation(&person.principal, &id).await?;
    let Query(form) = form.unwrap_or_default();
    let (body, media_type, ending) = if form.format == "json" {
        (format!("{:#}\n", export_json(&shown)), "application/json", "json")
    } else {
        (markdown(&shown), "text/markdown; charset=utf-8", "md")
    };
    let name: String = shown.title.chars().filter(|letter| !letter.is_control()).take(60).collect();
    Ok(inert(body.into(), media_type, Some(&format!("{name}.{ending}"))))
}

#[derive(Debug, Deserialize)]
pub(super) struct Renaming {
    title: String,
}

/// `POST /chat/api/conversations/{id}/rename`
pub(super) async fn rename(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Json<Renaming>, JsonRejection>,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    let Json(body) = readable(body)?;
    state.chat.rename(&person.principal, &id, &body.title).await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
pub(super) struct Selection {
    turn: String,
}

/// `POST /chat/api/conversations/{id}/select`: shows another branch.
pub(super) async fn select(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Json<Selection>, JsonRejection>,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    let Json(body) = readable(body)?;
    state.chat.select(&person.principal, &id, &body.turn).await?;
    Ok(done())
}

/// `POST /chat/api/conversations/{id}/delete`
pub(super) async fn delete(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    state.chat.delete(&person.principal, &id).await?;
    Ok(done())
}

/// `POST /chat/api/turns`: says something.
pub(super) async fn say(
    State(state): State<ChatState>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Json<Say>, JsonRejection>,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    let Json(say) = readable(body)?;
    let said = state.chat.say(&person, say).await?;
    Ok(answer(StatusCode::OK, json!(said)))
}

/// `POST /chat/api/turns/{id}/stop`
pub(super) async fn stop(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    state.chat.stop(&person.principal, &id).await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
pub(super) struct Word {
    turn: u32,
    position: u32,
    arguments_sha: String,
    #[serde(flatten)]
    decision: Decision,
}

/// `POST /chat/api/turns/{id}/decide`: what the person says about a call.
pub(super) async fn decide(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Json<Word>, JsonRejection>,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    let Json(word) = readable(body)?;
    let place = (word.turn, word.position);
    let chat = &state.chat;
    chat.decide(&person.principal, &id, place, &word.arguments_sha, &word.decision).await?;
    Ok(done())
}

/// `POST /chat/api/files`: a file as the whole body.
pub(super) async fn attach(
    State(state): State<ChatState>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let person = access::check_action(&state, &uri, &headers).await?;
    let name = headers.get(FILE_NAME).and_then(|name| name.to_str().ok()).unwrap_or("file");
    let name = percent_decode_str(name).decode_utf8_lossy();
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ToolError::invalid("file_too_large", "the file has more than 20 MB")
                .hint("attach a smaller file, or a part of it")
        } else {
            unreadable("the file did not arrive whole")
        }
    })?;
    let file = state.chat.attach(&person.principal, &name, body.to_vec()).await?;
    Ok(answer(StatusCode::OK, json!(file)))
}

/// `GET /chat/api/files/{id}`
pub(super) async fn file(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let (file, bytes) = state.chat.file(&person.principal, &id).await?;
    let is_picture = file.media_type.starts_with("image/");
    let media_type = if file.media_type == "text/plain" {
        "text/plain; charset=utf-8"
    } else {
        &file.media_type
    };
    let name = (!is_picture).then_some(file.name.as_str());
    Ok(inert(bytes, media_type, name))
}

/// `GET /chat/api/turns/{id}/pictures/{sha}`: a picture or document of a result.
pub(super) async fn picture(
    State(state): State<ChatState>,
    Path((turn, sha)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let (picture, bytes) = state.chat.picture(&person.principal, &turn, &sha).await?;
    let is_picture = picture.media_type.starts_with("image/");
    let name = format!("{}.pdf", picture.name);
    Ok(inert(bytes, &picture.media_type, (!is_picture).then_some(name.as_str())))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    whole: bool,
}

/// `GET /chat/api/results/{call_id}`: the begin of a call's result, or all of it as text.
pub(super) async fn result(
    State(state): State<ChatState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    part: Result<Query<Part>, QueryRejection>,
) -> Answer {
    let person = access::check(&state, &uri, &headers).await?;
    let Query(part) = part.unwrap_or_default();
    if part.whole {
        let text = state.chat.whole_result(&person.principal, &id).await?;
        return Ok(inert(text.into(), "text/plain; charset=utf-8", None));
    }
    let text = state.chat.result(&person.principal, &id).await?;
    let end = text.floor_char_boundary(SHOWN_BYTES);
    let shown = text.get(..end).unwrap_or_default();
    Ok(answer(StatusCode::OK, json!({"text": shown, "bytes": text.len(), "shown": end})))
}

fn readable<T>(body: Result<Json<T>, JsonRejection>) -> Result<Json<T>, Refusal> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return ToolError::invalid("message_too_long", "the message has more than 1 MB")
                .hint("attach long texts as a file")
                .into();
        }
        unreadable(&rejection.body_text()).into()
    })
}

fn unreadable(cause: &str) -> ToolError {
    ToolError::invalid("invalid_arguments", format!("the request cannot be read: {cause}"))
        .hint("reload the page and try again")
}

fn done() -> Response {
    answer(StatusCode::OK, json!({"status": "success"}))
}

fn answer(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT));
    add_common(headers);
    response
}

/// Bytes of somebody else, which do nothing; saved under a name where there is one.
fn inert(bytes: Bytes, media_type: &str, name: Option<&str>) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::try_from(media_type);
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, media_type.unwrap_or(unknown));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT));
    if let Some(name) = name {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        if let Ok(value) = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{encoded}"))
        {
            headers.insert(CONTENT_DISPOSITION, value);
        }
    }
    add_common(headers);
    response
}
