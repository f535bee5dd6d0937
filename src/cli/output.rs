//! What commands say. Standard output carries results alone; everything meant for the eye of the
//! person at the terminal goes to standard error. This module owns both for the commands.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a line of the result to standard output. A reader that went away (`| head`) is no
/// failure.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn result(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes a value as indented JSON to standard output.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    result(&serde_json::to_string_pretty(value)?)
}

/// Writes a line for the person at the terminal to standard error. Nobody listening is fine.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
