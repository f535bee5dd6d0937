//! Integration tests: one binary.

mod architecture;
mod cli;
mod config;
mod jobs;
mod support;
mod tool_schemas;
