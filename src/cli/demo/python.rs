//! The demo's run of Python, which works on a file and calls two tools at once.

use serde_json::{Value, json};

use super::super::CommandError;
use super::Made;
use super::client::Client;

const CODE: &str = include_str!("../../../examples/demo/python.py");
const COSTS: &str = include_str!("../../../examples/demo/costs.csv");

/// Runs the code, and opens what its calls made.
pub(super) async fn make(client: &Client) -> Result<Made, CommandError> {
    let arguments = json!({"code": CODE, "files": {"costs.csv": COSTS}});
    let finished = client.finish("execute_python_code", arguments, "").await?;
    let field = |name: &str| finished.result.get(name).unwrap_or(&Value::Null);
    let made = |name: &str| {
        field("result").get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (app, document) = (made("app"), made("document"));
    let page = client.fetch(&app).await?;
    let pdf = client.fetch(&document).await?;
    let calls = field("tool_calls").as_array().map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<String> = calls
        .iter()
        .map(|call| {
            let tool = call.get("tool").and_then(Value::as_str).unwrap_or_default();
            format!("{tool} in {} ms", call.get("duration_ms").unwrap_or(&Value::Null))
        })
        .collect();
    let lines = vec![
        "code: examples/demo/python.py, given as it is; no model is asked".to_owned(),
        format!("printed: {}", field("stdout").as_str().unwrap_or_default().trim_end()),
        format!("ran: {} ms, isolation: {}", field("duration_ms"), field("isolation")),
        format!("called at once: {}", calls.join(", ")),
        format!("app: {} bytes served, PDF: {} bytes served", page.len(), pdf.len()),
        format!("open: {app}"),
        format!("open: {document}"),
    ];
    let version = field("result").get("version").unwrap_or(&Value::Null);
    Ok(Made { lines, picture: Some(("python", format!("{app}v/{version}/thumb.webp"))) })
}
