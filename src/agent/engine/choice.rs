//! Which tools a run gets.

use std::collections::BTreeMap;

use serde_json::json;

use super::calls::READ_RESULT;
use super::driver::Engine;
use super::plan::{FrozenTool, RunRequest, fits};
use crate::error::ToolError;
use crate::registry::{CallContext, Origin, Rights, SERVER_DIVIDER, Toolset};
use crate::storage::blobs::sha256_hex;

/// Most tools that a model is told of with all their schemas.
const MANY_TOOLS: usize = 40;
/// Tools that stand in for a large catalog.
const CATALOG_TOOLS: [&str; 3] = ["search_tools", "describe_tool", "call_tool"];
/// Tools that a run gets only when it names them.
pub(crate) const ON_REQUEST: [&str; 2] = ["run_workflow", "ask_ai"];
/// Longest name of a tool that every vendor takes.
const ALIAS: usize = 64;

impl Engine {
    /// Starts the other servers whose tools the run may call, so that they are known.
    pub(super) async fn learn(&self, context: &CallContext, request: &RunRequest) {
        let choice = &request.tools;
        if choice.nothing {
            return;
        }
        let (caller, rights) = (self.caller(), &context.rights);
        let of_servers = choice.servers.iter().map(|server| format!("{server}{SERVER_DIVIDER}"));
        let named = choice.names.iter().filter(|name| name.contains(SERVER_DIVIDER)).cloned();
        let names: Vec<String> = of_servers.chain(named).collect();
        if names.is_empty() && choice.names.is_empty() {
            // What could not be asked is no part of the run; its servers say why in the log.
            caller.learn(rights).await;
        } else {
            caller.learn_named(names.iter().map(String::as_str), rights).await;
        }
    }

    /// The tools of a run, as they are now.
    pub(super) fn tools(
        &self,
        context: &CallContext,
        request: &RunRequest,
    ) -> Result<Vec<FrozenTool>, ToolError> {
        let choice = &request.tools;
        if choice.nothing {
            return Ok(Vec::new());
        }
        let caller = self.caller();
        let origin = context.origin.narrower(Origin::Workflow);
        // Counted over all that the server offers: narrower rights make no name more exact.
        let mut offered: BTreeMap<String, usize> = BTreeMap::new();
        for server in caller
            .tools(&Rights::default(), Origin::Workflow)
            .into_iter()
            .filter_map(|tool| tool.server)
        {
            *offered.entry(server).or_default() += 1;
        }
        let is_named_alone = |server: &Option<String>| {
            server.as_ref().is_some_and(|server| {
                choice.servers.contains(server) && offered.get(server) == Some(&1)
            })
        };
        let all: Vec<FrozenTool> = caller
            .tools(&context.rights, origin)
            .into_iter()
            .filter_map(|tool| {
                let hints = caller.hints(&tool.name);
                if hints.is_some_and(|hints| hints.toolset == Toolset::Jobs) {
                    return None;
                }
                let annotations = hints.map(|hints| hints.annotations);
                // What other servers claim about repeating is not relied on; what they say that
                // they destroy is.
                let claimed = tool.annotations;
                let is_harmless = claimed.is_read_only() || claimed.destructive_hint == Some(false);
                let claims = if claimed.is_destructive() {
                    Some(true)
                } else {
                    is_harmless.then_some(false)
                };
                Some(FrozenTool {
                    consented: is_named_alone(&tool.server),
                    alias: alias(&tool.name),
                    name: tool.name,
                    description: tool.description,
                    schema: tool.input_schema,
                    server: tool.server,
                    reads_only: annotations.is_some_and(|hints| hints.read_only),
                    idempotent: annotations.is_some_and(|hints| hints.idempotent),
                    resumes: hints.is_some_and(|hints| hints.is_job),
                    destructive: match annotations {
                        Some(own) => Some(own.destructive),
                        None => claims,
                    },
                })
            })
            .collect();
        let of_server = |tool: &FrozenTool, server: &str| tool.server.as_deref() == Some(server);
        let missing: Vec<&str> = choice
            .servers
            .iter()
            .filter(|server| !all.iter().any(|tool| of_server(tool, server)))
            .map(String::as_str)
            .collect();
        let none_is_there = missing.len() == choice.servers.len();
        if !missing.is_empty() && (!none_is_there || choice.without_servers.is_empty()) {
            return Err(ToolError::not_found(
                "server_not_found",
                format!("no tools of the MCP servers `{}` are at hand", missing.join("`, `")),
            )
            .hint(
                "name them in `mcp_servers.json`, or start made ones with start_mcp_server; search_tools shows what they offer",
            ));
        }
        let mut patterns: Vec<&str> = choice.names.iter().map(String::as_str).collect();
        if none_is_there {
            patterns.extend(choice.without_servers.iter().map(String::as_str));
        }
        let takes_all = patterns.is_empty() && choice.servers.is_empty();
        let mut tools: Vec<FrozenTool> = all
            .into_iter()
            .filter(|tool| {
                let is_named = patterns.iter().any(|pattern| {
                    fits(pattern, &tool.name)
                        && (!pattern.contains('*') || !ON_REQUEST.contains(&tool.name.as_str()))
                });
                let is_of_server = choice.servers.iter().any(|server| of_server(tool, server));
                let is_on_request =
                    ON_REQUEST.contains(&tool.name.as_str()) && !choice.also.contains(&tool.name);
                (is_named || is_of_server || (takes_all && !is_on_request))
                    && !choice.except.iter().any(|pattern| fits(pattern, &tool.name))
            })
            .collect();
        for pattern in &choice.names {
            if !pattern.contains('*') && !tools.iter().any(|tool| tool.name == *pattern) {
                return Err(ToolError::not_found(
                    "unknown_tool",
                    format!("the run names the tool `{pattern}`, which is not at hand"),
                )
                .hint("`atelier tools` lists the tools; correct `tools`"));
            }
        }
        // A large catalog is searched instead of being told whole.
        if takes_all && tools.len() > MANY_TOOLS {
            tools.retain(|tool| tool.server.is_none());
        } else if takes_all {
            tools.retain(|tool| !CATALOG_TOOLS.contains(&tool.name.as_str()));
        }
        if !tools.is_empty() {
            tools.push(read_result());
        }
        tools.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(tools)
    }
}

/// A name that every vendor takes: the tool's own where it is one.
fn alias(name: &str) -> String {
    let known = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    let starts_well =
        name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if name.len() <= ALIAS && starts_well && name.chars().all(known) {
        return name.to_owned();
    }
    let clean: String =
        name.chars().map(|letter| if known(letter) { letter } else { '_' }).take(50).collect();
    let hash: String = sha256_hex(name.as_bytes()).0.chars().take(8).collect();
    let lead = if starts_well { "" } else { "t_" };
    format!("{lead}{clean}_{hash}")
}

/// The tool of the loop that reads on in a kept result.
fn read_result() -> FrozenTool {
    FrozenTool {
        name: READ_RESULT.to_owned(),
        alias: READ_RESULT.to_owned(),
        description: "Reads on in the kept result of an earlier call that was shown cut or shortened. `path` leads to a value inside it: keys and list indexes, separated by `__`; without it the whole result is read. `offset` is where to go on, in bytes.".to_owned(),
        schema: json!({
            "type": "object",
            "properties": {
                "call_id": {"type": "string", "description": "The call_id of the result, 8 hex digits"},
                "path": {"type": "string", "description": "Keys and list indexes, separated by `__`"},
                "offset": {"type": "integer", "minimum": 0, "description": "Byte to go on from"}
            },
            "required": ["call_id"]
        }),
        server: None,
        reads_only: true,
        idempotent: true,
        resumes: false,
        destructive: Some(false),
        consented: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendor_takes_the_names_of_tools() {
        assert_eq!(alias("create_web_app"), "create_web_app");
        let long = format!("server__{}", "x".repeat(100));
        for name in [long.as_str(), "a.b/c", "1st", "grün__tool"] {
            let short = alias(name);
            assert!(short.len() <= ALIAS, "{short}");
            assert!(
                short.is_ascii() && !short.starts_with(|l: char| l.is_ascii_digit()),
                "{short}"
            );
        }
        assert_ne!(alias("a.b"), alias("a/b"));
    }
}
