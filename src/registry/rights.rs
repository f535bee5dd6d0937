//! Who may call what: the rights of the caller, tools that are closed to programs, and the tools
//! that a call is passed on to.

use serde_json::Value;

use super::context::{CallContext, Origin, Rights};
use super::foreign::ForeignTool;
use super::registry::Registry;
use super::tool::{InnerTool, Tool, Toolset};
use crate::error::{ErrorKind, ToolError};

impl Registry {
    /// Refuses what the caller may not use.
    pub(super) fn check_rights(
        &self,
        tool: &Tool,
        rights: &Rights,
        origin: Origin,
    ) -> Result<(), ToolError> {
        let covered = if origin.is_program() { covers(rights, tool) } else { allows(rights, tool) };
        if !covered {
            return Err(not_covered(tool.name));
        }
        let is_open = match origin {
            Origin::Page => tool.open_to_pages,
            Origin::Code | Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => {
                tool.open_to_code
            }
        };
        if is_open || self.is_opened(tool.name, origin) {
            return Ok(());
        }
        Err(closed(tool.name, origin))
    }

    /// Refuses a call that is passed on to a tool which the caller may not use itself.
    pub(super) fn check_inner(
        &self,
        tool: &Tool,
        arguments: &Value,
        context: &CallContext,
    ) -> Result<(), ToolError> {
        let Some(inner_of) = &tool.forwarding else { return Ok(()) };
        let (rights, origin) = (&context.rights, context.origin);
        let Some(inner) = inner_of(arguments) else {
            return Err(ToolError::invalid(
                "invalid_arguments",
                format!("the arguments of `{}` do not say which tool to call", tool.name),
            )
            .hint("name the tool as the input schema says"));
        };
        if let Some(own) = self.tool(&inner.name) {
            // A chain of tools that pass calls on would end at one that nobody looked at.
            if own.forwarding.is_some() {
                return Err(denied(&inner.name, "a call is passed on once only")
                    .hint("name the tool that is meant, not one that passes calls on"));
            }
            return self.check_rights(own, rights, origin);
        }
        match self.foreign.known(rights.principal.as_ref()).tools.get(&inner.name) {
            Some(tool) => self.check_foreign(tool, rights, origin),
            None => self.check_unlisted(&inner, rights, origin),
        }
    }

    /// Refuses a tool of another server that the caller may not use. Its name is in the same lists
    /// as those of our own. What pages call must be said to change nothing, what code calls must
    /// not be said to destroy; the operator can open more.
    pub(super) fn check_foreign(
        &self,
        tool: &ForeignTool,
        rights: &Rights,
        origin: Origin,
    ) -> Result<(), ToolError> {
        self.check_foreign_name(&tool.name, rights)?;
        // Of what another principal runs nobody learns even that it is there.
        if !tool.is_seen_by(rights.principal.as_ref()) {
            return Err(self.unknown_tool(&tool.name, rights));
        }
        if rights.read_only && !tool.hints.is_read_only() {
            return Err(not_covered(&tool.name));
        }
        let is_open = match origin {
            Origin::Page => tool.hints.is_read_only(),
            Origin::Code => !tool.hints.is_destructive(),
            Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => true,
        };
        if is_open || self.is_opened(&tool.name, origin) {
            return Ok(());
        }
        Err(closed(&tool.name, origin))
    }

    /// Refuses what the name of a foreign tool alone forbids.
    pub(super) fn check_foreign_name(&self, name: &str, rights: &Rights) -> Result<(), ToolError> {
        if self.server.exclude_tools.iter().any(|entry| entry == name) {
            return Err(self.unknown_tool(name, rights));
        }
        let in_toolsets =
            rights.toolsets.as_ref().is_none_or(|sets| sets.contains(Toolset::Catalog.as_str()));
        let in_tools = rights.tools.as_ref().is_none_or(|names| names.contains(name));
        if in_toolsets && in_tools { Ok(()) } else { Err(not_covered(name)) }
    }

    /// Whether the configuration offers a tool of another server.
    pub(super) fn offers_foreign(&self, tool: &ForeignTool) -> bool {
        let server = &self.server;
        let named = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
        if named(&server.exclude_tools, &tool.name)
            || (server.read_only && !tool.hints.is_read_only())
        {
            return false;
        }
        let narrowed = !server.toolsets.is_empty() || !server.tools.is_empty();
        !narrowed
            || named(&server.toolsets, Toolset::Catalog.as_str())
            || named(&server.tools, &tool.name)
    }

    /// Rights on a tool that a call is passed on to and that is not known yet.
    fn check_unlisted(
        &self,
        inner: &InnerTool,
        rights: &Rights,
        origin: Origin,
    ) -> Result<(), ToolError> {
        let is_named = rights.tools.as_ref().is_none_or(|names| names.contains(&inner.name));
        if !is_named || (rights.read_only && !inner.read_only) {
            return Err(not_covered(&inner.name));
        }
        if !origin.is_program() || inner.open_to_code || self.is_opened(&inner.name, origin) {
            return Ok(());
        }
        Err(closed(&inner.name, origin))
    }

    /// Whether nobody needs to open the tool, or the operator did.
    fn is_opened(&self, name: &str, origin: Origin) -> bool {
        let opened = match origin {
            Origin::Page => &self.server.open_to_pages,
            Origin::Code => &self.server.open_to_code,
            Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => return true,
        };
        opened.iter().any(|entry| entry == name)
    }
}

/// Whether a caller has the right to a tool. Those over jobs belong to every call, for without
/// them no other tool can be finished.
pub(super) fn allows(rights: &Rights, tool: &Tool) -> bool {
    tool.toolset == Toolset::Jobs || covers(rights, tool)
}

/// Whether the rights cover a tool, without the exception for jobs: calls of programs are awaited
/// to their end.
pub(super) fn covers(rights: &Rights, tool: &Tool) -> bool {
    if rights.read_only && !tool.annotations.read_only {
        return false;
    }
    let in_toolsets =
        rights.toolsets.as_ref().is_none_or(|sets| sets.contains(tool.toolset.as_str()));
    let in_tools = rights.tools.as_ref().is_none_or(|names| names.contains(tool.name));
    in_toolsets && in_tools
}

fn not_covered(name: &str) -> ToolError {
    denied(name, "these credentials do not cover it")
        .hint("use another tool, or credentials that cover this one")
}

/// The refusal of a closed tool, with the setting that opens it.
fn closed(name: &str, origin: Origin) -> ToolError {
    let (who, setting) = match origin {
        Origin::Page => ("pages", "server.open_to_pages"),
        Origin::Code | Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => {
            ("code", "server.open_to_code")
        }
    };
    denied(name, &format!("it is closed to {who}")).hint(format!(
        "call it from the client; the operator can open it to {who} with `{setting} = [\"{name}\"]`"
    ))
}

fn denied(name: &str, reason: &str) -> ToolError {
    let shown: String = name.chars().take(64).collect();
    ToolError::new(
        ErrorKind::Denied,
        "tool_not_allowed",
        format!("`{shown}` may not be called here: {reason}"),
    )
}
