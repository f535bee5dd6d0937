//! The agent: single questions, runs and workflows, and the example server in Elixir.

mod ask;
mod elixir_server;
mod engine;
mod people;
mod pictures;
mod product;
