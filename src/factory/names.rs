//! Names that clients, shells and file systems take.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// Longest name of a tool: clients put a prefix in front of it and stop at 64.
pub const TOOL_NAME: usize = 56;

/// Longest name of a server.
pub const SERVER_NAME: usize = 40;

/// Gives out names that are unique without regard to case.
#[derive(Debug, Default)]
pub struct Names {
    used: HashSet<String>,
}

impl Names {
    /// A name of letters, digits, `_` and `-` made from a text; `key` tells equal ones apart, the
    /// same way every time.
    pub fn tool(&mut self, text: &str, key: &str) -> String {
        let plain = words(text);
        let plain = if plain.is_empty() { "operation".to_owned() } else { plain };
        let candidate = if plain.len() <= TOOL_NAME {
            plain.clone()
        } else {
            shortened(&plain, key, TOOL_NAME)
        };
        if self.used.insert(candidate.to_ascii_lowercase()) {
            return candidate;
        }
        let mut salt = 0_u32;
        loop {
            let key = if salt == 0 { key.to_owned() } else { format!("{key}#{salt}") };
            let candidate = shortened(&plain, &key, TOOL_NAME);
            if self.used.insert(candidate.to_ascii_lowercase()) {
                return candidate;
            }
            salt += 1;
        }
    }
}

/// The text with every run of other characters as one `_`.
fn words(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || letter == '-' || letter == '_' {
            name.push(letter);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_matches(['_', '-']).to_owned()
}

fn shortened(name: &str, key: &str, longest: usize) -> String {
    let hash = hash8(key);
    let head: String = name.chars().take(longest.saturating_sub(9)).collect();
    format!("{}_{hash}", head.trim_end_matches(['_', '-']))
}

/// Eight hexadecimal digits of a text's hash.
pub fn hash8(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a server: `[a-z0-9_-]`, begins with a letter, is no name that an operating system
/// keeps for itself.
pub fn server(text: &str) -> String {
    const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com1", "lpt1"];
    let mut lower = words(text).to_ascii_lowercase();
    // Two of them divide a server's name from its tools'.
    while lower.contains("__") {
        lower = lower.replace("__", "_");
    }
    let mut name: String = lower.chars().take(SERVER_NAME).collect();
    name = name.trim_matches(['_', '-']).to_owned();
    if name.is_empty() {
        "server".clone_into(&mut name);
    }
    if RESERVED.contains(&name.as_str())
        || !name.starts_with(|letter: char| letter.is_ascii_lowercase())
    {
        name = format!("server_{name}").chars().take(SERVER_NAME).collect();
    }
    name
}

/// The name of an environment variable.
pub fn variable(text: &str) -> String {
    let mut name = String::new();
    let mut before_lower = false;
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            if letter.is_ascii_uppercase() && before_lower {
                name.push('_');
            }
            before_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
            name.push(letter.to_ascii_uppercase());
        } else {
            before_lower = false;
            if !name.ends_with('_') {
                name.push('_');
            }
        }
    }
    let name: String = name.trim_matches('_').chars().take(60).collect();
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        format!("API_{name}").trim_end_matches('_').to_owned()
    } else {
        name
    }
}

/// Whether a letter is a control character, or one that turns the direction of reading.
pub const fn is_unseen(letter: char) -> bool {
    letter.is_ascii_control()
        || matches!(letter, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// A text for people and models: without control characters and those that turn the direction of
/// reading, at most `longest` characters.
pub fn prose(text: &str, longest: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(longest * 4));
    let mut count = 0;
    for letter in text.trim().chars() {
        if is_unseen(letter) && letter != '\n' && letter != '\t' {
            continue;
        }
        if count == longest {
            plain.push('…');
            break;
        }
        plain.push(letter);
        count += 1;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_names_are_unique_and_short() {
        let mut names = Names::default();
        assert_eq!(names.tool("repos/list-for-org", "a"), "repos_list-for-org");
        let second = names.tool("Repos/List-for-org", "b");
        assert!(second.starts_with("Repos_List-for-org_"), "{second}");
        assert_eq!(names.tool(&"x".repeat(300), "c").len(), TOOL_NAME);
        assert_eq!(names.tool("  /  ", "d"), "operation");
    }

    #[test]
    fn servers_have_harmless_names() {
        assert_eq!(server("../../x"), "x");
        assert_eq!(server("con"), "server_con");
        assert_eq!(server("Пример"), "server");
        assert_eq!(server("Swagger Petstore - OpenAPI 3.0"), "swagger_petstore_-_openapi_3_0");
    }

    #[test]
    fn variables_are_upper_case() {
        assert_eq!(variable("apiKeyAuth"), "API_KEY_AUTH");
        assert_eq!(variable("X-Api-Key"), "X_API_KEY");
        assert_eq!(variable("2fa"), "API_2FA");
    }
}
