//! `POST …/kv`: values that all visitors of an app share (`window.atelier.kv`).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::ContentState;
use super::app::{Parameters, parameter};
use super::problem::PageProblem;
use super::store::{AREA_LIMITS, check_entry, read_json, reply, visitor_of, write};
use crate::storage::{Area, AreaWrite, Others};

/// Most keys that one answer lists.
const LISTED: u32 = 1000;

/// What a page sends.
#[derive(Debug, Deserialize)]
struct Request {
    token: String,
    #[serde(flatten)]
    operation: Operation,
}

/// What is to be done.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Operation {
    Get {
        key: String,
    },
    Set {
        key: String,
        value: String,
    },
    Delete {
        key: String,
    },
    List {
        #[serde(default)]
        prefix: String,
        #[serde(default)]
        after: Option<String>,
    },
}

pub(super) async fn exchange(
    State(state): State<ContentState>,
    token: Parameters<String>,
    body: Body,
) -> Result<Response, PageProblem> {
    let document = state.web_app(&parameter(token)?).await?;
    let _place = state.inner.writes.admit(&document.id).ok_or_else(PageProblem::busy)?;
    let Request { token, operation } = read_json(body).await?;
    visitor_of(&state, &document, &token)?;
    let catalog = &state.inner.catalog;
    let answer = match operation {
        Operation::Get { key } => {
            let entry = catalog.page_entry(&document.id, &Area::Shared, &key).await?;
            json!({"status": "success", "value": entry.and_then(|entry| entry.content)})
        }
        Operation::List { prefix, after } => {
            let names = catalog
                .page_entry_names(&document.id, &Area::Shared, &prefix, after.as_deref(), LISTED)
                .await?;
            let more = names.len() >= LISTED as usize;
            let keys: Vec<_> = names.into_iter().map(|name| name.name).collect();
            json!({"status": "success", "keys": keys, "more": more})
        }
        Operation::Set { key, value } => {
            change(&state, &document, key, Some(value)).await?;
            json!({"status": "success"})
        }
        Operation::Delete { key } => {
            change(&state, &document, key, None).await?;
            json!({"status": "success"})
        }
    };
    Ok(reply(&answer))
}

async fn change(
    state: &ContentState,
    document: &crate::storage::Document,
    key: String,
    value: Option<String>,
) -> Result<(), PageProblem> {
    check_entry(&key, value.as_deref())?;
    let area = AreaWrite {
        area: Area::Shared,
        changes: vec![(key, value)],
        others: Others::Kept,
        limits: AREA_LIMITS,
    };
    // Nobody's turn but that of those who share.
    write(state, document, "", vec![area], None).await.map(drop)
}
