//! Other MCP servers: what the file says. None is started.

use super::{Check, Status};
use crate::config::mcp_servers::McpServers;

pub(super) fn check(servers: &McpServers) -> Check {
    let Some(file) = &servers.file else {
        return Check::finding(
            "mcp_servers",
            Status::Optional,
            "no other MCP servers are named",
            "write mcp_servers.json beside atelier.toml; mcp_servers.json.example shows how",
        );
    };
    let usable = servers.servers.len();
    let detail = format!("{usable} named in {}", file.display());
    let mut check = if servers.problems.is_empty() && servers.warnings.is_empty() {
        Check::ok("mcp_servers", detail)
    } else {
        let first = servers.problems.values().next();
        let fix = first.map_or("correct the keys named here", |problem| problem.hint.as_str());
        Check::finding("mcp_servers", Status::Warning, detail, fix)
    };
    let lines = servers.servers.iter().map(|(name, spec)| format!("{name}: {}", spec.summary()));
    check.reasons.extend(lines);
    let problems = servers.problems.values();
    check.reasons.extend(problems.map(|problem| format!("{}: {}", problem.place, problem.message)));
    check.reasons.extend(servers.warnings.iter().cloned());
    check
}
