//! `edit_web_app`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edits::{EditArguments, EditFacts, said};
use super::{default_model, default_user_number};
use crate::documents::model::NO_CONTEXT_FOR_EDIT;
use crate::documents::verification::Verification;
use crate::documents::{Documents, EditDocument, EditedDocument};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};
use crate::storage::DocumentKind;

const DESCRIPTION: &str = "Edits a web app that was created before: a model writes the change as search-and-replace blocks, which are applied all or not at all, and the result is the next version at the same URL. Say in `user_edit_request` what should change; everything else stays as it is. To make the change yourself, give the blocks in `edits`. Earlier versions are kept: `list_document_versions`, `restore_document_version`.";

/// Arguments of `edit_web_app`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EditWebAppParams {
    /// The user's unique identifier (such as a phone number), which keeps each user's apps apart.
    /// Usually filled in by the backend; do not ask the user for it.
    #[serde(default = "default_user_number")]
    user_number: String,
    /// Name of the web app to edit, as `create_web_app` and `list_web_apps` return it.
    #[serde(default)]
    app_name: Option<String>,
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
    /// The change, written by you, and no model is called. Each edit is a block: a line
    /// `<<<<<<< SEARCH`, lines copied exactly from the source (`/raw` of the app shows it) that
    /// stand there once, a line `=======`, the lines that take their place (none to delete), a line
    /// `>>>>>>> REPLACE`. All blocks are applied, or none.
    #[serde(default)]
    edits: Option<String>,
    /// Names of the tools that the app's pages may call from now on, in place of those before.
    /// Left out: as before.
    #[serde(default)]
    mcp_tool_names: Option<Vec<String>>,
    /// Later clients' name of `user_edit_request`.
    #[serde(default)]
    #[schemars(skip)]
    user_request: Option<String>,
    /// Later clients' name of `client_injected_context`.
    #[serde(default)]
    #[schemars(skip)]
    additional_context: Option<String>,
}

fn default_context() -> String {
    NO_CONTEXT_FOR_EDIT.to_owned()
}

/// Result of `edit_web_app`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EditWebAppOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Address of the app; it stays the same over all versions.
    url: String,
    /// Number of the newest version.
    version: i64,
    /// Name of the app.
    app_name: String,
    #[serde(flatten)]
    facts: EditFacts,
    /// What a browser found when it opened the new page, on a phone and on a desktop. Absent when
    /// the page is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    /// What may not work as wished since this edit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// The tool.
pub(crate) fn tool(documents: &Arc<Documents>) -> Tool {
    let documents = Arc::clone(documents);
    Tool::builder("edit_web_app", "Edit a web app", Toolset::Documents)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .closed_to_pages()
        .job(move |run, params: EditWebAppParams| {
            let documents = Arc::clone(&documents);
            async move {
                let model_requested = params.model.clone();
                let (call, notes) = params.into_call();
                let edited = documents.edit(&run, call).await?;
                Ok(EditWebAppOutput::new(edited, model_requested, &notes))
            }
        })
}

impl EditWebAppParams {
    /// The call, and what there is to say about arguments that are left aside.
    fn into_call(self) -> (EditDocument, Vec<&'static str>) {
        EditArguments {
            user_number: self.user_number,
            name: self.app_name,
            user_edit_request: self.user_edit_request,
            user_request: self.user_request,
            client_injected_context: self.client_injected_context,
            additional_context: self.additional_context,
            model: self.model,
            edits: self.edits,
            tool_names: self.mcp_tool_names,
            page: None,
        }
        .into_call(DocumentKind::WebApp)
    }
}

impl EditWebAppOutput {
    fn new(edited: EditedDocument, model_requested: String, notes: &[&str]) -> Self {
        let message = said(&edited.message, notes);
        Self {
            status: if edited.warnings.is_empty() { "success" } else { "warning" },
            message,
            url: edited.url,
            version: edited.version,
            app_name: edited.name,
            facts: EditFacts::new(edited.result, edited.writer, edited.answers, model_requested),
            verification: edited.verification,
            warnings: edited.warnings,
        }
    }
}

impl From<EditWebAppOutput> for ToolOutput {
    fn from(output: EditWebAppOutput) -> Self {
        structured(&output)
    }
}
