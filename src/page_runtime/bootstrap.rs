//! What the scripts in a page are told about it.

use serde::Serialize;

/// Everything that the scripts need to know, as JSON in the page.
///
/// A field that is absent turns off what needs it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// The app's root as seen from the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The version that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Storage that the server keeps. Without it, storage lives as long as the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StoredForPage>,
    /// Tools that the page may call. Without it, it may call none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<PageTools>,
}

/// The tools of an app, as its pages know them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PageTools {
    /// Their names.
    pub names: Vec<String>,
    /// Lets the page call them; absent in a version that is not the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Where a page is, seen from its app's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Root {
    /// At the root: always the newest version.
    #[serde(rename = "./")]
    Here,
    /// Below `v/<n>/`: this version for ever.
    #[serde(rename = "../../")]
    TwoUp,
}

/// What the server keeps for the visitor of a page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoredForPage {
    /// Names the visitor in requests that only listen.
    pub visitor: String,
    /// Lets the page write for this visitor.
    pub token: String,
    /// The newest revision of `local`.
    pub revision: i64,
    /// `localStorage`.
    pub local: Vec<(String, String)>,
    /// `sessionStorage` of each tab; a page knows which one is its own.
    pub tabs: Vec<StoredForTab>,
}

/// What the server keeps for a tab.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoredForTab {
    /// The tab.
    pub tab: String,
    /// Number of its newest write.
    pub sequence: i64,
    /// `sessionStorage`.
    pub session: Vec<(String, String)>,
}

impl Bootstrap {
    /// For a page that is shown without its server, as when it is checked: storage in memory, no
    /// reload, nothing that asks a network.
    pub fn offline() -> Self {
        Self::default()
    }

    /// The JSON, safe inside a script element.
    pub fn to_json(&self) -> String {
        // Texts, numbers and lists of them: nothing here fails to be written.
        let json = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned());
        // A `<` could close the element or open a comment; inside a JSON text it may be escaped.
        json.replace('<', "\\u003c")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_cannot_leave_the_script() {
        let hostile = "</script><!--<script>".to_owned();
        let storage = StoredForPage {
            local: vec![(hostile.clone(), hostile.clone())],
            ..StoredForPage::default()
        };
        let bootstrap = Bootstrap { storage: Some(storage), ..Bootstrap::default() };
        let json = bootstrap.to_json();
        assert!(!json.contains('<'), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["storage"]["local"][0][1], hostile);
    }
}
