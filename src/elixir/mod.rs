//! Elixir.
pub(crate) mod syntax;
