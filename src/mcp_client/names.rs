//! The names under which tools of other servers stand beside ours.

use std::collections::BTreeMap;

use crate::registry::SERVER_DIVIDER;
use crate::storage::blobs::sha256_hex;

/// Longest name that every model's vendor takes.
const LONGEST: usize = 64;
/// Digits of a hash in an alias.
const HASH: usize = 6;

/// Names for the tools of one server, in their order: `server__tool`, or where that is too long,
/// has letters that vendors refuse, or is taken, a short alias that stays the same as long as the
/// names do. A name that the server gives twice is used once.
pub(super) fn names<'a>(
    server: &str,
    tools: impl IntoIterator<Item = &'a str>,
) -> Vec<Option<String>> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    tools
        .into_iter()
        .map(|tool| {
            let mut name = name(server, tool);
            match taken.get(&name) {
                Some(other) if *other == tool => return None,
                // Two odd names may become one.
                Some(_) => name = alias(server, tool),
                None => {}
            }
            taken.insert(name.clone(), tool);
            Some(name)
        })
        .collect()
}

fn name(server: &str, tool: &str) -> String {
    let whole = format!("{server}{SERVER_DIVIDER}{tool}");
    let begins = whole.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if begins && whole.len() <= LONGEST && !tool.is_empty() && whole.chars().all(is_plain) {
        whole
    } else {
        alias(server, tool)
    }
}

fn alias(server: &str, tool: &str) -> String {
    let hash = sha256_hex(format!("{server}\0{tool}").as_bytes());
    let hash = hash.as_str().get(..HASH).unwrap_or_default().to_owned();
    let whole = format!("{server}{SERVER_DIVIDER}{tool}");
    let begins = whole.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let before = if begins { "" } else { "_" };
    let plain: String =
        whole.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let room = LONGEST - HASH - 1 - before.len();
    let plain: String = plain.chars().take(room).collect();
    format!("{before}{plain}_{hash}")
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_odd_ones_get_a_stable_alias() {
        let long = "a".repeat(80);
        let names = names("files", ["read", "über.alles", "uber/alles", &long, "read"]);
        assert_eq!(names[0].as_deref(), Some("files__read"));
        assert_eq!(names[1].as_deref(), Some("files___ber_alles_1f1637"));
        assert!(names[2].as_deref().is_some_and(|name| name.starts_with("files__uber_alles_")));
        assert_eq!(names[3].as_deref().map(str::len), Some(64));
        assert_eq!(names[4], None, "a name that is given twice is used once");
        assert!(names.iter().flatten().all(|name| name.chars().all(is_plain)));
        assert_eq!(super::name("2fast", "x").chars().next(), Some('_'));
    }
}
