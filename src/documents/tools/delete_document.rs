//! `delete_document`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_user_number;
use crate::documents::{DeletedDocument, Documents, WhichDocument};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};
use crate::storage::DocumentKind;

const DESCRIPTION: &str = "Deletes a web app (`app_name`) or a PDF document (`doc_name`) with all its versions. Its links stop working at once and its name is free again. This cannot be undone: call it only when the user asked for it.";

/// Arguments of `delete_document`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteDocumentParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's documents
    /// apart. Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Name of the web app; or give `doc_name`.
    #[serde(default)]
    app_name: Option<String>,
    /// Name of the PDF document; or give `app_name`.
    #[serde(default)]
    doc_name: Option<String>,
}

/// Result of `delete_document`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeleteDocumentOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Name of the web app that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<String>,
    /// Name of the PDF document that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_name: Option<String>,
}

/// What is deleted is gone; deleting it twice changes nothing more.
const ANNOTATIONS: Annotations =
    Annotations { read_only: false, destructive: true, idempotent: true, open_world: false };

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("delete_document", "Delete a document", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .closed_to_code()
        .job(move |run, params: DeleteDocumentParams| {
            let documents = Arc::clone(&documents);
            async move {
                let which = WhichDocument { app_name: params.app_name, doc_name: params.doc_name };
                let deleted = documents.delete(&run, &params.user_number, &which).await?;
                Ok(DeleteDocumentOutput::from(deleted))
            }
        })
}

impl From<DeletedDocument> for DeleteDocumentOutput {
    fn from(deleted: DeletedDocument) -> Self {
        let DeletedDocument { kind, name, message } = deleted;
        let (app_name, doc_name) = match kind {
            DocumentKind::WebApp => (Some(name), None),
            DocumentKind::Pdf => (None, Some(name)),
        };
        Self { status: "success", message, app_name, doc_name }
    }
}

impl From<DeleteDocumentOutput> for ToolOutput {
    fn from(output: DeleteDocumentOutput) -> Self {
        structured(&output)
    }
}
