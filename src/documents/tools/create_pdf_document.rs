//! `create_pdf_document`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create_web_app::{AttachmentOutput, default_context};
use super::{default_model, default_user_number};
use crate::browser::PageSetup;
use crate::documents::model::NO_CONTEXT;
use crate::documents::verification::Verification;
use crate::documents::{CreatePdf, DocumentError, Documents, MadeCall, PublishedPdf, Writer};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Creates a PDF document from a request: returns the URL of the PDF, kept in versions with its HTML source. It makes any document, from a letter or invoice to a long report: say what it should contain, for whom and in which order, pass on the facts and figures, and add attachments (pictures, for instance). Looks are chosen well without instructions. Paper, margins, header and footer go into `page`. A name that is in use makes a new version of that document at the same URL. To print HTML that you have written yourself, give it in `html`.";

/// Arguments of `create_pdf_document`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreatePdfDocumentParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's documents
    /// apart. Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Name of the document, short and fitting, with underscores for spaces ('financial_report').
    /// Made from the document's title when left out. A name in use makes a new version of that
    /// document.
    #[serde(default)]
    doc_name: Option<String>,
    /// Public http(s) URLs of files that the document may show, such as pictures (at most 20, 10 MiB
    /// each). Base64 data is not accepted.
    #[serde(default)]
    attachments: Option<Vec<String>>,
    /// Conversation history or other context, added by the client. Used as the request when
    /// `user_request` is left out.
    #[serde(default = "default_context")]
    client_injected_context: String,
    /// Model that writes the document. `auto` takes whatever is configured or at hand; `host` asks
    /// you to write it.
    #[serde(default = "default_model")]
    model: String,
    /// What the document should contain, and for whom: the main input.
    #[serde(default)]
    user_request: Option<String>,
    /// A complete HTML document that you have written. It is printed as it is and no model is
    /// called.
    #[serde(default)]
    html: Option<String>,
    /// Paper, margins, header, footer. Left out: A4 with margins of 15mm, or what the document's own
    /// `@page` says.
    #[serde(default)]
    page: Option<PageSetup>,
    /// Names of tools of this server that the model may call while it writes, for facts that the
    /// document needs. Only these, and none when left out.
    #[serde(default, alias = "mcp_tools")]
    mcp_tool_names: Option<Vec<String>>,
    /// Later clients' name of `client_injected_context`.
    #[serde(default)]
    #[schemars(skip)]
    additional_context: Option<String>,
    /// Changes of a document that is there: for `edit_pdf_document`. Who sends them here is told so.
    #[serde(default)]
    #[schemars(skip)]
    edits: Option<String>,
}

/// Result of `create_pdf_document`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PdfDocumentOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Address of the PDF; it stays the same over all versions.
    url: String,
    /// Number of this version, from 1.
    version: i64,
    /// Name of the document, for further calls.
    doc_name: String,
    /// Address of the HTML source as plain text.
    source_url: String,
    /// Title of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Pages.
    pages: usize,
    /// Size of the PDF in bytes.
    bytes: usize,
    /// Size of the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    paper: Option<PaperOutput>,
    /// Model that wrote the document; null when you did.
    #[schemars(with = "serde_json::Value")]
    model_used: Option<String>,
    /// Model as the call named it.
    model_requested: String,
    /// How the model was reached: `api`, `sampling`, `local`, `command`, `host`, or `none` when the
    /// document was given.
    llm_route: &'static str,
    /// Why another model than the requested one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
    /// Tools that the model called while it wrote, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallOutput>,
    /// Files that were stored with the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<AttachmentOutput>,
    /// Address of a picture of the first page (WebP).
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<String>,
    /// What the check of the printed document found.
    verification: Verification,
    /// What may not be as wished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Paper, in millimetres.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PaperOutput {
    /// From left to right.
    width_mm: f64,
    /// From top to bottom.
    height_mm: f64,
}

/// A call of a tool.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ToolCallOutput {
    /// Name of the tool.
    tool: String,
    /// Whether it succeeded.
    ok: bool,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("create_pdf_document", "Create a PDF document", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .closed_to_pages()
        .job(move |run, params: CreatePdfDocumentParams| {
            let documents = Arc::clone(&documents);
            async move {
                if params.edits.as_deref().is_some_and(|given| !given.trim().is_empty()) {
                    let (argument, tool) = ("edits", "edit_pdf_document");
                    return Err(DocumentError::WrongTool { argument, tool }.into());
                }
                let model_requested = params.model.clone();
                let (call, notes) = params.into_call();
                let made = documents.create_pdf(&run, call).await?;
                Ok(PdfDocumentOutput::new(made, model_requested, &notes))
            }
        })
}

impl CreatePdfDocumentParams {
    /// The call, and what there is to say about arguments that are left aside.
    fn into_call(self) -> (CreatePdf, Vec<&'static str>) {
        let context = Some(self.client_injected_context)
            .filter(|context| !context.trim().is_empty() && context != NO_CONTEXT);
        let mut notes = Vec::new();
        if context.is_some() && self.additional_context.is_some() {
            notes.push(
                "`additional_context` was ignored, since `client_injected_context` was given too.",
            );
        }
        let call = CreatePdf {
            user_number: self.user_number,
            doc_name: self.doc_name,
            attachments: self.attachments.unwrap_or_default(),
            user_request: self.user_request,
            context: context.or(self.additional_context),
            model: self.model,
            html: self.html,
            page: self.page.unwrap_or_default(),
            tool_names: self.mcp_tool_names,
        };
        (call, notes)
    }
}

impl PdfDocumentOutput {
    fn new(made: PublishedPdf, model_requested: String, notes: &[&str]) -> Self {
        let (model_used, llm_route, model_note) = match made.writer {
            Writer::Caller => (None, "none", None),
            Writer::Model { used, route, note } => (used, route.as_str(), note),
        };
        let message = [&[made.message.as_str()], notes].concat().join(" ");
        Self {
            status: if made.warnings.is_empty() { "success" } else { "warning" },
            message,
            url: made.url,
            version: made.version,
            doc_name: made.doc_name,
            source_url: made.source_url,
            title: made.title,
            pages: made.pages,
            bytes: made.bytes,
            paper: made.paper_mm.map(PaperOutput::from),
            model_used,
            model_requested,
            llm_route,
            model_note,
            tool_calls: made.tool_calls.into_iter().map(ToolCallOutput::from).collect(),
            attachments: made.attachments.files.into_iter().map(AttachmentOutput::from).collect(),
            thumbnail_url: made.thumbnail_url,
            verification: made.verification,
            warnings: made.warnings,
        }
    }
}

impl From<(f64, f64)> for PaperOutput {
    fn from((width_mm, height_mm): (f64, f64)) -> Self {
        Self { width_mm, height_mm }
    }
}

impl From<MadeCall> for ToolCallOutput {
    fn from(call: MadeCall) -> Self {
        Self { tool: call.tool, ok: call.ok }
    }
}

impl From<PdfDocumentOutput> for ToolOutput {
    fn from(output: PdfDocumentOutput) -> Self {
        structured(&output)
    }
}
