//! What the record of a version says about its print, so that an edit prints with the same options.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::print::{Press, Print};
use super::tool_calls::MadeCall;
use crate::browser::PageSetup;

/// Key of it in a version's facts.
pub(in crate::documents) const KEY: &str = "print";

/// The record of a print.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::documents) struct PrintRecord {
    /// The page options as they were given.
    pub(in crate::documents) page: PageSetup,
    /// Pages.
    pub(in crate::documents) pages: usize,
    /// Calls of tools that its author made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::documents) tool_calls: Vec<MadeCall>,
}

impl PrintRecord {
    pub(in crate::documents) fn new(press: &Press, print: &Print, tool_calls: &[MadeCall]) -> Self {
        Self {
            page: press.setup.clone(),
            pages: print.facts.pages,
            tool_calls: tool_calls.to_vec(),
        }
    }

    pub(in crate::documents) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The record in a version's facts; an empty one when it has none that can be read.
    pub(in crate::documents) fn of(facts: &str) -> Self {
        let facts: Value = serde_json::from_str(facts).unwrap_or_default();
        facts.get(KEY).and_then(|print| Self::deserialize(print).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_read_back_and_odd_ones_are_empty() {
        let record = PrintRecord {
            page: serde_json::from_value(json!({"size": "A5", "footer": "{page}"})).unwrap(),
            pages: 3,
            ..PrintRecord::default()
        };
        let facts = json!({"writer": "caller", KEY: record.to_json()}).to_string();
        assert_eq!(PrintRecord::of(&facts), record);
        for odd in ["", "{}", "[]", "{\"print\": {\"page\": {\"colour\": 1}}}"] {
            assert_eq!(PrintRecord::of(odd), PrintRecord::default());
        }
    }
}
