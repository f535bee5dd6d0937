//! The demo's edit of its web app.

use serde_json::{Value, json};

use super::super::CommandError;
use super::Made;
use super::client::Client;

const REQUEST: &str = include_str!("../../../examples/demo/edit.txt");
/// What the host model writes, when the demo plays it.
const BLOCKS: &str = include_str!("../../../examples/demo/edit.patch");

/// Has the app changed, and opens both versions.
pub(super) async fn make(client: &Client) -> Result<Made, CommandError> {
    let request = REQUEST.trim();
    let arguments = json!({"user_edit_request": request, "app_name": "trip_costs"});
    let finished = client.finish("edit_web_app", arguments, BLOCKS).await?;
    let field = |name: &str| finished.result.get(name).unwrap_or(&Value::Null);
    let url = field("url").as_str().unwrap_or_default();
    let page = client.fetch(url).await?;
    let count = |sign: char, head: &str| {
        let diff = field("diff").as_str().unwrap_or_default();
        diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(head)).count()
    };
    let author = if finished.played_host {
        "the demo played the host's model again (host completion)".to_owned()
    } else {
        format!("model: {}", field("model_used").as_str().unwrap_or_default())
    };
    let lines = vec![
        format!("request: {request}"),
        author,
        format!(
            "app: {}, version {}, {} blocks applied, {} lines added, {} removed, {} bytes served",
            field("app_name").as_str().unwrap_or_default(),
            field("version"),
            field("blocks_applied"),
            count('+', "+++"),
            count('-', "---"),
            page.len()
        ),
        format!("before: {url}v/1/"),
        format!("open: {url}"),
    ];
    Ok(Made { lines, picture: Some(("edit", format!("{url}v/{}/thumb.webp", field("version")))) })
}
