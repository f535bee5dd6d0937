//! Edits as search-and-replace blocks: reading them out of an answer and applying them to a text.
//!
//! Invariants: a block is placed only where its SEARCH part stands exactly once; either every
//! block of an answer is applied or the document stays as it was; a block is never skipped
//! without a note. Everything here is pure and its work is bounded by counting steps, not time.
//!
//! The flow: [`parse`] reads a model's reply (or the caller's `edits`) into [`Block`]s ->
//! [`apply_checked`] places them one after the other on a working copy, by the [`Level`]s in their
//! order -> the caller's check judges the result -> [`Applied`] with the new text and a unified
//! diff, or [`Failures`] whose [`Failures::feedback`] says what to send instead. The blocks that
//! did match are in [`Failures::kept`]: the next round applies them followed by the new ones.

mod apply;
mod block;
mod feedback;
mod lines;
mod markers;
mod matching;
mod nearest;
mod parse;
mod plan;
mod reason;

pub use apply::{
    Applied, Failure, Failures, MAX_DIFF, Placed, Refusal, apply, apply_checked, unified,
};
pub use block::Block;
pub use feedback::{Audience, FORMAT};
pub use matching::Level;
pub use nearest::Region;
pub use parse::{Malformed, Reply, Unusable, parse};
pub use plan::left_out;
pub use reason::Reason;

/// The most blocks in one answer.
pub const MAX_BLOCKS: usize = 200;
/// The most bytes of a document, before and after, and of all blocks together.
pub const MAX_BYTES: usize = 1 << 20;
