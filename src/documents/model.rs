//! What a call asks for, once it is checked.

use super::error::DocumentError;
use crate::browser::PageSetup;
use crate::storage::DocumentKind;

/// Key of callers that name no user.
pub(crate) const DEFAULT_USER_NUMBER: &str = crate::registry::DEFAULT_USER;

/// What older clients send when there is no user.
const NO_USER_NUMBER: &str = "--user_number_not_needed--";

/// Default of the context on creation, which says nothing.
pub(crate) const NO_CONTEXT: &str = "No additional context provided";

/// Default of the context on edits, which some clients send everywhere.
pub(crate) const NO_CONTEXT_FOR_EDIT: &str = "No additional context provided for edit";

/// Longest key of a user, in characters.
const USER_CHARACTERS: usize = 200;

/// Largest request or context: far more than any model reads with care.
const TEXT_BYTES: usize = 1024 * 1024;

/// A call of `create_web_app`.
#[derive(Debug, Clone, Default)]
pub struct CreateWebApp {
    /// Key of the user.
    pub user_number: String,
    /// Name that the caller wants.
    pub app_name: Option<String>,
    /// Addresses of files.
    pub attachments: Vec<String>,
    /// What the app should do.
    pub user_request: Option<String>,
    /// What was said before.
    pub context: Option<String>,
    /// Model that the caller names.
    pub model: String,
    /// The page, written by the caller.
    pub html: Option<String>,
    /// Tools that the page may call; `None`: as before.
    pub tool_names: Option<Vec<String>>,
}

/// A call of `create_pdf_document`.
#[derive(Debug, Clone, Default)]
pub struct CreatePdf {
    /// Key of the user.
    pub user_number: String,
    /// Name that the caller wants.
    pub doc_name: Option<String>,
    /// Addresses of files.
    pub attachments: Vec<String>,
    /// What the document should say.
    pub user_request: Option<String>,
    /// What was said before.
    pub context: Option<String>,
    /// Model that the caller names.
    pub model: String,
    /// The HTML, written by the caller.
    pub html: Option<String>,
    /// Paper, margins, header and footer.
    pub page: PageSetup,
    /// Tools that the model may call while it writes.
    pub tool_names: Option<Vec<String>>,
}

/// A call of `edit_web_app` or `edit_pdf_document`.
#[derive(Debug, Clone)]
pub struct EditDocument {
    /// What is edited.
    pub kind: DocumentKind,
    /// Key of the user.
    pub user_number: String,
    /// Name of the document.
    pub name: Option<String>,
    /// What should change.
    pub user_request: Option<String>,
    /// What was said before.
    pub context: Option<String>,
    /// Model that the caller names.
    pub model: String,
    /// The patch, written by the caller.
    pub edits: Option<String>,
    /// Tools that its pages may call from now on; `None`: as before.
    pub tool_names: Option<Vec<String>>,
    /// Page options of a PDF in place of those before; `None`: as before.
    pub page: Option<PageSetup>,
}

/// The document that a call is about: exactly one of both names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhichDocument {
    /// Name of a web app.
    pub app_name: Option<String>,
    /// Name of a PDF document.
    pub doc_name: Option<String>,
}

impl WhichDocument {
    /// What it is, and its name.
    ///
    /// # Errors
    /// When there are both names or none.
    pub(crate) fn parts(&self) -> Result<(DocumentKind, &str), DocumentError> {
        match (given(self.app_name.as_deref()), given(self.doc_name.as_deref())) {
            (Some(name), None) => Ok((DocumentKind::WebApp, name)),
            (None, Some(name)) => Ok((DocumentKind::Pdf, name)),
            (None, None) | (Some(_), Some(_)) => Err(DocumentError::OneName),
        }
    }
}

/// A name that is one.
fn given(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.trim().is_empty())
}

/// The words for a kind of document, in what callers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KindWords {
    /// What people call it.
    pub(crate) noun: &'static str,
    /// The argument that names one.
    pub(crate) argument: &'static str,
    /// The tool that makes one.
    pub(crate) create: &'static str,
    /// The tool that edits one.
    pub(crate) edit: &'static str,
    /// The tool that lists them.
    pub(crate) list: &'static str,
}

/// The words for a kind of document.
pub(crate) const fn words(kind: DocumentKind) -> KindWords {
    match kind {
        DocumentKind::WebApp => KindWords {
            noun: "web app",
            argument: "app_name",
            create: "create_web_app",
            edit: "edit_web_app",
            list: "list_web_apps",
        },
        DocumentKind::Pdf => KindWords {
            noun: "PDF document",
            argument: "doc_name",
            create: "create_pdf_document",
            edit: "edit_pdf_document",
            list: "list_pdf_documents",
        },
    }
}

/// What to make, or to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brief {
    /// What the app should do, or what should change.
    pub(crate) request: String,
    /// What was said before.
    pub(crate) context: Option<String>,
}

/// The key of a user: what the caller gave, or the default for those who have none.
///
/// # Errors
/// When it is too long or cannot be a key.
pub(crate) fn user_key(user_number: &str) -> Result<String, DocumentError> {
    let user = user_number.trim();
    if user.is_empty() || user == NO_USER_NUMBER {
        return Ok(DEFAULT_USER_NUMBER.to_owned());
    }
    if user.chars().count() > USER_CHARACTERS || user.chars().any(char::is_control) {
        return Err(DocumentError::UserNumber(USER_CHARACTERS));
    }
    Ok(user.to_owned())
}

/// The request and its context. Some clients put the request into the context, so a context
/// alone is the request.
///
/// # Errors
/// When neither says anything, or one is too long.
pub(crate) fn brief(request: Option<&str>, context: Option<&str>) -> Result<Brief, DocumentError> {
    let request = bounded("user_request", request)?;
    let context = bounded("client_injected_context", context)?;
    match (request, context) {
        (Some(request), context) => {
            Ok(Brief { request: request.to_owned(), context: context.map(str::to_owned) })
        }
        (None, Some(context)) => Ok(Brief { request: context.to_owned(), context: None }),
        (None, None) => Err(DocumentError::NoRequest),
    }
}

/// What an edit is asked to change; `None` when nothing is said. Clients add the context to every
/// call, so unlike on creation a context alone asks for nothing.
///
/// # Errors
/// When a text is too long.
pub(crate) fn edit_brief(call: &EditDocument) -> Result<Option<Brief>, DocumentError> {
    let request = bounded("user_edit_request", call.user_request.as_deref())?;
    let context = bounded("client_injected_context", call.context.as_deref())?;
    Ok(request
        .map(|request| Brief { request: request.to_owned(), context: context.map(str::to_owned) }))
}

/// A text that says something and is not endless.
fn bounded<'a>(
    argument: &'static str,
    text: Option<&'a str>,
) -> Result<Option<&'a str>, DocumentError> {
    let text = meaningful(text);
    let bytes = text.map_or(0, str::len);
    if bytes > TEXT_BYTES {
        return Err(DocumentError::ArgumentTooLarge { argument, bytes, limit: TEXT_BYTES });
    }
    Ok(text)
}

/// A text that says something: neither empty nor a default.
fn meaningful(text: Option<&str>) -> Option<&str> {
    text.map(str::trim)
        .filter(|text| !text.is_empty() && *text != NO_CONTEXT && *text != NO_CONTEXT_FOR_EDIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_a_number_share_the_default_key() {
        for given in ["", "  ", "--user_number_not_needed--", DEFAULT_USER_NUMBER] {
            assert_eq!(user_key(given).unwrap(), DEFAULT_USER_NUMBER);
        }
        assert_eq!(user_key(" ../../etc ").unwrap(), "../../etc");
        assert!(matches!(user_key("a\0b"), Err(DocumentError::UserNumber(200))));
        assert!(matches!(user_key(&"1".repeat(201)), Err(DocumentError::UserNumber(200))));
    }

    #[test]
    fn a_context_alone_is_the_request() {
        let brief = brief(None, Some("a tip calculator")).unwrap();
        assert_eq!(brief, Brief { request: "a tip calculator".into(), context: None });
    }

    #[test]
    fn defaults_say_nothing() {
        let with_default = brief(Some(" a clock "), Some(NO_CONTEXT)).unwrap();
        assert_eq!(with_default, Brief { request: "a clock".into(), context: None });
        for (request, context) in [
            (None, None),
            (Some(""), Some("  \n")),
            (None, Some(NO_CONTEXT)),
            (Some(" "), Some(NO_CONTEXT_FOR_EDIT)),
        ] {
            assert!(matches!(brief(request, context), Err(DocumentError::NoRequest)));
        }
    }

    #[test]
    fn endless_texts_are_refused_by_name() {
        let long = "x".repeat(TEXT_BYTES + 1);
        assert!(matches!(
            brief(Some(&long), None),
            Err(DocumentError::ArgumentTooLarge { argument: "user_request", .. })
        ));
        assert!(matches!(
            brief(Some("a"), Some(&long)),
            Err(DocumentError::ArgumentTooLarge { argument: "client_injected_context", .. })
        ));
    }
}
