//! The resolved configuration as text, with secrets masked and the source of every value.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::load::Resolved;
use super::mcp_servers::{Connection, McpServers};
use super::schema::Schema;
use super::secret::MASK;
use super::source::Source;

/// The configuration as TOML that could be a configuration file, each value followed by where it
/// comes from. Values that are absent are comments.
pub fn render(resolved: &Resolved) -> String {
    let values = serde_json::to_value(&resolved.config).unwrap_or_default();
    let mut text = String::new();
    let mut section = Vec::new();
    let mut paths = Schema::new().value_paths();
    // Sections of sections come after the values of their parent, as TOML wants it.
    paths.sort_by_key(|path| path.split_last().map(|(_, parents)| parents.to_vec()));
    for path in paths {
        let Some((key, parents)) = path.split_last() else { continue };
        if parents != section {
            section = parents.to_vec();
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{}]", section.join("."));
        }
        let value = path.iter().try_fold(&values, |value, key| value.get(key));
        let source = resolved.sources.get(&path.join(".")).unwrap_or(&Source::Default);
        let _ = match value {
            None | Some(Json::Null) => writeln!(text, "# {key} is not set"),
            Some(value) => writeln!(text, "{key} = {}  # {source}", inline(value)),
        };
    }
    text
}

/// The other servers as comments of that text: what each is, and what is wrong.
pub fn render_servers(servers: &McpServers) -> String {
    let mut text = match &servers.file {
        Some(file) => format!("# other MCP servers: {}", file.display()),
        None => "# other MCP servers: none".to_owned(),
    };
    for (name, spec) in &servers.servers {
        let kind = match &spec.connection {
            Connection::Stdio(_) => "stdio",
            Connection::Http { .. } => "http",
        };
        let _ = write!(text, "\n#   {name}: {kind}, {}", spec.summary());
    }
    for name in &servers.disabled {
        let _ = write!(text, "\n#   {name}: disabled");
    }
    for (name, problem) in &servers.problems {
        let _ = write!(text, "\n#   {name}: NOT USABLE: {}; {}", problem.message, problem.hint);
    }
    for warning in &servers.warnings {
        let _ = write!(text, "\n#   warning: {warning}");
    }
    text
}

fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => quote(&without_password(text)),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entries = entries
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} = {}", quote(key), inline(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A proxy may be named with its password.
fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // The mask is no URL text, so it goes in after the URL is written.
            match url.set_password(Some("MASK")) {
                Ok(()) => url.to_string().replacen(":MASK@", &format!(":{MASK}@"), 1),
                Err(()) => MASK.to_owned(),
            }
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        assert_eq!(
            without_password("http://me:hunter2@proxy:3128/"),
            format!("http://me:{MASK}@proxy:3128/")
        );
        assert_eq!(without_password("http://proxy:3128/"), "http://proxy:3128/");
    }
}
