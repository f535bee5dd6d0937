//! docs/error_codes.toml against the sources: every code is documented, and no row is stale.

use std::collections::BTreeMap;

use crate::support::sources::sources;

/// What stands right before a code, in sources without line breaks.
const BEFORE: [&str; 9] = [
    "ToolError::invalid(",
    "ToolError::not_found(",
    "Self::invalid(",
    "Self::not_found(",
    "\"code\": ",
    "PageProblem::new(",
    "Refusal::Host => (",
    "Refusal::Origin => (",
    "PromptError::Missing { .. } => (",
];

fn documented() -> BTreeMap<String, String> {
    let groups: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(include_str!("../../docs/error_codes.toml")).unwrap();
    groups.into_values().flatten().collect()
}

/// Codes in the sources, with the file that has them.
fn used() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (file, text) in sources() {
        let code: Vec<&str> = text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(str::split_whitespace)
            .collect();
        let code = code.join(" ");
        let mut add = |rest: &str| {
            let literal = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            if let Some((word, _)) = literal
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                found.insert(word.to_owned(), file.display().to_string());
            }
        };
        for before in BEFORE {
            code.match_indices(before).for_each(|(at, _)| add(&code[at + before.len()..]));
        }
        for (at, kind) in code.match_indices("ErrorKind::") {
            if let Some((variant, rest)) = code[at + kind.len()..].split_once(',')
                && variant.chars().all(char::is_alphanumeric)
            {
                add(rest);
            }
        }
        if ["llm/error.rs", "elixir/error.rs", "factory/error.rs"]
            .iter()
            .any(|end| file.ends_with(end))
        {
            code.match_indices("=> \"").for_each(|(at, _)| add(&code[at + "=> ".len()..]));
        }
    }
    found
}

#[test]
fn every_code_is_documented() {
    let documented = documented();
    let used = used();
    assert!(used.len() > 40, "codes were not found in the sources: {used:?}");
    let missing: Vec<_> = used.iter().filter(|(code, _)| !documented.contains_key(*code)).collect();
    assert!(missing.is_empty(), "docs/error_codes.toml lacks: {missing:#?}");
}

#[test]
fn no_documented_code_is_stale() {
    let sources = sources();
    let stale: Vec<_> = documented()
        .into_keys()
        .filter(|code| !sources.iter().any(|(_, text)| text.contains(&format!("\"{code}\""))))
        .collect();
    assert!(stale.is_empty(), "no source has: {stale:?}");
}
