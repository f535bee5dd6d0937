//! `restore_document_version`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::default_user_number;
use crate::documents::{Documents, RestoredDocument, WhichDocument};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};
use crate::storage::DocumentKind;

const DESCRIPTION: &str = "Brings an earlier version of a web app (`app_name`) or a PDF document (`doc_name`) back, as its next version at the same URL. Nothing is lost: the versions in between stay. `list_document_versions` lists the numbers.";

/// Arguments of `restore_document_version`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RestoreDocumentVersionParams {
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
    /// Number of the version to bring back.
    #[schemars(range(min = 1))]
    version: i64,
}

/// Result of `restore_document_version`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RestoreDocumentVersionOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Address of the document; it stays the same over all versions.
    url: String,
    /// Number of the newest version, which holds what was restored.
    version: i64,
    /// Number of the version that was restored.
    restored_from: i64,
    /// Name of the web app.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<String>,
    /// Name of the PDF document.
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_name: Option<String>,
    /// Always null: no model is called.
    model_used: Value,
    /// What the check found when the restored version was made.
    #[serde(skip_serializing_if = "Value::is_null")]
    verification: Value,
}

/// Nothing that was there is lost, and nothing outside is reached.
const ANNOTATIONS: Annotations =
    Annotations { read_only: false, destructive: false, idempotent: false, open_world: false };

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("restore_document_version", "Restore a version of a document", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .job(move |run, params: RestoreDocumentVersionParams| {
            let documents = Arc::clone(&documents);
            async move {
                let which = WhichDocument { app_name: params.app_name, doc_name: params.doc_name };
                let restored = documents
                    .restore_version(&run, &params.user_number, &which, params.version)
                    .await?;
                Ok(RestoreDocumentVersionOutput::new(restored, params.version))
            }
        })
}

impl RestoreDocumentVersionOutput {
    fn new(restored: RestoredDocument, restored_from: i64) -> Self {
        let RestoredDocument { kind, url, version, name, verification, message } = restored;
        let (app_name, doc_name) = match kind {
            DocumentKind::WebApp => (Some(name), None),
            DocumentKind::Pdf => (None, Some(name)),
        };
        Self {
            status: "success",
            message,
            url,
            version,
            restored_from,
            app_name,
            doc_name,
            model_used: Value::Null,
            verification,
        }
    }
}

impl From<RestoreDocumentVersionOutput> for ToolOutput {
    fn from(output: RestoreDocumentVersionOutput) -> Self {
        structured(&output)
    }
}
