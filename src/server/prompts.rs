//! MCP prompts: the main flows, as commands that a user picks in the client.
//!
//! A prompt is offered when the caller may use the tool that it leads to.

use std::sync::Arc;

use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, GetPromptRequestParams,
    GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Reference, Role,
};
use serde_json::Value;

use super::auth::Caller;
use super::door::Door;
use crate::error::ToolError;
use crate::storage::DocumentKind;

/// Documents that are looked through for a completion.
const COMPLETED_DOCUMENTS: u32 = 200;

/// An argument of a flow.
struct Argument {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    required: bool,
}

/// A prompt.
struct Flow {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// The tool that it leads to.
    tool: &'static str,
    arguments: &'static [Argument],
    /// What the user says by picking it, before the arguments.
    opening: &'static str,
}

const FLOWS: [Flow; 2] = [
    Flow {
        name: "make_web_app",
        title: "Make a web app",
        description: "Makes a web app from a request and hosts it",
        tool: "create_web_app",
        arguments: &[
            Argument {
                name: "request",
                title: "Request",
                description: "What the app is for and what it has to do",
                required: true,
            },
            Argument {
                name: "app_name",
                title: "Name",
                description: "Name of the app; a name in use makes a new version of that app",
                required: false,
            },
        ],
        opening: "Make the following web app with `create_web_app` and give me its link. Pass my \
                  request on as it is, without instructions on design or technique of your own.",
    },
    Flow {
        name: "show_web_apps",
        title: "Show my web apps",
        description: "Lists the web apps made so far, with their links",
        tool: "list_web_apps",
        arguments: &[],
        opening: "List my web apps with `list_web_apps`, newest first, each with its link.",
    },
];

fn offered(door: &Door, caller: &Caller) -> impl Iterator<Item = &'static Flow> {
    FLOWS.iter().filter(|flow| door.tool(flow.tool, &caller.rights).is_some())
}

fn flow(door: &Door, caller: &Caller, name: &str) -> Result<&'static Flow, ErrorData> {
    offered(door, caller)
        .find(|flow| flow.name == name)
        .ok_or_else(|| ErrorData::invalid_params(format!("Unknown prompt: {name}"), None))
}

/// The prompts of this caller.
pub(super) fn list(door: &Door, caller: &Caller) -> Vec<Prompt> {
    offered(door, caller)
        .map(|flow| {
            let arguments = flow.arguments.iter().map(|argument| {
                PromptArgument::new(argument.name)
                    .with_title(argument.title)
                    .with_description(argument.description)
                    .with_required(argument.required)
            });
            Prompt::new(flow.name, Some(flow.description), Some(arguments.collect()))
                .with_title(flow.title)
        })
        .collect()
}

/// A prompt with its arguments filled in.
///
/// # Errors
/// Invalid parameters: no such prompt, or an argument is missing.
pub(super) fn get(
    door: &Door,
    caller: &Caller,
    request: &GetPromptRequestParams,
) -> Result<GetPromptResult, ErrorData> {
    let flow = flow(door, caller, &request.name)?;
    let mut text = flow.opening.to_owned();
    for argument in flow.arguments {
        match given(request.arguments.as_ref(), argument.name) {
            Some(value) => {
                text.push_str("\n\n");
                text.push_str(argument.title);
                text.push_str(": ");
                text.push_str(value);
            }
            None if argument.required => {
                return Err(ErrorData::invalid_params(
                    format!("the prompt `{}` needs the argument `{}`", flow.name, argument.name),
                    None,
                ));
            }
            None => {}
        }
    }
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
        .with_description(flow.description))
}

fn given<'a>(arguments: Option<&'a JsonObject>, name: &str) -> Option<&'a str> {
    let value = arguments?.get(name).and_then(Value::as_str)?.trim();
    (!value.is_empty()).then_some(value)
}

/// Values for an argument that is being typed: names of the principal's apps.
///
/// # Errors
/// Invalid parameters: no such prompt; internal: the store failed.
pub(super) async fn complete(
    door: &Arc<Door>,
    caller: &Caller,
    request: &CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let Reference::Prompt(prompt) = &request.r#ref else {
        return Err(ErrorData::invalid_params("this server has no resource templates", None));
    };
    let flow = flow(door, caller, &prompt.name)?;
    if !flow.arguments.iter().any(|argument| argument.name == request.argument.name) {
        return Err(ErrorData::invalid_params(
            format!("the prompt `{}` has no argument `{}`", flow.name, request.argument.name),
            None,
        ));
    }
    if request.argument.name != "app_name" {
        return Ok(CompleteResult::default());
    }
    let documents = door
        .app
        .catalog
        .documents_of_principal(&caller.principal, COMPLETED_DOCUMENTS)
        .await
        .map_err(|error| ErrorData::internal_error(ToolError::from(error).message, None))?;
    let typed = request.argument.value.to_lowercase();
    let mut names: Vec<String> = documents
        .into_iter()
        .filter(|document| document.kind == DocumentKind::WebApp)
        .map(|document| document.name)
        .filter(|name| name.to_lowercase().starts_with(&typed))
        .collect();
    names.dedup();
    names.truncate(CompletionInfo::MAX_VALUES);
    let completion =
        CompletionInfo::new(names).map_err(|error| ErrorData::internal_error(error, None))?;
    Ok(CompleteResult::new(completion))
}
