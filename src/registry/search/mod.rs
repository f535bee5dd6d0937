//! Which of many tools fits a wish best.
//!
//! BM25 over four fields (name, description, parameters, server), each with its own length
//! statistics and weight. A word of the query stands for a concept: the word itself, and with less
//! weight its synonyms; of a concept the best match counts, so that synonyms never add up.

mod index;
mod synonyms;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

pub use index::SearchIndex;
pub use words::words;

use super::foreign::ForeignList;
use super::tool::Tool;

/// A tool as the index reads it.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Name, by which it is found again.
    pub name: String,
    /// Name and title, as words.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Names and descriptions of its parameters.
    pub parameters: String,
    /// The server.
    pub server: String,
}

impl Document {
    /// A tool by its parts.
    pub fn new(
        name: &str,
        (title, description): (&str, &str),
        input_schema: &serde_json::Value,
        server: &str,
    ) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            description: description.to_owned(),
            parameters: parameters(input_schema),
            server: server.to_owned(),
        }
    }
}

/// The names and descriptions of the first parameters.
fn parameters(schema: &serde_json::Value) -> String {
    const MOST: usize = 40;
    let mut text = String::new();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    for (name, field) in properties.into_iter().flatten().take(MOST) {
        text.push_str(name);
        text.push(' ');
        if let Some(description) = field.get("description").and_then(serde_json::Value::as_str) {
            text.extend(description.chars().take(300));
            text.push(' ');
        }
    }
    text
}

/// Most indexes that are kept: principals with servers of their own have one each.
const MOST_INDEXES: usize = 16;

/// The indexes of the registry, kept as long as the tools stay the same; last used, last.
#[derive(Default)]
pub(super) struct SearchCache {
    made: Mutex<Vec<(Arc<ForeignList>, Arc<SearchIndex>)>>,
}

impl SearchCache {
    pub(super) async fn index<'a>(
        &self,
        own: impl Iterator<Item = &'a Tool>,
        foreign: &Arc<ForeignList>,
    ) -> Arc<SearchIndex> {
        if let Some(index) = self.kept(foreign) {
            return index;
        }
        let mut documents: Vec<Document> = own
            .map(|tool| {
                let texts = (tool.title, tool.description);
                Document::new(tool.name, texts, &tool.input_schema, "atelier")
            })
            .collect();
        let list = Arc::clone(foreign);
        // Thousands of tools take a moment, which other calls must not wait for.
        let made = tokio::task::spawn_blocking(move || {
            documents.extend(list.tools.values().map(|tool| {
                let title = tool.title.as_deref().unwrap_or_default();
                let title = format!("{} {title}", tool.inner_name);
                let texts = (title.as_str(), tool.description.as_str());
                Document::new(&tool.name, texts, &tool.input_schema, &tool.server)
            }));
            SearchIndex::new(&documents)
        })
        .await;
        let index = Arc::new(made.unwrap_or_default());
        let mut kept = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| !Arc::ptr_eq(of, foreign));
        if kept.len() >= MOST_INDEXES {
            kept.remove(0);
        }
        kept.push((Arc::clone(foreign), Arc::clone(&index)));
        index
    }

    fn kept(&self, foreign: &Arc<ForeignList>) -> Option<Arc<SearchIndex>> {
        let mut kept = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // A list that nobody else holds was replaced by a newer one.
        kept.retain(|(of, _)| Arc::ptr_eq(of, foreign) || Arc::strong_count(of) > 1);
        let at = kept.iter().position(|(of, _)| Arc::ptr_eq(of, foreign))?;
        let found = kept.remove(at);
        let index = Arc::clone(&found.1);
        kept.push(found);
        Some(index)
    }
}
