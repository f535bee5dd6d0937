//! `/health/live` and `/health/ready`, for supervisors and load balancers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use http::StatusCode;
use serde_json::{Map, json};

use super::door::Door;
use crate::storage::StorageError;

/// The health routes.
pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new()
        .route(
            "/health/live",
            routing::get(async || Json(json!({"status": "ok", "name": "atelier"}))),
        )
        .route("/health/ready", routing::get(ready))
        .with_state(door)
}

/// Ready when rows and bytes can be written. What fails is named, why is in the log: this route
/// is open to everybody.
async fn ready(State(door): State<Arc<Door>>) -> Response {
    let app = &door.app;
    let blobs = app.blobs.put(&b"ready"[..]).await.map(|_| ());
    let checks = [("catalog", app.catalog.ping().await), ("blobs", blobs)];
    let mut report = Map::new();
    let mut status = StatusCode::OK;
    for (name, check) in checks {
        report.insert(name.to_owned(), json!(verdict(name, check)));
        if report.get(name) != Some(&json!("ok")) {
            status = StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    let overall = if status.is_success() { "ok" } else { "failing" };
    report.insert("status".to_owned(), json!(overall));
    (status, Json(report)).into_response()
}

fn verdict(name: &str, check: Result<(), StorageError>) -> &'static str {
    match check {
        Ok(()) => "ok",
        Err(error) => {
            tracing::warn!(check.name = name, error.cause = %error, "not ready");
            "failing"
        }
    }
}
