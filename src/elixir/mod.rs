//! Phoenix and Ecto code from definitions: schema, migration, context, tests, JSON API.
//!
//! Invariants: text of a definition becomes code only as a checked name or an escaped literal; what
//! does not parse is never written; files that exist are edited by their syntax; all files of a call
//! are written or none; nothing outside the project's folder is touched; Elixir is never run, unless
//! the caller asks for verification.
//!
//! The flow: JSON -> `definition` (what is wanted, checked by itself) -> `project` (what is
//! there, read by syntax) -> `resource` (every choice made) -> `plan` (all files as they are and
//! as they will be; `render` writes new text, `edit` changes existing text) -> `journal`
//! (written under a lock, with what takes it back).

mod definition;
mod describe;
mod edit;
mod error;
mod files;
mod journal;
mod literal;
mod names;
mod plan;
mod project;
mod render;
mod resource;
mod service;
mod syntax;
pub mod tools;
mod verify;

pub use definition::Problem;
pub use error::{ElixirError, Refusal};
pub use journal::Journal;
pub use service::{Elixir, ElixirParts};
pub use verify::{CommandOutcome, Verification};
