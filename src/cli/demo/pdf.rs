//! The demo's PDF document.

use serde_json::{Value, json};

use super::super::CommandError;
use super::Made;
use super::client::Client;

const REQUEST: &str = include_str!("../../../examples/demo/pdf.txt");
/// What the host model writes, when the demo plays it.
const DOCUMENT: &str = include_str!("../../../examples/demo/pdf.html");

/// Has the document made, and opens it.
pub(super) async fn make(client: &Client) -> Result<Made, CommandError> {
    let request = REQUEST.trim();
    let arguments = json!({
        "user_request": request,
        "doc_name": "lisbon_costs",
        "page": {"size": "A4", "margins": "18mm", "footer": "{title} | | {page} / {pages}"},
    });
    let finished = client.finish("create_pdf_document", arguments, DOCUMENT).await?;
    let field = |name: &str| finished.result.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = field("url");
    let pdf = client.fetch(url).await?;
    if !pdf.starts_with(b"%PDF-") {
        return Err(CommandError::failed(format!("`{url}` opens, but is no PDF")));
    }
    let pages = finished.result.get("pages").unwrap_or(&Value::Null);
    let lines = vec![
        format!("request: {request}"),
        finished.author(),
        format!("document: {}, {pages} pages, {} bytes", field("doc_name"), pdf.len()),
        format!("open: {url}"),
    ];
    Ok(Made { lines, picture: Some(("pdf", field("thumbnail_url").to_owned())) })
}
