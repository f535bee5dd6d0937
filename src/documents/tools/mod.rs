//! The tools of documents, one file each.

mod create_pdf_document;
mod create_web_app;
mod edit_web_app;
mod edits;
mod list_pdf_documents;
mod list_web_apps;

use std::sync::Arc;

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
        list_pdf_documents::tool(documents),
    ]
}

fn default_user_number() -> String {
    DEFAULT_USER_NUMBER.to_owned()
}

fn default_model() -> String {
    "auto".to_owned()
}
