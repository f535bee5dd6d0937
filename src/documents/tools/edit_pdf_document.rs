//! `edit_pdf_document`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create_pdf_document::{PaperOutput, ToolCallOutput};
use super::edits::{EditArguments, EditFacts, said};
use super::{default_model, default_user_number};
use crate::browser::PageSetup;
use crate::documents::model::NO_CONTEXT_FOR_EDIT;
use crate::documents::verification::Verification;
use crate::documents::{DocumentError, Documents, EditDocument, EditedDocument};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};
use crate::storage::DocumentKind;

const DESCRIPTION: &str = "Edits a PDF document that was created before: a model writes the change to its HTML source as search-and-replace blocks, which are applied all or not at all, and the result is printed as the next version at the same URL. Say in `user_edit_request` what should change; everything else stays as it is. To change paper, margins, header or footer, give `page` alone. To make the change yourself, give the blocks in `edits`. Earlier versions are kept: `list_document_versions`, `restore_document_version`.";

/// Arguments of `edit_pdf_document`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EditPdfDocumentParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's documents
    /// apart. Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Name of the document to edit, as `create_pdf_document` and `list_pdf_documents` return it.
    #[serde(default)]
    doc_name: Option<String>,
    /// What should change, described clearly.
    #[serde(default)]
    user_edit_request: Option<String>,
    /// Additional context such as the conversation so far, added by the client.
    #[serde(default = "default_context")]
    client_injected_context: String,
    /// Model that writes the change. `auto` takes whatever is configured or at hand; `host` asks
    /// you to write it.
    #[serde(default = "default_model")]
    model: String,
    /// The change, written by you, and no model is called. Each edit is a block of three marker
    /// lines: `<<<<<<< SEARCH`, then lines copied exactly from the HTML source (`source_url` shows
    /// it) that stand there once, `=======`, then the lines that take their place (none to delete),
    /// `>>>>>>> REPLACE`. All blocks are applied, or none.
    #[serde(default)]
    edits: Option<String>,
    /// Page options in place of those before; what is left out stays as it was.
    #[serde(default)]
    page: Option<PageSetup>,
    /// Names of the tools that the model may call while it writes, from now on, in place of those
    /// before. Left out: as before.
    #[serde(default, alias = "mcp_tools")]
    mcp_tool_names: Option<Vec<String>>,
    /// Later clients' name of `user_edit_request`.
    #[serde(default)]
    #[schemars(skip)]
    user_request: Option<String>,
    /// Later clients' name of `client_injected_context`.
    #[serde(default)]
    #[schemars(skip)]
    additional_context: Option<String>,
    /// A whole document: for `create_pdf_document`. Who sends one here is told so.
    #[serde(default)]
    #[schemars(skip)]
    html: Option<String>,
}

fn default_context() -> String {
    NO_CONTEXT_FOR_EDIT.to_owned()
}

/// Result of `edit_pdf_document`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EditPdfDocumentOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Address of the PDF; it stays the same over all versions.
    url: String,
    /// Number of the newest version.
    version: i64,
    /// Name of the document.
    doc_name: String,
    /// Address of the HTML source as plain text.
    source_url: String,
    #[serde(flatten)]
    facts: EditFacts,
    /// Pages, when there is a new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<usize>,
    /// Size of the PDF in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    /// Size of the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    paper: Option<PaperOutput>,
    /// Address of a picture of the first page (WebP).
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<String>,
    /// Tools that the model called while it wrote, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallOutput>,
    /// What the check of the printed document found.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    /// What may not be as wished since this edit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("edit_pdf_document", "Edit a PDF document", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .closed_to_pages()
        .job(move |run, params: EditPdfDocumentParams| {
            let documents = Arc::clone(&documents);
            async move {
                if params.html.as_deref().is_some_and(|given| !given.trim().is_empty()) {
                    let (argument, tool) = ("html", "create_pdf_document");
                    return Err(DocumentError::WrongTool { argument, tool }.into());
                }
                let model_requested = params.model.clone();
                let (call, notes) = params.into_call();
                let edited = documents.edit(&run, call).await?;
                Ok(EditPdfDocumentOutput::new(edited, model_requested, &notes))
            }
        })
}

impl EditPdfDocumentParams {
    /// The call, and what there is to say about arguments that are left aside.
    fn into_call(self) -> (EditDocument, Vec<&'static str>) {
        EditArguments {
            user_number: self.user_number,
            name: self.doc_name,
            user_edit_request: self.user_edit_request,
            user_request: self.user_request,
            client_injected_context: self.client_injected_context,
            additional_context: self.additional_context,
            model: self.model,
            edits: self.edits,
            tool_names: self.mcp_tool_names,
            page: self.page,
        }
        .into_call(DocumentKind::Pdf)
    }
}

impl EditPdfDocumentOutput {
    fn new(edited: EditedDocument, model_requested: String, notes: &[&str]) -> Self {
        let message = said(&edited.message, notes);
        let print = edited.print;
        Self {
            status: if edited.warnings.is_empty() { "success" } else { "warning" },
            message,
            url: edited.url,
            version: edited.version,
            doc_name: edited.name,
            source_url: edited.source_url,
            facts: EditFacts::new(edited.result, edited.writer, edited.answers, model_requested),
            pages: print.as_ref().map(|print| print.pages),
            bytes: print.as_ref().map(|print| print.bytes),
            paper: print.as_ref().and_then(|print| print.paper_mm).map(PaperOutput::from),
            thumbnail_url: print.and_then(|print| print.thumbnail_url),
            tool_calls: edited.tool_calls.into_iter().map(ToolCallOutput::from).collect(),
            verification: edited.verification,
            warnings: edited.warnings,
        }
    }
}

impl From<EditPdfDocumentOutput> for ToolOutput {
    fn from(output: EditPdfDocumentOutput) -> Self {
        structured(&output)
    }
}
