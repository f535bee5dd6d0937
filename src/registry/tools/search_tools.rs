//! `search_tools`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry::foreign::UnlistedServer;
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};
use crate::registry::{Caller, ToolDescription};

const DESCRIPTION: &str = "Finds tools by what they do, among all tools of this server and of the other MCP servers that it is connected to, best first. Describe the task in your own words. Then read the arguments with describe_tool and call the tool with call_tool. Not needed for tools that your tool list shows already.";

/// Characters of a description that a list shows.
const SHOWN: usize = 300;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// What the tool should do, in words: `send a message to a channel`. Empty: all tools by name.
    #[serde(default)]
    query: String,
    /// Most tools to return.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100), default = "default_limit")]
    limit: usize,
}

const fn default_limit() -> usize {
    10
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The tools, best first.
    tools: Vec<Found>,
    /// Servers that could not be asked, so that their tools are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Value>")]
    unavailable_servers: Vec<UnlistedServer>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    /// Name for describe_tool and call_tool.
    name: String,
    /// What it does; cut when long.
    description: String,
    /// The server that it belongs to; `atelier` for our own.
    server: String,
}

impl From<ToolDescription> for Found {
    fn from(tool: ToolDescription) -> Self {
        let mut description: String = tool.description.chars().take(SHOWN).collect();
        if description.len() < tool.description.len() {
            description.push('…');
        }
        let server = tool.server.unwrap_or_else(|| "atelier".to_owned());
        Self { name: tool.name, description, server }
    }
}

pub(super) fn tool(caller: &Caller) -> Tool {
    let caller = caller.clone();
    Tool::builder("search_tools", "Find tools", Toolset::Catalog)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(portable_schema::<Output>(), move |call, params: Params| {
            let caller = caller.clone();
            async move {
                let (rights, origin) = (&call.context.rights, call.context.origin);
                let unavailable_servers = caller.learn(rights).await;
                let found = caller.search(&params.query, params.limit, rights, origin).await?;
                let message = match found.len() {
                    0 => "No tool fits; describe the task in other words.".to_owned(),
                    1 => "1 tool.".to_owned(),
                    count => format!("{count} tools, best first."),
                };
                let status = if unavailable_servers.is_empty() { "success" } else { "warning" };
                let tools = found.into_iter().map(Found::from).collect();
                let output = Output { status, message, tools, unavailable_servers };
                Ok(DirectReply::Output(structured(&output)))
            }
        })
}
