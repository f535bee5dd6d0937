//! The demo's web app.

use serde_json::{Value, json};

use super::super::CommandError;
use super::Made;
use super::client::Client;

const REQUEST: &str = include_str!("../../../examples/demo/web_app.txt");
/// What the host model writes, when the demo plays it.
const PAGE: &str = include_str!("../../../examples/demo/web_app.html");

/// Has the app made, and opens it.
pub(super) async fn make(client: &Client) -> Result<Made, CommandError> {
    let request = REQUEST.trim();
    let arguments = json!({"user_request": request, "app_name": "trip_costs"});
    let finished = client.finish("create_web_app", arguments, PAGE).await?;
    let field = |name: &str| finished.result.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = field("url");
    let page = client.fetch(url).await?;
    let version = finished.result.get("version").unwrap_or(&Value::Null);
    let lines = vec![
        format!("request: {request}"),
        finished.author(),
        format!("app: {}, version {version}, {} bytes served", field("app_name"), page.len()),
        format!("open: {url}"),
    ];
    Ok(Made { lines, picture: Some(("app", format!("{url}v/{version}/thumb.webp"))) })
}
