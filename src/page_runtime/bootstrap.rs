//! What the scripts in a page are told about it.

use serde::Serialize;

/// Everything that the scripts need to know, as JSON in the page.
///
/// A field that is absent turns off what needs it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// The app's root as seen from the page, ending in a slash: `./` or `../../`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<&'static str>,
}

impl Bootstrap {
    /// For a page that is shown without its server, as when it is checked: storage in memory, no
    /// reload, nothing that asks a network.
    pub fn offline() -> Self {
        Self::default()
    }

    /// The JSON, safe inside a script element.
    pub(super) fn to_json(&self) -> String {
        // Texts, numbers and lists of them: nothing here fails to be written.
        let json = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned());
        // A `<` could close the element or open a comment; inside a JSON text it may be escaped.
        json.replace('<', "\\u003c")
    }
}
