//! Finding a document by the name that a caller gives.

use super::error::DocumentError;
use super::names::{clean_name, without_pdf_ending};
use super::service::Documents;
use crate::storage::{Document, DocumentKind, Owner};

/// Names looked through for ones that resemble a wrong one.
const LOOKED_THROUGH: u32 = 1000;
/// Names that an error proposes.
const PROPOSED: usize = 3;
/// Names at least this alike are proposed.
const ALIKE: f64 = 0.5;

impl Documents {
    /// The live document of this name.
    ///
    /// # Errors
    /// When no name is given, none has it, or the store fails.
    pub(super) async fn find(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: Option<&str>,
    ) -> Result<Document, DocumentError> {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Err(DocumentError::NoName(kind));
        };
        let name = match kind {
            DocumentKind::WebApp => name,
            DocumentKind::Pdf => without_pdf_ending(name),
        };
        let catalog = &self.parts.catalog;
        let clean = clean_name(name);
        let mut is_other_kind = false;
        if let Some(clean) = &clean {
            if let Some(document) = catalog.document(owner, kind, clean).await? {
                return Ok(document);
            }
            let other = match kind {
                DocumentKind::WebApp => DocumentKind::Pdf,
                DocumentKind::Pdf => DocumentKind::WebApp,
            };
            is_other_kind = catalog.document(owner, other, clean).await?.is_some();
        }
        let names = catalog.documents(owner, Some(kind), LOOKED_THROUGH).await?;
        let names = names.into_iter().map(|document| document.name).collect();
        Err(DocumentError::NotFound {
            kind,
            name: name.chars().filter(|letter| !letter.is_control()).take(100).collect(),
            near: nearest(clean.as_deref().unwrap_or_default(), names),
            is_other_kind,
        })
    }
}

impl Documents {
    /// Where a document is opened.
    pub(super) fn address(&self, kind: DocumentKind, token: &str) -> String {
        match kind {
            DocumentKind::WebApp => self.parts.urls.app(token),
            DocumentKind::Pdf => self.parts.urls.pdf(token),
        }
    }

    /// Where its source is shown as plain text.
    pub(super) fn source_address(&self, kind: DocumentKind, token: &str) -> String {
        match kind {
            DocumentKind::WebApp => self.parts.urls.raw(token),
            DocumentKind::Pdf => self.parts.urls.pdf_source(token),
        }
    }

    /// Where one of its versions is opened.
    pub(super) fn version_address(&self, kind: DocumentKind, token: &str, n: i64) -> String {
        match kind {
            DocumentKind::WebApp => self.parts.urls.version(token, n),
            DocumentKind::Pdf => self.parts.urls.pdf_version(token, n),
        }
    }
}

/// The names that resemble the wanted one, nearest first; when none does, the first ones.
fn nearest(wanted: &str, names: Vec<String>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut rated: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| {
            let key = name.to_lowercase();
            let holds = !wanted.is_empty() && (key.contains(&wanted) || wanted.contains(&key));
            let alike = strsim::normalized_damerau_levenshtein(&wanted, &key);
            (if holds { alike.max(ALIKE) } else { alike }, name)
        })
        .collect();
    if rated.iter().any(|(alike, _)| *alike >= ALIKE) {
        rated.retain(|(alike, _)| *alike >= ALIKE);
        rated.sort_by(|left, right| right.0.total_cmp(&left.0));
    }
    rated.into_iter().take(PROPOSED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed() {
        let names =
            || ["clock", "tip_calculator", "chess_clock", "Notes"].map(str::to_owned).to_vec();
        assert_eq!(nearest("tip_calculater", names()), ["tip_calculator"]);
        assert_eq!(nearest("clocks", names()), ["clock"]);
        assert_eq!(nearest("CLOCK", names()), ["clock", "chess_clock"]);
        assert_eq!(nearest("note", names()), ["Notes"]);
        assert_eq!(nearest("zzzz", names()), ["clock", "tip_calculator", "chess_clock"]);
        assert_eq!(nearest("", names()).len(), 3);
        assert!(nearest("x", Vec::new()).is_empty());
    }
}
