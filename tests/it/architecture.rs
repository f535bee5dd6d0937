//! Which way the arrows point: every path that begins with `crate::` against a table.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::sources::sources;

/// Module, and the modules that it may name. A new arrow is a change of this table.
const ARROWS: [(&str, &[&str]); 28] = [
    ("agent", &["content_urls", "error", "jobs", "llm", "prompts", "registry", "storage"]),
    (
        "app",
        &[
            "agent",
            "prompts",
            "browser",
            "config",
            "content_urls",
            "documents",
            "egress",
            "elixir",
            "error",
            "factory",
            "fetch",
            "installation_key",
            "jobs",
            "llm",
            "mcp_client",
            "python",
            "registry",
            "sandbox",
            "server",
            "storage",
        ],
    ),
    ("browser", &["config"]),
    (
        "cli",
        &[
            "agent",
            "app",
            "config",
            "content_urls",
            "doctor",
            "error",
            "jobs",
            "registry",
            "sandbox",
            "server",
            "telemetry",
        ],
    ),
    ("config", &[]),
    ("content_urls", &["installation_key"]),
    ("doctor", &["app", "browser", "config", "llm", "sandbox", "server"]),
    (
        "documents",
        &[
            "browser",
            "config",
            "content_urls",
            "error",
            "fetch",
            "jobs",
            "libraries",
            "llm",
            "page_runtime",
            "prompts",
            "registry",
            "storage",
        ],
    ),
    ("egress", &[]),
    ("elixir", &["error", "jobs", "llm", "prompts", "registry"]),
    ("error", &["llm", "storage"]),
    (
        "factory",
        &[
            "config", "egress", "error", "fetch", "jobs", "llm", "prompts", "registry", "sandbox",
            "storage",
        ],
    ),
    ("fetch", &["egress"]),
    ("installation_key", &[]),
    ("jobs", &["config", "error", "llm", "registry", "storage"]),
    ("lib", &[]),
    ("libraries", &[]),
    ("llm", &["config"]),
    ("main", &[]),
    ("mcp_client", &["config", "error", "jobs", "registry", "storage"]),
    ("page_runtime", &[]),
    ("prompts", &["error", "storage"]),
    (
        "python",
        &["content_urls", "error", "jobs", "llm", "prompts", "registry", "sandbox", "storage"],
    ),
    ("registry", &["config", "error", "jobs", "llm", "storage"]),
    ("sandbox", &[]),
    (
        "server",
        &[
            "agent",
            "app",
            "config",
            "content_urls",
            "error",
            "installation_key",
            "jobs",
            "libraries",
            "llm",
            "page_runtime",
            "registry",
            "storage",
        ],
    ),
    ("storage", &["error"]),
    ("telemetry", &["config"]),
];

/// Adapters, and the only module outside their own that may name them.
const ADAPTERS: [[&str; 2]; 4] =
    [["storage", "sqlite"], ["llm", "genai"], ["llm", "cli"], ["sandbox", "local"]];
const WIRING: &str = "app";

/// Non-test lines that a file may have.
const LINES: usize = 600;

#[test]
fn arrows_point_as_the_table_says() {
    let mut wrong = Vec::new();
    let sources = sources();
    for (file, text) in &sources {
        wrong.extend(wrong_arrows(file, text));
    }
    assert!(sources.len() > 50, "the sources were not found: {}", sources.len());
    assert!(wrong.is_empty(), "arrows that the table does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_row() {
    let modules: BTreeSet<String> =
        sources().iter().map(|(file, _)| module_of(file).to_owned()).collect();
    let missing: Vec<_> =
        modules.iter().filter(|name| !ARROWS.iter().any(|(row, _)| row == name)).collect();
    assert!(missing.is_empty(), "modules without a row: {missing:?}");
}

#[test]
fn a_planted_arrow_is_caught() {
    let planted = "
        use crate::{config::Config, server::{self, HttpServer}};
        // use crate::cli::main; is a comment
        use crate::storage::sqlite::SqliteCatalog;
    ";
    assert_eq!(
        wrong_arrows(Path::new("documents/service.rs"), planted),
        [
            "documents/service.rs: documents -> server",
            "documents/service.rs: names the adapter storage::sqlite",
        ]
    );
    assert!(wrong_arrows(Path::new("app.rs"), planted).is_empty());
}

#[test]
fn files_are_small_and_suppress_no_lint_silently() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > LINES {
            wrong.push(format!("{}: {lines} lines, at most {LINES}", file.display()));
        }
        if text.contains("#[allow(") || text.contains("#![allow(") {
            wrong.push(format!("{}: write #[expect(lint, reason = \"…\")]", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The module directly below the crate that a file belongs to.
fn module_of(file: &Path) -> &str {
    file.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
}

fn wrong_arrows(file: &Path, text: &str) -> Vec<String> {
    let module = module_of(file);
    let allowed = ARROWS.iter().find(|(row, _)| *row == module).map_or(&[][..], |(_, to)| to);
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n");
    let mut wrong = Vec::new();
    for path in named_paths(&code) {
        let Some(target) = path.first() else { continue };
        if target != module && !allowed.contains(&target.as_str()) {
            wrong.push(format!("{}: {module} -> {target}", file.display()));
        }
        for adapter in ADAPTERS {
            let names_it = path.iter().map(String::as_str).take(2).eq(adapter);
            if names_it && module != WIRING && target != module {
                let adapter = adapter.join("::");
                wrong.push(format!("{}: names the adapter {adapter}", file.display()));
            }
        }
    }
    wrong.dedup();
    wrong
}

/// Every path behind `crate::`, groups in braces expanded.
fn named_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, prefix) in code.match_indices("crate::") {
        // `other_crate::` ends in the same letters.
        if !code[..start].ends_with(is_word) {
            expand(&code[start + prefix.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads one path, or a group of them, and returns the text behind it.
fn expand<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|letter: char| letter == ',' || letter.is_whitespace());
            match rest.strip_prefix('}') {
                Some(behind) => return behind,
                None if rest.is_empty() => return rest,
                None => rest = expand(rest, prefix, found),
            }
        }
    }
    // `*` and the like are one letter long.
    let end = text.find(|letter| !is_word(letter)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end.max(text.chars().next().map_or(0, char::len_utf8)));
    let path = [prefix, &[word.to_owned()]].concat();
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(rest, &path, found);
    }
    found.push(path);
    rest
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
