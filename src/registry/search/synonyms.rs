//! Words that people and tool authors use for the same thing.
//!
//! General English of computing, in groups; no group is about one product's tools.

use std::collections::HashMap;

use super::words::stem;

/// Each line is a group of words that stand for each other.
const GROUPS: &str = include_str!("synonyms.txt");

/// Synonyms by stem.
#[derive(Debug, Default)]
pub(super) struct Synonyms {
    groups: Vec<Vec<String>>,
    by_stem: HashMap<String, Vec<usize>>,
}

impl Synonyms {
    pub(super) fn new() -> Self {
        let mut synonyms = Self::default();
        let lines = GROUPS.lines().map(|line| line.split('#').next().unwrap_or_default());
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let group: Vec<String> = line.split_whitespace().map(stem).collect();
            for word in &group {
                synonyms.by_stem.entry(word.clone()).or_default().push(synonyms.groups.len());
            }
            synonyms.groups.push(group);
        }
        synonyms
    }

    /// The other words of the groups that a stem is in.
    pub(super) fn of<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = &'a str> {
        self.by_stem
            .get(stem)
            .into_iter()
            .flatten()
            .filter_map(|group| self.groups.get(*group))
            .flatten()
            .map(String::as_str)
            .filter(move |word| *word != stem)
    }
}
