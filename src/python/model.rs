//! What a call asks for, once it is checked.

use super::error::PythonError;

/// Largest program, in bytes.
pub(super) const CODE_BYTES: usize = 256 * 1024;
/// Largest request, in bytes.
const REQUEST_BYTES: usize = 1024 * 1024;

/// A call of `create_python_code`.
#[derive(Debug, Clone, Default)]
pub struct CreateCode {
    /// What the program should do.
    pub request: String,
    /// Model that the caller names.
    pub model: String,
    /// Tools that the program may call; `None`: those that change nothing.
    pub tool_names: Option<Vec<String>>,
    /// The program, written by the caller.
    pub given: Option<String>,
}

/// A call of `edit_python_code`.
#[derive(Debug, Clone, Default)]
pub struct EditCode {
    /// The program as it is.
    pub original: String,
    /// What to change.
    pub request: String,
    /// Model that the caller names.
    pub model: String,
    /// Tools that the program may call; `None`: those that change nothing.
    pub tool_names: Option<Vec<String>>,
    /// The program after the change, written by the caller.
    pub given: Option<String>,
}

/// A text that says something.
pub(super) fn meaningful(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// A request that says what to do and is not endless.
///
/// # Errors
/// When it is blank or too long.
pub(super) fn checked_request<'text>(
    argument: &'static str,
    text: &'text str,
) -> Result<&'text str, PythonError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(PythonError::NoRequest(argument));
    }
    if text.len() > REQUEST_BYTES {
        let (bytes, limit) = (text.len(), REQUEST_BYTES);
        return Err(PythonError::ArgumentTooLarge { argument, bytes, limit });
    }
    Ok(text)
}

/// A program of a size that can be read.
///
/// # Errors
/// When it is too long.
pub(super) fn checked_code(argument: &'static str, code: &str) -> Result<(), PythonError> {
    if code.len() > CODE_BYTES {
        let (bytes, limit) = (code.len(), CODE_BYTES);
        return Err(PythonError::ArgumentTooLarge { argument, bytes, limit });
    }
    Ok(())
}
