//! `list_web_apps`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{default_user_number, rfc3339};
use crate::documents::{DocumentList, Documents};
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};
use crate::storage::{Document, DocumentKind};

const DESCRIPTION: &str = "Lists the web applications that the user has created, newest change first, each with its `app_name` and `url`.";

/// Arguments of `list_web_apps`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListWebAppsParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's apps apart.
    /// Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Most web apps to return; beyond 1000 none are.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1))]
    limit: u64,
}

const fn default_limit() -> u64 {
    10
}

/// Result of `list_web_apps`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListWebAppsOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The apps, newest change first.
    web_apps: Vec<WebAppOutput>,
    /// Page that shows all apps; it opens with this link alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery_url: Option<String>,
}

/// An app.
#[derive(Debug, Serialize, JsonSchema)]
struct WebAppOutput {
    /// Name, for further calls.
    app_name: String,
    /// Address.
    url: String,
    /// Newest version.
    version: i64,
    /// Title of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Size of the page in bytes.
    bytes: i64,
    /// When it was made (RFC 3339).
    created_at: String,
    /// When its newest version was made (RFC 3339).
    updated_at: String,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("list_web_apps", "List web apps", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(portable_schema::<ListWebAppsOutput>(), move |call, params: ListWebAppsParams| {
            let documents = Arc::clone(&documents);
            async move {
                let limit = u32::try_from(params.limit).unwrap_or(u32::MAX);
                let (principal, user) = (&call.context.principal, &params.user_number);
                let list = documents.list(principal, user, DocumentKind::WebApp, limit).await?;
                Ok(DirectReply::Output(structured(&ListWebAppsOutput::from(list))))
            }
        })
}

impl From<DocumentList> for ListWebAppsOutput {
    fn from(list: DocumentList) -> Self {
        let web_apps: Vec<WebAppOutput> =
            list.documents.into_iter().map(WebAppOutput::from).collect();
        let message = match (web_apps.len(), list.more) {
            (0, _) => "No web apps yet; `create_web_app` makes one.".to_owned(),
            (1, false) => "1 web app.".to_owned(),
            (count, false) => format!("{count} web apps."),
            (count, true) => format!("The newest {count} web apps; a higher `limit` shows more."),
        };
        Self { status: "success", message, web_apps, gallery_url: list.gallery_url }
    }
}

impl From<(Document, String)> for WebAppOutput {
    fn from((document, url): (Document, String)) -> Self {
        Self {
            app_name: document.name,
            url,
            version: document.head,
            title: document.title,
            bytes: document.bytes,
            created_at: rfc3339(document.created_at),
            updated_at: rfc3339(document.updated_at),
        }
    }
}
