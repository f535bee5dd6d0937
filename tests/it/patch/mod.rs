//! Edits by search-and-replace blocks, from the outside.

mod applying;
mod feedback;
mod fuzz;
mod parsing;
mod work;

use atelier::documents::patch::{Applied, Block, Failures, Level, Reason, apply};

/// Applies one block.
fn edit(document: &str, search: &str, replace: &str) -> Result<Applied, Failures> {
    apply(document, &[Block::new(search, replace)])
}

/// The new text and the level of the only block.
fn edited(document: &str, search: &str, replace: &str) -> (String, Level) {
    let applied = edit(document, search, replace).expect("the block applies");
    (applied.text, applied.blocks[0].level)
}

/// Why the only block failed.
fn reason(document: &str, search: &str, replace: &str) -> Reason {
    let failures = edit(document, search, replace).expect_err("the block fails");
    assert_eq!(failures.failed.len(), 1);
    failures.failed[0].reason.clone()
}
