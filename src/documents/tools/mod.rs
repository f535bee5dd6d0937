//! The tools of documents, one file each.

mod create_pdf_document;
mod create_web_app;
mod delete_document;
mod edit_pdf_document;
mod edit_web_app;
mod edits;
mod list_document_versions;
mod list_pdf_documents;
mod list_web_apps;
mod restore_document_version;

use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Documents;
use super::model::DEFAULT_USER_NUMBER;
use crate::registry::Tool;

/// All tools of documents.
pub fn tools(documents: &Arc<Documents>) -> Vec<Tool> {
    vec![
        create_web_app::tool(documents),
        edit_web_app::tool(documents),
        list_web_apps::tool(documents),
        create_pdf_document::tool(documents),
        edit_pdf_document::tool(documents),
        list_pdf_documents::tool(documents),
        list_document_versions::tool(documents),
        restore_document_version::tool(documents),
        delete_document::tool(documents),
    ]
}

fn default_user_number() -> String {
    DEFAULT_USER_NUMBER.to_owned()
}

fn default_model() -> String {
    "auto".to_owned()
}

/// A time in milliseconds as text.
fn rfc3339(milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(rfc3339(1_795_219_200_123), "2026-11-21T00:00:00.123Z");
    }
}
