//! The outcome of a call as MCP shows it.

use rmcp::model::{CallToolResult, ContentBlock, MetaObject, Resource};
use serde_json::json;

use crate::jobs::Content;
use crate::registry::{CallOutcome, shown};

/// Key of the call id in a result's `_meta`.
const CALL_ID_META: &str = "atelier/call_id";

/// The MCP result of a call: the structured result, the same as text for clients that show only
/// text, and blocks beside it. An error is text alone.
pub(super) fn tool_result(outcome: CallOutcome, shown_bytes: usize) -> CallToolResult {
    let outcome = shown(outcome, shown_bytes);
    let text = ContentBlock::text(outcome.structured.to_string());
    let mut result = if outcome.is_error {
        CallToolResult::error(vec![text])
    } else {
        let mut result = CallToolResult::success(vec![text]);
        result.structured_content = Some(outcome.structured);
        result
    };
    result.content.extend(outcome.content.into_iter().filter_map(block));
    if let Some(call_id) = outcome.call_id {
        let mut meta = MetaObject::new();
        meta.0.insert(CALL_ID_META.to_owned(), json!(call_id));
        result.meta = Some(meta);
    }
    result
}

/// `None` for a block of another server that is no MCP content.
fn block(content: Content) -> Option<ContentBlock> {
    match content {
        Content::Image { media_type, base64 } => Some(ContentBlock::image(base64, media_type)),
        Content::Link { uri, name, media_type } => {
            Some(ContentBlock::resource_link(Resource::new(uri, name).with_mime_type(media_type)))
        }
        Content::Block(value) => serde_json::from_value::<ContentBlock>(value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn outcome(is_error: bool) -> CallOutcome {
        CallOutcome {
            call_id: Some("00c0ffee".into()),
            is_error,
            error_kind: None,
            structured: json!({"status": "success", "url": "http://x/"}),
            content: vec![
                Content::Image { media_type: "image/png".into(), base64: "AA==".into() },
                Content::Block(json!({"type": "text", "text": "as it came"})),
                Content::Block(json!({"type": "nonsense"})),
            ],
            running_job: None,
            sampling: None,
            question: None,
        }
    }

    #[test]
    fn a_result_is_structured_and_text() {
        let result = serde_json::to_value(tool_result(outcome(false), 24_000)).unwrap();
        assert_eq!(result["structuredContent"], json!({"status": "success", "url": "http://x/"}));
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        assert_eq!(result["content"][1]["type"], "image");
        assert_eq!(result["content"][2]["text"], "as it came");
        assert_eq!(result["content"].as_array().unwrap().len(), 3);
        assert_eq!(result["_meta"]["atelier/call_id"], "00c0ffee");
    }

    #[test]
    fn an_error_is_text_alone() {
        let result = serde_json::to_value(tool_result(outcome(true), 24_000)).unwrap();
        assert_eq!(result["isError"], true);
        assert!(result.get("structuredContent").is_none());
    }
}
