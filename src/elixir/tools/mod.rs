//! The tools, one per file.

mod create_elixir_crud;
mod generate_ecto_migration;
mod generate_ecto_schema;
mod generate_phoenix_context;
mod output;
mod undo_elixir_change;

use std::sync::Arc;

use super::Elixir;
use crate::registry::{Annotations, Tool};

/// The tools of this capability.
pub fn tools(elixir: &Arc<Elixir>) -> Vec<Tool> {
    vec![
        create_elixir_crud::tool(elixir),
        generate_ecto_schema::tool(elixir),
        generate_ecto_migration::tool(elixir),
        generate_phoenix_context::tool(elixir),
        undo_elixir_change::tool(elixir),
    ]
}

/// Generating edits files of the caller's project, and the same call twice changes nothing more.
const GENERATE: Annotations =
    Annotations { read_only: false, destructive: true, idempotent: true, open_world: false };
