//! `create_web_app`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{default_model, default_user_number};
use crate::documents::model::NO_CONTEXT;
use crate::documents::verification::Verification;
use crate::documents::{CollectedFile, CreateWebApp, Documents, PublishedApp, Writer};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Creates a web application from a request and hosts it: returns the URL of a complete, self-contained page, kept in versions. Say what the app should do and for whom, pass on what the user said, and add attachments; layout, looks and technique are chosen well without instructions, so give those only when the user asked for them. A name that is in use makes a new version of that app at the same URL. To host a page that you have written yourself, give it in `html`: it is stored as it is. Every page is opened in a browser first, and `verification` says what was found; a page that does not work is put right or not published.";

/// Arguments of `create_web_app`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreateWebAppParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's apps apart.
    /// Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Name of the web app, short and fitting, with underscores for spaces ('my_cool_app'). Made
    /// from the app's title when left out. A name in use makes a new version of that app.
    #[serde(default)]
    app_name: Option<String>,
    /// Public http(s) URLs of files that the app may show or offer for download (at most 20, 10 MiB
    /// each). Base64 data is not accepted.
    #[serde(default)]
    attachments: Option<Vec<String>>,
    /// What the web app should do, its purpose and content: the main input.
    #[serde(default)]
    user_request: Option<String>,
    /// Additional context such as the conversation so far, added by the client. Used as the request
    /// when `user_request` is left out.
    #[serde(default = "default_context")]
    client_injected_context: String,
    /// Model that writes the page. `auto` takes whatever is configured or at hand; `host` asks you
    /// to write it.
    #[serde(default = "default_model")]
    model: String,
    /// A complete HTML document that you have written. It is stored as it is, large pictures in it as
    /// files beside it, and no model is called.
    #[serde(default)]
    html: Option<String>,
    /// Names of tools of this server that the app's pages may call while they are used, such as
    /// `ask_ai` for answers of a language model. Whoever holds the app's link calls them in the
    /// user's name. None when left out; on a name in use, left out keeps the app's list and given
    /// replaces it.
    #[serde(default)]
    mcp_tool_names: Option<Vec<String>>,
    /// Later clients' name of `client_injected_context`.
    #[serde(default)]
    #[schemars(skip)]
    additional_context: Option<String>,
}

pub(super) fn default_context() -> String {
    NO_CONTEXT.to_owned()
}

/// Result of `create_web_app`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CreateWebAppOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Address of the app; it stays the same over all versions.
    url: String,
    /// Number of this version, from 1.
    version: i64,
    /// Name of the app, for further calls.
    app_name: String,
    /// Model that wrote the page; null when you did.
    #[schemars(with = "serde_json::Value")]
    model_used: Option<String>,
    /// Model as the call named it.
    model_requested: String,
    /// How the model was reached: `api`, `sampling`, `local`, `command`, `host`, or `none` when the
    /// page was given.
    llm_route: &'static str,
    /// Why another model than the requested one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
    /// Files that were stored with the app.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<AttachmentOutput>,
    /// Tools that the app's pages may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mcp_tool_names: Vec<String>,
    /// What a browser found when it opened the page, on a phone and on a desktop.
    verification: Verification,
    /// What may not work as wished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A file of the app.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AttachmentOutput {
    /// Name.
    name: String,
    /// Type by its bytes.
    media_type: String,
    /// Size in bytes.
    bytes: i64,
    /// Address inside the app, relative to its URL.
    path: String,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("create_web_app", "Create a web app", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .closed_to_pages()
        .job(move |run, params: CreateWebAppParams| {
            let documents = Arc::clone(&documents);
            async move {
                let model_requested = params.model.clone();
                let (call, notes) = params.into_call();
                let app = documents.create_web_app(&run, call).await?;
                Ok(CreateWebAppOutput::new(app, model_requested, &notes))
            }
        })
}

impl CreateWebAppParams {
    /// The call, and what there is to say about arguments that are left aside.
    fn into_call(self) -> (CreateWebApp, Vec<&'static str>) {
        let context = Some(self.client_injected_context)
            .filter(|context| !context.trim().is_empty() && context != NO_CONTEXT);
        let mut notes = Vec::new();
        if context.is_some() && self.additional_context.is_some() {
            notes.push(
                "`additional_context` was ignored, since `client_injected_context` was given too.",
            );
        }
        let call = CreateWebApp {
            user_number: self.user_number,
            app_name: self.app_name,
            attachments: self.attachments.unwrap_or_default(),
            user_request: self.user_request,
            context: context.or(self.additional_context),
            model: self.model,
            html: self.html,
            tool_names: self.mcp_tool_names,
        };
        (call, notes)
    }
}

impl CreateWebAppOutput {
    fn new(app: PublishedApp, model_requested: String, notes: &[&str]) -> Self {
        let (model_used, llm_route, model_note) = match app.writer {
            Writer::Caller => (None, "none", None),
            Writer::Model { used, route, note } => (used, route.as_str(), note),
        };
        let message = [&[app.message.as_str()], notes].concat().join(" ");
        Self {
            status: if app.warnings.is_empty() { "success" } else { "warning" },
            message,
            url: app.url,
            version: app.version,
            app_name: app.app_name,
            model_used,
            model_requested,
            llm_route,
            model_note,
            attachments: app.attachments.files.into_iter().map(AttachmentOutput::from).collect(),
            mcp_tool_names: app.tool_names,
            verification: app.verification,
            warnings: app.warnings,
        }
    }
}

impl From<CollectedFile> for AttachmentOutput {
    fn from(file: CollectedFile) -> Self {
        let path = file.address();
        let attachment = file.attachment;
        Self {
            name: attachment.name,
            media_type: attachment.media_type,
            bytes: attachment.bytes,
            path,
        }
    }
}

impl From<CreateWebAppOutput> for ToolOutput {
    fn from(output: CreateWebAppOutput) -> Self {
        structured(&output)
    }
}
