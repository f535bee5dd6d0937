//! `list_pdf_documents`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{default_user_number, rfc3339};
use crate::documents::{DocumentList, Documents};
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};
use crate::storage::{Document, DocumentKind};

const DESCRIPTION: &str = "Lists the PDF documents that the user has created, newest change first, each with its `doc_name` and `url`.";

/// Arguments of `list_pdf_documents`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListPdfDocumentsParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's documents
    /// apart. Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Most documents to return; beyond 1000 none are.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1))]
    limit: u64,
}

const fn default_limit() -> u64 {
    10
}

/// Result of `list_pdf_documents`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListPdfDocumentsOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The documents, newest change first.
    pdf_documents: Vec<PdfDocumentOutput>,
    /// Page that shows everything the user has made; it opens with this link alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery_url: Option<String>,
}

/// A document.
#[derive(Debug, Serialize, JsonSchema)]
struct PdfDocumentOutput {
    /// Name, for further calls.
    doc_name: String,
    /// Address of the PDF.
    url: String,
    /// Newest version.
    version: i64,
    /// Title of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Size of the PDF in bytes.
    bytes: i64,
    /// When it was made (RFC 3339).
    created_at: String,
    /// When its newest version was made (RFC 3339).
    updated_at: String,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("list_pdf_documents", "List PDF documents", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(
            portable_schema::<ListPdfDocumentsOutput>(),
            move |call, params: ListPdfDocumentsParams| {
                let documents = Arc::clone(&documents);
                async move {
                    let limit = u32::try_from(params.limit).unwrap_or(u32::MAX);
                    let (principal, user) = (&call.context.principal, &params.user_number);
                    let list = documents.list(principal, user, DocumentKind::Pdf, limit).await?;
                    Ok(DirectReply::Output(structured(&ListPdfDocumentsOutput::from(list))))
                }
            },
        )
}

impl From<DocumentList> for ListPdfDocumentsOutput {
    fn from(list: DocumentList) -> Self {
        let pdf_documents: Vec<PdfDocumentOutput> =
            list.documents.into_iter().map(PdfDocumentOutput::from).collect();
        let message = match (pdf_documents.len(), list.more) {
            (0, _) => "No PDF documents yet; `create_pdf_document` makes one.".to_owned(),
            (1, false) => "1 PDF document.".to_owned(),
            (count, false) => format!("{count} PDF documents."),
            (count, true) => {
                format!("The newest {count} PDF documents; a higher `limit` shows more.")
            }
        };
        Self { status: "success", message, pdf_documents, gallery_url: list.gallery_url }
    }
}

impl From<(Document, String)> for PdfDocumentOutput {
    fn from((document, url): (Document, String)) -> Self {
        Self {
            doc_name: document.name,
            url,
            version: document.head,
            title: document.title,
            bytes: document.bytes,
            created_at: rfc3339(document.created_at),
            updated_at: rfc3339(document.updated_at),
        }
    }
}
