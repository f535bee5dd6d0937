//! `list_document_versions`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{default_user_number, rfc3339};
use crate::documents::{Documents, VersionList, WhichDocument};
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};
use crate::storage::DocumentKind;

const DESCRIPTION: &str = "Lists the versions that are kept of a web app (`app_name`) or a PDF document (`doc_name`), newest first, each with the address that shows it. `restore_document_version` brings one back.";

/// Arguments of `list_document_versions`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListDocumentVersionsParams {
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

/// Result of `list_document_versions`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListDocumentVersionsOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Name of the web app.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<String>,
    /// Name of the PDF document.
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_name: Option<String>,
    /// Address of the newest version.
    url: String,
    /// The versions, newest first.
    versions: Vec<VersionOutput>,
}

/// A version.
#[derive(Debug, Serialize, JsonSchema)]
struct VersionOutput {
    /// Number, from 1.
    version: i64,
    /// When it was made (RFC 3339).
    created_at: String,
    /// Size in bytes.
    bytes: i64,
    /// Whether it is the newest, which the document's own address shows.
    current: bool,
    /// Address of this version.
    url: String,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("list_document_versions", "List versions of a document", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(
            portable_schema::<ListDocumentVersionsOutput>(),
            move |call, params: ListDocumentVersionsParams| {
                let documents = Arc::clone(&documents);
                async move {
                    let which =
                        WhichDocument { app_name: params.app_name, doc_name: params.doc_name };
                    let list = documents
                        .list_versions(&call.context.principal, &params.user_number, &which)
                        .await?;
                    let output = ListDocumentVersionsOutput::from(list);
                    Ok(DirectReply::Output(structured(&output)))
                }
            },
        )
}

impl From<VersionList> for ListDocumentVersionsOutput {
    fn from(list: VersionList) -> Self {
        let VersionList { document, url, versions } = list;
        let versions: Vec<VersionOutput> = versions
            .into_iter()
            .map(|(version, url)| VersionOutput {
                version: version.n,
                created_at: rfc3339(version.created_at),
                bytes: version.bytes,
                current: version.n == document.head,
                url,
            })
            .collect();
        let message = match versions.len() {
            1 => format!("`{}` has 1 version.", document.name),
            count => format!("{count} versions of `{}` are kept.", document.name),
        };
        let (app_name, doc_name) = match document.kind {
            DocumentKind::WebApp => (Some(document.name), None),
            DocumentKind::Pdf => (None, Some(document.name)),
        };
        Self { status: "success", message, app_name, doc_name, url, versions }
    }
}
