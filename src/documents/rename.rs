//! Another name for a document.

use super::error::DocumentError;
use super::names::clean_name;
use super::service::Documents;
use crate::storage::{Document, DocumentKind, Owner, StorageError};

impl Documents {
    /// Gives a document another name. Its address, versions and title stay.
    ///
    /// # Errors
    /// When there is no such document, nothing is left of the new name once it is cleaned, or
    /// another document has it.
    pub async fn rename(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
        new_name: &str,
    ) -> Result<Document, DocumentError> {
        let found = self.find(owner, kind, Some(name)).await?;
        let Some(clean) = clean_name(new_name) else {
            let shown = new_name.chars().filter(|letter| !letter.is_control()).take(100).collect();
            return Err(DocumentError::UnusableName(shown));
        };
        match self.parts.catalog.rename_document(owner, kind, &found.name, &clean).await {
            Ok(Some(document)) => Ok(document),
            Ok(None) => Err(DocumentError::Deleted { kind, name: found.name }),
            Err(StorageError::Conflict(_)) => Err(DocumentError::NameTaken { kind, name: clean }),
            Err(error) => Err(error.into()),
        }
    }
}
